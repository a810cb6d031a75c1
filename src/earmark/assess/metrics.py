"""Metrics of single- and multi-label tagging, and their bootstrap intervals.

Every metric is a mean of per-clip values with per-clip weights, so that one resampling serves all.
"""

from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Positive = NDArray[np.bool_]
Values = NDArray[np.float64]

METRICS = ("map@3", "accuracy", "lwlrap")
RESAMPLES = 2000
BLOCK = 200  # resamples computed at once: bounds the memory


@dataclass(frozen=True)
class Estimate:
    """A metric and its 95 % interval.

    Attributes:
        value: over all clips.
        low: 2.5 % of the resamples lie below.
        high: 2.5 % lie above.
        clips: how many it was computed on.
    """

    value: float
    low: float
    high: float
    clips: int


class EstimateFigures(TypedDict):
    """An `Estimate` as plain data."""

    value: float
    low: float
    high: float
    clips: int


#: The metrics of some clips; None where no clip has a label to be held against.
Figures = TypedDict(
    "Figures", {"map@3": EstimateFigures | None, "accuracy": EstimateFigures | None, "lwlrap": EstimateFigures | None}
)


class ClipFigures(Figures):
    """On verified clips, and under ``all`` on every labelled one."""

    all: Figures


class MemberFigures(ClipFigures):
    """Of a member."""

    leaks: bool  # validation labels have reached its training


class EnsembleFigures(MemberFigures):
    """Of an ensemble."""

    predictions: int  # votes, of all folds
    best_weights: bool  # some of its weights were chosen on the very clips that are scored: the figures lean upwards
    title: NotRequired[str]  # what a publication calls it
    quoted: NotRequired[float]  # the publication's figure


class RunMetrics(ClipFigures):
    """``metrics.json``."""

    leaks: bool
    members: dict[str, MemberFigures]
    ensembles: dict[str, EnsembleFigures]
    folds: dict[str, list[int]]  # that are finished, by member
    keep: dict[str, Literal["best", "last", "snapshots"]]  # which weights count, by member
    recipe: str
    fingerprint: str


class TestFigures(ClipFigures):
    """Of an ensemble on a test split."""

    usage: NotRequired[dict[str, ClipFigures]]  # by part of a published test split
    title: NotRequired[str]
    quoted: NotRequired[float]


class TestMetrics(TestFigures):
    """``metrics-test.json``."""

    ensembles: dict[str, TestFigures]
    recipe: str
    fingerprint: str


def ranks(scores: Scores) -> NDArray[np.int64]:
    """The place of each class in its clip's order, 0 the best: ``[N, K]``. Of equal scores the lower class comes first."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable")


def precision_at_3(scores: Scores, positive: Positive) -> Values:
    """Average precision of the three best guesses of each clip, ``[N]``, 0..1; its mean over clips is MAP@3.

    With one label: 1, 1/2 or 1/3 by the place of the label, 0 below. With several, as Kaggle's MAP@k: the precisions at the
    places of the labels among the first three, summed, over min(labels, 3).
    """
    place = ranks(scores)
    hit = np.stack([(positive & (place == k)).any(axis=1) for k in range(3)], axis=1)
    precision = np.cumsum(hit, axis=1) / np.arange(1, 4)
    return (hit * precision).sum(axis=1) / np.clip(positive.sum(axis=1), 1, 3)


def hits(scores: Scores, positive: Positive) -> Values:
    """1 where the best guess is among the clip's labels, else 0: ``[N]``; its mean over clips is the accuracy."""
    best = np.argmax(scores, axis=1)
    return positive[np.arange(len(positive)), best].astype(np.float64)


def label_ranking_precision(scores: Scores, positive: Positive) -> Values:
    """Precision at the place of each label: ``[N, K]``, 0 where the clip has not the label.

    At a label's place: the share of the clip's labels among all classes that score at least as high. Its sum over everything,
    divided by the number of labels, is lwlrap, and its sum over one class, divided by that class's labels, is that class's
    value (DCASE 2019 Task 2; scikit-learn's ``label_ranking_average_precision_score`` with labels per clip as weights).
    """
    at_least = np.zeros(scores.shape)
    labels_at_least = np.zeros(scores.shape)
    for column in range(scores.shape[1]):  # K steps of [N, K]: an [N, K, K] array would not fit for large N
        counts = scores[:, column, None] >= scores  # does `column` reach each class's score?
        at_least += counts
        labels_at_least += counts & positive[:, column, None]
    return np.where(positive, labels_at_least / at_least, 0.0)


def _sums(scores: Scores, positive: Positive) -> dict[str, tuple[Values, Values]]:
    """Each metric as a numerator and a denominator a clip: its value is the one's sum over the other's."""
    one = np.ones(len(scores))
    return {
        "map@3": (precision_at_3(scores, positive), one),
        "accuracy": (hits(scores, positive), one),
        "lwlrap": (label_ranking_precision(scores, positive).sum(axis=1), positive.sum(axis=1).astype(np.float64)),
    }


def values(scores: Scores, positive: Positive) -> dict[str, float]:
    """MAP@3, accuracy and lwlrap of clips ``[N, K]`` with at least one label each."""
    return {name: float(top.sum() / bottom.sum()) for name, (top, bottom) in _sums(scores, positive).items()}


def estimates(scores: Scores, positive: Positive, group: NDArray[np.str_], seed: int = 0) -> dict[str, Estimate]:
    """MAP@3, accuracy and lwlrap of clips with at least one label, each with its 95 % bootstrap interval.

    Whole groups are drawn, with replacement: clips of one recording stand or fall together.

    Args:
        scores: ``[N, K]``, N at least 1.
        positive: ``[N, K]``.
        group: ``[N]``.
        seed: of the resampling.

    Returns:
        By metric: ``map@3``, ``accuracy``, ``lwlrap``.
    """
    _, group_index = np.unique(group, return_inverse=True)
    groups = int(group_index.max()) + 1
    columns = [column for pair in _sums(scores, positive).values() for column in pair]
    sums = np.stack([np.bincount(group_index, column, groups) for column in columns], axis=1)  # [groups, 2 · metrics]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(0, RESAMPLES, BLOCK):
        times = rng.multinomial(groups, np.full(groups, 1 / groups), size=BLOCK)  # how often each group is drawn
        draws.append(times @ sums)
    drawn = np.concatenate(draws)
    total = sums.sum(axis=0)
    found = {}
    for i, name in enumerate(METRICS):
        low, high = np.percentile(drawn[:, 2 * i] / drawn[:, 2 * i + 1], [2.5, 97.5])
        found[name] = Estimate(float(total[2 * i] / total[2 * i + 1]), float(low), float(high), len(scores))
    return found


def per_class(scores: Scores, positive: Positive) -> dict[str, NDArray[np.float64]]:
    """The metrics of each class, over the clips that have its label: ``[K]`` each, NaN where there is none.

    Returns:
        ``clips``, ``map@3`` (the mean over those clips), ``accuracy`` (the share of those clips whose best guess is right: the
        class's recall for single-label clips), ``lwlrap``.
    """
    count = positive.sum(axis=0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return {
            "clips": count,
            "map@3": precision_at_3(scores, positive) @ positive / count,
            "accuracy": hits(scores, positive) @ positive / count,
            "lwlrap": label_ranking_precision(scores, positive).sum(axis=0) / count,
        }
