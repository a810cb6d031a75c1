"""``earmark prepare``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.commands.complete import complete_recipes, complete_source
from earmark.commands.shared import SKIPPED, EmbeddingOption, EmbeddingRateOption, SeparatorOption, numbers, tell_bad
from earmark.console import say
from earmark.errors import EarmarkError

LOWEST_RATE = 1000  # that a net can use, in Hz


def prepare(
    source: Annotated[
        str,
        typer.Argument(help="Kind of data set: manifest, folder, or a published one by name.", autocompletion=complete_source),
    ],
    root: Annotated[Path, typer.Argument(help="The data set's folder; for `manifest` the file.")],
    out: Annotated[Path, typer.Option(help="Folder of the store.")],
    sample_rate: Annotated[str | None, typer.Option(help="In Hz; several with commas between them.")] = None,
    for_: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="RECIPE",
            help="Recipes, with commas between them, whose sample rates the store is to have.",
            autocompletion=complete_recipes,
        ),
    ] = None,
    embedding: EmbeddingOption = None,
    embedding_rate: EmbeddingRateOption = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Nobody checked the labels, except where the data set says so.")
    ] = False,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Clips are of one recording where this finds the same in the names of their files."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Decoding threads; one a core by default.")] = None,
    label_separator: SeparatorOption = ",",
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file to see whether it is the same, whatever its times.")
    ] = False,
    no_errata: Annotated[bool, typer.Option("--no-errata", help="Read a data set's known faulty labels as published.")] = False,
) -> None:
    """Decode every clip once into a store. A second run over unchanged inputs does nothing; an interrupted one goes on."""
    from earmark.data.describe import describe
    from earmark.data.prepare import prepare as build
    from earmark.data.said import Said
    from earmark.data.sources import scan
    from earmark.quiet import quiet_libraries

    rates = _rates(sample_rate, [name for names in for_ or [] for name in names.split(",")], embedding, embedding_rate)
    manifest = scan(source, root, label_separator, not no_errata, Said(unverified, group_by))
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


def _rates(sample_rate: str | None, recipes: list[str], embedding: Path | None, embedding_rate: int | None) -> list[int]:
    """The sample rates that were asked for, in Hz, lowest first: those that were said, and those of recipes."""
    from earmark.audio import HIGHEST_RATE

    if sample_rate is None and not recipes:
        raise EarmarkError("Missing option '--sample-rate' or '--for': the rates in Hz, or the recipe that the store is for.")
    if embedding is not None and not recipes:
        raise EarmarkError("--embedding: its sample rate is taken where --for names a recipe that stands on it, such as quick")
    if embedding_rate is not None and embedding is None:
        raise EarmarkError("--embedding-rate is of the model that --embedding names")
    rates = set() if sample_rate is None else set(numbers(sample_rate, "--sample-rate"))
    if rates and (min(rates) < LOWEST_RATE or max(rates) > HIGHEST_RATE):
        raise EarmarkError(f"--sample-rate {sample_rate}: rates are in Hz, from {LOWEST_RATE:,} to {HIGHEST_RATE:,}")
    if recipes:
        from earmark.data.models import sample_rates
        from earmark.recipe import load_recipe

        rates |= sample_rates([load_recipe(recipe) for recipe in recipes], embedding, embedding_rate)
    return sorted(rates)
