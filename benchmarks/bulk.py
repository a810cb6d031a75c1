"""Bulk tagging: many short files, killed again and again, then in shards, then with Ray; whether every file is there once, and memory.

    python benchmarks/bulk.py --model RUN --count 100000

The files are hard links to a few rendered clips; one in a hundred is broken. The model is the one given, or a tiny one that knows nothing.
"""

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from measure import options, rendered, show

SOUNDS = 200  # that the files are links to
IN_A_FOLDER = 1000
BROKEN = 100  # one file in so many
KILLS = 3
SHARDS = 8
EARMARK = [sys.executable, "-m", "earmark"]


@dataclass
class Run:
    """What a command took.

    Attributes:
        seconds: how long it ran, with its restarts.
        memory: bytes in memory, at several times of the last process.
        statuses: exit statuses of the processes, the last one's last.
    """

    seconds: float = 0.0
    memory: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """The most memory of the last process's second half, against that of its first, without its first tenth."""
        if len(self.memory) < 10:
            return 1.0
        middle = len(self.memory) // 2
        return max(self.memory[middle:]) / max(self.memory[len(self.memory) // 10 : middle])


def make_files(folder: Path, sounds: list[Path], count: int) -> list[str]:
    """Makes the files, and returns the names of those that are broken."""
    broken = []
    for number in range(count):
        path = folder / f"{number // IN_A_FOLDER:04}" / f"{number:07}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % BROKEN == BROKEN // 2:
            path.write_bytes(b"RIFF, but no sound")
            broken.append(str(path))
        else:
            os.link(sounds[number % len(sounds)], path)
    return broken


def tag(folder: Path, model: Path, out: Path, *more: str) -> list[str]:
    return [*EARMARK, "tag", str(folder), "--model", str(model), "--format", "csv", "--out", str(out), *more]


def resident(process: "subprocess.Popen[bytes]") -> int:
    """Bytes of a process in memory."""
    try:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):  # it has ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def run(command: list[str], out: Path, kill_at: Iterable[float] = ()) -> Run:
    """Runs a command to its end; kills it once the output has grown to each of some sizes, in bytes, and starts it again."""
    took = Run()
    limits = list(kill_at)
    begun = time.perf_counter()
    while not took.statuses or took.statuses[-1] == -signal.SIGKILL:
        took.memory = []
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                if memory := resident(process):
                    took.memory.append(memory)
                if limits and out.exists() and out.stat().st_size > limits[0]:
                    limits.pop(0)
                    process.send_signal(signal.SIGKILL)
                time.sleep(0.05)
        took.statuses.append(process.returncode)
    took.seconds = time.perf_counter() - begun
    return took


def rows_of(outs: Iterable[Path]) -> tuple[Counter[tuple[str, ...]], Counter[str]]:
    """The rows of outputs, and the files in their ledgers."""
    rows: Counter[tuple[str, ...]] = Counter()
    bad: Counter[str] = Counter()
    for out in outs:
        with out.open(newline="") as file:
            rows.update((row["file"], row["label"]) for row in csv.DictReader(file))
        ledger = out.with_name(f"{out.name}.bad.csv")
        if ledger.exists():
            with ledger.open(newline="") as file:
                bad.update(row["file_name"] for row in csv.DictReader(file))
    return rows, bad


def faults(rows: Counter[tuple[str, ...]], bad: Counter[str], count: int, broken: list[str]) -> int:
    """How many files are not there, or not once, or in the wrong place."""
    twice = sum(number - 1 for number in (*rows.values(), *bad.values()))
    files = {file for file, _ in rows}
    return twice + abs(count - len(broken) - len(files)) + len(set(broken) ^ set(bad)) + len(files & set(bad))


def with_ray(folder: Path, model: Path, out: Path, shards: int) -> float:
    """Tags with two workers of Ray's, kills one of them at work, and returns the seconds that it took."""
    import ray

    from earmark.tagging.ray import tag_with_ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    begun = time.perf_counter()
    killer = threading.Thread(target=kill_a_writer, args=[out])
    killer.start()
    tag_with_ray([str(folder)], model, out, shards)
    seconds = time.perf_counter() - begun
    killer.join()
    ray.shutdown()
    return seconds


def kill_a_writer(out: Path) -> None:
    """Waits until a file in a folder has rows, and kills the process that writes it."""
    while True:
        for part in out.glob("tags-*.csv"):
            for link in Path("/proc").glob("[0-9]*/fd/*"):
                try:
                    if part.stat().st_size > 1000 and link.readlink() == part:
                        os.kill(int(link.parts[2]), signal.SIGKILL)
                        return
                except OSError:  # it has ended meanwhile, or is another user's
                    continue
        time.sleep(0.05)


def small_model(folder: Path) -> Path:
    """A tiny model that was trained for a moment."""
    manifest = rendered(folder / "sounds")
    sets = ["members.*.schedule=[{batches: 2, rate: 1.0e-3, final_rate: 1.0e-5}]", "members.*.backbone.growth=[4, 4, 4]"]
    prepare = [*EARMARK, "prepare", "manifest", str(manifest), "--out", str(folder / "store"), "--sample-rate", "16000"]
    train = [*EARMARK, "train", "tiny", "--store", str(folder / "store"), "--out", str(folder / "run"), "--device", "cpu"]
    for command in (prepare, [*train, *(word for setting in sets for word in ("--set", setting))]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "run"


def main() -> None:
    parser: argparse.ArgumentParser = options(__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which it is killed")
    given = parser.parse_args()
    count, shards = (300, 2) if given.smoke else (given.count, SHARDS)
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        model = given.model or small_model(here)
        sounds = sorted((rendered(here / "clips", 2 if given.smoke else SOUNDS // 10).parent / "audio").glob("*.wav"))
        folder = here / "files"
        broken = make_files(folder, sounds, count)
        rows: list[tuple[object, ...]] = []
        reference: Counter[tuple[str, ...]] = Counter()

        def note(title: str, seconds: float, outs: list[Path], growth: float, peak: int) -> None:
            found, bad = rows_of(outs)
            reference.update({} if reference else found)
            wrong = faults(found, bad, count, broken) + (found != reference)
            rows.append((title, count / seconds, growth, peak / 1e6, wrong))
            sys.stderr.write(f"{rows[-1]}\n")  # the table comes after many minutes

        plain = run(tag(folder, model, here / "plain.csv"), here / "plain.csv")
        note("in one go", plain.seconds, [here / "plain.csv"], plain.growth, max(plain.memory))
        again = run(tag(folder, model, here / "plain.csv"), here / "plain.csv")
        note("again, nothing to do", again.seconds, [here / "plain.csv"], 1.0, max(again.memory))
        size = (here / "plain.csv").stat().st_size
        limits = sorted(size * chance.uniform(0.0, 0.9) for _ in range(KILLS))
        killed = run(tag(folder, model, here / "killed.csv"), here / "killed.csv", limits)
        assert given.smoke or killed.statuses.count(-signal.SIGKILL) == KILLS
        note(
            f"killed {killed.statuses.count(-signal.SIGKILL)} times",
            killed.seconds,
            [here / "killed.csv"],
            killed.growth,
            max(killed.memory),
        )
        parts = [here / f"part-{number}.csv" for number in range(1, shards + 1)]
        of_parts = [run(tag(folder, model, part, "--shard", f"{number}/{shards}"), part) for number, part in enumerate(parts, 1)]
        seconds, peak = sum(part.seconds for part in of_parts), max(max(part.memory) for part in of_parts)
        note(f"{shards} shards, one after the other", seconds, parts, max(part.growth for part in of_parts), peak)
        if find_spec("ray") and not given.no_ray and not given.smoke:
            seconds = with_ray(folder, model, here / "ray", shards)
            note(
                "Ray, 2 workers, one killed",
                seconds,
                [path for path in (here / "ray").glob("*-of-*.csv") if not path.name.endswith(".bad.csv")],
                1.0,
                0,
            )
        columns = ("", "files/s", "memory of the second half / first", "most memory, MB", "files that are wrong")
        show(f"{count:,} files, {len(broken):,} of them broken", columns, rows)


if __name__ == "__main__":
    main()
