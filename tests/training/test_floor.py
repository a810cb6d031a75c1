"""The floor: the same numbers as scikit-learn on the test's own vectors, no leak, only verified labels, computed once."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from earmark import audio, cli
from earmark.assess.joined import RunScores, out_of_fold
from earmark.commands.figures import show_metrics
from earmark.data.clips import ClipSet, load_clips
from earmark.data.manifest import read_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.table import ClipTable
from earmark.embedding.statistics import Statistics
from earmark.errors import EmbeddingError
from earmark.labels import LabelSet
from earmark.runs.predictions import read_predictions
from earmark.runs.run import Run
from earmark.training import floor
from earmark.training.floor import floor_metrics
from earmark.training.splits import drawn


@pytest.fixture(scope="module")
def clips(store: Store) -> ClipSet:
    return load_clips(store, 16000)


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Run:
    """A copy of the finished run that has no floor yet."""
    shutil.copytree(finished_run, tmp_path / "run")
    (tmp_path / "run/floor.parquet").unlink()
    return Run.open(tmp_path / "run")


def scores_of(run: Run) -> dict[str, np.ndarray]:
    """What ``floor.parquet`` says, by clip."""
    _, blocks = read_predictions(run.path / "floor.parquet")
    return {clip: row for block in blocks for clip, row in zip(block.clip_id.tolist(), block.scores, strict=True)}


def table_of(positive: list[list[int]], fold: list[int], group: list[str] | None = None) -> ClipTable:
    """Verified clips."""
    count, yes = len(positive), np.ones(len(positive), bool)
    names = np.array([f"clip {number}" for number in range(count)])
    labels = LabelSet(tuple(f"label {number:04}" for number in range(len(positive[0]))))
    groups = names if group is None else np.array(group)
    return ClipTable(labels, names, np.array(positive, bool), yes, np.array(fold), ~yes, yes, groups, np.full(count, ""))


def learned_by_scikit_learn(vectors: np.ndarray, positive: np.ndarray, others: np.ndarray) -> np.ndarray:
    scaler = StandardScaler().fit(vectors)
    model: Any = LogisticRegression(C=floor.COST, tol=1e-8, max_iter=10000)
    if (positive.sum(axis=1) == 1).all():
        return model.fit(scaler.transform(vectors), positive.argmax(axis=1)).predict_proba(scaler.transform(others))
    return OneVsRestClassifier(model).fit(scaler.transform(vectors), positive).predict_proba(scaler.transform(others))


@pytest.mark.slow
def test_the_floor_of_a_run_is_scikit_learns_on_vectors_of_the_verified_clips(finished_run: Path, clips: ClipSet) -> None:
    metrics = json.loads((finished_run / "metrics.json").read_text())
    scores = scores_of(Run.open(finished_run))
    vectors = np.stack([Statistics().vector(clips.samples(number)) for number in range(len(clips))]).astype(np.float64)
    verified = clips.verified & ~clips.test
    expected = np.full((len(clips), 10), np.nan)
    for fold in (0, 1):
        taught, scored = verified & (clips.fold != fold), verified & (clips.fold == fold)
        expected[scored] = learned_by_scikit_learn(vectors[taught], clips.positive[taught], vectors[scored])
    assert set(scores) == set(clips.clip_id[verified].tolist())
    own = np.stack([scores[clip] for clip in clips.clip_id[verified].tolist()])
    np.testing.assert_allclose(own, expected[verified], atol=5e-3)
    label = clips.positive[verified].argmax(axis=1)
    assert metrics["floor"]["title"] == "logistic regression on built-in statistics, verified clips only"
    assert metrics["floor"]["accuracy"]["value"] == pytest.approx(sklearn.metrics.accuracy_score(label, own.argmax(axis=1)))
    lwlrap = sklearn.metrics.label_ranking_average_precision_score(clips.positive[verified], own)
    assert metrics["floor"]["lwlrap"]["value"] == pytest.approx(lwlrap)
    assert metrics["floor"]["map@3"]["clips"] == metrics["map@3"]["clips"] == verified.sum()
    assert metrics["floor"]["accuracy"]["value"] > metrics["accuracy"]["value"]  # twelve batches are not enough


def test_clips_with_several_labels_or_none_and_classes_that_nothing_teaches() -> None:
    rng = np.random.default_rng(0)
    positive = (rng.random((60, 4)) < 0.4).astype(int)
    positive[:3] = 0  # none of these
    positive[:30, 3] = 0  # fold 0 has no clip of the last class: nothing teaches it to the net that scores fold 1
    table = table_of(positive.tolist(), [0] * 30 + [1] * 30)
    vectors = rng.normal(size=(60, 9)) + positive @ rng.normal(size=(4, 9))
    names, scores = floor._fold_scores(table, vectors, 1, 5000)
    scored = np.arange(30, 60)[positive[30:].any(axis=1)]
    assert names.tolist() == table.clip_id[scored].tolist()
    np.testing.assert_allclose(scores[:, :3], learned_by_scikit_learn(vectors[:30], positive[:30, :3], vectors[scored]), atol=5e-3)
    assert (scores[:, 3] == 0).all()


def test_no_clip_is_scored_by_what_its_recording_taught() -> None:
    """Published folds may split recordings: whatever the other parts of a recording are, its clips keep their scores."""
    rng = np.random.default_rng(1)
    positive = np.eye(3, dtype=int)[rng.integers(0, 3, 40)]
    groups = [f"recording {number // 3 if number < 15 else number}" for number in range(40)]  # the first ones are split
    table = table_of(positive.tolist(), (np.arange(40) % 2).tolist(), groups)
    vectors = rng.normal(size=(40, 5))
    for fold in (0, 1):
        names, scores = floor._fold_scores(table, vectors, fold, 5000)
        scored = [int(name.split()[1]) for name in names]
        taught = floor._taught(table, fold)
        assert taught.any() and not set(table.group[taught]) & set(table.group[scored])
        other_vectors, other_positive = vectors.copy(), positive.copy()
        spoilt = ~taught
        other_positive[spoilt] = np.roll(positive[spoilt], 1, axis=1)
        other_vectors[spoilt & (table.fold != fold)] = 1e3
        other = replace(table, positive=other_positive.astype(bool))
        assert (floor._fold_scores(other, other_vectors, fold, 5000)[1] == scores).all()


def test_unverified_labels_do_not_matter(
    run: Run, store: Store, clips: ClipSet, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = out_of_fold(run, clips)
    before = floor_metrics(run, store, clips, scores)
    own_scores = scores_of(run)
    manifest = read_manifest(rendered)
    names = manifest.labels.names
    changed = [clip if clip.verified else replace(clip, labels=(names[number % 10],)) for number, clip in enumerate(manifest.clips)]
    changed = changed[::-1]
    other = prepare(replace(manifest, clips=tuple(changed)), "x", tmp_path / "store", [16000]).store
    other_clips = load_clips(other, 16000)
    assert (
        other.fingerprint != store.fingerprint and (other_clips[np.argsort(other_clips.clip_id)].positive != clips.positive).any()
    )
    monkeypatch.setattr(floor, "check_store", lambda *_: None)
    assert floor_metrics(run, other, other_clips, scores) == before
    for clip, row in scores_of(run).items():
        np.testing.assert_allclose(row, own_scores[clip], atol=1e-6)


def test_the_floor_is_computed_once_and_again_where_it_is_damaged(
    run: Run, store: Store, clips: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = out_of_fold(run, clips)
    first = floor_metrics(run, store, clips, scores)
    content = (run.path / "floor.parquet").read_bytes()

    def fail(*_: Any) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(floor, "load_verified", fail)
        assert floor_metrics(run, store, clips, scores) == first
    for damaged in (content[:-100], b"", content[:50]):
        (run.path / "floor.parquet").write_bytes(damaged)
        assert floor_metrics(run, store, clips, scores) == first
        assert (run.path / "floor.parquet").read_bytes() == content
    monkeypatch.setattr(floor, "VERSION", 0)  # as of an earlier version
    monkeypatch.setattr(floor, "load_verified", fail)
    with pytest.raises(AssertionError, match="computed again"):
        floor_metrics(run, store, clips, scores)


def test_the_floor_is_of_the_clips_that_the_run_is_scored_on(run: Run, store: Store, clips: ClipSet) -> None:
    both = floor_metrics(run, store, clips, out_of_fold(run, clips))
    assert both["floor"]["accuracy"] is not None and both["floor"]["accuracy"]["clips"] == 35
    file = run.scores_file("logmel", 1)
    file.rename(file.with_name("away"))
    (run.path / "floor.parquet").unlink()
    part = floor_metrics(run, store, clips, out_of_fold(run, clips))
    assert part["floor"]["accuracy"] is not None
    assert part["floor"]["accuracy"]["clips"] == (clips.verified & (clips.fold == 0)).sum() < 35
    file.with_name("away").rename(file)
    assert floor_metrics(run, store, clips, out_of_fold(run, clips)) == both


def test_vectors_are_kept_in_the_store_where_it_can_be_written_to(run: Run, store: Store, clips: ClipSet, tmp_path: Path) -> None:
    scores = out_of_fold(run, clips)
    expected = floor_metrics(run, store, clips, scores)
    assert (store.path / "embeddings/statistics-2-verified/vectors.f32").stat().st_size == 35 * 600 * 4
    shutil.copytree(store.path, tmp_path / "closed", ignore=shutil.ignore_patterns("embeddings"))
    (tmp_path / "closed/embeddings").write_text("no folder can be made here")
    (run.path / "floor.parquet").unlink()
    assert floor_metrics(run, Store.open(tmp_path / "closed"), clips, scores) == expected


@pytest.mark.parametrize(("rates", "chosen"), [([8000], 8000), ([8000, 22050, 44100], 22050), ([8000, 16000, 44100], 16000)])
def test_statistics_of_sounds_at_other_rates(rates: list[int], chosen: int, store: Store) -> None:
    assert floor.statistics_rate(replace(store, sample_rates=tuple(rates))) == chosen
    sound = np.random.default_rng(2).normal(0, 0.1, 2 * chosen).astype(np.float32)
    embedder = Statistics(chosen)
    assert embedder.key == ("statistics-2" if chosen == 16000 else f"statistics-2-of-{chosen}")
    expected = Statistics().vector(audio.resample(sound, chosen, 16000))
    np.testing.assert_array_equal(embedder.vector(sound), expected)
    assert np.isfinite(embedder.vector(sound[:1])).all()


def test_a_store_without_the_statistics_own_rate_has_a_floor(run: Run, rendered: Path, clips: ClipSet, tmp_path: Path) -> None:
    low = prepare(read_manifest(rendered), str(rendered), tmp_path / "store", [8000]).store  # the same data: it is the run's own
    figures = floor_metrics(run, low, clips, out_of_fold(run, clips))["floor"]
    assert figures["accuracy"] is not None and figures["accuracy"]["value"] > 0.3
    assert (low.path / "embeddings/statistics-2-of-8000-verified").is_dir()


@pytest.mark.parametrize(
    ("positive", "fold", "reason"),
    [
        ([[1, 0], [0, 1], [1, 0]], [0, 0, 1], "the verified clips outside fold 0 have labels of fewer than two classes"),
        ([[1, 0], [1, 0], [0, 0]], [0, 1, 1], "the verified clips outside fold 0 have labels of fewer than two classes"),
        ([[1, 0], [0, 1]], [0, 0], "the verified clips outside fold 0 have labels of fewer than two classes"),
        (np.eye(2000, dtype=int).repeat(2, axis=0).tolist(), [0, 1] * 2000, "a regression of 2,000 classes on 4,000 verified clips would take too long"),
        ([[1, 0], [0, 1]] * 4, [0, 0, 0, 0, 1, 1, 1, 1], None),
    ],
)  # fmt: skip
def test_why_there_is_no_floor(positive: list[list[int]], fold: list[int], reason: str | None) -> None:
    table = table_of(positive, fold)
    assert floor._refusal(table, sorted(set(fold))) == reason


def test_a_run_without_a_floor_says_why(run: Run, store: Store, clips: ClipSet, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = out_of_fold(run, clips)
    unverified = replace(scores.main, clips=replace(scores.main.clips, verified=np.zeros(len(scores.main.clips), bool)))
    nothing = RunScores({}, {"all": unverified}, {})
    assert floor_metrics(run, store, clips, nothing) == {"no_floor": "no verified clip is scored"}

    def fail(*_: Any) -> None:
        raise EmbeddingError("clip 'a': no samples")

    monkeypatch.setattr(floor, "load_verified", fail)
    assert floor_metrics(run, store, clips, scores) == {"no_floor": "clip 'a': no samples"}


def test_many_clips_are_cut_down_evenly() -> None:
    label = np.array([0] * 600 + [1] * 300 + [2] * 90 + [3] * 10)
    table = table_of(np.eye(4, dtype=int)[label].tolist(), [0] * 1000)
    chosen = drawn(np.arange(1000), table, 100)
    assert len(set(chosen.tolist())) == 100 and np.bincount(label[chosen]).tolist() == [60, 30, 9, 1]
    assert (drawn(np.arange(1000), table, 100) == chosen).all()
    assert (drawn(np.arange(100), table, 100) == np.arange(100)).all()


@pytest.mark.parametrize(("classes", "clips", "folds"), [(10, 600, 2), (50, 2000, 5), (80, 5000, 5), (200, 40000, 5)])
def test_the_work_is_bounded(classes: int, clips: int, folds: int) -> None:
    table = table_of(np.eye(classes, dtype=int)[np.arange(clips) % classes].tolist(), (np.arange(clips) % folds).tolist())
    most = floor._most_clips(table)
    assert 4 * min(most, clips) * 600 * classes * floor.STEPS * folds <= 3e11
    assert most >= min(2000, clips)


def test_the_floor_is_printed_and_in_the_json(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", str(run.path), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert json.loads((run.path / "metrics.json").read_text()) == metrics
    figures = metrics["floor"]
    show_metrics(metrics, False, "report: r")
    line = capsys.readouterr().out.splitlines()[2]  # after the run's own figures
    assert line.startswith("floor (logistic regression on built-in statistics, verified clips only): map@3 0.")
    assert f"accuracy {figures['accuracy']['value']:.4f} (" in line and line.endswith(", 35 clips")
    del metrics["floor"]
    show_metrics({**metrics, "no_floor": "no verified clip is scored"}, False, "report: r")
    assert capsys.readouterr().out.splitlines()[-2:] == ["no floor: no verified clip is scored", "report: r"]
