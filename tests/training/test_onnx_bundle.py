import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark.data.store import Store
from earmark.errors import BundleError, EarmarkError
from earmark.recipe import Recipe
from earmark.scoring.onnx_scorer import OnnxScorer
from earmark.tagging.bundle import read_bundle
from earmark.tagging.tagger import Tagger
from earmark.training import int8
from earmark.training.onnx_bundle import export_bundle
from earmark.training.train import TrainRequest, train
from tests.embedding.models import write_model

pytestmark = pytest.mark.slow


def scores_of(model: Path, rendered: Path, runtime: str = "auto") -> np.ndarray:
    tagger = Tagger.load(model, runtime=runtime)  # type: ignore[arg-type]
    paths = sorted((rendered.parent / "audio").glob("*.wav"))[:5]
    return np.stack([tagger.scores(soundfile.read(path, dtype="float32")[0][None], 16000)[0] for path in paths])


def test_a_run_becomes_a_bundle_of_onnx_files_with_the_same_scores(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    exported = export_bundle(finished_run, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "logmel-fold0.onnx",
        "logmel-fold1.onnx",
    ]
    assert read_bundle(tmp_path / "out") == exported.config and not exported.notes
    assert all(isinstance(scorer, OnnxScorer) for scorer in earmark.load(tmp_path / "out").scorers)
    assert np.abs(scores_of(tmp_path / "out", rendered) - scores_of(finished_run, rendered, "torch")).max() < 1e-4
    again = export_bundle(tmp_path / "out", tmp_path / "again")  # ONNX files need no torch to be copied
    assert (tmp_path / "again" / "logmel-fold0.onnx").read_bytes() == (tmp_path / "out" / "logmel-fold0.onnx").read_bytes()
    assert again.config == exported.config


def test_the_sounds_of_the_proof_are_the_users_or_rendered(finished_run: Path, rendered: Path, tmp_path: Path) -> None:
    given = export_bundle(finished_run, tmp_path / "given", [rendered.parent / "audio"])
    assert {member.proof.source for member in given.config.members if member.proof} == {"given sounds"}
    shutil.copytree(finished_run / "bundle", tmp_path / "bundle")
    alone = export_bundle(tmp_path / "bundle", tmp_path / "alone")
    assert {(member.proof.source, member.proof.sounds) for member in alone.config.members if member.proof} == {
        ("rendered sounds", 8)
    }


def test_what_must_not_be_written_over_is_not(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    with pytest.raises(EarmarkError, match="is there already and is no bundle"):
        export_bundle(finished_run, tmp_path / "notes")
    with pytest.raises(EarmarkError, match="is the bundle itself"):
        export_bundle(finished_run, finished_run / "bundle")
    assert (tmp_path / "notes" / "diary.txt").read_text() == "mine"
    with pytest.raises(BundleError, match="is no model"):
        export_bundle(tmp_path / "nothing", tmp_path / "out")


def test_the_pretrained_model_comes_with_the_nets(store: Store, rendered: Path, tmp_path: Path) -> None:
    from tests.themes.test_quick import quick

    model = write_model(tmp_path / "mine.onnx", facts={"sample_rate": "16000"})
    train(TrainRequest(quick(model), store, tmp_path / "run", members=["teacher"], folds=[0]))
    export_bundle(tmp_path / "run", tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    model.unlink()
    assert np.abs(scores_of(tmp_path / "moved", rendered) - scores_of(tmp_path / "run", rendered, "torch")).max() < 1e-4
    exported = export_bundle(tmp_path / "run", tmp_path / "small", int8=True)
    assert exported.notes == ("teacher, fold 0: stays in float32: it stands on a pre-trained model, and is itself small",)


def test_eight_bits_are_kept_where_they_are_faster_and_as_good(
    finished_run: Path, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([4.0, 2.0, 2.0, 4.0])
    monkeypatch.setattr(int8, "fastest", lambda _: next(times))
    exported = export_bundle(finished_run, tmp_path / "out", int8=True)
    first, second = (member.proof for member in exported.config.members)
    assert first is not None and second is not None
    assert (first.bits, second.bits) == (8, 32)
    assert first.points is not None and first.points <= int8.MOST_POINTS and first.clips == 15
    assert exported.notes == ("logmel, fold 1: stays in float32: 8 bits are no faster here (4.0 ms a sound instead of 2.0)",)
    difference = np.abs(scores_of(tmp_path / "out", rendered) - scores_of(finished_run, rendered, "torch")).max()
    assert 1e-5 < difference < 0.1
    with pytest.raises(EarmarkError, match="is no run with its store"):
        export_bundle(finished_run / "bundle", tmp_path / "other", int8=True)


def test_eight_bits_that_cost_more_are_not_kept(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([4.0, 2.0] * 2)
    monkeypatch.setattr(int8, "fastest", lambda _: next(times))
    points = iter([80.0, 79.4, 80.0, 79.6])
    monkeypatch.setattr(int8, "_points", lambda *_: next(points))
    exported = export_bundle(finished_run, tmp_path / "out", int8=True)
    assert [member.proof.bits for member in exported.config.members if member.proof] == [32, 8]
    assert exported.notes == ("logmel, fold 0: stays in float32: 8 bits cost 0.6 points on 15 held-out clips, more than 0.5",)


def test_a_net_that_cannot_be_drawn_leaves_a_bundle_for_torch(
    store: Store, small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("earmark.nets.backbones.densenet_se.DenseModule.draw")
    with pytest.warns(match="DenseModule has no method draw; the bundle can be run with torch only"):
        train(TrainRequest(small_recipe, store, tmp_path / "run", device="cpu", folds=[0]))
    config = json.loads((tmp_path / "run" / "bundle" / "config.json").read_text())
    assert [member["onnx"] for member in config["members"]] == [None]
    assert hasattr(earmark.load(tmp_path / "run").scorers[0], "net")
