"""Methods side by side: which can be trained, their figures, the gap between the two ends."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.data.plant import plant, planted_store
from earmark.data.store import Store
from earmark.data.table import ClipTable, load_table
from earmark.errors import EarmarkError
from earmark.recipe import load_recipe
from earmark.training.compare import choose_methods, compare_methods, gap_of, method_table, metric_of
from earmark.training.methods import derive_methods
from tests.conftest import SMALL


def with_right(truth: ClipTable, right: int, seed: int) -> np.ndarray:
    """Scores with which the best guess is right for so many clips, the first ones."""
    scores = np.random.default_rng(seed).random(truth.positive.shape) * 0.1
    best = np.where(np.arange(len(truth)) < right, truth.positive.argmax(axis=1), (truth.positive.argmax(axis=1) + 1) % 10)
    scores[np.arange(len(truth)), best] = 1.0
    return scores.astype(np.float32)


def test_figures_are_means_over_the_seeds_and_shares_of_the_gap(store: Store) -> None:
    truth = load_table(store)[:40]
    scores = {
        "given": [with_right(truth, 10, 1), with_right(truth, 14, 2)],
        "agreement": [with_right(truth, 24, 3), with_right(truth, 32, 4)],
        "masking": [with_right(truth, 8, 3), with_right(truth, 10, 4)],
        "clean": [with_right(truth, 36, 5)],
    }
    table = method_table(scores, truth, title="a", note="b")
    assert table.metric == "accuracy"
    assert [row.name for row in table.rows] == ["all labels as given", "loss masking", "agreement", "no wrong labels"]
    given, masking, agreement, clean = table.rows
    assert [row.role for row in table.rows] == ["start", "method", "method", "goal"]
    values = [row.figures["accuracy"] for row in table.rows]
    assert [value and value["value"] for value in values] == pytest.approx([12 / 40, 9 / 40, 28 / 40, 36 / 40])
    assert all(value is not None and value["clips"] == 40 for value in values)
    assert table.recovered(agreement) == pytest.approx((28 - 12) / (36 - 12))
    assert table.recovered(masking) == pytest.approx((9 - 12) / (36 - 12))
    assert table.recovered(given) is None and table.recovered(clean) is None
    gap = gap_of(scores, truth)
    assert gap.value == pytest.approx(24 / 40) and gap.low < gap.value < gap.high


def test_the_interval_of_the_gap_is_of_differences_of_the_same_clips(store: Store) -> None:
    truth = load_table(store)[:40]
    lower = with_right(truth, 20, 1)
    assert gap_of({"given": [lower, lower], "clean": [lower]}, truth) == gap_of({"given": [lower], "clean": [lower]}, truth)
    same = gap_of({"given": [lower], "clean": [lower]}, truth)
    assert (same.value, same.low, same.high) == (0, 0, 0)  # though each end has an interval of its own


def test_several_labels_are_compared_by_lwlrap(store: Store) -> None:
    truth = load_table(store)[:40]
    assert metric_of(truth) == "accuracy"
    positive = truth.positive.copy()
    positive[3, :2] = True
    assert metric_of(replace(truth, positive=positive)) == "lwlrap"


def test_methods_that_clips_do_not_allow_are_named_with_the_reason(store: Store) -> None:
    truth = load_table(store)
    derived = derive_methods(load_recipe("quick"), len(truth.labels))
    names, refused = choose_methods(derived, None, [truth])
    assert names == ["given", "masking", "multitask", "verified", "pseudo", "agreement"] and not refused
    few = replace(truth, verified=truth.verified & (truth.fold == 0))
    names, refused = choose_methods(derived, None, [truth, few])  # one of the seeds is enough
    assert names == ["given", "masking", "agreement"] and set(refused) == {"multitask", "verified", "pseudo"}
    assert refused["verified"].startswith("too few clips stay verified")
    with pytest.raises(EarmarkError, match=r"^method pseudo: too few clips stay verified"):
        choose_methods(derived, ["masking", "pseudo"], [few])
    without = replace(truth, positive=truth.positive & ((truth.fold != 0)[:, None] | (np.arange(10) > 0)))
    with pytest.raises(EarmarkError, match=r"^method given: fold 1: no training clip outside it has the label"):
        choose_methods(derived, ["masking"], [without])
    assert choose_methods(derived, ["clean", "masking"], [truth])[0] == ["given", "masking"]  # the ends are always there


@pytest.mark.slow
def test_methods_on_a_store_with_planted_labels(store: Store, tmp_path: Path) -> None:
    clips = load_table(store)
    positive, _ = plant(clips, "symmetric", 0.5, 0.5, seed=1)
    positive[clips.verified | clips.test] = clips.positive[clips.verified | clips.test]
    planted = planted_store(store, tmp_path / "planted", positive, clips.verified)
    recipe = load_recipe("tiny", SMALL)
    places = tmp_path / "out" / "methods", tmp_path / "out" / "clean"
    shown = {"title": "Ten kinds of sound", "note": "Half of the labels are wrong."}
    table = compare_methods(recipe, planted, clips.positive, *places, methods=["verified"], threads=1, **shown)
    assert [row.name for row in table.rows] == ["all labels as given", "verified only", "no wrong labels"]
    figures = [row.figures["accuracy"] for row in table.rows]
    assert all(figure is not None and figure["clips"] == 75 for figure in figures)  # verified or not, but for the test split
    weights = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.safetensors")}
    assert len(weights) >= 2 * 3
    again = compare_methods(recipe, planted, clips.positive, *places, methods=["verified"], threads=1, **shown)
    assert again == table
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.safetensors")} == weights
    with pytest.raises(EarmarkError, match=r"^no method 'foo'; there are given, masking"):
        compare_methods(recipe, planted, clips.positive, *places, methods=["foo"], **shown)
