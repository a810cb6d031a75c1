"""What of a run is made, and which scores are missing."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.errors import EarmarkWarning, RunError
from earmark.labels import LabelSet
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import Block, read_predictions, write_predictions
from earmark.runs.run import Run
from earmark.training.make import is_made, missing_scores, score_held_out, scores_fault
from earmark.training.stages import Stage
from earmark.training.train import finish
from tests.conftest import SMALL

LATE = "ensembles.late.members={logmel: {weights: best, views: [pad4, whole]}}"


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Run:
    """A finished run whose recipe has got an ensemble more."""
    shutil.copytree(finished_run, tmp_path / "run")
    return Run(tmp_path / "run", load_recipe("tiny", [*SMALL, LATE]))


def test_a_net_is_made_when_its_scores_are_and_pseudo_labels_when_their_file_is(run: Run) -> None:
    assert is_made(run, Stage("net", "logmel", 0, ()))
    assert not is_made(run, Stage("net", "logmel", 2, ()))
    run.scores_file("logmel", 0).unlink()
    assert not is_made(run, Stage("net", "logmel", 0, ()))  # its weights are there
    for fold in (1, None):
        stage = Stage("pseudo", "guessed", fold, ())
        assert not is_made(run, stage)
        path = run.pseudo_labels("guessed", fold)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert is_made(run, stage)
    assert not is_made(run, Stage("pseudo", "guessed", 0, ()))


def test_only_scores_that_are_missing_are_made_and_they_come_behind(run: Run, store: Store) -> None:
    """Those that are there stay, even if the net would give others now."""
    assert run.info is not None
    labels, [last] = read_predictions(run.scores_file("logmel", 0))
    assert missing_scores(run, "logmel", 0) == [("best", "pad4"), ("best", "whole")]
    kept = [replace(last, scores=last.scores + 1), replace(last, scores=last.scores + 2, weights="best")]
    write_predictions(run.scores_file("logmel", 0), labels, kept)
    assert missing_scores(run, "logmel", 0) == [("best", "pad4")]
    score_held_out(run, run.info, "logmel", 0, load_clips(store, 16000))
    assert missing_scores(run, "logmel", 0) == []
    blocks = read_predictions(run.scores_file("logmel", 0))[1]
    assert [(block.weights, block.view) for block in blocks] == [("last", "whole"), ("best", "whole"), ("best", "pad4")]
    for block, before in zip(blocks, kept, strict=False):
        assert block.scores.tobytes() == before.scores.tobytes()
    assert blocks[2].clip_id.tolist() == last.clip_id.tolist()
    assert np.allclose(blocks[2].scores.sum(axis=1), 1, atol=1e-5)


def test_a_net_whose_fold_holds_nothing_out_misses_no_scores(run: Run, store: Store) -> None:
    """All of its fold are unverified clips that trained in it: else every evaluation would open its nets for nothing."""
    assert run.info is not None
    run.scores_file("logmel", 0).unlink()
    clips = load_clips(store, 16000)
    nothing = clips[clips.fold == 1]
    score_held_out(run, run.info, "logmel", 0, nothing)
    labels, blocks = read_predictions(run.scores_file("logmel", 0))
    assert (labels, blocks) == (store.labels, [])
    assert missing_scores(run, "logmel", 0) == []


def test_scores_are_of_the_folds_clips_in_the_stores_order(run: Run, store: Store, small_recipe: Recipe) -> None:
    clips = load_clips(store, 16000)
    for fold in (0, 1):
        [block] = read_predictions(run.scores_file("logmel", fold))[1]
        assert isinstance(block, Block)
        assert block.clip_id.tolist() == clips.clip_id[clips.fold == fold].tolist()
        assert (block.member, block.fold, block.weights) == ("logmel", fold, small_recipe.members["logmel"].validation.keep)


DAMAGE: dict[str, tuple[Callable[[Block], Block], str]] = {
    "half of the clips": (lambda b: replace(b, clip_id=b.clip_id[::2], scores=b.scores[::2]), "has not the scores of all clips"),
    "another fold": (lambda b: replace(b, fold=1), "has scores of another net"),
    "another member": (lambda b: replace(b, member="other"), "has scores of another net"),
    "a clip of the training": (lambda b: replace(b, clip_id=np.array([*b.clip_id[1:], "audio/0001.wav"])), "and of no others"),
    "a score is NaN": (lambda b: replace(b, scores=b.scores * np.float32(np.nan)), "is damaged (some scores are not finite)"),
    "no clips": (lambda b: replace(b, clip_id=b.clip_id[:0], scores=b.scores[:0]), "has not the scores of all clips"),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_scores_that_are_damaged_are_made_again(damage: str, run: Run, store: Store, finished_run: Path) -> None:
    """Else the figures would be of fewer clips, or of other scores, and nobody would know."""
    path, clips = run.scores_file("logmel", 0), load_clips(store, 16000)
    assert scores_fault(run, "logmel", 0, clips) is None
    whole = path.read_bytes()
    labels, [block] = read_predictions(path)
    assert "audio/0001.wav" not in block.clip_id
    change, said = DAMAGE[damage]
    write_predictions(path, labels, [change(block)])
    fault = scores_fault(run, "logmel", 0, clips)
    assert fault is not None and fault.startswith(str(path)) and said in fault and "remove" not in fault
    with pytest.warns(EarmarkWarning, match="oof.parquet .* it is made again"):
        finish(Run(run.path, load_recipe("tiny", [*SMALL])), store)
    assert path.read_bytes() == whole
    assert (run.path / "metrics.json").read_bytes() == (finished_run / "metrics.json").read_bytes()


def test_scores_that_are_damaged_need_the_weights(run: Run, store: Store) -> None:
    run.scores_file("logmel", 0).write_text("text")
    run.weights("logmel", 0, "last").unlink()
    before = (run.path / "metrics.json").read_bytes()
    with pytest.raises(RunError) as caught:
        finish(Run(run.path, load_recipe("tiny", [*SMALL])), store)
    assert "last.safetensors is not there to make it again; remove it, and `earmark train` trains the net again" in str(
        caught.value
    )
    assert (run.path / "metrics.json").read_bytes() == before


def test_scores_of_other_classes_are_a_fault(run: Run, store: Store) -> None:
    clips, (labels, blocks) = load_clips(store, 16000), read_predictions(run.scores_file("logmel", 0))
    write_predictions(run.scores_file("logmel", 0), LabelSet(labels.names[::-1]), blocks)
    assert str(scores_fault(run, "logmel", 0, clips)).endswith("has other classes than the store")
