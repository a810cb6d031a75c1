"""Logistic regression of many classes at once, in NumPy."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

REMEMBERED = 10  # steps that the search looks back on
ENOUGH = 1e-3  # of the first slope: where the slope is smaller, the search ends
LOWEST_FALL = 1e-4  # share of the fall that the slope promises, at least, which a step must bring


@dataclass(frozen=True)
class Logistic:
    """A logistic regression of K classes on D standardised inputs.

    Attributes:
        mean: of the training inputs, ``[D]``.
        deviation: of the training inputs, ``[D]``; 1 for an input that never changes.
        weights: ``[D, K]``, of standardised inputs.
        bias: ``[K]``.
        exclusive: whether every clip has one label: a softmax over all classes; else each class is a question of its own.
    """

    mean: Numbers
    deviation: Numbers
    weights: Numbers
    bias: Numbers
    exclusive: bool

    def probabilities(self, inputs: NDArray[np.floating]) -> Numbers:
        """The probability of every class, ``[N, K]``, of inputs ``[N, D]``."""
        logits = ((inputs - self.mean) / self.deviation) @ self.weights + self.bias
        return _softmax(logits)[0] if self.exclusive else _sigmoid(logits)


def fit(inputs: NDArray[np.floating], positive: NDArray[np.bool_], exclusive: bool, cost: float, steps: int) -> Logistic:
    """Fits a logistic regression: the least ½·‖weights‖² + cost · (cross-entropy, summed over the clips); the bias is free.

    The search (L-BFGS) runs in coordinates in which this is about equally curved in all directions, so that few steps suffice.

    Args:
        inputs: ``[N, D]``.
        positive: the labels, ``[N, K]``; exactly one a clip if ``exclusive``.
        exclusive: see `Logistic`.
        cost: of mistakes, compared with large weights (scikit-learn's ``C``).
        steps: number of steps, at most.
    """
    clips, classes = positive.shape
    mean, deviation = inputs.mean(axis=0, dtype=np.float64), inputs.std(axis=0, dtype=np.float64)
    deviation[deviation == 0] = 1.0
    left, stretch, right = np.linalg.svd((inputs - mean) / deviation, full_matrices=False)
    share = 1 / classes if exclusive else max(float(positive.mean()), 1 / clips)
    curvature = share * (1 - share)  # of a clip's cross-entropy where nothing is known of it
    scale = 1 / np.sqrt(curvature * stretch**2 + 1 / cost)
    bias_scale = 1 / np.sqrt(curvature * clips)
    design = np.hstack([left * (stretch * scale), np.full((clips, 1), bias_scale)])
    pull = np.append(scale**2 / cost, 0.0)[:, None]
    wanted = positive.astype(np.float64)

    def loss(point: Numbers) -> tuple[float, Numbers]:
        logits = design @ point
        probabilities, log_total = _softmax(logits) if exclusive else (_sigmoid(logits), np.logaddexp(0, logits))
        value = log_total.sum() - (logits * wanted).sum() + 0.5 * (pull * point**2).sum()
        return float(value), design.T @ (probabilities - wanted) + pull * point

    point = _lowest(loss, np.zeros((len(pull), classes)), steps)
    return Logistic(mean, deviation, right.T @ (scale[:, None] * point[:-1]), bias_scale * point[-1], exclusive)


def _lowest(measure: Callable[[Numbers], tuple[float, Numbers]], point: Numbers, steps: int) -> Numbers:
    """About where a convex function is lowest (L-BFGS; Nocedal & Wright, Numerical Optimization, algorithm 7.4).

    Args:
        measure: gives the function's value and slope at a point.
        point: where the search begins.
        steps: number of steps, at most.
    """
    value, slope = measure(point)
    enough = ENOUGH * float(np.linalg.norm(slope))
    history: deque[tuple[Numbers, Numbers, float]] = deque(maxlen=REMEMBERED)
    for _ in range(steps):
        if np.linalg.norm(slope) <= enough:
            break
        direction = -_divided_by_curvature(slope, history)
        promised, length = float((slope * direction).sum()), 1.0
        while True:
            new_point = point + length * direction
            new_value, new_slope = measure(new_point)
            if new_value <= value + LOWEST_FALL * length * promised:
                break
            length /= 2
            if length < 1e-9:  # as low as the precision allows
                return point
        step, change = new_point - point, new_slope - slope
        if (product := float((step * change).sum())) > 0:
            history.append((step, change, product))
        point, value, slope = new_point, new_value, new_slope
    return point


def _divided_by_curvature(slope: Numbers, history: deque[tuple[Numbers, Numbers, float]]) -> Numbers:
    """The slope divided by the curvature that the last steps have shown: the two loops of L-BFGS."""
    result, shares = slope, []
    for step, change, product in reversed(history):
        shares.append(float((step * result).sum()) / product)
        result = result - shares[-1] * change
    if history:
        _, change, product = history[-1]
        result = result * (product / float((change**2).sum()))
    for (step, change, product), share in zip(history, reversed(shares), strict=True):
        result = result + step * (share - float((change * result).sum()) / product)
    return result


def _softmax(logits: Numbers) -> tuple[Numbers, Numbers]:
    """The softmax of each row, and the logarithm of the sum of the row's exponentials, ``[N, 1]``."""
    highest = logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits - highest)
    total = exponentials.sum(axis=1, keepdims=True)
    return exponentials / total, highest + np.log(total)


def _sigmoid(logits: Numbers) -> Numbers:
    with np.errstate(over="ignore"):  # 1 / ∞ is the 0 that is meant
        return 1 / (1 + np.exp(-logits))
