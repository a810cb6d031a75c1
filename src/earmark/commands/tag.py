"""``earmark tag``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from earmark.commands.shared import SKIPPED, ThreadsOption, tell_bad
from earmark.console import tell
from earmark.errors import EarmarkError


def tag(
    paths: Annotated[list[Path], typer.Argument(help="Audio files and folders.")],
    model: Annotated[Path, typer.Option(help="A bundle, or a run directory with one.")],
    top_k: Annotated[int, typer.Option(min=1, help="Labels a file at most.")] = 3,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="No label below this score.")] = 0.0,
    form: Annotated[Literal["table", "csv", "jsonl"], typer.Option("--format", help="Of the output.")] = "table",
    out: Annotated[Path | None, typer.Option(help="The file to write; stdout by default.")] = None,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="bfloat16 is faster on CPUs that multiply in it, and differs in a score's third digit."),
    ] = "float32",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to score.")] = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Tag audio files, and those below folders."""
    from earmark.machine import keep_freed_memory
    from earmark.quiet import quiet_libraries
    from earmark.tagging.bulk import tag_files
    from earmark.tagging.tagger import Tagger

    keep_freed_memory()
    tagger = Tagger.load(model, precision, device)
    with quiet_libraries():
        result = tag_files(tagger, paths, top_k, threshold, form, out, threads)
    if out is not None:
        tell(f"{result.tagged:,} files tagged: {out}")
    if result.bad:
        tell_bad(list(result.bad), result.tagged + len(result.bad), str(result.ledger) if result.ledger else None)
        if not result.tagged:
            raise EarmarkError(f"none of the {len(result.bad):,} files could be used")
        raise typer.Exit(SKIPPED)
