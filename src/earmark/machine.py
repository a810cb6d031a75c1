"""What the machine is told, for speed."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from earmark.errors import EarmarkError


def keep_freed_memory() -> None:
    """Makes glibc keep the memory that tensors give back.

    By default it returns large blocks to the system at once, and every step pays for the same pages again: a third of the
    time of a small net's step on a CPU.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        m_mmap_max, m_trim_threshold = -4, -1
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def choose_device(asked: str) -> str:
    """``cpu`` or ``cuda``; for ``auto`` the GPU where there is one.

    Raises:
        EarmarkError: a GPU was asked for, and there is none.
    """
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        raise EarmarkError("--device cuda: there is no GPU here; leave it out, or say --device cpu")
    return asked


@contextmanager
def arithmetic_threads(count: int) -> Iterator[None]:
    """Inside the block PyTorch computes with so many threads; after it with as many as before."""
    import torch  # here: commands that compute nothing do not wait for it

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
