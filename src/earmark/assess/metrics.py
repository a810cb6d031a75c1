"""Metrics of single- and multi-label tagging, and their bootstrap intervals.

Every metric is a mean of per-clip values with per-clip weights, so that the same resamples of the clips serve all metrics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Positive = NDArray[np.bool_]
Values = NDArray[np.float64]
Groups = NDArray[np.str_]

METRICS = ("map@3", "accuracy", "lwlrap")
RESAMPLES = 2000
BLOCK_DRAWS = 1 << 21  # numbers of resamples held at once, a limit for the memory
BLOCK_SCORES = 1 << 20  # scores ranked at once, likewise


@dataclass(frozen=True)
class Estimate:
    """A metric and its 95 % interval.

    Attributes:
        value: the metric over all clips.
        low: lower end of the interval; 2.5 % of the resamples are below it.
        high: upper end of the interval; 2.5 % of the resamples are above it.
        clips: number of clips.
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


#: The metrics over some clips; None if none of the clips is judgeable.
Figures = TypedDict(
    "Figures", {"map@3": EstimateFigures | None, "accuracy": EstimateFigures | None, "lwlrap": EstimateFigures | None}
)


class ClipFigures(Figures):
    """The metrics on verified clips, and under ``all`` on all labelled clips."""

    all: Figures


class MemberFigures(ClipFigures):
    """The metrics of a member."""

    leaks: bool  # whether validation labels got into its training


class EnsembleFigures(MemberFigures):
    """The metrics of an ensemble."""

    predictions: int  # number of votes, all folds together
    best_weights: bool  # whether some weights were chosen on the clips that are scored: the figures are then too high
    title: NotRequired[str]  # the ensemble's name in a publication
    quoted: NotRequired[float]  # the figure in that publication


class FloorFigures(Figures):
    """The metrics of the floor; see `earmark.training.floor`."""

    title: str


class FloorMetrics(TypedDict, total=False):
    """The part of ``metrics.json`` about the floor: either of the two."""

    floor: FloorFigures
    no_floor: str  # why there is none


class RunMetrics(ClipFigures, FloorMetrics):
    """The content of ``metrics.json``."""

    leaks: bool
    members: dict[str, MemberFigures]
    ensembles: dict[str, EnsembleFigures]
    folds: dict[str, list[int]]  # the finished folds of each member
    keep: dict[str, Literal["best", "last", "snapshots"]]  # the kept weights of each member
    recipe: str
    fingerprint: str


class TestFigures(ClipFigures):
    """The metrics of an ensemble on a test split."""

    usage: NotRequired[dict[str, ClipFigures]]  # the metrics on each part of a published test split
    title: NotRequired[str]
    quoted: NotRequired[float]


class TestMetrics(TestFigures):
    """The content of ``metrics-test.json``."""

    ensembles: dict[str, TestFigures]
    recipe: str
    fingerprint: str


