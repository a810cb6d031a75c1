import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.tagging.ensemble import combine


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


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="there are geometric_mean and arithmetic_mean"):
        combine([np.ones(2)], [1], "median")
