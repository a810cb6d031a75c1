"""Opening audio files: what is no file, or none that can be opened, is refused in plain words."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from earmark.audio.faults import judged
from earmark.audio.intact import RawBytes
from earmark.errors import AudioError

IN_MEMORY = 1 << 24  # bytes; larger files are not read into memory as a whole
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/+[^/]", re.IGNORECASE)  # a path has one slash where the address had two


@dataclass(frozen=True)
class OpenFile:
    """An open audio file.

    Attributes:
        path: path of the file.
        data: the bytes of the file, for checks and for the content hash.
        descriptor: the system's number of the open file, which libsndfile reads.
    """

    path: Path | str
    data: RawBytes
    descriptor: int


@contextmanager
def opened(path: Path | str, at_once: bool = True) -> Iterator[OpenFile]:
    """Opens an audio file.

    Args:
        path: path of the file.
        at_once: read a file that is not large into memory now, which is faster if all of its bytes are needed.

    Raises:
        AudioError: the file is missing, is no ordinary file, or cannot be read.
        MachineError: the system failed, for which the file is not to blame.
    """
    with judged(path), open_ordinary(path, at_once) as file:
        yield file


@contextmanager
def open_ordinary(path: Path | str, at_once: bool) -> Iterator[OpenFile]:
    """Like `opened`, but does not judge what goes wrong within the block, and raises the system's own errors."""
    mode = mode_of(path)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait for a writer
        raise AudioError("is no ordinary file")
    # Without a buffer of Python's, which would not know that libsndfile moves on in the same open file.
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        data = BytesIO(file.readall()) if at_once and size <= IN_MEMORY else file
        yield OpenFile(path, data, file.fileno())


def mode_of(path: Path | str) -> int:
    """What lies at a path, as in the system's ``st_mode``.

    Raises:
        AudioError: the path is none, or is a URL.
        OSError: there is nothing, or it cannot be looked at.
    """
    try:
        return os.stat(path).st_mode
    except ValueError as error:  # a NUL in the name
        raise AudioError(f"not readable as audio ({error})") from None
    except OSError:
        if _URL.match(os.fspath(path)):
            raise AudioError("is a URL; download it first, or: curl -L URL | earmark tag - --model M") from None
        raise


def content_hash(file: OpenFile) -> str:
    """The first 32 hex digits of the SHA-256 of a file's bytes."""
    file.data.seek(0)
    return hashlib.file_digest(file.data, "sha256").hexdigest()[:32]
