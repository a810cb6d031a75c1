"""``earmark noise``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from earmark.commands.complete import complete_recipe
from earmark.commands.shared import EmbeddingOption, EmbeddingRateOption, JsonOption
from earmark.console import say, say_data, tell
from earmark.errors import EarmarkError


def noise(
    store: Annotated[Path, typer.Argument(help="Folder of the store. The labels of its verified clips are taken for right.")],
    out: Annotated[Path, typer.Option(help="Folder for the results, new or of the same request.")] = Path("noise-run"),
    recipe: Annotated[
        str,
        typer.Option(help="The recipe whose net learns: a built-in name, or a YAML file.", autocompletion=complete_recipe),
    ] = "quick",
    embedding: EmbeddingOption = None,
    embedding_rate: EmbeddingRateOption = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:RATE:VERIFIED",
            help="What to plant, as often as wanted: KIND symmetric, class or related, RATE the share of wrong labels among the "
            "unverified clips, VERIFIED the share of clips that stay verified. By default symmetric and class, with 0.3 and the share that the "
            "store has, up to 0.4, or more if a class needs it.",
        ),
    ] = None,
    kin: Annotated[Path | None, typer.Option(help="For the kind related: a table, label,kin.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Plantings of each protocol.")] = 3,
    methods: Annotated[
        str | None,
        typer.Option(help="Of masking, multitask, verified, pseudo, agreement, with commas; by default all that can be trained."),
    ] = None,
    unverified: Annotated[
        Literal["leave-out", "keep"],
        typer.Option(help="What to do with clips that really are unverified. leave-out: every wrong label is a planted one."),
    ] = "leave-out",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; * is every member.")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to train.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Nets trained at once, each in a process of its own.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="Threads of each net on a CPU.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what wrong labels would do to your data, and what each method gets back. Stopped at any moment, the same command goes on."""
    from earmark.data.models import resolve_models
    from earmark.data.plant import Protocol
    from earmark.data.store import Store
    from earmark.recipe import load_recipe

    protocols = [Protocol.parse(text) for text in protocol or ()]
    if kin is not None and all(wanted.kind != "related" for wanted in protocols):
        raise EarmarkError("--kin: only a --protocol of the kind related asks which classes are kin")
    opened_store = Store.open(store)
    loaded_recipe = resolve_models(load_recipe(recipe, set_ or []), embedding, embedding_rate)
    from earmark.training.noise import NoiseRequest, as_data, measure_noise, read_kin

    request = NoiseRequest(
        loaded_recipe,
        opened_store,
        out,
        tuple(dict.fromkeys(protocols)),
        tuple(range(1, seeds + 1)),
        None if methods is None else methods.split(","),
        unverified,
        None if kin is None else read_kin(kin, opened_store.labels),
        device,
        jobs,
        threads,
    )
    tables = measure_noise(request, tell)
    if as_json:
        say_data(as_data(request, tables))
        return
    for result in tables:
        for line in _lines(result):
            say(line)
    say(f"drawn: {out / 'noise.html'}")


def _lines(result: Any) -> list[str]:
    """The table of one protocol, and what it means, as lines."""
    several = any(len(values) > 1 for values in result.by_seed.values())
    table = result.table
    return [*table.lines(result.by_seed if several else {}), table.note, table.in_words]
