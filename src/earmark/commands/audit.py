"""``earmark audit``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from earmark.commands.shared import JsonOption
from earmark.console import say, say_data


def audit(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[Path, typer.Option(help="The folder to write: suspects.csv, audit.html and what a review needs.")],
    store: Annotated[Path | None, typer.Option(help="The run's store, where it has been moved.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the labels that are probably wrong: a list, the most doubtful first, and a page to look at."""
    from earmark.data.audit_info import read_audit
    from earmark.runs.data import open_store
    from earmark.runs.run import Run
    from earmark.training.audit import audit_run

    opened = Run.open(run)
    result = audit_run(opened, open_store(opened, store), out)
    if as_json:
        say_data(read_audit(out))
        return
    for line in result.lines():
        say(line)
    say(f"suspects: {out / 'suspects.csv'}")
    say(f"page: {out / 'audit.html'}")
    say(f"to hear and correct them: {shlex.join(['earmark', 'review', str(out)])}")
