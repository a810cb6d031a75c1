"""Batches: the share of a training step that is not the net, and earmark's batches compared with a DataLoader of files.

    python benchmarks/batches.py STORE         a store at 16,000 Hz

Not the net: choosing, cutting, mixing, and the mel front end. The share is measured inside the steps. The DataLoader works as
usual: it has a worker process for each core, which opens a clip's WAV file (already at the right sample rate), cuts a window, and
mixes it with a window of another file.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from measure import RATE, SMALL, options, show, store_for, take_turns

from earmark.data.clips import ClipSet, load_clips
from earmark.machine import keep_freed_memory
from earmark.recipe import load_recipe
from earmark.training.piece import Piece
from earmark.training.trainer import FoldTrainer, make_fabric

NETS = (("cochlear2018", "logmel-16k"), ("esc50-cpu", "logmel-16k"))
CORES = os.cpu_count() or 1


class Files(torch.utils.data.Dataset[torch.Tensor]):
    """Windows of random pairs of WAV files, mixed at equal peak."""

    def __init__(self, paths: list[Path], window: int) -> None:
        self.paths, self.window = paths, window

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> torch.Tensor:
        rng = np.random.default_rng(index)
        mixed = np.zeros(self.window, np.float32)
        for share in (0.7, 0.3):
            samples, _ = soundfile.read(self.paths[rng.integers(len(self.paths))], dtype="float32")
            spare = max(len(samples) - self.window, 0)
            first = rng.integers(spare + 1)
            cut = samples[first : first + self.window]
            place = rng.integers(self.window - len(cut) + 1)
            mixed[place : place + len(cut)] += share * cut / max(np.abs(cut).max(), 1e-6)
        return torch.from_numpy(mixed)


def timed(owner: Any, name: str, into: list[float]) -> None:
    """Makes an object's method add the seconds of each call to the list ``into``."""
    original: Callable[..., Any] = getattr(owner, name)

    def run(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        result = original(*arguments, **named)
        into.append(time.perf_counter() - begun)
        return result

    setattr(owner, name, run)


def shares(recipe: str, member: str, clips: ClipSet, precision: str, runs: int, steps: int, sets: list[str]) -> tuple[object, ...]:
    """A row of the table: examples a second, and shares of the time, as medians over runs of several training steps."""
    settings = load_recipe(recipe, sets).members[member]
    piece = Piece("benchmark", Path(), settings, clips, clips[:0], np.random.SeedSequence(0))
    trainer = FoldTrainer(piece, make_fabric("cpu", precision))
    trainer.step()
    batch: list[float] = []
    front: list[float] = []
    stream = trainer.streams["curated"].batches
    timed(stream, "next", batch)
    timed(trainer.plain_net.frontend, "power", front)
    timed(trainer.plain_net.frontend, "compress", front)
    measured = []
    for _ in range(runs):
        batch.clear(), front.clear()
        begun = time.perf_counter()
        for _ in range(steps):
            trainer.step()
        whole = time.perf_counter() - begun
        measured.append((steps / whole, sum(batch) / whole, sum(front) / whole, (sum(batch) + sum(front)) / whole))
    steps_a_second, in_batch, in_front, both = (statistics.median(column) for column in zip(*measured, strict=True))
    examples = len(clips.labels) * settings.batch.clips_per_class if settings.batch.sampling == "balanced" else settings.batch.size
    return (f"{recipe} {member}", examples * steps_a_second, f"{in_batch:.1%}", f"{in_front:.1%}", f"{both:.1%}")


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    given = parser.parse_args()
    keep_freed_memory()
    runs = 1 if given.smoke else given.runs
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        clips = load_clips(store_for(given, folder), RATE)
        clips = clips[~clips.test]
        int(clips.pcm.sum())  # reads all samples from the disk now: in a training, the first of hundreds of passes hardly matters
        sets = SMALL if given.smoke else []
        rows = [shares(recipe, member, clips, given.precision, runs, 2 if given.smoke else 6, sets) for recipe, member in NETS]
        columns = ("member", "clips/s", "choosing, cutting, mixing", "mel front end", "together, of a step's time")
        show(f"What of a training step is not the net ({given.precision})", columns, rows)

        paths = []
        for index in range(min(len(clips), 500)):
            paths.append(folder / f"{index}.wav")
            soundfile.write(paths[-1], clips.samples(index), RATE, subtype="PCM_16")
        settings = load_recipe("cochlear2018").members["logmel-16k"]
        window, size, count = settings.input.window, len(clips.labels), 2 if given.smoke else 20
        piece = Piece("benchmark", Path(), settings, clips, clips[:0], np.random.SeedSequence(0))
        ours = FoldTrainer(piece, make_fabric("cpu", "float32")).streams["curated"].batches
        loader = iter(torch.utils.data.DataLoader(Files(paths, window), batch_size=size, num_workers=CORES))
        seconds = take_turns(
            {
                f"DataLoader, {CORES} workers, WAV files": lambda: [next(loader) for _ in range(count)],
                "earmark, out of the store": lambda: [ours.next() for _ in range(count)],
            },
            runs,
        )
        slow = next(iter(seconds.values()))
        rows = [(name, size * count / time_taken, slow / time_taken) for name, time_taken in seconds.items()]
        show(f"Mixed windows of {window:,} samples, {size} a batch", ("", "examples/s", "times the DataLoader"), rows)


if __name__ == "__main__":
    main()
