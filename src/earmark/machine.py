"""Settings of the machine for speed: memory, device, threads."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from earmark.errors import EarmarkError

GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # of a container
SPINS = "10000"  # some tenths of a millisecond: the fewest that cost a quiet machine nothing (benchmarks/load.py)


def share_the_cores() -> None:
    """Makes PyTorch's threads that wait for each other sleep soon. Call it before torch is imported.

    The threads (GNU OpenMP's) wait for each other hundreds of times in a training step. By default they spin for milliseconds, and
    hold a core meanwhile. On a machine with other busy programs the thread that they wait for then cannot run, and training falls
    to a fortieth of its speed. OpenMP reads the environment once, when torch is imported; later calls change nothing. Processes
    that are started afterwards inherit the setting. What the user has set (``GOMP_SPINCOUNT``, ``OMP_WAIT_POLICY``) holds.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next tensors.

    By default it returns large blocks to the system at once, and the system must provide them again for every step, which takes a
    third of the time of a small net's step on a CPU.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        m_mmap_max, m_trim_threshold = -4, -1
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def memory() -> int:
    """Bytes of memory that this process may have: those of the machine, or fewer where there is a limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if (limit := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
        limits.append(limit)
    for file in GROUP_LIMITS:
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            pass
    return min(limits)


def cores() -> int:
    """Cores that this process may use: on a cluster those of the task, not all of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(requested: str) -> str:
    """The device to use, ``cpu`` or ``cuda``; for ``auto`` it is ``cuda`` if there is a GPU.

    Raises:
        EarmarkError: a GPU was asked for, and there is none.
    """
    import torch

    if requested == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if requested == "cuda" and not torch.cuda.is_available():
        raise EarmarkError("--device cuda: there is no GPU here; leave it out, or say --device cpu")
    return requested


def compute_with(threads: int) -> None:
    """Makes PyTorch compute with this number of threads where the calling thread asks for it; nothing if there is no PyTorch."""
    if "torch" in sys.modules:  # else nothing here computes with it
        sys.modules["torch"].set_num_threads(threads)


@contextmanager
def threads_kept() -> Iterator[None]:
    """After the block PyTorch computes with as many threads as before it, whatever threads inside the block have set."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    try:
        yield
    finally:
        if before is not None:
            compute_with(before)


@contextmanager
def arithmetic_threads(count: int | None) -> Iterator[None]:
    """Makes PyTorch compute with this number of threads while the block runs; None leaves the number as it is."""
    import torch  # noqa: F401  (here, so that commands without computations do not import it)

    with threads_kept():
        if count is not None:
            compute_with(count)
        yield
