import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from earmark.assess import metrics
from earmark.assess.metrics import (
    clip_sums,
    estimates,
    estimates_of_sets,
    hits,
    label_ranking_precision,
    per_class,
    precision_at_3,
    values,
)
from tests.reference.metrics import average_precision_at_3, interval, label_precision, lwlrap, lwlrap_of_class


def make(seed: int, clips: int = 20, classes: int = 6, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (clips, classes)) / 4 if ties else rng.random((clips, classes))
    positive = rng.random((clips, classes)) < 0.3
    positive[np.arange(clips), rng.integers(0, classes, clips)] = True  # every clip has a label
    return scores, positive


def sets(positive: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in positive]


@given(st.integers(0, 10_000), st.booleans())
def test_map_at_3_agrees_with_its_definition(seed: int, ties: bool) -> None:
    scores, positive = make(seed, ties=ties)
    expected = [average_precision_at_3(s, labels) for s, labels in zip(scores.tolist(), sets(positive), strict=True)]
    assert precision_at_3(scores, positive) == pytest.approx(expected)


@given(st.integers(0, 10_000), st.booleans())
def test_lwlrap_agrees_with_its_definition_and_scikit_learn_ties_included(seed: int, ties: bool) -> None:
    scores, positive = make(seed, ties=ties)
    precision = label_ranking_precision(scores, positive)
    ours = precision.sum() / positive.sum()
    assert ours == pytest.approx(lwlrap(scores.tolist(), sets(positive)))
    theirs = sklearn.metrics.label_ranking_average_precision_score(positive, scores, sample_weight=positive.sum(axis=1))
    assert ours == pytest.approx(theirs)


def test_per_class_values_agree_with_the_reference() -> None:
    scores, positive = make(5, clips=40)
    found = per_class(scores, positive)
    for k in range(positive.shape[1]):
        assert found["lwlrap"][k] == pytest.approx(lwlrap_of_class(scores.tolist(), sets(positive), k))
        chosen = positive[:, k]
        assert found["clips"][k] == chosen.sum()
        assert found["map@3"][k] == pytest.approx(precision_at_3(scores, positive)[chosen].mean())
        assert found["accuracy"][k] == pytest.approx(hits(scores, positive)[chosen].mean())


def test_a_single_label_is_worth_1_a_half_a_third_or_nothing() -> None:
    scores = np.array([[0.4, 0.3, 0.2, 0.1]] * 4)
    assert precision_at_3(scores, np.eye(4, dtype=bool)).tolist() == [1, 0.5, 1 / 3, 0]


def test_accuracy_agrees_with_scikit_learn_for_single_labels() -> None:
    rng = np.random.default_rng(2)
    scores, truth = rng.random((50, 5)), rng.integers(0, 5, 50)
    value = estimates(scores, np.eye(5, dtype=bool)[truth], np.arange(50).astype(str))["accuracy"].value
    assert value == pytest.approx(sklearn.metrics.accuracy_score(truth, scores.argmax(axis=1)))


def test_interval_of_a_share_is_the_binomial_one() -> None:
    right = np.arange(400) < 320  # 80 % of 400: standard error 2 points
    scores = np.where(right[:, None], [[1.0, 0.0]], [[0.0, 1.0]])
    positive = np.tile([True, False], (400, 1))
    found = estimates(scores, positive, np.arange(400).astype(str))["accuracy"]
    assert found.value == 0.8
    assert found.clips == 400
    assert found.low == pytest.approx(0.8 - 1.96 * 0.02, abs=0.006)
    assert found.high == pytest.approx(0.8 + 1.96 * 0.02, abs=0.006)


