import errno
import os

import pytest

from earmark import audio
from earmark.errors import NO_SUCH_FILE, AudioError, MachineError


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOENT, NO_SUCH_FILE),
        (errno.EACCES, "no permission to read it"),
        (errno.EPERM, "no permission to read it"),
        (errno.EISDIR, "is a folder, not a file"),
        (errno.ENOTDIR, "lies below a file, not below a folder"),
        (errno.ELOOP, "a link that leads to itself"),
        (errno.ENAMETOOLONG, "the name is too long"),
    ],
)
def test_what_is_about_the_file_makes_it_bad(number: int, reason: str) -> None:
    with pytest.raises(AudioError, match=f"^{reason}$"), audio.judged("x.wav"):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    "number",
    [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.ENOSPC, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, 0],
)
def test_what_is_about_the_system_stops_the_work(number: int) -> None:
    with pytest.raises(MachineError, match=r"^x\.wav: .*a fault of the system"), audio.judged("x.wav"):
        raise OSError(number, os.strerror(number))


def test_too_little_memory_is_no_fault_of_the_file() -> None:
    with pytest.raises(MachineError, match=r"^x\.wav: not enough memory"), audio.judged("x.wav"):
        raise MemoryError
