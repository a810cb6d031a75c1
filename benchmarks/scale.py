"""Scale: does training depend on how many clips there are, and does its memory grow.

    python benchmarks/scale.py STORE         a store at 16,000 Hz; it is multiplied in a temporary folder

Steps a second of `esc50-cpu` on a tenth of the clips, on all, and on twenty times as many; the seconds from the command to the
first trained batch; and memory over many steps of a small net.
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
VALIDATED = 10  # clips of the fold that is left out: the start is measured, not the validation


def multiplied(store: Store, times: int, out: Path) -> Store:
    """A store with every clip so many times, each with its own samples; a few clips are fold 0, the others fold 1."""
    out.mkdir(parents=True)
    info = json.loads((store.path / "store.json").read_text())
    table = pyarrow.parquet.read_table(store.path / "clips.parquet", filters=[("sample_rate", "=", RATE)])
    source = store.path / pcm_name(RATE)
    samples = source.stat().st_size // 2
    with (out / pcm_name(RATE)).open("wb") as file:
        for _ in range(times):
            with source.open("rb") as one:
                shutil.copyfileobj(one, file, 1 << 24)
    parts = []
    for copy in range(times):
        offset = pyarrow.array(table["offset"].to_numpy() + copy * samples)
        names = pyarrow.array([f"{name}#{copy}" for name in table["clip_id"].to_pylist()])
        own = table.set_column(table.column_names.index("offset"), "offset", offset)
        own = own.set_column(own.column_names.index("clip_id"), "clip_id", names)
        parts.append(own.set_column(own.column_names.index("group"), "group", names))
    joined = pyarrow.concat_tables(parts)
    fold = np.ones(len(joined), np.int64)
    first_of_label = {tuple(labels): place for place, labels in reversed(list(enumerate(table["labels"].to_pylist())))}
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
    """From the command to the first row of the log, a batch and its few validated clips behind it."""
    schedule = "members.*.schedule=[{batches: 1, rate: 1.0e-3}]"
    command = [sys.executable, "-m", "earmark", "train", "esc50-cpu", "--store", str(store.path), "--out", str(out), "--folds", "0"]
    for one in [schedule, "members.*.validation.every=1", *sets]:
        command += ["--set", one]
    begun = time.perf_counter()
    log = out / "members" / "logmel-16k" / "fold0" / "metrics.csv"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (log.is_file() and log.read_text().count("\n") > 1):
            if process.poll():
                raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
            time.sleep(0.05)
        return time.perf_counter() - begun


def own_memory() -> float:
    """Of this process without the files that it has mapped, in MB."""
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
        one, many = multiplied(store, 1, folder / "one"), multiplied(store, TIMES, folder / "many")
        all_clips = {name: load_clips(s, RATE) for name, s in (("one", one), ("many", many))}
        for clips in all_clips.values():
            int(clips.pcm[::1024].sum())  # touches every page once: in a training that is past after the first passes
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
        rows = [(name, f"{len(sizes[name]):,}", steps / each, each / seconds["all"]) for name, each in seconds.items()]
        show("Steps a second and the number of clips", ("", "clips", "steps/s", "time, of that on all"), rows)

        rows = []
        for name, of in (("all", one), (f"{TIMES} times", many)):
            started = [seconds_to_first_batch(of, folder / f"run-{name}-{turn}", sets) for turn in range(1 if given.smoke else 3)]
            rows.append((name, f"{of.clip_count:,}", float(np.median(started))))
        show("From the command to the first trained batch", ("", "clips", "s"), rows)

        trainers.clear()
        little = trainer(all_clips["many"], SMALL)
        total = 20 if given.smoke else given.steps
        seen = []
        for number in range(1, total + 1):
            little.step()
            if number in (total // 10, total // 2, total):
                seen.append((f"{number:,}", own_memory()))
        show("Memory of a training process, mapped files aside", ("after steps", "MB"), seen)


if __name__ == "__main__":
    main()
