"""A file that grows row by row, and of which no row is lost, doubled or cut off if the process stops at any moment."""

import os
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from earmark.errors import EarmarkError

TAIL = 4096  # bytes at the end of the file, by which a file that somebody has changed is known
BLOCK = 1 << 20  # bytes that are copied at once

Length = tuple[int, str]  # of a file in bytes, and the hash of its end


class GrowingFile:
    """A file of rows. Its length, see `sync`, is kept elsewhere (in the journal) after each step; `open` goes on from there.

    Args:
        path: the file. If it is a link, the file that it leads to.
        header: what stands before the first row.
        at_once: whether the file is there without any row.
    """

    def __init__(self, path: Path, header: str, at_once: bool = True) -> None:
        self.path, self._header, self._at_once = path, header.encode(), at_once
        self._final = Path(os.path.realpath(path)) if path.is_symlink() else path
        self._partial = self._final.with_name(f".{self._final.name}.partial")
        self._file: BinaryIO | None = None
        self.size = 0  # bytes

    def trusted(self, length: Length, finished: bool) -> int:
        """How many bytes of the file are as they were written; fewer than the length, where it has been cut off.

        Args:
            length: its length when it was last known.
            finished: whether nothing can have been written since.

        Raises:
            EarmarkError: somebody else has changed it.
        """
        size = self._final.stat().st_size if self._final.exists() else 0
        known, tail = length
        if size < known:
            return size
        if (finished and size > known) or self._hash(known) != tail:
            raise EarmarkError(
                f"{self.path} has been changed since earmark wrote it, and cannot be gone on with: give another --out, or remove it"
            )
        return known

    def open(self, size: int) -> None:
        """Opens the file to go on after so many bytes, and cuts off the rest.

        Raises:
            EarmarkError: no row ends there.
        """
        self._partial.unlink(missing_ok=True)
        if size < len(self._header) + (not self._at_once) or not self._final.exists():  # a ledger without a row is removed
            size = 0
        if size:
            with self._final.open("rb") as file:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    raise EarmarkError(f"{self.path} has been changed since earmark wrote it: give another --out, or remove it")
        elif not self._at_once:
            self._final.unlink(missing_ok=True)
            self.size = 0
            return
        self._open(size)

    def _open(self, size: int) -> None:
        self._file = self._final.open("r+b" if size else "wb", buffering=0)
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size
        if not size:
            self._write(self._header)

    def append(self, rows: bytes) -> int:
        """Writes rows, and returns where they begin.

        Raises:
            OSError: they cannot be written, or only a part of them; `size` is then still that of what is whole.
        """
        if self._file is None:
            self._open(0)
        start = self.size
        self._write(rows)
        return start

    def _write(self, content: bytes) -> None:
        assert self._file is not None
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(content)

    def sync(self) -> Length:
        """Has the system write everything to the disk, and returns the length."""
        if self._file is not None:
            os.fsync(self._file.fileno())
        return self.size, self._hash(self.size)

    def _hash(self, size: int) -> str:
        if not size:
            return ""
        with self._final.open("rb") as file:
            file.seek(max(size - TAIL, 0))
            return blake2b(file.read(min(size, TAIL)), digest_size=8).hexdigest()

    def rewrite(self, kept: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
        """Copies the header and the rows that stay to a second file beside this one; `replace` puts it into this one's place.

        Args:
            kept: a number, start and stop of each of the rows that stay, in order.

        Yields:
            Start, stop and number of the same rows in the second file.
        """
        with self._partial.open("wb") as new:
            end = new.write(self._header)
            begun: int | None = None  # of rows that lie side by side, and are copied together
            last = 0
            for number, start, stop in kept:
                if begun is not None and start != last:
                    self._copy(new, begun, last)
                    begun = None
                begun = start if begun is None else begun
                last = stop
                yield end, end + stop - start, number
                end += stop - start
            if begun is not None:
                self._copy(new, begun, last)
            new.flush()
            os.fsync(new.fileno())

    def _copy(self, new: BinaryIO, start: int, stop: int) -> None:
        with self._final.open("rb") as old:
            old.seek(start)
            while start < stop:
                block = old.read(min(BLOCK, stop - start))
                if not block:
                    raise EarmarkError(f"{self.path} has been changed by another program: give another --out, or remove it")
                new.write(block)
                start += len(block)

    @property
    def rewritten(self) -> Length:
        """The length of the second file."""
        content = self._partial.stat().st_size
        with self._partial.open("rb") as file:
            file.seek(max(content - TAIL, 0))
            return content, blake2b(file.read(), digest_size=8).hexdigest()

    def discard(self) -> None:
        """Removes the second file."""
        self._partial.unlink(missing_ok=True)

    def replace(self) -> None:
        """Puts the second file into this one's place, if it is not there yet."""
        if self._partial.exists():
            os.replace(self._partial, self._final)

    def close(self, remove_empty: bool = False) -> None:
        """Closes the file; without any row it is removed if that is asked for."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if remove_empty and self.size <= len(self._header):
            self._final.unlink(missing_ok=True)
            self.size = 0
