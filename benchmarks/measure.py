"""What the benchmarks share: contenders that take turns, tables, a line about the machine, rendered sounds for --smoke."""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

import torch

from earmark.data.manifest import read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.synth import render_clips

SMOKE_CLIPS = 2  # of each of ten kinds
RATE = 16_000  # of the 2018 nets, in Hz
#: Settings that make a 2018 net small.
SMALL = ["members.*.backbone.growth=[4, 4, 4, 4, 4, 4, 4, 4]", "members.*.input.window=16000"]


def options(description: str | None, root: str | None = None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has.

    Args:
        description: description of the script.
        root: description of its first argument, a path; without it, the script has no such argument.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if root:
        parser.add_argument("root", nargs="?", type=Path, help=root)
    parser.add_argument("--runs", type=int, default=5, help="of each contender; the median counts")
    parser.add_argument("--smoke", action="store_true", help="a few rendered sounds: shows that it runs, measures nothing")
    return parser


def take_turns(contenders: Mapping[str, Callable[[], object]], runs: int, warm: bool = True) -> dict[str, float]:
    """Median seconds of each contender. They take turns, so that a slow minute of the machine affects all of them.

    Args:
        contenders: functions to measure, by name.
        runs: number of measured runs of each.
        warm: whether each first runs once without being measured.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(runs + warm):
        for name, run in contenders.items():
            begun = time.perf_counter()
            run()
            if turn >= warm:
                seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times) for name, times in seconds.items()}


def wait_for(device: str) -> None:
    """Waits until a GPU has finished its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table in Markdown, with the machine and the date below it."""
    cells = [[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in cells]
    sys.stdout.write("\n".join([*lines, "", machine(), ""]) + "\n")
    sys.stdout.flush()


def machine() -> str:
    """A line with the date, the processor and its cores, the GPU if there is one, and PyTorch's version."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    processor = names[0] if names else platform.machine()
    return f"{date.today()}; {os.cpu_count()} cores of {processor}{gpu}; PyTorch {torch.__version__.partition('+')[0]}"


def rendered(folder: Path, per_kind: int = SMOKE_CLIPS) -> Path:
    """Renders sounds in two folds, and returns the path of their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder / "manifest.csv", render_clips(folder, per_kind, 1.0, 2, seed=0))
    return folder / "manifest.csv"


def store_for(given: argparse.Namespace, folder: Path) -> Store:
    """The store that the user named; with ``--smoke`` a store of rendered sounds, made in ``folder``."""
    if not given.smoke:
        return Store.open(given.root)
    return prepare(read_manifest(rendered(folder / "sounds")), "benchmark", folder / "store", [RATE]).store
