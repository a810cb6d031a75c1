"""The scores of many nets → one score. No torch."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCORE_FLOOR = 1e-20  # else one net's zero would make the whole ensemble's score of a class zero


def combine(scores: Iterable[NDArray[np.floating]], weights: Sequence[float], rule: str) -> NDArray[np.float32]:
    """The weighted mean of several nets' scores.

    ``geometric_mean`` is Jeong & Lim's equation (8): exp(Σ p·log y), then divided by its L1 norm. The weights p are first
    divided by their sum: with the paper's own weights, 30 members would raise every score to about the 37th power.
    ``arithmetic_mean`` is Σ p·y (Akiyama & Sato §3.6), the weights also divided by their sum.

    Args:
        scores: the scores of each net, ``[..., K]``, all of the same shape; read one after the other.
        weights: one number above 0 for each net.
        rule: ``geometric_mean`` or ``arithmetic_mean``.

    Returns:
        float32 ``[..., K]``.

    Raises:
        ValueError: there is no such rule.

    >>> combine([np.array([0.8, 0.2]), np.array([0.2, 0.8])], [1, 1], "geometric_mean").tolist()
    [0.5, 0.5]
    """
    if rule not in ("geometric_mean", "arithmetic_mean"):
        raise ValueError(f"no rule {rule!r}; there are geometric_mean and arithmetic_mean")
    geometric = rule == "geometric_mean"
    total: Any = 0.0
    for net_scores, weight in zip(scores, weights, strict=True):
        float64_scores = np.asarray(net_scores, np.float64)
        total = total + weight / sum(weights) * (np.log(np.maximum(float64_scores, SCORE_FLOOR)) if geometric else float64_scores)
    if not geometric:
        return np.asarray(total, np.float32)
    mean = np.exp(total)
    return (mean / mean.sum(axis=-1, keepdims=True)).astype(np.float32)
