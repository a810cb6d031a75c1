"""Whose fault an error is while a file is read: the file's, which makes the file bad, or the system's, which stops the work."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from earmark.errors import NO_SUCH_FILE, AudioError, MachineError

#: The errors that say something about the file. All others (too many open files, a disk error, …) pass, and the file is as good
#: as before.
OF_THE_FILE = {
    errno.ENOENT: NO_SUCH_FILE,
    errno.ENOTDIR: "lies below a file, not below a folder",
    errno.EISDIR: "is a folder, not a file",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.ELOOP: "a link that leads to itself",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EILSEQ: "no file can have this name",
    errno.EINVAL: "no file can have this name",
    errno.ENXIO: "is no ordinary file",
    errno.ENODEV: "is no ordinary file",
    errno.EOVERFLOW: "the file is too large for this system",
    errno.EFBIG: "the file is too large for this system",
}


@contextmanager
def judged(path: Path | str) -> Iterator[None]:
    """Judges the errors of the system in the block, which reads a file or computes with its samples.

    Args:
        path: the file.

    Raises:
        AudioError: the file is at fault.
        MachineError: the system is at fault.
    """
    try:
        yield
    except OSError as error:
        if reason := OF_THE_FILE.get(error.errno or 0):
            raise AudioError(reason) from None
        raise MachineError(f"{os.fspath(path)}: {error.strerror or error} (a fault of the system, not of the file)") from error
    except MemoryError as error:  # what a sound may take is bounded before (`limits`), so there is too little memory
        raise MachineError(
            f"{os.fspath(path)}: not enough memory to decode it; fewer threads need less, and so do parts of it"
        ) from error
