"""Members' scores joined by clip: which clips an ensemble covers, and each clip's score by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from earmark.assess.joined import Joined, out_of_fold
from earmark.data.table import ClipTable
from earmark.errors import RunError
from earmark.labels import LabelSet
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import Block, write_predictions
from earmark.runs.run import Run

LABELS = LabelSet(("x", "y", "z"))
NAMES = ["d", "a", "f", "b", "e", "c"]  # the store's order is not the alphabet's
FOLD = {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1, "f": 1}


def table_of(names: list[str] = NAMES, **columns: Any) -> ClipTable:
    count = len(names)
    plain: dict[str, Any] = {
        "positive": np.eye(3, dtype=bool)[np.arange(count) % 3],
        "verified": np.ones(count, bool),
        "fold": np.array([FOLD.get(name, 0) for name in names]),
        "test": np.zeros(count, bool),
        "scored": np.ones(count, bool),
        "group": np.array(names),
        "usage": np.full(count, ""),
    }
    return ClipTable(labels=LABELS, clip_id=np.array(names), **{**plain, **columns})


def recipe_of(**ensembles: Any) -> Recipe:
    data = load_recipe("tiny").model_dump(mode="json")
    member = data["members"]["logmel"]
    data["members"] = {"p": member, "q": member}  # each keeps its last weights, and is scored on the whole clip
    data["ensembles"] = ensembles
    return Recipe.model_validate(data)


SCORES: dict[tuple[str, str, str], np.ndarray] = {
    key: np.random.default_rng(number).dirichlet([1.0, 1.0, 1.0], 6).astype(np.float32)  # rows: clips a to f
    for number, key in enumerate([("p", "last", "whole"), ("p", "best", "pad8"), ("q", "last", "whole"), ("q", "last", "pad8")])
}


def of(member: str, weights: str, view: str, clip: str) -> np.ndarray:
    return SCORES[member, weights, view]["abcdef".index(clip)].astype(np.float64)


def write(path: Path, clips: dict[str, str], labels: LabelSet = LABELS) -> None:
    """Each member's scores of its clips, by fold, backwards."""
    for member, own in clips.items():
        for fold in (0, 1):
            chosen = [clip for clip in reversed(own) if FOLD[clip] == fold]
            if not chosen:
                continue
            rows = ["abcdef".index(clip) for clip in chosen]
            blocks = [
                Block(np.array(chosen), scores[rows], member, fold, *key[1:]) for key, scores in SCORES.items() if key[0] == member
            ]
            folder = path / "members" / member / f"fold{fold}"
            folder.mkdir(parents=True)
            write_predictions(folder / "oof.parquet", labels, blocks)


ALL = {"p": "abcdef", "q": "abcdef"}
OWN = {"rule": "arithmetic_mean"}


def test_an_ensemble_weighs_each_clips_scores_by_hand(tmp_path: Path) -> None:
    recipe = recipe_of(
        both={**OWN, "members": {"p": {"weight": 3}, "q": {"weight": 1, "views": ["whole", "pad8"]}}},
        other={"members": {"p": {"weights": "best", "views": ["pad8"], "weight": 2}, "q": {"views": ["pad8"]}}},
    )
    write(tmp_path, ALL)
    result = out_of_fold(Run(tmp_path, recipe), table_of())
    assert result.main.clips.clip_id.tolist() == NAMES
    for row, clip in enumerate(NAMES):
        q = (of("q", "last", "whole", clip) + of("q", "last", "pad8", clip)) / 2
        assert np.allclose(result.main.scores[row], 0.75 * of("p", "last", "whole", clip) + 0.25 * q, atol=1e-6)
        product = of("p", "best", "pad8", clip) ** (2 / 3) * of("q", "last", "pad8", clip) ** (1 / 3)
        assert np.allclose(result.ensembles["other"].scores[row], product / product.sum(), atol=1e-6)
        assert np.allclose(result.members["p"].scores[row], of("p", "last", "whole", clip), atol=1e-6)  # not its other scores
        assert np.allclose(result.members["q"].scores[row], of("q", "last", "whole", clip), atol=1e-6)
    assert {name: len(votes) for name, votes in result.votes.items()} == {"both": 2 * (1 + 2), "other": 2 * 2}


