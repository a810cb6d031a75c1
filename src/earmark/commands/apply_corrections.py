"""``earmark apply-corrections``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.commands.shared import SeparatorOption
from earmark.console import say, tell


def apply_corrections(
    manifest: Annotated[Path, typer.Argument(help="CSV or Parquet manifest; or a store, whose clips then make one.")],
    corrections: Annotated[
        Path,
        typer.Argument(
            help="What was heard: the folder of an audit, its corrections.csv, a table clip_id,labels, or Label Studio's JSON."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The manifest to write, .csv or .parquet.")],
    new_labels: Annotated[bool, typer.Option("--new-labels", help="Labels may be none of the manifest's.")] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Nobody checked the labels of a manifest that has no column verified.")
    ] = False,
    label_separator: SeparatorOption = ",",
) -> None:
    """Write a manifest in which what was heard is corrected and verified; where its labels come from stays in columns of its own."""
    from earmark.data.correct import correct, load_corrections, removed_path, require_place, write_corrected
    from earmark.data.rows import read_rows
    from earmark.data.tables import require_ending
    from earmark.errors import ManifestError

    require_ending(out)
    source = read_rows(manifest, label_separator)
    if "verified" not in source.header and not unverified:
        tell(f"every label of {manifest} is taken for verified, since it has no column verified: --unverified says otherwise")
    if "verified" in source.header and unverified:
        raise ManifestError("--unverified", [f"{manifest} says of every clip whether its labels were checked"])
    require_place(out, source, corrections)
    made = correct(source, load_corrections(corrections, label_separator), label_separator, new_labels, unverified)
    write_corrected(out, source, made, label_separator)
    if "fold" not in source.header:
        tell(f"{manifest} has no column fold, so that `earmark prepare` makes other folds now; given a store, this keeps its folds")
    if source.bad_count:
        tell(f"{_clips(source.bad_count)} of the data set could not be used, and are in {manifest / 'bad.csv'} but not in {out}")
    if made.unlike:
        it, them = ("it was", "it") if made.unlike == 1 else ("they were", "them")
        tell(f"warning: {_clips(made.unlike)} had other labels when {it} heard than {manifest} gives {them}")
    if made.older:
        stay = "was corrected later than these corrections say, and stays as it is"
        if made.older > 1:
            stay = "were corrected later than these corrections say, and stay as they are"
        tell(f"{_clips(made.older)} {stay}")
    if made.disputed:
        say(f"reviewers disagree about {_clips(made.disputed)}: the latest decision counted")
    if made.removed:
        say(f"{removed_path(out)}: {_clips(len(made.removed))} removed")
    heard = made.changed + made.kept + made.none + made.unusable
    say(
        f"{out}: {_clips(len(made.rows))}; {heard:,} heard: {made.changed:,} with other labels now, {made.kept:,} kept, "
        f"{made.none:,} none of these, {made.unusable:,} removed"
    )


def _clips(count: int) -> str:
    return f"{count:,} clip{'' if count == 1 else 's'}"
