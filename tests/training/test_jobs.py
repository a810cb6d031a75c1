"""Stages in processes of their own."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from earmark.data.store import Store
from earmark.errors import RunError
from earmark.recipe import Recipe
from earmark.runs.run import Run
from earmark.training.jobs import make_at_once
from earmark.training.stages import Stage
from earmark.training.train import TrainRequest, train

A0, A1 = Stage("net", "A", 0, ()), Stage("net", "A", 1, ())
LABELS = Stage("pseudo", "of-A", None, (A0, A1))
B0 = Stage("net", "B", 0, (LABELS,))


def note(folder: Path, stage: Stage) -> None:
    """A stage that says when it was begun and when it was made, or fails."""
    (folder / f"{stage.title} begun").touch()
    for need in stage.needs:
        assert (folder / f"{need.title} made").exists()
    if (folder / f"fail {stage.title}").exists():
        raise RunError(f"{stage.title} cannot be made")
    if (folder / f"die {stage.title}").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    (folder / f"{stage.title} made").touch()


def wait_long(folder: Path, stage: Stage) -> None:
    (folder / stage.title).touch()
    time.sleep(60)


def wait_deaf(folder: Path, stage: Stage) -> None:
    """A stage that does not listen, or fails once the other one is begun."""
    if stage == A0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        (folder / "deaf").touch()
        time.sleep(60)
    while not (folder / "deaf").exists():
        time.sleep(0.05)
    raise RunError("cannot be made")


@pytest.mark.slow
def test_a_worker_that_does_not_stop_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.training.jobs.GRACE", 0.5)
    begun = time.monotonic()
    with pytest.raises(RunError, match="cannot be made"):
        make_at_once([A0, A1], [], partial(wait_deaf, tmp_path), 2)
    assert time.monotonic() - begun < 40


@pytest.mark.slow
def test_a_stage_that_does_not_train_ends_at_once(tmp_path: Path) -> None:
    """Else a worker that was told to stop while it loads would train to the end, with everybody waiting."""

    def interrupt() -> None:
        while not (tmp_path / A0.title).exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        make_at_once([A0, A1], [], partial(wait_long, tmp_path), 2)
    assert time.monotonic() - begun < 30


def made(folder: Path) -> set[str]:
    return {path.name.removesuffix(" made") for path in folder.glob("* made")}


@pytest.mark.slow
def test_a_stage_waits_for_what_it_needs(tmp_path: Path) -> None:
    make_at_once([A0, A1, LABELS, B0], [], partial(note, tmp_path), 3)
    assert made(tmp_path) == {"A fold 0", "A fold 1", "pseudo labels of-A", "B fold 0"}


@pytest.mark.slow
def test_what_is_made_is_not_made_again(tmp_path: Path) -> None:
    for stage in (A0, A1):
        (tmp_path / f"{stage.title} made").touch()
    make_at_once([A0, A1, LABELS, B0], [A0, A1], partial(note, tmp_path), 2)
    assert not (tmp_path / "A fold 0 begun").exists()
    assert "B fold 0" in made(tmp_path)
    make_at_once([A0, A1], [A0, A1], partial(note, tmp_path), 2)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "message"), [("fail", "A fold 1 cannot be made"), ("die", "ended from outside")])
def test_a_stage_that_fails_stops_the_others(tmp_path: Path, what: str, message: str) -> None:
    (tmp_path / f"{what} A fold 1").touch()
    with pytest.raises(RunError, match=message):
        make_at_once([A0, A1, LABELS, B0], [], partial(note, tmp_path), 2)
    assert "pseudo labels of-A" not in made(tmp_path)


def weights(path: Path, recipe: Recipe) -> dict[str, bytes]:
    run = Run(path, recipe)
    return {
        f"{name} {fold}": run.weights(name, fold, "last").read_bytes() for name, folds in run.finished().items() for fold in folds
    }


@pytest.mark.slow
def test_nets_trained_at_once_are_bit_equal_to_those_trained_one_by_one(
    finished_run: Path, store: Store, small_recipe: Recipe, tmp_path: Path
) -> None:
    assert torch.get_num_threads() == 1  # as many as each of the two will have
    metrics = train(TrainRequest(small_recipe, store, tmp_path / "run", device="cpu", jobs=2))
    assert weights(tmp_path / "run", small_recipe) == weights(finished_run, small_recipe)
    assert metrics["folds"] == {"logmel": [0, 1]}


@pytest.mark.slow
def test_a_run_leaves_the_callers_threads_as_they_were(finished_run: Path, store: Store, small_recipe: Recipe) -> None:
    torch.set_num_threads(2)
    try:
        train(TrainRequest(small_recipe, store, finished_run, device="cpu"))  # its own are 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.fixture(scope="module")
def longer(small_recipe: Recipe) -> Recipe:
    plain = small_recipe.model_dump(mode="json")
    plain["members"]["logmel"]["schedule"][0]["batches"] = 150
    return Recipe.model_validate(plain)


@pytest.fixture(scope="module")
def straight(longer: Recipe, store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The weights of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("straight") / "run"
    train(TrainRequest(longer, store, out, device="cpu"))
    return weights(out, longer)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_its_workers_stop_with_it_and_the_run_goes_on_to_the_same_weights(
    store: Store, longer: Recipe, straight: dict[str, bytes], tmp_path: Path, how: signal.Signals
) -> None:
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(longer.to_yaml())
    command = [sys.executable, "-m", "earmark", "train", str(recipe), "--store", str(store.path), "--out", str(out), "--jobs", "2"]
    own = {"env": {**os.environ, "OMP_NUM_THREADS": "1"}, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command, "--device", "cpu"], **own)  # type: ignore[call-overload]
    logs = [out / "members" / "logmel" / f"fold{fold}" / "metrics.csv" for fold in (0, 1)]
    until = time.monotonic() + 60
    while not all(log.is_file() and log.read_text().count("\n") > 2 for log in logs):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(30) == {signal.SIGINT: 130, signal.SIGKILL: -9}[how]
    time.sleep(1)  # a worker notices that its parent is gone
    rows = [log.read_text() for log in logs]
    time.sleep(1)
    assert [log.read_text() for log in logs] == rows  # nobody trains any more
    if how != signal.SIGKILL:
        assert all(log.with_name("checkpoint.safetensors").is_file() for log in logs)  # each saved what it had
        assert "the same command goes on from there" in process.stderr.read()
    done = subprocess.run(command, **own, check=False)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert weights(out, longer) == straight
