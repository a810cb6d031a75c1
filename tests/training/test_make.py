"""What of a run is made, and which scores are missing."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import Block, read_predictions, write_predictions
from earmark.runs.run import Run
from earmark.training.make import is_made, missing_scores, score_held_out
from earmark.training.stages import Stage
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
