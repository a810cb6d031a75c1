"""The data that is tortured, made here; the commands, and what they make where nobody disturbs them."""

import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.tortures.processes import Running

CLIPS = 120
RATE = 16000
KINDS = ("wav", "flac", "ogg", "mp3")
RECIPE = """name: torture
title: Seconds of training
extends: tiny
precision: float32
members:
  logmel:
    input: {sample_rate: 16000, window: 4000}
    frontend: {n_fft: 512, n_mels: 32}
    backbone: {growth: [4, 4]}
    batch: {clips_per_class: 2}
    schedule: [{batches: 60, rate: 3.0e-3, final_rate: 1.0e-5}]
    validation: {every: 15}
"""
Result = dict[str, str]  # hashes of files by their names


class Scene:
    """The folder of everything.

    Attributes:
        data: folder of the sounds, with ``manifest.csv``, and ``other.csv`` with other labels.
        recipe: a recipe with seconds of training.
        store: a store of the manifest at 16 kHz. Nothing may change it.
        run: a finished run on the store. Nothing may change it.
    """

    def __init__(self, here: Path) -> None:
        self.here = here
        self.data, self.recipe = here / "data", here / "torture.yaml"
        self.store, self.run = here / "store", here / "run"
        self.seconds = 0.0  # spent on what nobody disturbs
        self._undisturbed: dict[str, Undisturbed] = {}
        self.data.mkdir()
        make_sounds(self.data)
        self.recipe.write_text(RECIPE)
        for words in (self.prepare(self.store), self.train(self.store, self.run)):
            ended = Running(words).end()
            if ended.status not in (0, 3):
                raise SystemExit(f"not even undisturbed: {ended}")

    def prepare(self, out: Path, rates: str = f"{RATE}", manifest: str = "manifest.csv") -> list[str]:
        return ["prepare", "manifest", str(self.data / manifest), "--out", str(out), "--sample-rate", rates]

    def train(self, store: Path, out: Path, *more: str) -> list[str]:
        return ["train", str(self.recipe), "--store", str(store), "--out", str(out), "--device", "cpu", "--threads", "1", *more]

    def tag(self, model: Path, out: Path | None, *more: str) -> list[str]:
        to = [] if out is None else ["--out", str(out)]
        return ["tag", str(self.data), "--model", str(model), "--format", "csv", "--threads", "1", *to, *more]

    def fresh(self, name: str = "try") -> Path:
        """An empty folder for a try; what the last one left is removed."""
        folder = self.here / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def undisturbed(self, work: "Work") -> "Undisturbed":
        """What a work makes where nobody disturbs it; measured once."""
        if work.name not in self._undisturbed:
            here = self.fresh("undisturbed")
            work.arrange(self, here)
            before = state_of(here)
            running, sign = Running(work.command(self, here)), None
            while not running.is_over(0.005):
                if sign is None and state_of(here) != before:
                    sign = running.seconds
            seconds = running.seconds
            ended = running.end()
            if ended.status not in (0, 3):
                raise SystemExit(f"not even undisturbed: {ended}")
            self.seconds += running.seconds
            self._undisturbed[work.name] = Undisturbed(ended.status, work.result(here), ended.out, sign or 0.0, seconds)
        return self._undisturbed[work.name]


@dataclass(frozen=True)
class Undisturbed:
    """Exit status, result and output of a command, when the first trace of it is on the disk, and when it ends (seconds)."""

    status: int
    result: Result
    out: str
    sign: float
    seconds: float

    def moment(self, rng: random.Random) -> float:
        """A moment to disturb it: mostly while it writes, seldom while it only loads libraries."""
        begin = self.sign if rng.random() < 0.8 else 0.0
        return rng.uniform(begin, self.seconds * 1.05)


@dataclass(frozen=True)
class Work:
    """A command that makes ``out`` in the folder of a try.

    Attributes:
        name: for people.
        arrange: puts into the folder what the command starts from.
        command: what is typed after ``earmark``.
        result: what it has made.
    """

    name: str
    arrange: Callable[[Scene, Path], object]
    command: Callable[[Scene, Path], list[str]]
    result: Callable[[Path], Result]


def make_sounds(folder: Path) -> None:
    """Short clips of three kinds of sound in four formats, two folds, a few test clips, some labels unverified; a clip is bad."""
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir()
    rows, others = ["file_name,labels,verified,fold,split"], ["file_name,labels,verified,fold,split"]
    for i in range(CLIPS):
        seconds = rng.uniform(0.2, 0.5)
        time_axis = np.arange(round(seconds * RATE)) / RATE
        kind = i % 3
        sound = [np.sin(2 * np.pi * rng.uniform(300, 600) * time_axis), rng.uniform(-1, 1, len(time_axis)), (time_axis % 0.05) * 20]
        name = f"audio/{i:03}.{KINDS[(i // 3) % 4]}"
        write_sound(folder / name, sound[kind] * 0.5)
        labels = ("tone", "noise", "clicks")
        split = "test" if i % 12 == 11 else "train"
        row = f"{int(i % 4 != 0)},{'' if split == 'test' else (i // 3) % 2},{split}"
        rows.append(f"{name},{labels[kind]},{row}")
        others.append(f"{name},{labels[(kind + (i % 5 == 0)) % 3]},{row}")
    (folder / "audio/bad.wav").write_bytes(b"RIFF")
    for table, name in ((rows, "manifest.csv"), (others, "other.csv")):
        (folder / name).write_text("\n".join([*table, "audio/bad.wav,tone,1,0,train", ""]))


