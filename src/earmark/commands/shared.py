"""What commands have in common: lines of the answer and of the work, exit status, options."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from earmark.errors import EarmarkError, one_line

OK, FAULT, UNUSABLE, SKIPPED = 0, 1, 2, 3  # exit status
INTERRUPTED = 130  # by Ctrl-C, as shells have it
MISSING_FILE = "no such file"  # the reason of `audio.opened`

SeparatorOption = Annotated[str, typer.Option(help="Between the labels of one cell.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads of the CPU's arithmetic; by default one a core.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def say(text: str) -> None:
    """A line of the answer, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """A line about the work, on stderr."""
    sys.stderr.write(text + "\n")


def numbers(text: str, what: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise EarmarkError(f"{what} {text!r}: whole numbers with commas between them are needed") from None


def tell_bad(bad: Sequence[tuple[str, str]], of: int, ledger: str | None) -> None:
    """Names the files that were skipped.

    Args:
        bad: names and reasons.
        of: all files.
        ledger: the table that lists them all; then missing files are told as one count, and only the first few others are
            named. Where None, every file is.
    """
    if ledger is None:
        for name, reason in bad:
            tell(f"skipped: {one_line(name)}: {reason}")
        return
    missing = [name for name, reason in bad if reason == MISSING_FILE]
    if missing:
        tell(
            f"skipped: {len(missing):,} of {of:,} audio files are not there (the first: {one_line(missing[0])}); all are in {ledger}"
        )
    others = [(name, reason) for name, reason in bad if reason != MISSING_FILE]
    for name, reason in others[:20]:
        tell(f"skipped: {one_line(name)}: {reason}")
    if len(others) > 20:
        tell(f"skipped: {len(others) - 20:,} more; all are in {ledger}")
