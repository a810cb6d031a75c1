"""MAP@3, lwlrap and bootstrap intervals, straight from their definitions."""

from collections.abc import Callable

import numpy as np


def best_three(scores: list[float]) -> list[int]:
    order: list[int] = []
    while len(order) < min(3, len(scores)):
        best = None
        for k, score in enumerate(scores):
            if k not in order and (best is None or score > scores[best]):
                best = k
        assert best is not None
        order.append(best)
    return order


def average_precision_at_3(scores: list[float], labels: set[int]) -> float:
    """Kaggle's: precision at each of the first three places that holds a label, over min(number of labels, 3)."""
    right, total = 0, 0.0
    for place, guess in enumerate(best_three(scores), start=1):
        if guess in labels:
            right += 1
            total += right / place
    return total / min(len(labels), 3)


def label_precision(scores: list[float], labels: set[int], label: int) -> float:
    """Of the classes that score at least as high as the label: the share that are labels too."""
    reached = [k for k, score in enumerate(scores) if score >= scores[label]]
    return len([k for k in reached if k in labels]) / len(reached)


def lwlrap(scores: list[list[float]], labels: list[set[int]]) -> float:
    """Every label of every clip counts once."""
    values = [label_precision(s, there, label) for s, there in zip(scores, labels, strict=True) for label in there]
    return sum(values) / len(values)


def lwlrap_of_class(scores: list[list[float]], labels: list[set[int]], label: int) -> float:
    values = [label_precision(s, there, label) for s, there in zip(scores, labels, strict=True) if label in there]
    return sum(values) / len(values)


def interval(
    metric: Callable[[list[list[float]], list[set[int]]], float],
    scores: list[list[float]],
    labels: list[set[int]],
    group: list[str],
    resamples: int,
) -> tuple[float, float]:
    """2.5 and 97.5 % of the metric over resamples: the clips of the drawn groups are put together, and ranked anew."""
    names, rng = sorted(set(group)), np.random.default_rng(0)
    results = []
    for _ in range(resamples):
        times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))
        drawn = [
            i for name, count in zip(names, times, strict=True) for _ in range(count) for i in range(len(group)) if group[i] == name
        ]
        results.append(metric([scores[i] for i in drawn], [labels[i] for i in drawn]))
    low, high = np.percentile(results, [2.5, 97.5])
    return float(low), float(high)
