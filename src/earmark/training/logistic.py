"""Logistic regression of many classes at once."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

Array = NDArray[Any]

REMEMBERED = 10  # steps that the search looks back on
ENOUGH = 3e-3  # of the first slope: where the slope is smaller, the search ends
LOWEST_FALL = 1e-4  # share of the fall that the slope promises, at least, which a step must bring


@dataclass(frozen=True)
class Logistic:
    """A logistic regression of K classes on D inputs.

    Attributes:
        mean: of the training inputs, float64 ``[D]``.
        deviation: of the training inputs, float64 ``[D]``; 1 for an input that never changes.
        weights: of standardised inputs, float64 ``[D, K]``.
        bias: float64 ``[K]``.
        exclusive: whether every clip has one label: a softmax over all classes; else each class is a question of its own.
    """

    mean: Tensor
    deviation: Tensor
    weights: Tensor
    bias: Tensor
    exclusive: bool

    def probabilities(self, inputs: Array) -> Array:
        """The probability of every class, float64 ``[N, K]``, for inputs ``[N, D]``."""
        logits = (_tensor(inputs) - self.mean) / self.deviation @ self.weights + self.bias
        probabilities: Array = (logits.softmax(dim=1) if self.exclusive else logits.sigmoid()).numpy()
        return probabilities


def fit(inputs: Array, positive: Array, exclusive: bool, cost: float, steps: int) -> Logistic:
    """Fits a logistic regression: the least ½·‖weights‖² + cost · (cross-entropy, summed over the clips); the bias is free.

    The search (L-BFGS) runs in coordinates in which this is about equally curved in all directions, so that few steps suffice.

    Args:
        inputs: ``[N, D]``.
        positive: the labels of at least two classes, bool ``[N, K]``; exactly one a clip if ``exclusive``.
        exclusive: see `Logistic`.
        cost: of mistakes, compared with large weights (scikit-learn's ``C``).
        steps: number of steps, at most.
    """
    clips, classes = positive.shape
    given, wanted = _tensor(inputs), _tensor(positive)
    deviation, mean = torch.std_mean(given, dim=0, correction=0)
    deviation[given.amin(dim=0) == given.amax(dim=0)] = 1.0
    left, stretch, right = torch.linalg.svd((given - mean) / deviation, full_matrices=False)
    # Where all clips have all labels, or none has any, there would be no curvature.
    share = 1 / classes if exclusive else min(max(float(wanted.mean()), 1 / clips), clips / (clips + 1))
    curvature = share * (1 - share)  # of a clip's cross-entropy where nothing is known of it
    scale = (curvature * stretch**2 + 1 / cost).rsqrt()
    bias_scale = (curvature * clips) ** -0.5
    design = torch.hstack([left * (stretch * scale), torch.full((clips, 1), bias_scale, dtype=torch.float64)])
    pull = torch.cat([scale**2 / cost, torch.zeros(1, dtype=torch.float64)])[:, None]
    measure = cross_entropy if exclusive else binary_cross_entropy_with_logits

    def loss(point: Tensor) -> tuple[float, Tensor]:
        logits = design @ point
        wrong = (logits.softmax(dim=1) if exclusive else logits.sigmoid()) - wanted
        value = measure(logits, wanted, reduction="sum") + 0.5 * (pull * point**2).sum()
        return float(value), design.T @ wrong + pull * point

    point = _lowest(loss, torch.zeros(len(pull), classes, dtype=torch.float64), steps)
    return Logistic(mean, deviation, right.T @ (scale[:, None] * point[:-1]), bias_scale * point[-1], exclusive)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, np.float64))


def _lowest(measure: Callable[[Tensor], tuple[float, Tensor]], point: Tensor, steps: int) -> Tensor:
    """About where a convex function is lowest (L-BFGS; Nocedal & Wright, Numerical Optimization, algorithm 7.4).

    Args:
        measure: gives the function's value and slope at a point.
        point: where the search begins.
        steps: number of steps, at most.
    """
    value, slope = measure(point)
    enough = ENOUGH * float(slope.norm())
    history: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=REMEMBERED)
    for _ in range(steps):
        if float(slope.norm()) <= enough:
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


def _divided_by_curvature(slope: Tensor, history: deque[tuple[Tensor, Tensor, float]]) -> Tensor:
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
