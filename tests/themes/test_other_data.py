"""A store that is prepared anew while its run trains, or before it is evaluated: nothing is computed from the other labels."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import earmark.training.train
from earmark import cli
from earmark.data.manifest import read_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.recipe import Recipe
from earmark.runs.run import Run
from earmark.training.make import make_alone
from earmark.training.stages import Stage
from earmark.training.train import TrainRequest, finish, train

Replace = Callable[[], object]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def own(rendered: Path, tmp_path: Path) -> Store:
    """A store of the rendered clips that may be replaced."""
    shutil.copytree(rendered.parent / "audio", tmp_path / "data/audio", copy_function=shutil.copy2)
    shutil.copy(rendered, tmp_path / "data/manifest.csv")
    return prepare(read_manifest(tmp_path / "data/manifest.csv"), "m", tmp_path / "store", [16000]).store


@pytest.fixture
def replace_store(own: Store, tmp_path: Path) -> Replace:
    """Prepares the store anew, with every label exchanged for the next."""

    def replace() -> None:
        text = (tmp_path / "data/manifest.csv").read_text()
        names = own.labels.names
        for number, name in enumerate(names):
            text = text.replace(f",{name},", f",<{number}>,")
        for number in range(len(names)):
            text = text.replace(f",<{number}>,", f",{names[(number + 1) % len(names)]},")
        (tmp_path / "data/wrong.csv").write_text(text)
        wrong = prepare(read_manifest(tmp_path / "data/wrong.csv"), "m", own.path, [16000]).store
        assert (wrong.labels, wrong.clip_count) == (own.labels, own.clip_count)
        assert wrong.fingerprint != own.fingerprint

    return replace


@pytest.fixture
def run_of_own(own: Store, finished_run: Path, tmp_path: Path) -> Run:
    """The finished run, as if it had learned from this store."""
    shutil.copytree(finished_run, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    info = run.started()
    run.write_info(type(info)(**{**vars(info), "store": str(own.path), "store_fingerprint": own.fingerprint}))
    return run


def test_a_run_is_not_evaluated_on_the_labels_of_later(
    run_of_own: Run, own: Store, replace_store: Replace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["evaluate", str(run_of_own.path)]) == 0
    before = bytes_of(run_of_own.path)
    replace_store()
    said = (
        f"error: {run_of_own.path} learns from {own.path}, which was prepared anew since the run began: train into another --out, "
        "or prepare the earlier data again\n"
    )
    for options in ([], ["--store", str(own.path)], ["--split", "test"]):
        capsys.readouterr()
        assert cli.run(["evaluate", str(run_of_own.path), *options]) == 2
        assert capsys.readouterr().err == said
        assert bytes_of(run_of_own.path) == before


def test_figures_are_not_written_if_the_store_is_replaced_while_they_are_computed(
    run_of_own: Run, own: Store, replace_store: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(run_of_own, own)
    before = bytes_of(run_of_own.path)
    run_metrics = earmark.training.train.run_metrics

    def replaced_meanwhile(*arguments: Any) -> Any:
        replace_store()
        return run_metrics(*arguments)

    monkeypatch.setattr(earmark.training.train, "run_metrics", replaced_meanwhile)
    with pytest.raises(RunError, match="prepared anew since the run began"):
        finish(run_of_own, own)
    assert bytes_of(run_of_own.path) == before


def test_a_process_that_makes_one_net_refuses_the_labels_of_later(run_of_own: Run, own: Store, replace_store: Replace) -> None:
    """As with ``--jobs``: every stage opens the store anew."""
    run_of_own.scores_file("logmel", 1).unlink()
    before = bytes_of(run_of_own.path)
    replace_store()
    with pytest.raises(RunError, match="prepared anew since the run began"):
        make_alone(run_of_own.path, own.path, Stage("net", "logmel", 1, ()))
    assert bytes_of(run_of_own.path) == before


@pytest.mark.slow
def test_a_run_stops_at_the_next_net_and_goes_on_when_the_earlier_data_are_back(
    small_recipe: Recipe, own: Store, replace_store: Replace, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, make, made = TrainRequest(small_recipe, own, tmp_path / "run", device="cpu"), earmark.training.train.make, []

    def replaced_after_the_first(run: Run, info: Any, stage: Stage, *rest: Any) -> None:
        make(run, info, stage, *rest)
        made.append(stage.title)
        replace_store()

    with monkeypatch.context() as patch, pytest.raises(RunError, match="prepared anew since the run began"):
        patch.setattr(earmark.training.train, "make", replaced_after_the_first)
        train(request)
    assert made == ["logmel fold 0"]
    assert not (request.out / "members/logmel/fold1").exists()
    with pytest.raises(RunError, match="prepared anew since the run began"):
        train(TrainRequest(small_recipe, Store.open(own.path), request.out, device="cpu"))
    back = prepare(read_manifest(tmp_path / "data/manifest.csv"), "m", own.path, [16000]).store
    train(TrainRequest(small_recipe, back, request.out, device="cpu"))
    for fold in (0, 1):  # the labels and sounds are those of the other run
        name = f"members/logmel/fold{fold}/last.safetensors"
        assert (request.out / name).read_bytes() == (finished_run / name).read_bytes()


def test_the_rendered_labels_are_exchanged(replace_store: Replace, tmp_path: Path) -> None:
    """What the tests above stand on."""
    before = read_manifest(tmp_path / "data/manifest.csv")
    replace_store()
    after = read_manifest(tmp_path / "data/wrong.csv")
    assert all(old.labels != new.labels for old, new in zip(before.clips, after.clips, strict=True))
