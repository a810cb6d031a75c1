"""A pipe where a store or a run has a file: it is named, and nobody waits for it."""

import os
import shutil
from pathlib import Path

import pytest

from earmark.cli import run
from tests.bad_inputs.cases import Capture, Places

STORE_FILES = ("store.json", "clips.parquet", "bad.csv", "pcm-16000.i16")
RUN_FILES = ("recipe.yaml", "run.json", "oof.parquet", "metrics.json", ".lock", "members/logmel/fold0/metrics.csv")


def with_pipe(folder: Path, name: str, here: Path) -> Path:
    """A copy of a folder in which a pipe stands for a file."""
    copy = here / folder.name
    shutil.copytree(folder, copy)
    (copy / name).unlink(missing_ok=True)
    os.mkfifo(copy / name)
    return copy


@pytest.mark.parametrize("name", STORE_FILES)
def test_pipe_in_a_store_is_refused(name: str, places: Places, capsys: Capture) -> None:
    store = with_pipe(places["store"], name, places["here"])
    assert run(["train", "tiny", "--store", str(store), "--out", str(places["here"] / "out")]) == 2
    error = capsys.readouterr().err
    assert "is no store" in error if name == "store.json" else f"{store / name}: no regular file" in error
    assert error.count("\n") == 1 and not (places["here"] / "out").exists()


@pytest.mark.parametrize("name", RUN_FILES)
def test_pipe_in_a_run_is_refused(name: str, places: Places, capsys: Capture) -> None:
    directory = with_pipe(places["run"], name, places["here"])
    assert run(["evaluate", str(directory)]) == 2
    error = capsys.readouterr().err
    assert "is no run directory" in error if name == "recipe.yaml" else f"{directory / name}: no regular file" in error
    assert error.count("\n") == 1
    assert run(["train", "tiny", "--store", str(places["store"]), "--out", str(directory)]) == 2
