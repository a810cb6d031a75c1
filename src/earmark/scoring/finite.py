"""Scores that are not finite: whose fault they are, a sound's or the net's. No torch."""

import numpy as np
from numpy.typing import NDArray

from earmark.scoring.scorer import Scorer, Scores

LOUDNESS = 0.1  # of the noise that a net in order has finite scores of


def not_finite(scores: Scores) -> NDArray[np.bool_]:
    """Which sounds have a score that is not finite, bool ``[N]``.

    Args:
        scores: ``[V, N, K]``, as `Scorer.scores` gives them, or ``[N, K]``.
    """
    finite = np.isfinite(scores)
    others = tuple(axis for axis in range(finite.ndim) if axis != finite.ndim - 2)
    return np.asarray(~finite.all(axis=others), np.bool_)


def is_broken(scorer: Scorer) -> bool:
    """Whether a net gives scores that are not finite even for quiet noise: its weights are at fault then, and no sound."""
    noise = np.random.default_rng(0).uniform(-LOUDNESS, LOUDNESS, scorer.input.window).astype(np.float32)
    return not np.isfinite(scorer.score_group([noise], ["whole"])).all()
