"""A part of a file's bytes as a file of its own, which libsndfile can read."""

import os
from typing import TYPE_CHECKING

from earmark.audio.intact import RawBytes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ID3_TAIL = 128  # bytes at the end of an MP3 file that a decoder looks at for a tag


class PartOfFile:
    """The bytes of a file from one place to another.

    libsndfile goes on as if at the end when reading fails, so the error is kept, and `check` raises it.

    Args:
        raw: the bytes of the whole file.
        begin: position of the first byte.
        end: position behind the last byte.
        claimed: how long the part says it is, if not as long as it is. Reading ends with the part all the same.
    """

    def __init__(self, raw: RawBytes, begin: int, end: int, claimed: int | None = None) -> None:
        self._raw, self._begin, self._end = raw, begin, end
        self._claimed = end - begin if claimed is None else claimed
        self._position = 0
        self._error: Exception | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position, as files do."""
        self._position = max(offset + (0, self._position, self._claimed)[whence], 0)
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """The next bytes, all of them by default."""
        left = max(self._end - self._begin - self._position, 0)
        content = bytearray(left if count < 0 else min(count, left))
        return bytes(content[: self.readinto(content)])

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fills the buffer with the next bytes, and returns how many they are."""
        room = memoryview(buffer).cast("B")
        if self._position >= max(self._claimed - ID3_TAIL, self._end - self._begin):
            count = min(len(room), max(self._claimed - self._position, 0))  # where the claimed end would be there is no tag
            room[:count] = bytes(count)
        else:
            count = min(len(room), max(self._end - self._begin - self._position, 0))
            try:
                self._raw.seek(self._begin + self._position)
                count = self._raw.readinto(room[:count]) if count else 0
            except (OSError, MemoryError) as error:
                self._error = error
                return 0
        self._position += count
        return count

    def check(self) -> None:
        """Raises the error that reading had.

        Raises:
            OSError, MemoryError: reading failed.
        """
        if self._error is not None:
            raise self._error
