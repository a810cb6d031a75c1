"""What the machine is told, for speed."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from earmark.errors import EarmarkError

SPINS = "10000"  # some tenths of a millisecond: the fewest that cost a quiet machine nothing (benchmarks/load.py)


def share_the_cores() -> None:
    """Makes threads that wait for each other sleep soon, so that what they wait for gets the core. To be called before torch is loaded.

    PyTorch's threads (GNU OpenMP's) wait for each other hundreds of times a step. By default they watch for milliseconds, each
    holding a core; on a machine that is busy with something else as well the thread they wait for then does not run, and
    training falls to a fortieth of its speed. OpenMP reads the environment once, when torch brings it: after that this does nothing. Processes
    that are started later inherit it. What the user has said about waiting (``GOMP_SPINCOUNT``, ``OMP_WAIT_POLICY``) holds.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


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
def arithmetic_threads(count: int | None) -> Iterator[None]:
    """Inside the block PyTorch computes with so many threads (None: as it would); after it with as many as before."""
    import torch  # here: commands that compute nothing do not wait for it

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
