import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from earmark.assess.metrics import estimates, hits, label_ranking_precision, per_class, precision_at_3
from tests.reference.metrics import average_precision_at_3, lwlrap, lwlrap_of_class


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
