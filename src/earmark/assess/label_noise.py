"""What labels probably are: given labels that may be wrong, weighed together with the guesses of nets that did not learn from them."""

import numpy as np
from numpy.typing import NDArray

from earmark.data.table import Array

ROUNDS = 10  # of the estimation; the estimates change in the third digit afterwards
SLOPES = (0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2)  # of log odds, to choose from
CALIBRATED = 5000  # clips that the choice is made with, at most
FARTHEST, HALVINGS = 30.0, 40  # of log odds
FLOOR = 1e-6  # a guess of exactly 0 or 1 would leave the given label nothing to say

Table = NDArray[np.float64]


def confusion(guesses: Array, given: Array, strength: float) -> Table:
    """How often clips of one class are given the label of another.

    The rows lean on a table that knows only two numbers: the share of right labels among all clips, and that wrong labels are all
    equally likely. With few clips of a class that is what is left.

    Args:
        guesses: how probable each class is for each clip, ``[N, K]``, rows with sum 1.
        given: the share of each class in a clip's given labels, ``[N, K]``, rows with sum 1.
        strength: of that table, in clips of each class.

    Returns:
        ``[K, K]``: row i, column j is the chance that a clip of class i has the label j; rows have the sum 1.
    """
    counts = np.asarray(guesses, np.float64).T @ np.asarray(given, np.float64)
    classes = len(counts)
    right = (np.trace(counts) + 1) / (counts.sum() + 2)  # of no clips, one half
    plain = np.full((classes, classes), (1 - right) / max(classes - 1, 1))
    np.fill_diagonal(plain, right)
    counts += strength * plain
    return counts / counts.sum(axis=1, keepdims=True)


def agreed_classes(guesses: Array, positive: Array, strength: float) -> Table:
    """What the labels of clips probably are, if a clip belongs to one class: nets' guesses and given labels weighed together.

    By Bayes: a class is as probable as the nets think, times the chance that a clip of that class is given these labels. The chances
    are estimated together with the labels, in rounds. A clip without a given label keeps the nets' guess.

    Args:
        guesses: scores of nets that did not learn from the given labels, ``[N, K]``.
        positive: the given labels, bool ``[N, K]``.
        strength: see `confusion`.

    Returns:
        ``[N, K]``, rows with sum 1.
    """
    guesses = np.clip(guesses, FLOOR, None).astype(np.float64)
    guesses /= guesses.sum(axis=1, keepdims=True)
    labelled = positive.any(axis=1)
    given = positive[labelled] / np.maximum(positive[labelled].sum(axis=1, keepdims=True), 1)
    agreed = guesses.copy()
    for _ in range(ROUNDS if labelled.any() else 0):
        agreed[labelled] = class_posterior(guesses[labelled], given, confusion(agreed[labelled], given, strength))
    return agreed


def class_posterior(guesses: Array, given: Array, table: Table) -> Table:
    """What the classes of clips probably are, if it is known how often clips of one class are given the label of another.

    Args:
        guesses: how probable each class is by the sound alone, ``[N, K]``.
        given: the share of each class in a clip's given labels, ``[N, K]``, rows with sum 1. With several given labels the geometric
            mean of their chances counts.
        table: see `confusion`.

    Returns:
        ``[N, K]``, rows with sum 1.
    """
    weighed = guesses * np.exp(given @ np.log(table).T)
    posterior: Table = weighed / weighed.sum(axis=1, keepdims=True)
    return posterior


def agreed_labels(guesses: Array, positive: Array, strength: float) -> Table:
    """The same for classes that are independent of each other: for each, how probable it is that a clip has the label.

    For each class two rates are estimated, how often the label is given where it belongs and where it does not; they lean on the
    rates of all classes together. Before, the guesses are made as sure as the given labels say, and as many. A clip without any given
    label keeps the nets' guess.

    Args:
        guesses: scores of nets that did not learn from the given labels, 0..1, ``[N, K]``.
        positive: the given labels, bool ``[N, K]``.
        strength: of the rates of all classes, in clips of each class.

    Returns:
        ``[N, K]``, 0..1.
    """
    agreed = np.clip(guesses, FLOOR, 1 - FLOOR).astype(np.float64)
    if (labelled := positive.any(axis=1)).any():
        agreed[labelled] = weighed_labels(calibrated(agreed[labelled], positive[labelled], strength), positive[labelled], strength)
    return agreed


