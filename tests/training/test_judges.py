"""Who judges the labels of a run's clips, and that no judge has heard what it judges."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark import files
from earmark.assess.joined import out_of_fold
from earmark.data.clips import load_clips
from earmark.data.embeddings import load_vectors
from earmark.data.models import resolve_models
from earmark.data.store import Store
from earmark.embedding.opened import open_embedder
from earmark.embedding.statistics import Statistics
from earmark.errors import EarmarkError, RunError
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import read_predictions, write_predictions
from earmark.runs.run import Run
from earmark.training import judges
from earmark.training.cross_fit import cross_fitted
from earmark.training.judges import gather_judges
from earmark.training.train import TrainRequest, train
from tests.embedding.models import write_model

pytestmark = pytest.mark.slow  # together they take seconds

OWN, ON_STATISTICS = "the run's own nets, of other folds", "regressions on built-in statistics"


@pytest.fixture(scope="module")
def own_store(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of its own, since vectors are written into it."""
    path = tmp_path_factory.mktemp("own") / "store"
    shutil.copytree(store.path, path, ignore=shutil.ignore_patterns("embeddings"))
    return Store.open(path)


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Run:
    """A copy of the finished run."""
    shutil.copytree(finished_run, tmp_path / "run")
    return Run.open(tmp_path / "run")


def keep_scores(run: Run, kept: set[str]) -> None:
    """Takes the scores of all other clips out of a run."""
    for member, folds in run.finished().items():
        for fold in folds:
            labels, blocks = read_predictions(run.scores_file(member, fold))
            masks = [np.isin(block.clip_id, sorted(kept)) for block in blocks]
            less = [
                replace(block, clip_id=block.clip_id[mask], scores=block.scores[mask])
                for block, mask in zip(blocks, masks, strict=True)
            ]
            write_predictions(run.scores_file(member, fold), labels, less)


def test_without_an_embedding_statistics_judge_together_with_the_runs_own_nets(run: Run, own_store: Store) -> None:
    made = gather_judges(run, own_store)
    assert made.titles == [ON_STATISTICS, OWN] and made.notes == []
    clips = load_clips(own_store, 8000)
    training = clips[~clips.test]
    assert made.clips.clip_id.tolist() == training.clip_id.tolist() and len(training) == 75
    key = Statistics().key
    assert made.key == key
    vectors = load_vectors(own_store, key, 0, len(clips))[~clips.test]
    np.testing.assert_array_equal(made.vectors, vectors)
    np.testing.assert_array_equal(made.guesses[0], cross_fitted(training, vectors))
    joined = out_of_fold(run, clips).main
    place = {clip: row for row, clip in enumerate(joined.clips.clip_id.tolist())}
    np.testing.assert_array_equal(made.guesses[1], joined.scores[[place[clip] for clip in training.clip_id.tolist()]])
    rows = own_store.rows(8000)
    hash_of = dict(zip(rows["clip_id"].to_pylist(), rows["content_hash"].to_pylist(), strict=True))
    assert made.content_hash.tolist() == [hash_of[clip] for clip in training.clip_id.tolist()]


def test_clips_that_the_runs_nets_have_heard_are_judged_by_statistics_alone(run: Run, own_store: Store) -> None:
    """As with unverified: all, where nets hear the unverified clips of their own fold."""
    clips = load_clips(own_store, 8000)
    keep_scores(run, set(clips.clip_id[clips.verified].tolist()))
    made = gather_judges(run, own_store)
    verified = made.clips.verified
    np.testing.assert_array_equal(made.guesses[1][~verified], made.guesses[0][~verified])
    assert (made.guesses[1][verified] != made.guesses[0][verified]).any(axis=1).all()


def test_a_recording_in_two_folds_has_been_heard_by_all_nets(run: Run, own_store: Store) -> None:
    clips = load_clips(own_store, 8000)
    clips = clips[~clips.test]
    notes: list[str] = []
    _, there = judges._own_scores(run, clips, notes)
    assert there.all()
    group = clips.group.copy()
    mine, other = int(np.flatnonzero(clips.fold == 0)[3]), int(np.flatnonzero(clips.fold == 1)[5])
    group[other] = group[mine]
    scores, there = judges._own_scores(run, replace(clips, group=group), notes)
    assert np.flatnonzero(~there).tolist() == sorted([mine, other])
    assert scores.shape == clips.positive.shape and notes == []


