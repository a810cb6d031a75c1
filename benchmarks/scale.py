"""Scale: whether the speed of training depends on the number of clips, and whether its memory grows.

    python benchmarks/scale.py STORE         a store at 16,000 Hz; it is multiplied in a temporary folder

Measures steps a second of `esc50-cpu` on a tenth of the clips, on all, and on twenty times as many; the seconds from the command to
the first trained batch; and the memory over many steps of a small net.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from measure import RATE, SMALL, options, show, store_for, take_turns

from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store, pcm_name
from earmark.machine import keep_freed_memory
from earmark.recipe import load_recipe
from earmark.training.piece import Piece
from earmark.training.trainer import FoldTrainer, make_fabric

TIMES = 20
VALIDATED = 10  # clips of the fold that is left out: few, since the start is measured and not the validation


def multiplied(store: Store, times: int, out: Path) -> Store:
    """A store with several copies of every clip, each with its own samples; a few clips are in fold 0, the others in fold 1."""
    out.mkdir(parents=True)
    info = json.loads((store.path / "store.json").read_text())
    table = pyarrow.parquet.read_table(store.path / "clips.parquet", filters=[("sample_rate", "=", RATE)])
    source = store.path / pcm_name(RATE)
    samples = source.stat().st_size // 2
    with (out / pcm_name(RATE)).open("wb") as file:
        for _ in range(times):
            with source.open("rb") as pcm:
                shutil.copyfileobj(pcm, file, 1 << 24)
    parts = []
    for copy in range(times):
        offset = pyarrow.array(table["offset"].to_numpy() + copy * samples)
        names = pyarrow.array([f"{name}#{copy}" for name in table["clip_id"].to_pylist()])
        rows = table.set_column(table.column_names.index("offset"), "offset", offset)
        rows = rows.set_column(rows.column_names.index("clip_id"), "clip_id", names)
        parts.append(rows.set_column(rows.column_names.index("group"), "group", names))
    joined = pyarrow.concat_tables(parts)
    fold = np.ones(len(joined), np.int64)
    first_of_label = {tuple(labels): row for row, labels in reversed(list(enumerate(table["labels"].to_pylist())))}
    fold[list(first_of_label.values())[:VALIDATED]] = 0
    joined = joined.set_column(joined.column_names.index("fold"), "fold", pyarrow.array(fold))
    pyarrow.parquet.write_table(joined, out / "clips.parquet")
    shutil.copyfile(store.path / "bad.csv", out / "bad.csv")
    info |= {"sample_rates": [RATE], "clips": len(joined), "fingerprint": f"{info['fingerprint']}-{times}"}
    (out / "store.json").write_text(json.dumps(info))
    return Store.open(out)


def trainer(clips: ClipSet, sets: list[str]) -> FoldTrainer:
    settings = load_recipe("esc50-cpu", sets).members["logmel-16k"]
    return FoldTrainer(
        Piece("benchmark", Path(), settings, clips, clips[:0], np.random.SeedSequence(0)), make_fabric("cpu", "bfloat16")
    )


def seconds_to_first_batch(store: Store, out: Path, sets: list[str]) -> float:
    """Seconds from the command to the first row of the log, after one batch and a validation on few clips."""
    schedule = "members.*.schedule=[{batches: 1, rate: 1.0e-3}]"
    command = [sys.executable, "-m", "earmark", "train", "esc50-cpu", "--store", str(store.path), "--out", str(out), "--folds", "0"]
    for override in [schedule, "members.*.validation.every=1", *sets]:
        command += ["--set", override]
    begun = time.perf_counter()
    log = out / "members" / "logmel-16k" / "fold0" / "metrics.csv"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (log.is_file() and log.read_text().count("\n") > 1):
            if process.poll():
                raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
            time.sleep(0.05)
        return time.perf_counter() - begun


def own_memory() -> float:
    """Memory of this process without memory-mapped files, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--steps", type=int, default=5000, help="of the small net")
    given = parser.parse_args()
    keep_freed_memory()
    sets = SMALL if given.smoke else []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = store_for(given, folder)
        single, many = multiplied(store, 1, folder / "one"), multiplied(store, TIMES, folder / "many")
        all_clips = {name: load_clips(copies, RATE) for name, copies in (("one", single), ("many", many))}
        for clips in all_clips.values():
            int(clips.pcm[::1024].sum())  # touches every page once, which a training does in its first passes
        order = np.random.default_rng(0).permutation(len(all_clips["one"]))
        classes = all_clips["one"].positive.argmax(axis=1)
        tenth = np.concatenate(
            [order[classes[order] == k][: max(len(order) // 10 // classes.max(), 1)] for k in range(classes.max() + 1)]
        )
        sizes = {"a tenth": all_clips["one"][np.sort(tenth)], "all": all_clips["one"], f"{TIMES} times": all_clips["many"]}
        trainers = {name: trainer(clips, sets) for name, clips in sizes.items()}
        steps = 2 if given.smoke else 10

        def some_steps(name: str) -> None:
            for _ in range(steps):
                trainers[name].step()

        seconds = take_turns({name: lambda n=name: some_steps(n) for name in trainers}, 1 if given.smoke else given.runs)
        rows = [
            (name, f"{len(sizes[name]):,}", steps / time_taken, time_taken / seconds["all"]) for name, time_taken in seconds.items()
        ]
        show("Steps a second and the number of clips", ("", "clips", "steps/s", "time, of that on all"), rows)

        rows = []
        for name, copies in (("all", single), (f"{TIMES} times", many)):
            started = [
                seconds_to_first_batch(copies, folder / f"run-{name}-{turn}", sets) for turn in range(1 if given.smoke else 3)
            ]
            rows.append((name, f"{copies.clip_count:,}", float(np.median(started))))
        show("From the command to the first trained batch", ("", "clips", "s"), rows)

        trainers.clear()
        small_trainer = trainer(all_clips["many"], SMALL)
        total = 20 if given.smoke else given.steps
        memory = []
        for number in range(1, total + 1):
            small_trainer.step()
            if number in (total // 10, total // 2, total):
                memory.append((f"{number:,}", own_memory()))
        show("Memory of a training process, mapped files aside", ("after steps", "MB"), memory)


if __name__ == "__main__":
    main()
