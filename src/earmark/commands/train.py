"""``earmark train``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from earmark.commands.complete import complete_recipe
from earmark.commands.figures import show_metrics
from earmark.commands.shared import EmbeddingOption, EmbeddingRateOption, JsonOption, numbers
from earmark.console import say, say_data
from earmark.errors import EarmarkError


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a built-in recipe, or a YAML file.", autocompletion=complete_recipe)],
    store: Annotated[Path | None, typer.Option(help="Folder of the store.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory, new or begun.")] = None,
    members: Annotated[str | None, typer.Option(help="Names with commas between them, and what they need; all by default.")] = None,
    folds: Annotated[str | None, typer.Option(help="Numbers with commas between them; all by default.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; * is every member.")
    ] = None,
    embedding: EmbeddingOption = None,
    embedding_rate: EmbeddingRateOption = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to train.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Nets trained at once, each in a process of its own.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Threads of each net on a CPU; by default one a core, or one where several are no faster now."
        ),
    ] = None,
    allow_bad: Annotated[
        bool, typer.Option("--allow-bad", help="Train though more than 5 % of the store's clips were bad.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Train nothing; show the stages with clips, batches and hours, and the ensembles.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe. Stopped at any moment, the same command goes on where it was."""
    from earmark.data.models import resolve_models
    from earmark.data.store import Store
    from earmark.recipe import load_recipe

    loaded_recipe = resolve_models(load_recipe(recipe, set_ or []), embedding, embedding_rate)
    member_names = None if members is None else members.split(",")
    fold_numbers = None if folds is None else numbers(folds, "--folds")
    if not plan and (store is None or out is None):
        raise EarmarkError(f"Missing option '--{'store' if store is None else 'out'}'.")
    opened_store = None if store is None else Store.open(store)
    if plan and jobs > 1:
        raise EarmarkError("--plan counts the hours of one net after the other; leave --jobs out")
    if plan:
        from earmark.training.plan import plan as make_plan
        from earmark.training.plan import plan_lines

        planned = make_plan(loaded_recipe, opened_store, member_names, fold_numbers, device, threads)
        if as_json:
            say_data(planned)
        else:
            for line in plan_lines(planned):
                say(line)
        return
    assert opened_store is not None and out is not None  # else refused above
    from earmark.training.train import TrainRequest
    from earmark.training.train import train as run_training

    request = TrainRequest(loaded_recipe, opened_store, out, member_names, fold_numbers, device, allow_bad, jobs, threads)
    metrics = run_training(request)
    show_metrics(metrics, as_json, f"report: {out / 'report.html'}   model: {out / 'bundle'}")