def test_an_ensemble_covers_the_clips_that_all_its_members_have_scores_of(tmp_path: Path) -> None:
    """One member was taught by clips of its own fold that the other was not."""
    recipe = recipe_of(both={**OWN, "members": {"p": {}, "q": {}}}, alone={**OWN, "members": {"q": {}}})
    write(tmp_path, {"p": "abcdef", "q": "bcdf"})
    result = out_of_fold(Run(tmp_path, recipe), table_of())
    assert result.main.clips.clip_id.tolist() == ["d", "f", "b", "c"]
    for row, clip in enumerate("dfbc"):
        assert np.allclose(
            result.main.scores[row], (of("p", "last", "whole", clip) + of("q", "last", "whole", clip)) / 2, atol=1e-6
        )
    assert result.ensembles["alone"].clips.clip_id.tolist() == ["d", "f", "b", "c"]
    assert result.members["p"].clips.clip_id.tolist() == NAMES
    assert result.members["p"].clips.positive.tolist() == table_of().positive.tolist()  # labels stay with their clips


def test_an_ensemble_has_no_clips_of_a_fold_that_one_of_its_members_has_not(tmp_path: Path) -> None:
    write(tmp_path, {"p": "abcdef", "q": "abc"})
    result = out_of_fold(Run(tmp_path, recipe_of(both=OWN, alone={**OWN, "members": {"p": {}}})), table_of())
    assert result.main.clips.clip_id.tolist() == ["a", "b", "c"]
    assert result.ensembles["alone"].clips.clip_id.tolist() == NAMES


@pytest.mark.parametrize(
    ("clips", "table", "ensembles", "said"),
    [
        ({"p": "abc", "q": "def"}, table_of(), {"both": OWN}, "its members share no clip; train the same folds of each"),
        ({"p": "ab", "q": "c"}, table_of(), {"both": OWN}, "its members share no clip; train the same folds of each"),
        (
            ALL,
            table_of(),
            {"all": {"members": {"p": {"views": ["pad9"]}}}},
            "no scores of p last pad9 yet; `earmark evaluate {path}` makes them",
        ),
        (ALL, table_of(["a", "b"]), {"both": OWN}, "its clips are not those of the store; it was trained on another one"),
    ],
)
def test_scores_that_do_not_fit_together_are_refused(
    clips: dict[str, str], table: ClipTable, ensembles: dict[str, Any], said: str, tmp_path: Path
) -> None:
    write(tmp_path, clips)
    with pytest.raises(RunError) as caught:
        out_of_fold(Run(tmp_path, recipe_of(**ensembles)), table)
    assert str(caught.value) == f"{tmp_path}: {said.format(path=tmp_path)}"


def test_nets_whose_folds_hold_no_clip_out_have_nothing_to_score(tmp_path: Path) -> None:
    """Nothing is missing, and no command could make it."""
    recipe = recipe_of(both={**OWN, "members": {"p": {}, "q": {}}}, alone={**OWN, "members": {"q": {}}})
    write(tmp_path, {"q": "abcdef"})
    for fold in (0, 1):
        (tmp_path / f"members/p/fold{fold}").mkdir(parents=True)
        empty = Block(np.array([], np.str_), np.zeros((0, 3), np.float32), "p", fold, "last", "whole")
        write_predictions(tmp_path / f"members/p/fold{fold}/oof.parquet", LABELS, [empty])
    result = out_of_fold(Run(tmp_path, recipe), table_of())
    assert (len(result.main.clips), result.main.scores.shape) == (0, (0, 3))
    assert result.main.estimates() is None
    assert len(result.members["p"].clips) == 0
    assert result.ensembles["alone"].clips.clip_id.tolist() == NAMES


def test_scores_of_other_classes_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ALL, LabelSet(("x", "z", "y")))
    with pytest.raises(RunError, match="its classes are not those of the store; it was trained on other labels"):
        out_of_fold(Run(tmp_path, recipe_of(both=OWN)), table_of())


def test_figures_are_over_the_clips_that_have_labels_and_may_be_judged() -> None:
    positive = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], bool)
    scored = np.array([1, 1, 1, 1, 0, 1], bool)  # the labels of the fifth are kept back
    scores = np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1], [3, 2, 1], [1, 2, 3], [3, 2, 1]], np.float32) / 6
    joined = Joined(table_of(positive=positive, scored=scored), scores)
    assert joined.judgeable.clips.clip_id.tolist() == [NAMES[i] for i in (0, 1, 3, 5)]
    result = joined.estimates()
    assert result is not None
    assert result["accuracy"].value == 1 / 4
    # MAP@3: places 1; 2 and 3 of three guesses; 3; 2.
    assert result["map@3"].value == pytest.approx((1 + (1 / 2 + 2 / 3) / 2 + 1 / 3 + 1 / 2) / 4)
    judged = positive[[0, 1, 3, 5]]
    lwlrap = sklearn.metrics.label_ranking_average_precision_score(judged, scores[[0, 1, 3, 5]], sample_weight=judged.sum(axis=1))
    assert result["lwlrap"].value == pytest.approx(lwlrap)
    assert result["lwlrap"].clips == 4
    assert joined.chosen(np.array([0, 0, 1, 0, 1, 0], bool)).estimates() is None
