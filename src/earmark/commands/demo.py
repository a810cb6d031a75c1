"""``earmark demo``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.console import say


def demo(out: Annotated[Path, typer.Option(help="Folder for everything that it makes.")] = Path("demo-run")) -> None:
    """Render sounds with planted wrong labels, train with and without loss masking, evaluate, report, tag. Minutes on 2 cores."""
    from earmark.training.demo import run_demo

    run_demo(out, say)