def _in_blocks(measure: Callable[[Scores, Positive], Values], scores: Scores, positive: Positive) -> Values:
    """What ``measure`` gives for the clips, computed for so many of them at once that its arrays stay small."""
    rows = max(BLOCK_SCORES // scores.shape[1], 1)
    parts = [measure(scores[first : first + rows], positive[first : first + rows]) for first in range(0, len(scores), rows)]
    return np.concatenate(parts) if parts else measure(scores, positive)


def precision_at_3(scores: Scores, positive: Positive) -> Values:
    """Average precision of the three best guesses of each clip, ``[N]``, 0..1; its mean over clips is MAP@3.

    For a clip with one label: 1, 1/2 or 1/3 if the label has the first, second or third rank, else 0. For several labels, as
    Kaggle's MAP@k: the sum of the precisions at the labels' ranks among the first three, divided by min(labels, 3).
    """
    return _in_blocks(_precision_at_3, scores, positive)


def _precision_at_3(scores: Scores, positive: Positive) -> Values:
    left, best = np.array(scores), []
    for _ in range(min(3, scores.shape[1])):  # sorting all classes would take ten times as long
        best.append(left.argmax(axis=1))
        np.put_along_axis(left, best[-1][:, None], -np.inf, axis=1)
    hit = np.take_along_axis(positive, np.stack(best, axis=1), axis=1)
    precision = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
    return (hit * precision).sum(axis=1) / np.clip(positive.sum(axis=1), 1, 3)


def hits(scores: Scores, positive: Positive) -> Values:
    """1 if a clip's best guess is one of its labels, else 0: ``[N]``; the mean over clips is the accuracy."""
    best = np.argmax(scores, axis=1)
    return positive[np.arange(len(positive)), best].astype(np.float64)


def label_ranking_precision(scores: Scores, positive: Positive) -> Values:
    """Precision at the rank of each label: ``[N, K]``, 0..1; 0 for the classes that are no label of the clip.

    The precision at a label's rank: among all classes that score at least as high as the label, the share that are labels of the
    clip. The sum over all clips and classes, divided by the number of labels, is lwlrap; the sum over one class, divided by the
    number of its labels, is the class's lwlrap (DCASE 2019 Task 2). Same as scikit-learn's
    ``label_ranking_average_precision_score`` with the number of a clip's labels as its weight.
    """
    return _in_blocks(_label_ranking_precision, scores, positive)


def _label_ranking_precision(scores: Scores, positive: Positive) -> Values:
    order = np.argsort(-scores, axis=1, kind="stable")
    sorted_scores, labels = np.take_along_axis(scores, order, axis=1), np.take_along_axis(positive, order, axis=1)
    place = np.arange(scores.shape[1])
    # Equal scores count together: each class is looked at from the last place that has its score.
    last_of_score = np.ones(scores.shape, np.bool_)
    last_of_score[:, :-1] = sorted_scores[:, :-1] != sorted_scores[:, 1:]
    last = np.minimum.accumulate(np.where(last_of_score, place, len(place))[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(np.cumsum(labels, axis=1), last, axis=1) / (last + 1)
    result = np.zeros(scores.shape)
    np.put_along_axis(result, order, np.where(labels, precision, 0.0), axis=1)
    return result


def clip_sums(scores: Scores, positive: Positive) -> Values:
    """For each clip and metric a numerator and a denominator, ``[N, 2 · metrics]``: a metric over some clips is the sum of the
    first over the sum of the second. The scores are ranked once, here; resamples and parts of the clips only add up other rows."""
    ones = np.ones(len(scores))
    by_metric = {
        "map@3": (precision_at_3(scores, positive), ones),
        "accuracy": (hits(scores, positive), ones),
        "lwlrap": (label_ranking_precision(scores, positive).sum(axis=1), positive.sum(axis=1).astype(np.float64)),
    }
    return np.stack([column for name in METRICS for column in by_metric[name]], axis=1)


def values(scores: Scores, positive: Positive) -> dict[str, float]:
    """MAP@3, accuracy and lwlrap of clips that have at least one label each, from scores ``[N, K]`` and labels ``[N, K]``."""
    total = clip_sums(scores, positive).sum(axis=0)
    return {name: float(total[2 * i] / total[2 * i + 1]) for i, name in enumerate(METRICS)}


def estimates(scores: Scores, positive: Positive, group: Groups, seed: int = 0) -> dict[str, Estimate]:
    """MAP@3, accuracy and lwlrap of clips that have at least one label each, with 95 % bootstrap intervals.

    Whole groups are drawn, with replacement, since clips of one recording are not independent.

    Args:
        scores: ``[N, K]``, N at least 1.
        positive: the labels, ``[N, K]``.
        group: the group of each clip, ``[N]``.
        seed: seed of the resampling.

    Returns:
        The estimates by name: ``map@3``, ``accuracy``, ``lwlrap``.
    """
    return estimates_of_sets([(clip_sums(scores, positive), group)], seed)[0]


def estimates_of_sets(sets: Sequence[tuple[Values, Groups]], seed: int = 0) -> list[dict[str, Estimate]]:
    """The `estimates` of several sets of clips. Sets with the same number of groups share their resamples, which take most of the
    time; the estimates are the same as those of each set alone.

    Args:
        sets: of each set what `clip_sums` gives, ``[N, 2 · metrics]`` with N at least 1, and the group of each clip, ``[N]``.
        seed: seed of the resampling.
    """
    sums = [_group_sums(*pair) for pair in sets]
    results: list[dict[str, Estimate]] = [{} for _ in sets]
    for groups in {len(rows): None for rows in sums}:
        members = [i for i, rows in enumerate(sums) if len(rows) == groups]
        for i, drawn in zip(members, _resampled([sums[i] for i in members], seed), strict=True):
            low, high = np.percentile(drawn[:, 0::2] / drawn[:, 1::2], [2.5, 97.5], axis=0)
            total, clips = sums[i].sum(axis=0), len(sets[i][1])
            results[i] = {
                name: Estimate(float(total[2 * m] / total[2 * m + 1]), float(low[m]), float(high[m]), clips)
                for m, name in enumerate(METRICS)
            }
    return results


def _group_sums(sums: Values, group: Groups) -> Values:
    """The sums over the clips of each group, ``[groups, columns]``, from those of each clip, ``[N, columns]``."""
    _, index = np.unique(group, return_inverse=True)
    return np.stack([np.bincount(index, column) for column in sums.T], axis=1)


def _resampled(sets: Sequence[Values], seed: int) -> list[Values]:
    """The sums over each resample of the groups, ``[resamples, columns]`` of each set, from those of each group, ``[groups, columns]``.

    The sets are multiplied one by one: together, their sums would be added in an order that depends on the other sets.
    """
    groups, rng = len(sets[0]), np.random.default_rng(seed)
    rows = max(BLOCK_DRAWS // groups, 1)  # the draws are the same, however many are made at once
    parts: list[list[Values]] = [[] for _ in sets]
    for first in range(0, RESAMPLES, rows):
        times = rng.multinomial(groups, np.full(groups, 1 / groups), size=min(rows, RESAMPLES - first))  # each group is drawn
        for own, sums in zip(parts, sets, strict=True):
            own.append(times @ sums)
    return [np.concatenate(own) for own in parts]


def per_class(scores: Scores, positive: Positive) -> dict[str, NDArray[np.float64]]:
    """The metrics of each class over the clips that have its label, as arrays ``[K]``; NaN for a class that no clip has.

    Returns:
        ``clips`` (their number), ``map@3`` (mean over those clips), ``accuracy`` (share of those clips whose best guess is right:
        the recall of the class, if clips have one label each) and ``lwlrap`` of the class.
    """
    count = positive.sum(axis=0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return {
            "clips": count,
            "map@3": precision_at_3(scores, positive) @ positive / count,
            "accuracy": hits(scores, positive) @ positive / count,
            "lwlrap": label_ranking_precision(scores, positive).sum(axis=0) / count,
        }
