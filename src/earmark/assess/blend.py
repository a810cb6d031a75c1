"""Guesses of several judges as one, as sure as they are right: weighed so that they explain best what verified clips are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earmark.data.table import Array

SMALLEST = 1e-7  # of a guess
MOST_CLIPS = 20_000  # verified clips to weigh with, at most
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
    rows = rows[:: max(-(-len(rows) // MOST_CLIPS), 1)]
    if exclusive:
        features = [np.log(np.maximum(part[rows], SMALLEST)).astype(np.float64) for part in guesses]
        weights = _softmax_weights(np.stack(features), positive[rows])
        total = np.zeros(guesses[0].shape, np.float32)
        for weight, part in zip(weights, guesses, strict=True):
            total += np.float32(weight) * np.log(np.maximum(part, SMALLEST)).astype(np.float32)
        return _softmax(total)
    logits = [_logit(part[rows].astype(np.float64)) for part in guesses]
    bias_and_weights = _sigmoid_weights(np.stack(logits), positive[rows])
    total = np.full(guesses[0].shape, bias_and_weights[0], np.float32)
    for weight, part in zip(bias_and_weights[1:], guesses, strict=True):
        total += np.float32(weight) * _logit(part.astype(np.float32))
    return (1 / (1 + np.exp(-total))).astype(np.float32)


def _softmax_weights(features: Floats, positive: Array) -> Floats:
    """The weights for log probabilities ``[J, N, K]``."""
    equal = np.full(len(features), 1 / len(features))
    weights = equal.copy()
    label = positive.argmax(axis=1)
    of_label = features[:, np.arange(len(label)), label]
    for _ in range(STEPS if len(label) else 0):
        share = _softmax(np.tensordot(weights, features, 1))
        mean = (share * features).sum(axis=2)
        slope = (of_label - mean).sum(axis=1) - TRUST * (weights - equal)
        centred = features - mean[:, :, None]
        curve = np.einsum("ink,jnk,nk->ij", centred, centred, share) + TRUST * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights = np.maximum(weights + step / max(1.0, float(np.abs(step).max())), 0)
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _sigmoid_weights(features: Floats, positive: Array) -> Floats:
    """The bias and the weights for log odds ``[J, N, K]``."""
    judges = len(features)
    design = np.concatenate([np.ones((1, features[0].size)), features.reshape(judges, -1)])
    wanted = positive.reshape(-1)
    start = np.array([0.0, *[1 / judges] * judges])
    weights = start.copy()
    for _ in range(STEPS if wanted.size else 0):
        share = 1 / (1 + np.exp(-weights @ design))
        slope = design @ (wanted - share) - TRUST * (weights - start)
        curve = (design * (share * (1 - share))) @ design.T + TRUST * np.eye(judges + 1)
        step = np.linalg.solve(curve, slope)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        weights[1:] = np.maximum(weights[1:], 0)
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _logit(share: Array) -> Array:
    share = np.clip(share, SMALLEST, 1 - SMALLEST)
    odds: Array = np.log(share / (1 - share))
    return odds