def test_nets_that_learned_from_leaking_pseudo_labels_do_not_judge(
    run: Run, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recipe, "leaks", lambda *_: True)
    made = gather_judges(run, own_store)
    assert made.titles == [ON_STATISTICS] and len(made.guesses) == 1
    assert made.notes == [
        "The run's own nets have learned from pseudo labels of nets that heard these clips, so that they do not judge."
    ]


def test_with_too_many_clips_the_runs_own_nets_judge_what_they_can(
    run: Run, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "MOST_STATISTICS", 79)
    made = gather_judges(run, own_store)
    assert (made.titles, made.vectors, made.key, len(made.clips)) == ([OWN], None, None, 75)
    assert made.notes == [
        "With more than 79 clips there are no regressions on built-in statistics; a run on an embedding judges better."
    ]
    verified = made.clips.verified
    keep_scores(run, set(made.clips.clip_id[verified].tolist()))
    fewer = gather_judges(run, own_store)
    assert fewer.clips.verified.all() and len(fewer.clips) == verified.sum() == len(fewer.guesses[0]) == len(fewer.content_hash)
    assert f"{75 - int(verified.sum())} clips have been heard by all nets of the run; their labels are not judged." in fewer.notes
    monkeypatch.setattr(Recipe, "leaks", lambda *_: True)
    with pytest.raises(RunError, match="can judge the labels: train again, into another --out, with --set unverified=other_folds"):
        gather_judges(run, own_store)


def test_a_store_that_may_only_be_read_is_judged_by_the_runs_own_nets(
    run: Run, own_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_store.path, tmp_path / "store", ignore=shutil.ignore_patterns("embeddings"))

    @contextmanager
    def refused(_: Path, what: Path) -> Iterator[None]:
        raise EarmarkError(f"cannot write {what}: Read-only file system")
        yield

    monkeypatch.setattr(files, "locked", refused)
    made = gather_judges(run, Store.open(tmp_path / "store"))
    assert made.titles == [OWN] and made.vectors is None
    (note,) = made.notes
    assert note.startswith("There are no regressions on built-in statistics: cannot write ") and note.endswith("file system.")
    assert not (tmp_path / "store/embeddings").exists()


def test_a_store_of_other_data_and_one_without_labels_are_refused(
    run: Run, own_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_store.path, tmp_path / "store")
    info = json.loads((tmp_path / "store/store.json").read_text())
    (tmp_path / "store/store.json").write_text(json.dumps(info | {"fingerprint": "other"}))
    with pytest.raises(RunError, match="has other data"):
        gather_judges(run, Store.open(tmp_path / "store"))
    clips = load_clips(own_store, 8000)
    monkeypatch.setattr(judges, "load_run_clips", lambda *_: replace(clips, positive=np.zeros_like(clips.positive)))
    with pytest.raises(RunError, match="an audit needs labels of two classes at least"):
        gather_judges(run, own_store)


def test_with_an_embedding_regressions_on_it_judge_alone(own_store: Store, tmp_path: Path) -> None:
    model = write_model(tmp_path / "means.onnx")
    sets = ["members.*.schedule=[{batches: 20, rate: 1.0e-2, final_rate: 1.0e-4}]", "members.*.validation.every=20"]
    recipe = resolve_models(load_recipe("quick", sets), model)
    train(TrainRequest(recipe, own_store, tmp_path / "run", members=["teacher"], folds=[0]))
    run = Run.open(tmp_path / "run")
    made = gather_judges(run, own_store)
    assert made.titles == ["regressions on the run's embedding"] and made.notes == []
    settings = recipe.members["teacher"]
    assert made.key == open_embedder(settings.frontend.arguments, settings.input.sample_rate).key
    clips = load_clips(own_store, settings.input.sample_rate)
    vectors = load_vectors(own_store, made.key, settings.frontend.arguments["variations"], len(clips))[~clips.test]
    np.testing.assert_array_equal(made.vectors, vectors)
    assert made.vectors is not None and made.vectors.shape[1] == 2
    np.testing.assert_array_equal(made.guesses[0], cross_fitted(clips[~clips.test], vectors))
