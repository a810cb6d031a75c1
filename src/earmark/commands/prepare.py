"""``earmark prepare``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.commands.shared import SKIPPED, SeparatorOption, numbers, tell_bad
from earmark.console import say
from earmark.errors import EarmarkError

LOWEST_RATE = 1000  # that a net can use, in Hz


def prepare(
    source: Annotated[str, typer.Argument(help="Kind of data set: manifest, folder, or a published one by name.")],
    root: Annotated[Path, typer.Argument(help="The data set's folder; for `manifest` the file.")],
    out: Annotated[Path, typer.Option(help="Folder of the store.")],
    sample_rate: Annotated[str, typer.Option(help="In Hz; several with commas between them.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Decoding threads; one a core by default.")] = None,
    label_separator: SeparatorOption = ",",
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file to see whether it is the same, whatever its times.")
    ] = False,
    no_errata: Annotated[bool, typer.Option("--no-errata", help="Read a data set's known faulty labels as published.")] = False,
) -> None:
    """Decode every clip once into a store. A second run over unchanged inputs does nothing; an interrupted one goes on."""
    from earmark.audio import HIGHEST_RATE
    from earmark.data.manifest import describe
    from earmark.data.prepare import prepare as build
    from earmark.data.sources import scan
    from earmark.quiet import quiet_libraries

    rates = numbers(sample_rate, "--sample-rate")
    if min(rates) < LOWEST_RATE or max(rates) > HIGHEST_RATE:
        raise EarmarkError(f"--sample-rate {sample_rate}: rates are in Hz, from {LOWEST_RATE:,} to {HIGHEST_RATE:,}")
    manifest = scan(source, root, label_separator, errata=not no_errata)
    for line in describe(manifest):
        say(line)
    with quiet_libraries():
        prepared = build(manifest, str(root), out, rates, jobs, verify)
    store = prepared.store
    shown_rates = ", ".join(map(str, store.sample_rates))
    unchanged = ", unchanged" if prepared.unchanged else ""
    say(f"{out}: {store.clip_count:,} clips, {len(prepared.bad):,} bad, {shown_rates} Hz{unchanged}")
    if prepared.bad:
        tell_bad(list(prepared.bad), len(manifest.clips), str(out / "bad.csv"))
        raise typer.Exit(SKIPPED)
