"""``earmark demo``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.commands.shared import EmbeddingOption, EmbeddingRateOption
from earmark.console import say


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that it makes.")] = Path("demo-run"),
    embedding: EmbeddingOption = None,
    embedding_rate: EmbeddingRateOption = None,
) -> None:
    """Render sounds, make labels of them wrong, and show what that does and what each way to learn gets back. Minutes on 2 cores."""
    from earmark.training.demo import run_demo

    run_demo(out, say, embedding, embedding_rate)
