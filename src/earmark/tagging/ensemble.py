"""Many nets' scores → one (no torch here)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SCORE_FLOOR = 1e-20  # a single zero must not veto a class for the whole ensemble


def combine(scores: Sequence[NDArray[np.floating]], weights: Sequence[float], rule: str) -> NDArray[np.float32]:
    """The weighted mean of members' scores.

    ``geometric_mean`` is Jeong & Lim's equation (8): exp(Σ p·log y), then divided by its L1 norm. The weights are first
    divided by their sum: with the paper's raw weights, 30 members would raise every score to about the 37th power.
    ``arithmetic_mean`` is Σ p·y.

    Args:
        scores: ``[..., K]`` of each member, all of one shape; classes on the last axis.
        weights: above 0, one a member.
        rule: ``geometric_mean`` or ``arithmetic_mean``.

    Returns:
        float32 ``[..., K]``.

    >>> combine([np.array([0.8, 0.2]), np.array([0.2, 0.8])], [1, 1], "geometric_mean").tolist()
    [0.5, 0.5]
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    stacked = np.stack([np.asarray(s, np.float64) for s in scores])
    if rule == "arithmetic_mean":
        return np.tensordot(share, stacked, axes=1).astype(np.float32)
    if rule != "geometric_mean":
        raise ValueError(f"no rule {rule!r}; there are geometric_mean and arithmetic_mean")
    mean = np.exp(np.tensordot(share, np.log(np.maximum(stacked, SCORE_FLOOR)), axes=1))
    return (mean / mean.sum(axis=-1, keepdims=True)).astype(np.float32)