def test_groups_are_drawn_whole_so_copies_of_a_clip_do_not_narrow_the_interval() -> None:
    scores, positive = make(1, clips=60)
    group = np.arange(60).astype(str)
    once = estimates(scores, positive, group)["lwlrap"]
    copied = estimates(np.tile(scores, (5, 1)), np.tile(positive, (5, 1)), np.tile(group, 5))["lwlrap"]
    assert copied.value == pytest.approx(once.value)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert copied.clips == 5 * once.clips


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("clips", "classes"), [(1, 1), (1, 5), (7, 1), (5, 2), (12, 3), (9, 40)])
@pytest.mark.parametrize("at_once", [1, 50, 1 << 20])
def test_figures_of_all_sizes_agree_with_their_definitions(
    clips: int, classes: int, ties: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "BLOCK_SCORES", at_once)  # one clip at a time, a few, all
    scores, positive = make(clips + classes, clips, classes, ties)
    if classes > 3:
        positive[:, 0] = False  # a class that no clip has
        positive[:, 1] |= ~positive.any(axis=1)
    rows, labels = scores.tolist(), sets(positive)
    expected = np.array([average_precision_at_3(s, own) for s, own in zip(rows, labels, strict=True)])
    precision = np.array(
        [[label_precision(s, own, k) if k in own else 0.0 for k in range(classes)] for s, own in zip(rows, labels, strict=True)]
    )
    right = np.array([max(range(classes), key=lambda k, s=s: (s[k], -k)) in own for s, own in zip(rows, labels, strict=True)])
    assert precision_at_3(scores, positive) == pytest.approx(expected, abs=1e-12)
    assert label_ranking_precision(scores, positive) == pytest.approx(precision, abs=1e-12)
    whole = values(scores, positive)
    assert whole["lwlrap"] == pytest.approx(lwlrap(rows, labels), abs=1e-12)
    assert whole["map@3"] == pytest.approx(expected.mean(), abs=1e-12)
    assert whole["accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    of_classes = per_class(scores, positive)
    for k in range(classes):
        has = positive[:, k]
        assert of_classes["clips"][k] == has.sum()
        if has.any():
            assert of_classes["lwlrap"][k] == pytest.approx(precision[has, k].mean(), abs=1e-12)
            assert of_classes["map@3"][k] == pytest.approx(expected[has].mean(), abs=1e-12)
            assert of_classes["accuracy"][k] == pytest.approx(right[has].mean(), abs=1e-12)
        else:
            assert all(np.isnan(of_classes[name][k]) for name in ("lwlrap", "map@3", "accuracy"))


@pytest.mark.parametrize("draws", [1, 7, 1 << 21])
def test_intervals_are_those_of_resamples_that_are_ranked_anew(draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", 100)
    monkeypatch.setattr(metrics, "BLOCK_DRAWS", draws)
    scores, positive = make(11, clips=9, ties=True)
    group = np.array(list("aabbbcdee"))
    rows, labels = scores.tolist(), sets(positive)
    found = estimates(scores, positive, group)
    assert (found["lwlrap"].low, found["lwlrap"].high) == pytest.approx(interval(lwlrap, rows, labels, list(group), 100), abs=1e-12)

    def map_at_3(some_rows: list[list[float]], some_labels: list[set[int]]) -> float:
        return float(np.mean([average_precision_at_3(s, own) for s, own in zip(some_rows, some_labels, strict=True)]))

    assert (found["map@3"].low, found["map@3"].high) == pytest.approx(interval(map_at_3, rows, labels, list(group), 100), abs=1e-12)


def test_several_sets_have_the_estimates_of_each_alone() -> None:
    given_sets = []
    for seed, clips, groups in ((1, 30, 10), (2, 20, 20), (3, 40, 10), (4, 1, 1)):  # two of them share their resamples
        scores, positive = make(seed, clips)
        given_sets.append((scores, positive, (np.arange(clips) % groups).astype(str)))
    together = estimates_of_sets([(clip_sums(scores, positive), group) for scores, positive, group in given_sets])
    for found, (scores, positive, group) in zip(together, given_sets, strict=True):
        alone = estimates(scores, positive, group)
        for name, estimate in alone.items():
            ours = found[name]
            assert (ours.value, ours.low, ours.high) == pytest.approx((estimate.value, estimate.low, estimate.high), abs=1e-12)
            assert ours.clips == estimate.clips == len(scores)
    assert estimates_of_sets([]) == []