def calibrated(guesses: Table, given: Array, strength: float) -> Table:
    """Guesses ``[N, K]``, above 0 and below 1, whose log odds are stretched as far as the given labels are the likeliest, and shifted so
    that there are as many as labels are given: nets that learned from mixed clips, or for a short time, are less sure than they should
    be."""
    odds = np.log(guesses / (1 - guesses))
    some = slice(None, None, -(-len(odds) // CALIBRATED))

    def stretched(slope: float) -> float:
        """How much to add to the stretched log odds."""
        low, high = -FARTHEST, FARTHEST
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            too_few = (1 / (1 + np.exp(-(slope * odds[some] + middle)))).sum() < given[some].sum()
            low, high = (middle, high) if too_few else (low, middle)
        return low

    choices = [(slope, stretched(slope)) for slope in SLOPES]
    stretched_guesses = [1 / (1 + np.exp(-np.clip(slope * odds[some] + shift, -FARTHEST, FARTHEST))) for slope, shift in choices]
    best = int(np.argmax([_weighed(part, given[some], strength)[1] for part in stretched_guesses]))
    slope, shift = choices[best]
    return np.clip(1 / (1 + np.exp(-np.clip(slope * odds + shift, -FARTHEST, FARTHEST))), FLOOR, 1 - FLOOR)


def sharpened(guesses: Table, given: Array, strength: float) -> Table:
    """The same for clips with one label: guesses ``[N, K]``, above 0, to the power under which the given labels are the likeliest."""
    some = slice(None, None, -(-len(guesses) // CALIBRATED))
    logs, labels = np.log(guesses), given[some].argmax(axis=1)

    def to_the_power(slope: float, rows: slice) -> Table:
        powers = np.exp(slope * (logs[rows] - logs[rows].max(axis=1, keepdims=True)))
        shares: Table = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def likelihood(slope: float) -> float:
        part = to_the_power(slope, some)
        table = confusion(agreed_classes(part, given[some], strength), given[some], strength)
        return float(np.log((part * table[:, labels].T).sum(axis=1)).sum())

    return to_the_power(max(SLOPES, key=likelihood), slice(None))


def weighed_labels(guesses: Table, given: Array, strength: float) -> Table:
    """Guesses that are as sure as they should be and given labels, ``[N, K]``, weighed together; see `agreed_labels`."""
    return _weighed(guesses, given, strength)[0]


def _weighed(guesses: Table, given: Array, strength: float) -> tuple[Table, float]:
    """The result of `weighed_labels`, and the log likelihood of the given labels."""
    agreed = guesses
    for _ in range(ROUNDS):
        yes, no = _yes_and_no(guesses, given, *label_rates(agreed, given, strength))
        agreed = yes / (yes + no)
    return agreed, float(np.log(yes + no).sum())


def label_posterior(guesses: Array, given: Array, where: Table, elsewhere: Table) -> Table:
    """How probable it is that each label belongs to a clip, if it is known how often labels are given.

    Args:
        guesses: how probable it is by the sound alone, ``[N, K]``.
        given: the given labels, bool ``[N, K]``.
        where: how often each label is given where it belongs, ``[K]``.
        elsewhere: how often it is given where it does not, ``[K]``.

    Returns:
        ``[N, K]``.
    """
    yes, no = _yes_and_no(guesses, given, where, elsewhere)
    posterior: Table = yes / (yes + no)
    return posterior


def _yes_and_no(guesses: Array, given: Array, where: Table, elsewhere: Table) -> tuple[Table, Table]:
    yes = guesses * np.where(given, where, 1 - where)
    no = (1 - guesses) * np.where(given, elsewhere, 1 - elsewhere)
    return yes, no


def label_rates(agreed: Table, given: Array, strength: float) -> tuple[Table, Table]:
    """How often each label is given where it belongs, and where it does not, ``[K]`` each, by what labels probably are, ``[N, K]``."""
    return _rate(agreed, given, strength), _rate(1 - agreed, given, strength)


def _rate(weight: Table, given: Array, strength: float) -> Table:
    """How often each class is given, ``[K]``, among clips that count with a weight ``[N, K]``."""
    hits, total = (weight * given).sum(axis=0), weight.sum(axis=0)
    pooled = (hits.sum() + 1) / (total.sum() + 2)
    return (hits + strength * pooled) / (total + strength)


def support(agreed: Array, positive: Array) -> NDArray[np.float32]:
    """How far the given labels of clips are agreed with, 0..1, ``[N]``: the mean over a clip's labels; NaN for a clip without one.

    Args:
        agreed: result of `agreed_classes` or `agreed_labels`, ``[N, K]``.
        positive: the given labels, bool ``[N, K]``.
    """
    with np.errstate(invalid="ignore"):
        return ((agreed * positive).sum(axis=1) / positive.sum(axis=1)).astype(np.float32)
