"""``earmark compare`` on small runs: what it prints and writes, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark import cli
from earmark.data.plant import planted_store
from earmark.data.store import Store
from earmark.data.table import ClipTable, load_table
from earmark.recipe import Recipe
from earmark.runs.predictions import read_predictions, write_predictions
from earmark.runs.run import Run

pytestmark = pytest.mark.slow  # together they take seconds

Capture = pytest.CaptureFixture[str]


def knowing(finished: Path, out: Path, clips: ClipTable) -> Path:
    """A copy of a run whose nets give the labels of these clips the highest scores."""
    shutil.copytree(finished, out)
    labels_of = dict(zip(clips.clip_id.tolist(), clips.positive, strict=True))
    for path in out.glob("members/*/fold*/oof.parquet"):
        labels, blocks = read_predictions(path)
        right = [np.stack([labels_of[clip] for clip in block.clip_id.tolist()]) for block in blocks]
        write_predictions(
            path, labels, [replace(block, scores=own * 0.9 + np.float32(0.01)) for block, own in zip(blocks, right, strict=True)]
        )
    return out


def learning_from(finished: Path, out: Path, store: Store) -> Path:
    """A copy of a run, as if it had learned from another store."""
    shutil.copytree(finished, out)
    run = Run.open(out)
    run.write_info(replace(run.started(), store=str(store.path.resolve()), store_fingerprint=store.fingerprint))
    return out


def test_a_run_and_itself(finished_run: Path, capsys: Capture) -> None:
    assert cli.run(["compare", str(finished_run), str(finished_run)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0].startswith(f"{finished_run} and {finished_run} cannot be told apart: accuracy")
    assert lines[0].endswith(", 0.0000 (95 % interval 0.0000 to 0.0000).")
    assert lines[1].startswith("Compared on 35 verified clips of 35 recordings")
    assert [line.split()[0] for line in lines[3:6]] == ["map@3", "accuracy", "lwlrap"]
    metrics = json.loads((finished_run / "metrics.json").read_text())
    assert lines[4].split()[1:3] == [f"{metrics['accuracy']['value']:.4f}"] * 2  # as `evaluate` has it
    assert len(lines) == 7


def test_a_run_that_knows_the_labels_is_better(finished_run: Path, store: Store, tmp_path: Path, capsys: Capture) -> None:
    better = knowing(finished_run, tmp_path / "better", load_table(store))
    page = tmp_path / "c.html"
    assert cli.run(["compare", str(finished_run), str(better), "--out", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{better} is better than {finished_run}: accuracy 1.0000 instead of 0.")
    assert lines[-1] == f"drawn: {page}"
    assert f"{better} is better than {finished_run}" in page.read_text()
    assert cli.run(["compare", str(better), str(finished_run), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["verdict"], data["clips"], data["differences"]["accuracy"]["first"]) == ("worse", 35, 1.0)
    assert sum(row["clips"] for row in data["classes"]) == 35
    assert all(row["verdict"] == "cannot be told apart" for row in data["classes"])  # three or four clips of a class are too few
    assert not list(tmp_path.glob("*.partial"))


def test_a_corrected_store(finished_run: Path, store: Store, tmp_path: Path, capsys: Capture) -> None:
    clips = load_table(store)
    positive, verified = clips.positive.copy(), clips.verified.copy()
    heard = np.flatnonzero(clips.verified & ~clips.test)[:4]
    positive[heard] = np.roll(positive[heard], 1, axis=1)
    verified[np.flatnonzero(~clips.verified & ~clips.test)[:6]] = True
    corrected = planted_store(store, tmp_path / "corrected", positive, verified)
    second = learning_from(finished_run, tmp_path / "second", corrected)
    assert cli.run(["compare", str(finished_run), str(second)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("Compared on 31 verified clips")
    assert lines[-2:] == [
        "left out: 4 clips whose labels differ between the stores: a corrected label is in the second store only",
        "left out: 6 verified clips of the second run alone: in the other's store they are missing or not verified, or it did not hold them out",
    ]
    moved = corrected.path.rename(tmp_path / "moved")
    assert cli.run(["compare", str(finished_run), str(second)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {corrected.path} is no store")
    assert cli.run(["compare", str(finished_run), str(second), "--store2", str(moved)]) == 0
    assert cli.run(["compare", str(second), str(finished_run), "--store1", str(moved)]) == 0


def test_a_run_that_leaks_is_told(finished_run: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recipe, "leaks", lambda *_: True)
    assert cli.run(["compare", str(finished_run), str(finished_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["second"]["leaks"] is True
    assert cli.run(["compare", str(finished_run), str(finished_run)]) == 0
    assert f"\n{finished_run} leaks validation labels: its figures are too high" in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused_in_a_line(finished_run: Path, store: Store, tmp_path: Path, capsys: Capture) -> None:
    def refusal(*arguments: object) -> str:
        assert cli.run(["compare", *map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1
        return captured.err.removeprefix("error: ").rstrip("\n")

    assert refusal(finished_run, store.path).startswith(f"{store.path} is no run directory; `earmark train RECIPE")
    assert refusal(tmp_path / "no", finished_run).startswith(f"{tmp_path / 'no'} is no run directory")
    assert refusal(finished_run) == "Missing argument 'RUN2'."
    page = tmp_path / "report.csv"
    assert refusal(finished_run, finished_run, "--out", page) == f"--out {page}: a page is written; its name must end in .html"
    unfinished = tmp_path / "unfinished"
    shutil.copytree(finished_run, unfinished)
    shutil.rmtree(unfinished / "members")
    assert refusal(finished_run, unfinished) == f"{unfinished}: no net of it is finished; `earmark train` goes on with it"
    clips = load_table(store)
    changed = planted_store(store, tmp_path / "changed", clips.positive, ~clips.verified)
    learns = learning_from(finished_run, tmp_path / "learns", changed)
    assert refusal(finished_run, learns).startswith(f"{finished_run} and {learns} have no clip to compare; 35 verified clips")
    planted_store(store, changed.path, clips.positive, clips.verified)
    assert refusal(finished_run, learns).startswith(
        f"{learns} learns from {changed.path}, which was prepared anew since the run began"
    )
    assert refusal(finished_run, finished_run, "--store2", changed.path).startswith(f"{finished_run} learns from {store.path}, and")
    (tmp_path / "file").touch()
    assert "file" in refusal(finished_run, finished_run, "--out", tmp_path / "file" / "c.html")
    assert not page.exists()
