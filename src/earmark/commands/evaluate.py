"""``earmark evaluate``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from earmark.commands.figures import show_metrics
from earmark.commands.shared import JsonOption


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    store: Annotated[Path | None, typer.Option(help="The store; the one that the run was trained on by default.")] = None,
    split: Annotated[
        Literal["train", "test"], typer.Option(help="train: out-of-fold scores; test: the store's test split.")
    ] = "train",
    as_json: JsonOption = False,
) -> None:
    """Compute a run's metrics, from its out-of-fold scores or on a test split."""
    from earmark.assess.evaluate import evaluate_test, run_store
    from earmark.runs.run import Run

    opened = Run.open(run)
    data = run_store(opened, store)
    if split == "test":
        show_metrics(evaluate_test(opened, data), as_json, f"scores: {run / 'test.parquet'}")
    else:
        from earmark.training.train import finish

        show_metrics(finish(opened, data), as_json, f"report: {run / 'report.html'}")
