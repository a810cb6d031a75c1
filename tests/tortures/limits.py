"""Few open files, and little memory: what cannot be done so is refused, and no clip gets bad for good."""

import random
from functools import cache

from tests.tortures.processes import Ended, run
from tests.tortures.scene import WORKS, Scene, judged

MIB = 1 << 20


def few_files(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """8 to 64 open files."""
    return limited(scene, rng, "files", rng.randint(8, 64), "{} open files")


def little_memory(scene: Scene, rng: random.Random) -> tuple[str, list[str]]:
    """From what the bare command line needs to what training needs."""
    return limited(scene, rng, "memory", round(least_memory() * 1.05 * 60 ** rng.random()), "{} bytes of memory")


def limited(scene: Scene, rng: random.Random, name: str, limit: int, words: str) -> tuple[str, list[str]]:
    work = rng.choice(WORKS)
    wanted = scene.undisturbed(work)
    here = scene.fresh()
    work.arrange(scene, here)
    ended = run(work.command(scene, here), limits={name: limit})
    faults = [] if by_a_library(ended) else ended.faults([wanted.status, 2, 3])
    return f"{work.name} with {words.format(limit)}", faults + judged(scene, work, here)


def by_a_library(ended: Ended) -> bool:
    """Whether a library ended the process when it got no memory, as OpenBLAS does, and C++ without a handler: nobody can catch that."""
    return not ended.left and any(words in ended.err for words in ("OpenBLAS error: Memory allocation", "terminate called"))


@cache
def least_memory() -> int:
    """The least address space in which ``earmark --version`` works: below it, it is Python that does not start."""
    low, high = 8 * MIB, 4096 * MIB
    while high - low > 8 * MIB:
        middle = (low + high) // 2
        low, high = (low, middle) if run(["--version"], limits={"memory": middle}).status == 0 else (middle, high)
    return high
