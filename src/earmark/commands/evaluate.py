"""``earmark evaluate``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from earmark.commands.figures import show_metrics
from earmark.commands.shared import JsonOption, ThreadsOption
from earmark.console import tell
from earmark.errors import EarmarkError, listed


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    store: Annotated[
        Path | None, typer.Option(help="The store: with --split test any, else the run's own, where it has been moved.")
    ] = None,
    split: Annotated[
        Literal["train", "test"], typer.Option(help="train: out-of-fold scores; test: the store's test split.")
    ] = "train",
    submission: Annotated[
        Path | None, typer.Option(help="With --split test: write the file that the data set's competition asked for.")
    ] = None,
    ensemble: Annotated[str | None, typer.Option(help="Whose scores the submission has; the run's own by default.")] = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute a run's metrics, from its out-of-fold scores or on a test split."""
    from earmark.assess.evaluate import evaluate_test
    from earmark.assess.submission import write_submission
    from earmark.data.sources import submission_layout
    from earmark.machine import arithmetic_threads
    from earmark.runs.data import open_store, open_store_to_test
    from earmark.runs.run import Run

    for_test = {"--submission": submission, "--ensemble": ensemble, "--threads": threads}
    if split != "test" and (given := [name for name, value in for_test.items() if value is not None]):
        raise EarmarkError(f"{' and '.join(given)}: only with --split test")
    if ensemble is not None and submission is None:
        raise EarmarkError("--ensemble says whose scores a --submission has")
    opened = Run.open(run)
    data = open_store_to_test(opened, store) if split == "test" else open_store(opened, store)
    if ensemble is not None and ensemble not in opened.recipe.ensembles:
        raise EarmarkError(f"--ensemble {ensemble}: the recipe has {listed(opened.recipe.ensembles)}")
    if split == "test":
        if submission is not None:  # now, so that missing tables do not show after hours of scoring
            submission_layout(data.source, Path(data.root))
        with arithmetic_threads(threads):
            metrics = evaluate_test(opened, data)
        show_metrics(metrics, as_json, f"scores: {run / 'test.parquet'}")
        if submission is not None:
            missing = write_submission(opened, data, submission, ensemble)
            tell(
                f"submission: {submission}"
                + (f"; {missing:,} clips without scores have the same for every class" if missing else "")
            )
    else:
        from earmark.training.train import finish

        show_metrics(finish(opened, data), as_json, f"report: {run / 'report.html'}")
