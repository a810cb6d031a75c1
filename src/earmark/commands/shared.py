"""What several commands use: exit statuses, options, the list of skipped files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from earmark.console import tell
from earmark.errors import NO_SUCH_FILE, EarmarkError

OK, FAULT, UNUSABLE, SKIPPED = 0, 1, 2, 3  # exit status
INTERRUPTED = 130  # by Ctrl-C, as shells have it

SeparatorOption = Annotated[str, typer.Option(help="Between the labels of one cell.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads on the CPU; by default one a core.")]
EmbeddingRateOption = Annotated[
    int | None, typer.Option(min=1000, max=768_000, help="The sample rate of that model in Hz, where its file does not say it.")
]
EmbeddingOption = Annotated[
    Path | None, typer.Option(help="An ONNX model whose vectors the members stand on; docs/embeddings.md says which.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def numbers(text: str, option: str) -> list[int]:
    """The whole numbers in a text with commas between them, such as ``0,1``.

    Args:
        text: value of the option.
        option: name of the option, in the error message.

    Raises:
        EarmarkError: a part is no whole number.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise EarmarkError(f"{option} {text!r}: whole numbers with commas between them are needed") from None


def tell_bad(bad: Sequence[tuple[str, str]], file_count: int, ledger: str | None) -> None:
    """Prints the files that were skipped, with the reasons.

    Args:
        bad: names and reasons of the skipped files.
        file_count: number of all files.
        ledger: the table that lists all skipped files; then missing files are only counted, and at most 20 of the others are
            named. If None, every file is named.
    """
    if ledger is None:
        for name, reason in bad:
            tell(f"skipped: {name}: {reason}")
        return
    missing = [name for name, reason in bad if reason == NO_SUCH_FILE]
    if missing:
        tell(
            f"skipped: {len(missing):,} of {file_count:,} audio files are not there (the first: {missing[0]}); all are in {ledger}"
        )
    others = [(name, reason) for name, reason in bad if reason != NO_SUCH_FILE]
    for name, reason in others[:20]:
        tell(f"skipped: {name}: {reason}")
    if len(others) > 20:
        tell(f"skipped: {len(others) - 20:,} more; all are in {ledger}")
