"""``earmark data corrupt``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from earmark.commands.shared import SeparatorOption
from earmark.console import say


def corrupt(
    manifest: Annotated[Path, typer.Argument(help="CSV or Parquet manifest with unverified clips.")],
    kind: Annotated[Literal["symmetric", "class", "vocabulary"], typer.Option(help="The kind of noise.")],
    rate: Annotated[float, typer.Option(help="Share of the unverified labels that become wrong, 0 to 1.")],
    out: Annotated[Path, typer.Option(help="The manifest to write, .csv or .parquet.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed plants the same noise.")] = 0,
    label_separator: SeparatorOption = ",",
) -> None:
    """Plant known label noise among a manifest's unverified labels; the truth stays in a column of its own."""
    from earmark.data.corrupt import TRUTH
    from earmark.data.corrupt import corrupt as plant
    from earmark.data.manifest import read_manifest, write_manifest
    from earmark.data.tables import require_ending
    from earmark.errors import ManifestError

    require_ending(out)
    clean = read_manifest(manifest, label_separator)
    if out.parent.resolve() != manifest.parent.resolve():
        raise ManifestError(str(out), [f"must lie in {manifest.parent}: file names are relative to the manifest"])
    if out.exists() and out.samefile(manifest):
        raise ManifestError(str(out), ["is the manifest itself; write to another file"])
    clips = plant(clean.clips, kind, rate, seed)
    write_manifest(out, clips, label_separator)
    wrong = sum(clip.extra[TRUTH] != clip.labels for clip in clips)
    say(
        f"{out}: {len(clips):,} clips, {wrong:,} of {sum(not clip.verified for clip in clips):,} unverified ones with a wrong label"
    )
