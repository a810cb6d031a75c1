"""Files and folders that appear whole or not at all; locks; files in baskets."""

import csv
import fcntl
import os
import shutil
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


def put_folder(partial: Path, final: Path) -> None:
    """A finished folder takes its place, and an old one of that name goes.

    Stopped between the two renames, the old one is left as ``.NAME.old``; see `take_back`.
    """
    aside = _aside(final)
    if final.exists():
        shutil.rmtree(aside, ignore_errors=True)
        final.rename(aside)
    partial.rename(final)
    shutil.rmtree(aside, ignore_errors=True)


def take_back(final: Path) -> None:
    """Cleans up behind a `put_folder` that was stopped."""
    aside = _aside(final)
    if not aside.exists():
        return
    if final.exists():  # stopped before the very last step
        shutil.rmtree(aside)
    else:  # stopped between the two renames
        aside.rename(final)


def _aside(final: Path) -> Path:
    return final.with_name(f".{final.name}.old")


def link_or_copy(old: Path, new: Path) -> None:
    """The same file under a second name; a copy where the file system has no hard links."""
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def baskets(sizes: Sequence[int], most: int, weight: int, first: int = 0) -> Iterator[range]:
    """Neighbouring files that are read together: as many as are small together; a large one alone.

    Args:
        sizes: bytes of each file.
        most: files in a basket.
        weight: bytes in a basket, where there are several files in it.
        first: the file to begin with.

    >>> list(baskets([1, 1, 9, 1], most=2, weight=5))
    [range(0, 2), range(2, 3), range(3, 4)]
    """
    begin, full = first, 0
    for number in range(first, len(sizes)):
        if number > begin and (number - begin == most or full + sizes[number] > weight):
            yield range(begin, number)
            begin, full = number, 0
        full += sizes[number]
    if begin < len(sizes):
        yield range(begin, len(sizes))
