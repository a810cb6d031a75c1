"""Training beside busy loops: what is left of the quiet speed, with OpenMP's own way of waiting and with earmark's.

    python benchmarks/load.py STORE         a store at 16,000 Hz

Each contender trains in a process of its own (two, where it is two nets at once), and all take turns: on the quiet machine, then
beside twice as many busy loops as there are cores. The loops are of the same session, so that the system gives each thread of a
net as much as each loop.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from measure import RATE, SMALL, options, show, store_for

from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.machine import keep_freed_memory, share_the_cores
from earmark.recipe import load_recipe
from earmark.training.piece import Piece
from earmark.training.trainer import FoldTrainer, make_fabric

CORES = os.cpu_count() or 1
NETS = {"tiny": ("logmel", "float32"), "esc50-cpu": ("logmel-16k", "bfloat16")}
LOOP = "while True: pass"
ENDLESS = "members.*.schedule=[{batches: 1000000, rate: 1.0e-3}]"
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


class Contender(NamedTuple):
    """How a net is trained.

    Attributes:
        name: in the table.
        ours: whether its threads wait in earmark's way.
        threads: of each net.
        nets: at once.
    """

    name: str
    ours: bool
    threads: int
    nets: int = 1


CONTENDERS = (
    Contender(f"OpenMP's waiting, {CORES} threads", False, CORES),
    Contender(f"earmark's, {CORES} threads", True, CORES),
    Contender("one thread", True, 1),
    Contender(f"{CORES} nets at once, one thread each", True, 1, CORES),
)


class Worker:
    """A process that trains a net for as long as it is told."""

    def __init__(self, contender: Contender, recipe: str, store: Path, small: bool) -> None:
        environment = {name: value for name, value in os.environ.items() if contender.ours or name not in WAITING}
        work = json.dumps([recipe, str(store), contender.threads, small])
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", work], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def train(self, seconds: float) -> None:
        """Begins to."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def clips_a_second(self) -> float:
        """What it reached."""
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def work(recipe: str, store: str, threads: int, small: bool) -> None:
    """Trains for each number of seconds that stdin names, at least a step, and prints clips a second."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    member, precision = NETS[recipe]
    settings = load_recipe(recipe, [ENDLESS, *(SMALL if small else [])]).members[member]
    clips = load_clips(Store.open(Path(store)), RATE)
    piece = Piece("benchmark", Path(), settings, clips, clips[:0], np.random.SeedSequence(0))
    trainer = FoldTrainer(piece, make_fabric("cpu", precision))
    size = len(trainer.streams["curated"].batches.next().targets)
    for line in sys.stdin:
        steps, begun = 0, time.perf_counter()
        while not steps or time.perf_counter() - begun < float(line):
            trainer.step()
            steps += 1
        sys.stdout.write(f"{steps * size / (time.perf_counter() - begun)}\n")
        sys.stdout.flush()


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many run inside the block."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def speeds(workers: Sequence[Sequence[Worker]], seconds: float, runs: int) -> list[float]:
    """The median clips a second of each contender, all its nets together."""
    found: list[list[float]] = [[] for _ in workers]
    for _ in range(runs):
        for each, of in zip(found, workers, strict=True):
            for worker in of:
                worker.train(seconds)
            each.append(sum(worker.clips_a_second() for worker in of))
    return [statistics.median(each) for each in found]


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--recipes", default=",".join(NETS), help=f"of {', '.join(NETS)}, commas between them")
    parser.add_argument("--seconds", type=float, default=4, help="of each run")
    given = parser.parse_args()
    seconds, runs = (0.01, 1) if given.smoke else (given.seconds, given.runs)
    share_the_cores()  # for the workers; here torch is loaded already
    with tempfile.TemporaryDirectory() as scratch:
        store = store_for(given, Path(scratch)).path
        for recipe in given.recipes.split(",")[: 1 if given.smoke else None]:
            with ExitStack() as stack:
                workers = [[Worker(one, recipe, store, given.smoke) for _ in range(one.nets)] for one in CONTENDERS]
                for worker in (worker for of in workers for worker in of):
                    stack.callback(worker.end)
                speeds(workers, seconds / 4, 1)  # warm
                quiet = speeds(workers, seconds, runs)
                with busy_loops(2 * CORES):
                    busy = speeds(workers, seconds, runs)
            rows = [
                (one.name, alone, alone / quiet[0], beside, beside / quiet[0])
                for one, alone, beside in zip(CONTENDERS, quiet, busy, strict=True)
            ]
            columns = ("", "clips/s, quiet", "of the first", f"clips/s beside {2 * CORES} busy loops", "of the first, quiet")
            show(f"{recipe} ({NETS[recipe][1]})", columns, rows)


if __name__ == "__main__":
    if "--work" in sys.argv:
        work(*json.loads(sys.argv[-1]))
    else:
        main()
