"""Many nets' scores → one (no torch here)."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCORE_FLOOR = 1e-20  # a single zero must not veto a class for the whole ensemble


def combine(scores: Iterable[NDArray[np.floating]], weights: Sequence[float], rule: str) -> NDArray[np.float32]:
    """The weighted mean of members' scores.

    ``geometric_mean`` is Jeong & Lim's equation (8): exp(Σ p·log y), then divided by its L1 norm. The weights are first
    divided by their sum: with the paper's raw weights, 30 members would raise every score to about the 37th power.
    ``arithmetic_mean`` is Σ p·y (Akiyama & Sato §3.6).

    Args:
        scores: ``[..., K]`` of each member, all of one shape; classes on the last axis. Taken one after the other.
        weights: above 0, one a member.
        rule: ``geometric_mean`` or ``arithmetic_mean``.

    Returns:
        float32 ``[..., K]``.

    >>> combine([np.array([0.8, 0.2]), np.array([0.2, 0.8])], [1, 1], "geometric_mean").tolist()
    [0.5, 0.5]
    """
    if rule not in ("geometric_mean", "arithmetic_mean"):
        raise ValueError(f"no rule {rule!r}; there are geometric_mean and arithmetic_mean")
    geometric = rule == "geometric_mean"
    total: Any = 0.0
    for one, weight in zip(scores, weights, strict=True):
        wide = np.asarray(one, np.float64)
        total = total + weight / sum(weights) * (np.log(np.maximum(wide, SCORE_FLOOR)) if geometric else wide)
    if not geometric:
        return np.asarray(total, np.float32)
    mean = np.exp(total)
    return (mean / mean.sum(axis=-1, keepdims=True)).astype(np.float32)
