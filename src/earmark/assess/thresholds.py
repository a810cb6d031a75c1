"""How far a model's scores are to be trusted: its temperature, and for every class the scores from which on its label is to be given.

Both are chosen on verified clips, scored by nets that never heard them. `earmark.tagging.thresholds` applies them.

*Temperature.* The one under which the labels of these clips are the likeliest.

*Thresholds.* A class has few verified clips, so it is judged on its own and on all classes together, whose counts are added as if they were
`STRENGTH` further clips of the class: with few clips of its own, a class has about the thresholds of all; with many, its own. A precision is
only taken for reached where it is so by three quarters of a standard deviation: the lowest score that seems to reach it seems better than it is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earmark.assess.joined import Joined
from earmark.tagging.bundle import Calibration, Thresholds
from earmark.tagging.card import ClassCounts, Kept
from earmark.tagging.thresholds import class_thresholds, tempered

FEWEST = 50  # verified clips; with so many a temperature brings 96 % of what it can: see docs/results.md
TRUST = 4.0  # clips that speak for the temperature 1, or all-right labels would make the scores endlessly sure
LOWEST, HIGHEST = 0.05, 20.0  # temperature
SMALLEST = 1e-20  # of a score, in a logarithm
MOST_SCORES = 2_000_000  # that a temperature is fitted on, at most
STRENGTH = 16.0  # clips as which all classes together count with each; of 4, 8, 16, 32 and 64, on ESC-50 and on simulated scores
CAUTION = 0.75  # standard deviations; with 0.5 simulated classes fall short, with 1 hardly a class of ESC-50 reaches 0.95
#: Precisions that a bundle has thresholds for.
PRECISIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.875, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.99)
AMONG_LABELS, BELOW = 128, 96  # thresholds to choose from: at the best scores, as many as there are labels; and at lower ones
LOWER = 12  # times as many scores as there are labels are looked at
PARTS = 5  # of the recordings, to measure thresholds with
WISHES = (0.5, 0.7, 0.8, 0.9, 0.95)  # that are measured

Scores = NDArray[np.float32]
Positive = NDArray[np.bool_]
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Trust:
    """How far a model's scores are to be trusted.

    Attributes:
        calibration: None if too few clips are verified.
        thresholds: likewise.
        kept: what comes of the thresholds; empty without thresholds, or if there are too few recordings to measure it.
        classes: likewise, of every class.
    """

    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    kept: tuple[Kept, ...] = ()
    classes: tuple[ClassCounts, ...] = ()


def trust_of(joined: Joined, exclusive: bool) -> Trust:
    """How far the scores of an ensemble are to be trusted.

    Args:
        joined: clips with out-of-fold scores; those are used that are verified and whose labels are known.
        exclusive: whether the scores of a clip have the sum 1.
    """
    known = joined.chosen(joined.clips.verified & joined.clips.scored & ~joined.clips.test)
    positive = known.clips.positive
    if len(positive) < FEWEST or not positive.any():
        return Trust()
    temperature = fit_temperature(known.scores, positive, exclusive)
    scores = tempered(known.scores, temperature, exclusive)
    chosen = choose_thresholds(scores, positive)
    calibration = Calibration(temperature=float(f"{temperature:.4g}"), clips=len(positive))
    _, recording = np.unique(known.clips.group, return_inverse=True)
    if recording.max() < PARTS - 1:
        return Trust(calibration, chosen)
    part = recording % PARTS
    parts = [(part == number, choose_thresholds(scores[part != number], positive[part != number])) for number in range(PARTS)]
    kept, of_auto = [], np.zeros(positive.shape, np.bool_)
    for precision in (None, *WISHES):
        given = np.zeros(positive.shape, np.bool_)
        for rows, of_others in parts:
            given[rows] = scores[rows] >= class_thresholds(of_others, precision)
        never = int(np.isinf(class_thresholds(chosen, precision)).sum())
        kept.append(measured(precision, given, positive, never))
        of_auto = given if precision is None else of_auto
    counts = (positive.sum(axis=0).tolist(), of_auto.sum(axis=0).tolist(), (of_auto & positive).sum(axis=0).tolist())
    return Trust(calibration, chosen, tuple(kept), tuple(ClassCounts(*row) for row in zip(*counts, strict=True)))


def measured(wish: float | None, given: Positive, positive: Positive, out_of_reach: int = 0) -> Kept:
    """What came of a wish.

    Args:
        wish: a precision; None for ``auto``.
        given: the labels that were given, bool ``[N, K]``.
        positive: the labels, bool ``[N, K]``.
        out_of_reach: number of classes that are never given.
    """
    tags, labels, right = int(given.sum()), int(positive.sum()), int((given & positive).sum())
    return Kept(
        wish,
        right / tags if tags else None,
        right / max(labels, 1),
        2 * right / max(tags + labels, 1),
        float(given.any(axis=1).mean()),
        out_of_reach,
    )


def fit_temperature(scores: Scores, positive: Positive, exclusive: bool) -> float:
    """The temperature under which labels are the likeliest: by Newton's method, of the inverse of the temperature.

    Args:
        scores: float32 ``[N, K]``, 0..1.
        positive: the labels, bool ``[N, K]``. If classes exclude each other, all labels of a clip are taken for equally likely, and all
            classes for a clip without labels.
        exclusive: whether the scores of a clip have the sum 1.
    """
    step = max(-(-scores.size // MOST_SCORES), 1)
    exact, positive = scores[::step].astype(np.float64), positive[::step]
    if exclusive:
        wanted = positive | ~positive.any(axis=1, keepdims=True)
        wanted = wanted / wanted.sum(axis=1, keepdims=True)
        features = np.log(np.maximum(exact, SMALLEST))
        features -= features.max(axis=1, keepdims=True)
    else:
        wanted = positive.astype(np.float64)
        features = np.log(np.maximum(exact, SMALLEST)) - np.log(np.maximum(1 - exact, SMALLEST))
    low, high, inverse = 1 / HIGHEST, 1 / LOWEST, 1.0
    for _ in range(60):
        if exclusive:
            shares = np.exp(inverse * features)
            shares /= shares.sum(axis=1, keepdims=True)
            mean = (shares * features).sum(axis=1)
            curve = float((shares * features**2).sum() - mean @ mean)
        else:
            shares = 1 / (1 + np.exp(-np.clip(inverse * features, -700, 700)))
            curve = float((shares * (1 - shares) * features**2).sum())
        slope = float(((wanted - shares) * features).sum()) - TRUST * (inverse - 1)
        low, high = (inverse, high) if slope > 0 else (low, inverse)  # the likelihood has one summit
        further = inverse + slope / (curve + TRUST)
        if not low < further < high:
            further = (low * high) ** 0.5
        if abs(further - inverse) < 1e-6 * inverse:
            break
        inverse = further
    return 1 / inverse


def choose_thresholds(scores: Scores, positive: Positive) -> Thresholds:
    """The thresholds of every class.

    Args:
        scores: calibrated, float32 ``[N, K]``.
        positive: the labels, bool ``[N, K]``.
    """
    labels = positive.sum(axis=0).astype(np.float64)
    candidates = _candidates(scores, max(int(labels.sum()), 1))
    given, right = _counts(scores, positive, np.array(candidates, np.float32))
    share = STRENGTH / max(labels.sum(), 1)
    given, right = given + share * given.sum(axis=1, keepdims=True), right + share * right.sum(axis=1, keepdims=True)
    best = (2 * right / (given + labels + STRENGTH)).argmax(axis=0)
    sure = _lower(right, given)
    columns = []
    for precision in PRECISIONS:
        reached = sure >= precision
        places = np.where(reached.any(axis=0), reached.argmax(axis=0), -1)
        columns.append([None if place < 0 else candidates[place] for place in places])
    return Thresholds(
        clips=len(positive),
        f1=[candidates[place] for place in best],
        precisions=list(PRECISIONS),
        scores=[list(row) for row in zip(*columns, strict=True)],
    )


def _candidates(scores: Scores, labels: int) -> list[float]:
    """Scores to choose thresholds from, rising: many of them where the best scores are, as many as there are labels, and fewer below."""
    some = min(LOWER * labels, scores.size) - 1
    best = -np.sort(np.partition(-scores, some, axis=None)[: some + 1])
    ranks = np.concatenate([np.linspace(0, labels, AMONG_LABELS), np.geomspace(labels, LOWER * labels, BELOW)])
    chosen = best[np.minimum(ranks.astype(np.int64), some)]
    return sorted({float(f"{score:.6g}") for score in chosen})


def _counts(scores: Scores, positive: Positive, candidates: Scores) -> tuple[Counts, Counts]:
    """How many clips have a score from each of the candidates on, ``[G, K]``, and how many of those have the label."""
    rows, classes = np.nonzero(scores >= candidates[0])
    place = np.searchsorted(candidates, scores[rows, classes], side="right") - 1
    shape = len(candidates), scores.shape[1]
    cell = place * shape[1] + classes
    counts = [np.bincount(cells, minlength=shape[0] * shape[1]) for cells in (cell, cell[positive[rows, classes]])]
    above = [count.reshape(shape)[::-1].cumsum(axis=0)[::-1].astype(np.float64) for count in counts]
    return above[0], above[1]


def _lower(right: Counts, given: Counts) -> Counts:
    """The lower end of Wilson's interval of a share, `CAUTION` standard deviations below it."""
    square = CAUTION**2
    share = right / np.maximum(given, 1e-12)
    spread = np.sqrt(np.maximum(share * (1 - share), 0) * given + square / 4)
    lower: Counts = (right + square / 2 - CAUTION * spread) / (given + square)
    return lower
