"""Files that are there whole or not at all."""

import csv
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from earmark.errors import EarmarkError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside ``path``; what the block wrote there takes the place of ``path`` when it ends well.

    A reader, or the next start after a crash, finds the old content or the new one, never a part.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_rows(file: TextIO, rows: Iterable[Sequence[object]]) -> None:
    """Writes CSV rows that read back as they are; Python's writer alone does not quote a lone carriage return."""
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)


@contextmanager
def locked(lock: Path, what: Path) -> Iterator[None]:
    """Keeps other processes out of ``what`` while the block runs. The empty file ``lock`` stays: removing it would race.

    Raises:
        EarmarkError: another process is in it, or the lock cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise EarmarkError(f"cannot write {what}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EarmarkError(f"{what} is in use by another earmark process") from None
        except OSError as error:  # a file system without locks
            raise EarmarkError(f"cannot lock {what}: {error.strerror}") from None
        yield
