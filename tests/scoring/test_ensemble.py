import math
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.scoring.ensemble import combine


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(2, 5))
def test_geometric_mean_is_equation_8_number_by_number(seed: int, members: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(classes, 0.2), members)
    weights = rng.uniform(0.5, 2, members)
    raw = [
        math.exp(sum(w / sum(weights) * math.log(max(y[c], 1e-20)) for w, y in zip(weights, scores, strict=True)))
        for c in range(classes)
    ]
    expected = [value / sum(raw) for value in raw]
    assert combine(list(scores), list(weights), "geometric_mean") == pytest.approx(np.array(expected), rel=1e-5)


def test_arithmetic_mean_weighs_and_keeps_the_shape() -> None:
    one, two = np.full((2, 3, 4), 0.2), np.full((2, 3, 4), 0.8)
    found = combine([one, two], [3, 1], "arithmetic_mean")
    assert found.shape == (2, 3, 4)
    assert np.allclose(found, 0.35)


def test_thirty_equal_members_are_as_sure_as_one() -> None:
    scores = np.array([0.7, 0.2, 0.1])
    assert np.allclose(combine([scores] * 30, [1.5] * 15 + [1.0] * 15, "geometric_mean"), scores)


def test_one_zero_does_not_veto_and_all_zeros_stay_finite() -> None:
    found = combine([np.array([0.0, 1.0]), np.array([1.0, 0.0])], [1, 1], "geometric_mean")
    assert np.allclose(found, [0.5, 0.5])
    assert np.isfinite(combine([np.zeros(3)], [1], "geometric_mean")).all()


def slow_mean(scores: list[np.ndarray], weights: list[float], rule: str) -> np.ndarray:
    """All members at once, a number at a time."""
    found = np.zeros(scores[0].shape)
    for place in np.ndindex(found.shape):
        parts = [(w / sum(weights), float(one[place])) for one, w in zip(scores, weights, strict=True)]
        if rule == "arithmetic_mean":
            found[place] = sum(w * y for w, y in parts)
        else:
            found[place] = math.prod(max(y, 1e-20) ** w for w, y in parts)
    return found if rule == "arithmetic_mean" else found / found.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("rule", ["geometric_mean", "arithmetic_mean"])
def test_scores_are_taken_one_after_the_other_and_let_go(rule: str) -> None:
    """170 predictions of every clip at once would not fit."""
    rng = np.random.default_rng(4)
    scores = [rng.dirichlet(np.full(4, 0.3), (2, 3)).astype(np.float32) for _ in range(30)]
    weights = rng.uniform(0.5, 4, 30).tolist()
    kept: list[weakref.ref[np.ndarray]] = []
    most = 0

    def one_by_one() -> Iterator[np.ndarray]:
        nonlocal most
        for score in scores:
            most = max(most, sum(reference() is not None for reference in kept))
            taken = score.copy()
            kept.append(weakref.ref(taken))
            yield taken

    found = combine(one_by_one(), weights, rule)
    assert np.allclose(found, slow_mean(scores, weights, rule), atol=1e-6)
    assert found.dtype == np.float32
    assert len(kept) == 30
    assert most <= 2  # the one that was added last, and this generator's own


def test_as_many_weights_as_scores_are_needed() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        combine(iter([np.ones(2)]), [1, 1], "arithmetic_mean")


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="there are geometric_mean and arithmetic_mean"):
        combine([np.ones(2)], [1], "median")
