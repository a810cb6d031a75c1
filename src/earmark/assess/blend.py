"""Guesses of several judges as one, as sure as they are right: weighed so that they explain best what verified clips are."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from earmark.data.table import Array

SMALLEST = 1e-7  # of a guess
MOST_CLIPS = 20_000  # verified clips to weigh with, at most
MOST_GUESSES = 2_000_000  # of each judge at these clips, at most
AT_ONCE = 4_000_000  # guesses that are blended together: this bounds the memory
FARTHEST = 60.0  # log odds, at most
STEPS = 30  # of Newton's method, at most
TRUST = 4.0  # clips that speak for equal weights: what decides if few clips are verified

Floats = NDArray[np.float64]


def blended(guesses: Sequence[Array], positive: Array, known: Array, exclusive: bool) -> NDArray[np.float32]:
    """The guesses of judges as one probability of each class.

    With one label a clip: softmax(Σ wⱼ·log pⱼ). Else for each class on its own: sigmoid(b + Σ wⱼ·logit pⱼ). The weights, at least 0,
    and b are those under which the labels of verified clips are the likeliest; a single judge is so made more or less sure of itself.
    Without verified clips all judges weigh the same, together 1.

    Args:
        guesses: of each judge ``[N, K]``, 0..1.
        positive: the labels, bool ``[N, K]``.
        known: clips whose labels are to be explained, bool ``[N]``; with one label each, if ``exclusive``.
        exclusive: whether a clip has one label at most.

    Returns:
        ``[N, K]``; rows have the sum 1 if ``exclusive``.
    """
    rows = np.flatnonzero(known)
    most = min(MOST_CLIPS, max(MOST_GUESSES // max(positive.shape[1], 1), 1))
    rows = rows[:: max(-(-len(rows) // most), 1)]
    known_guesses = np.stack([part[rows].astype(np.float64) for part in guesses])
    if exclusive:
        bias, weights = 0.0, _softmax_weights(_logs(known_guesses), positive[rows])
    else:
        bias_and_weights = _sigmoid_weights(_logit(known_guesses), positive[rows])
        bias, weights = float(bias_and_weights[0]), bias_and_weights[1:]
    result = np.empty(guesses[0].shape, np.float32)
    some = max(AT_ONCE // max(positive.shape[1], 1), 1)
    for first in range(0, len(result), some):
        part = slice(first, first + some)
        total = np.full(result[part].shape, bias)
        for weight, judge_guesses in zip(weights, guesses, strict=True):
            exact = judge_guesses[part].astype(np.float64)
            total += weight * (_logs(exact) if exclusive else _logit(exact))
        result[part] = _softmax(total) if exclusive else _sigmoid(total)
    return result


def _softmax_weights(features: Floats, positive: Array) -> Floats:
    """The weights for log probabilities ``[J, N, K]``."""
    equal = np.full(len(features), 1 / len(features))
    label = positive.argmax(axis=1)
    of_label = features[:, np.arange(len(label)), label]

    def measure(weights: Floats) -> tuple[float, Floats, Floats]:
        logits = np.tensordot(weights, features, 1)
        share = _softmax(logits)
        mean = (share * features).sum(axis=2)
        flat = ((features - mean[:, :, None]) * np.sqrt(share)).reshape(len(features), -1)
        highest = logits.max(axis=1)
        total = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
        return float((weights @ of_label - total).sum()), (of_label - mean).sum(axis=1), flat @ flat.T

    return _likeliest(measure, equal, np.zeros(len(equal))) if len(label) else equal


def _sigmoid_weights(features: Floats, positive: Array) -> Floats:
    """The bias and the weights for log odds ``[J, N, K]``."""
    judges = len(features)
    design = np.concatenate([np.ones((1, features[0].size)), features.reshape(judges, -1)])
    wanted = positive.reshape(-1)
    equal = np.array([0.0, *[1 / judges] * judges])

    def measure(weights: Floats) -> tuple[float, Floats, Floats]:
        odds = weights @ design
        share = _sigmoid(odds)
        value = -np.logaddexp(0, np.where(wanted, -odds, odds)).sum()
        return float(value), design @ (wanted - share), (design * (share * (1 - share))) @ design.T

    return _likeliest(measure, equal, np.array([-np.inf, *[0.0] * judges])) if wanted.size else equal


def _likeliest(measure: Callable[[Floats], tuple[float, Floats, Floats]], equal: Floats, lowest: Floats) -> Floats:
    """The likeliest weights, none of them below its lowest value: by Newton's method, with shorter steps where a whole one goes too far.

    Args:
        measure: gives the log likelihood at some weights ``[W]``, its slope ``[W]`` and its curvature, turned positive, ``[W, W]``.
        equal: weights for which `TRUST` clips speak.
        lowest: values of the weights.
    """

    def trusted(weights: Floats) -> tuple[float, Floats, Floats]:
        value, slope, curve = measure(weights)
        off = weights - equal
        return value - TRUST / 2 * float(off @ off), slope - TRUST * off, curve + TRUST * np.eye(len(off))

    weights = equal.copy()
    value, slope, curve = trusted(weights)
    for _ in range(STEPS):
        free = (weights > lowest) | (slope > 0)  # the others are at their end, and would go on
        step = np.zeros(len(weights))
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        for _ in range(STEPS):
            further = np.maximum(weights + step, lowest)
            new = trusted(further)
            if new[0] >= value or np.abs(step).max() < 1e-6:
                break
            step /= 2
        moved = float(np.abs(further - weights).max())
        weights, (value, slope, curve) = further, new
        if moved < 1e-6:
            break
    return weights


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _sigmoid(odds: Array) -> Array:
    share: Array = 1 / (1 + np.exp(-np.clip(odds, -FARTHEST, FARTHEST)))
    return share


def _logs(share: Array) -> Array:
    logs: Array = np.log(np.maximum(share, SMALLEST))
    return logs


def _logit(share: Array) -> Array:
    share = np.clip(share, SMALLEST, 1 - SMALLEST)
    odds: Array = np.log(share / (1 - share))
    return odds
