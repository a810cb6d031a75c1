"""``earmark compare``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.commands.shared import JsonOption
from earmark.console import say, say_data
from earmark.errors import EarmarkError


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN1", help="A run directory.")],
    second: Annotated[Path, typer.Argument(metavar="RUN2", help="A run directory that may be better.")],
    out: Annotated[Path | None, typer.Option(metavar="PAGE.html", help="Draw the differences on a page.")] = None,
    store1: Annotated[Path | None, typer.Option(help="The store of the first run, where it has been moved.")] = None,
    store2: Annotated[Path | None, typer.Option(help="The store of the second run, likewise.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether the second of two runs is better, worse, or cannot be told apart, on verified clips that both held out."""
    from earmark.assess.compare import compare_runs
    from earmark.runs.run import Run

    if out is not None and out.suffix != ".html":
        raise EarmarkError(f"--out {out}: a page is written; its name must end in .html")
    comparison = compare_runs(Run.open(first), Run.open(second), store1, store2)
    if out is not None:
        from earmark.assess.comparison import write_comparison_page

        write_comparison_page(out, comparison)
    if as_json:
        say_data(comparison.as_data())
        return
    for line in comparison.lines():
        say(line)
    if out is not None:
        say(f"drawn: {out}")
