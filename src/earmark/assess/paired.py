"""Two scorers of the same clips: how much they differ, how sure that is, and what is left of it where many classes are looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.assess.metrics import BLOCK_DRAWS, RESAMPLES, Groups, Values

LEVEL = 0.05  # a difference that chance makes more often than this says nothing
LEAST = 6  # recordings that differ; even if all five speak for the same scorer, chance does as much in 2 of 32 cases
ALL_SWAPS = 16  # recordings that differ, up to which all swaps are gone through: 65,536 of them
ALIKE = 8  # groups of a kind on average, above which it is faster to draw how often each kind comes than to draw groups
DIGITS = 9  # after which two differences are the same one; the arithmetic is good for more


@dataclass(frozen=True)
class Difference:
    """A metric of two scorers on the same clips.

    Attributes:
        first: the metric of the first.
        second: the metric of the second.
        value: the second less the first.
        low: lower end of the difference's 95 % interval; 2.5 % of the resamples are below it.
        high: upper end of the interval; 2.5 % of the resamples are above it.
        p: how often the difference would be at least as large if the two scorers were swapped at random, recording by recording.
        clips: number of clips.
        groups: number of recordings.
        differing: number of recordings on which the two differ.
    """

    first: float
    second: float
    value: float
    low: float
    high: float
    p: float
    clips: int
    groups: int
    differing: int

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0

    @property
    def stands_out(self) -> bool:
        """Whether the interval leaves out 0, and can be trusted: all resamples of two recordings that agree are alike."""
        return self.leaves_out_zero and self.differing >= LEAST

    @property
    def is_nothing(self) -> bool:
        """Whether the two differ on no recording."""
        return self.differing == 0


def difference(first: Values, second: Values, weight: Values, group: Groups, seed: int = 0) -> Difference:
    """The difference of a metric that is a sum of numerators over a sum of denominators, as `earmark.assess.metrics.clip_sums` has them.

    Both scorers are held against the same labels, so their denominators are the same, and the difference is such a ratio itself. It is
    resampled as one: whole recordings are drawn, with replacement, each with what both scorers make of it.

    Args:
        first: the numerators of the first, ``[N]``, N at least 1.
        second: the numerators of the second, ``[N]``.
        weight: the denominators, ``[N]``, none negative, and some positive in every group.
        group: the recording of each clip, ``[N]``.
        seed: seed of the resampling.
    """
    _, index = np.unique(group, return_inverse=True)
    sums = np.array([np.bincount(index, second - first), np.bincount(index, weight)], np.float64)
    gained, weights = np.round(sums[0], DIGITS), sums[1]
    if gained.sum() < 0:  # so that the two, given the other way round, get the same interval the other way round
        high, low = (-end for end in _interval(-gained, weights, seed))
    else:
        low, high = _interval(gained, weights, seed)
    whole = weight.sum()
    return Difference(
        float(first.sum() / whole),
        float(second.sum() / whole),
        float(gained.sum() / whole),
        low,
        high,
        swapped(gained),
        len(first),
        len(weights),
        int(np.count_nonzero(gained)),
    )


def _interval(gained: Values, weights: Values, seed: int) -> tuple[float, float]:
    """The ends of the 95 % interval of ``gained.sum() / weights.sum()`` over resamples of the groups."""
    kinds, count = np.unique(np.stack([gained, weights], axis=1), axis=0, return_counts=True)
    groups, rng = len(gained), np.random.default_rng(seed)
    alike = ALIKE * len(kinds) < groups
    rows = max(BLOCK_DRAWS // (len(kinds) if alike else groups), 1)  # drawn at once
    parts = []
    for begin in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - begin)
        if alike:  # how often each kind is drawn is all that matters; most groups have no difference
            times = rng.multinomial(groups, count / groups, size).astype(np.float64)  # whole numbers would be multiplied slowly
            parts.append((times @ kinds[:, 0]) / (times @ kinds[:, 1]))
        else:
            drawn = rng.integers(0, groups, (size, groups), np.int32)
            parts.append(gained[drawn].sum(axis=1) / weights[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(parts), [2.5, 97.5])
    return float(low), float(high)


def swapped(gained: Values) -> float:
    """The paired randomisation test (Fisher's): the probability of a sum at least as far from 0 if each number's sign were a coin's.

    If two scorers are equally good, either could have made each of the two scores of a recording. Up to 16 recordings that differ, all
    swaps are counted; a sum of more is taken for normal, one recording nearer to 0, which errs towards chance.

    Args:
        gained: the difference of each recording, ``[G]``.

    >>> swapped(np.array([1.0, 1.0, 1.0, 0.0])), swapped(np.zeros(9))
    (0.25, 1.0)
    """
    sizes = np.abs(gained[gained != 0])
    whole = abs(float(gained.sum()))
    if len(sizes) > ALL_SWAPS:
        spread = math.sqrt(float((sizes**2).sum()))
        return math.erfc(max(whole / spread - 1 / math.sqrt(len(sizes)), 0.0) / math.sqrt(2))
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return float(np.mean(np.abs(sums) >= whole - len(sizes) * 10.0**-DIGITS))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Holm's correction of the probabilities of several tests.

    Of the tests whose corrected probability is at most 5 %, with a chance of 95 % none is there by chance alone, however they depend on one another.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(probabilities), 0.0
    for place, test in enumerate(sorted(range(len(probabilities)), key=lambda test: probabilities[test])):
        highest = max(highest, min((len(probabilities) - place) * probabilities[test], 1.0))
        corrected[test] = highest
    return corrected
