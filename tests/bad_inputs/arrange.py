"""What is put into a case's own folder, and what is read back from it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from earmark.cli import run
from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from tests.bad_inputs.cases import RATE, Arrange, Places, no_change


def tone(seconds: float = 0.1, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    """A sine of amplitude 0.5, float64 ``[samples]``."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_wav(path: Path, samples: np.ndarray | None = None, rate: int = RATE, **how: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone() if samples is None else samples, rate, **how)
    return path


def patched(offset: int, value: bytes) -> Callable[[Path], object]:
    """A WAV file with a part of its 44-byte header replaced."""

    def make(path: Path) -> None:
        write_wav(path, subtype="PCM_16")
        content = path.read_bytes()
        path.write_bytes(content[:offset] + value + content[offset + len(value) :])

    return make


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file_name", "labels"), *rows])
    return path


def prepare(manifest: Path, store: Path, *more: str) -> int:
    return run(["prepare", "manifest", str(manifest), "--out", str(store), "--sample-rate", str(RATE), *more])


def stored(store: Path) -> ClipSet:
    return load_clips(Store.open(store), RATE)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def traces_of_store(folder: Path) -> list[str]:
    """``store`` and what is left of making it; a lock is an empty file that stays."""
    return sorted(path.name for path in folder.iterdir() if "store" in path.name and path.suffix != ".lock")


def all_of(*steps: Arrange) -> Arrange:
    return lambda places: [step(places) for step in steps]


def copied(what: str, change: Callable[[Path], object] = no_change) -> Arrange:
    """A copy of the session's store, run or bundle in ``{here}``, under the same name, with something changed."""

    def arrange(places: Places) -> None:
        shutil.copytree(places[what], places["here"] / what)
        change(places["here"] / what)

    return arrange


def text(name: str, content: str | bytes) -> Arrange:
    def arrange(places: Places) -> None:
        path = places["here"] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return arrange


def sound(*names: str) -> Arrange:
    return lambda places: [write_wav(places["here"] / name) for name in names]


def folder(name: str) -> Arrange:
    return lambda places: (places["here"] / name).mkdir(parents=True)


def link(name: str, to: str) -> Arrange:
    return lambda places: (places["here"] / name).symlink_to(to)


def data(content: str, *sounds: str) -> Arrange:
    """A manifest, the sounds named, and a store of it in ``{here}/data-store``, whatever is bad in it."""

    def arrange(places: Places) -> None:
        all_of(text("data.csv", content), sound(*sounds))(places)
        prepare(places["here"] / "data.csv", places["here"] / "data-store")

    return arrange


def rewritten(name: str, content: str | bytes) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        (path / name).unlink()
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def removed(name: str) -> Callable[[Path], object]:
    return lambda path: shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Some keys of a JSON file changed."""

    def edit(path: Path) -> None:
        content = json.loads((path / name).read_text())
        change(content)
        (path / name).write_text(json.dumps(content))

    return edit


UNVERIFIED = text("m.csv", "file_name,labels,verified\na.wav,x,0\nb.wav,y,0\n")