def write_sound(path: Path, samples: np.ndarray) -> None:
    soundfile.write(path, samples, RATE, format="MP3" if path.suffix == ".mp3" else None)


def hashes(folder: Path, paths: Iterable[Path]) -> Result:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all that is below a folder."""
    state = {}
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            try:
                status = os.lstat(os.path.join(root, name))
            except FileNotFoundError:
                continue
            state[os.path.join(root, name)] = (status.st_size, status.st_mtime_ns)
    return state


def of_store(here: Path) -> Result:
    return hashes(here / "out", (here / "out").glob("*"))


def of_run(here: Path) -> Result:
    """Weights, scores, figures and the bundle. The report and the log have times in them."""
    out = here / "out"
    files = [*out.glob("members/*/*/*.safetensors"), *out.rglob("oof.parquet"), out / "metrics.json", *(out / "bundle").glob("*")]
    return hashes(out, files) if (out / "report.html").is_file() else {"report.html": "missing"}


def of_test(here: Path) -> Result:
    return hashes(here / "out", [here / "out/test.parquet", here / "out/metrics-test.json"])


def of_tags(here: Path) -> Result:
    return hashes(here, [here / "out", here / "out.bad.csv"])


def of_file(here: Path) -> Result:
    return hashes(here, [here / "out.csv"])


def nothing(_: Scene, __: Path) -> None:
    pass


WORKS = (
    Work("prepare", nothing, lambda s, here: s.prepare(here / "out"), of_store),
    Work(
        "prepare, a rate more",
        lambda s, here: shutil.copytree(s.store, here / "out"),
        lambda s, here: s.prepare(here / "out", f"{RATE},8000"),
        of_store,
    ),
    Work("train", nothing, lambda s, here: s.train(s.store, here / "out"), of_run),
    Work("train --jobs 2", nothing, lambda s, here: s.train(s.store, here / "out", "--jobs", "2"), of_run),
    Work("evaluate", lambda s, here: shutil.copytree(s.run, here / "out"), lambda _, here: ["evaluate", str(here / "out")], of_run),
    Work(
        "evaluate --split test",
        lambda s, here: shutil.copytree(s.run, here / "out"),
        lambda _, here: ["evaluate", str(here / "out"), "--split", "test"],
        of_test,
    ),
    Work("tag --out", nothing, lambda s, here: s.tag(s.run, here / "out"), of_tags),
    Work(
        "data corrupt --out",
        lambda s, here: shutil.copy(s.data / "manifest.csv", here / "m.csv"),
        lambda _, here: [
            "data",
            "corrupt",
            str(here / "m.csv"),
            "--kind",
            "symmetric",
            "--rate",
            "0.5",
            "--out",
            str(here / "out.csv"),
        ],
        of_file,
    ),
)
ANY_WORK = {work.name: work for work in WORKS}


def differences(result: Result, wanted: Result) -> list[str]:
    """The names of files that differ, or are in one of both only."""
    return sorted(name for name in {*result, *wanted} if result.get(name) != wanted.get(name))


def judged(scene: Scene, work: Work, here: Path) -> list[str]:
    """Runs a work to its end; what is wrong with it: it must end as if it had never been disturbed, and leave nothing behind."""
    wanted = scene.undisturbed(work)
    ended = Running(work.command(scene, here)).end()
    faults = [f"again: {fault}" for fault in ended.faults([wanted.status])]
    if not faults:
        faults = wrong_result(work, wanted, here)
        faults += [f"left behind: {name}" for name in left_behind(here)]
    return faults


def wrong_result(work: Work, wanted: Undisturbed, here: Path) -> list[str]:
    try:
        if wrong := differences(work.result(here), wanted.result):
            return [f"{work.name}: other results: {', '.join(wrong)}"]
    except OSError as error:
        return [f"{work.name}: no result: {error}"]
    return []


def left_behind(here: Path) -> list[str]:
    """Files and folders that only a command at work may have. A lock is an empty file that stays."""
    names = (path for path in here.rglob("*") if path.name.startswith(".") or path.name == "checkpoint.safetensors")
    return sorted(str(path.relative_to(here)) for path in names if not path.name.endswith("lock"))


def wait(seconds: float) -> None:
    time.sleep(max(seconds, 0))
