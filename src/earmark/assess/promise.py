"""How many of the first labels in a list are wrong: probabilities that keep what they promise, and intervals.

Verified clips are given wrong labels as the estimate of the noise says, many times over, and doubted like all others. What their doubt
says about being wrong is then known, and the same is said of the unverified clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earmark.assess.audit_result import Promise
from earmark.assess.doubt import NoiseModel, doubt
from earmark.data.table import Array

PLANTED = 20_000  # labels in all, about
FEWEST_ROUNDS, MOST_ROUNDS = 4, 50  # of planting
MOST_CLIPS = PLANTED // FEWEST_ROUNDS  # verified clips to plant in, at most
DRAWS = 400  # of everything that is not known for sure, for the intervals
TRUST = 4.0  # clips that speak for the doubt as it is: what decides if few clips are verified
LEAST_SLOPE = 0.05  # more doubt never says that a label is less probably wrong
STEPS = 30  # of Newton's method, at most
SEED = 1
LEVEL = 95.0  # per cent

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What doubt, as log odds, says about being wrong: the log odds ``shift + slope · doubt``.

    Attributes:
        shift: of the best estimate.
        slope: of the best estimate.
        shifts: of `DRAWS` estimates that are as likely, ``[DRAWS]``.
        slopes: likewise.
    """

    shift: float
    slope: float
    shifts: Floats
    slopes: Floats

    def odds(self, doubts: Floats) -> Floats:
        """The log odds that labels with these doubts are wrong."""
        return self.shift + self.slope * doubts


def calibrate(guesses: Array, truth: Array, group: Array, noise: NoiseModel, exclusive: bool, probability: Floats) -> Calibration:
    """Learns from planted wrong labels what doubt says.

    Args:
        guesses: what judges think of verified clips, as sure as they are right, ``[N, K]``; N may be 0.
        truth: the labels of these clips, bool ``[N, K]``.
        group: the recording of each, str ``[N]``.
        noise: how labels of unverified clips go wrong.
        exclusive: whether a clip has one label at most.
        probability: that the labels of the unverified clips are wrong, as doubted; the estimate of the noise stands on them.
    """
    rng = np.random.default_rng(SEED)
    some = slice(None, None, max(-(-len(truth) // MOST_CLIPS), 1))
    guesses, truth, group = guesses[some], truth[some], group[some]
    rounds = int(np.clip(PLANTED // max(len(truth), 1), FEWEST_ROUNDS, MOST_ROUNDS)) if len(truth) else 0
    doubts, wrong = np.zeros((rounds, len(truth))), np.zeros((rounds, len(truth)))
    for turn in range(rounds):
        given = noise.draw(truth, rng)
        doubts[turn] = doubt(noise.probable(guesses, given), given, exclusive)
        wrong[turn] = (given != truth).any(axis=1)
    planted_share = np.ones_like(wrong)
    if not exclusive and wrong.any() and not wrong.all():
        # Labels are planted one by one. Where a wrong label takes the place of a right one, more clips would be wrong than are.
        believed = float(np.clip(probability.mean(), 0.01, 0.99))
        planted_share = np.where(wrong, believed / wrong.mean(), (1 - believed) / (1 - wrong.mean()))
    recordings, recording_of = np.unique(group, return_inverse=True)
    shift, slope = _fitted(doubts, wrong, planted_share, (0.0, 1.0))
    chance = np.full(len(recordings), 1 / max(len(recordings), 1))
    pairs = np.zeros((DRAWS, 2))
    for draw in range(DRAWS):
        # What is trusted is drawn, too: with few verified clips, most of what is not known for sure is that.
        trusted = (float(rng.normal(0.0, TRUST**-0.5)), float(rng.normal(1.0, TRUST**-0.5)))
        count = rng.multinomial(len(recordings), chance) if len(recordings) else np.zeros(0)
        pairs[draw] = _fitted(doubts, wrong, count[recording_of] * planted_share, trusted, (shift, slope))
    # Of the log odds of the share of wrong labels: less is known of it where doubt cannot tell which labels are wrong.
    blur = rng.normal(0.0, 1 / np.sqrt(max(float(((probability - probability.mean()) ** 2).sum()), 1.0)), DRAWS)
    return Calibration(shift, slope, pairs[:, 0] + blur, pairs[:, 1])


def _fitted(
    doubts: Floats, wrong: Floats, weight: Floats, trusted: tuple[float, float], start: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float]:
    """The shift and the slope under which wrong and right labels ``[rounds, N]`` are the likeliest, each with a weight ``[rounds, N]``,
    and `TRUST` clips speak for what is trusted."""
    if not doubts.size:
        return trusted[0], max(trusted[1], LEAST_SLOPE)
    shift, slope = start
    weight = weight / len(doubts)
    for _ in range(STEPS):
        share = 1 / (1 + np.exp(-(shift + slope * doubts)))
        off, bend = weight * (wrong - share), weight * share * (1 - share)
        uphill = np.array([off.sum() - TRUST * (shift - trusted[0]), (off * doubts).sum() - TRUST * (slope - trusted[1])])
        across = (bend * doubts).sum()
        curve = np.array([[bend.sum() + TRUST, across], [across, (bend * doubts**2).sum() + TRUST]])
        step = np.linalg.solve(curve, uphill)
        step /= max(1.0, float(np.abs(step).max()))
        shift, slope = shift + float(step[0]), max(slope + float(step[1]), LEAST_SLOPE)
        if np.abs(step).max() < 1e-4:
            break
    return shift, slope


@dataclass(frozen=True)
class WrongDraws:
    """Which labels may be wrong: draws of everything that is not known for sure.

    Attributes:
        wrong: bool ``[DRAWS, N]``, for unverified clips, the most doubtful first.
        probability: that each is wrong, ``[N]``.
    """

    wrong: NDArray[np.bool_]
    probability: Floats

    def promises(self, firsts: Sequence[int]) -> list[Promise]:
        """How many of the first clips are wrong, for several numbers of clips, above 0 and up to N; in rising order."""
        expected, made = np.cumsum(self.probability), []
        before, counts = 0, np.zeros(len(self.wrong), np.int64)
        for first in sorted(firsts):
            counts += self.wrong[:, before:first].sum(axis=1)
            before = first
            low, high = _interval(counts)
            made.append(Promise(first, float(expected[first - 1]), low, high))
        return made

    def share(self, chosen: Array) -> tuple[float, float, float]:
        """The share of wrong labels among some of the clips (indices), and its interval; NaN if there are none."""
        if not len(chosen):
            return float("nan"), float("nan"), float("nan")
        low, high = _interval(self.wrong[:, chosen].mean(axis=1))
        return float(self.probability[chosen].mean()), low, high


def sure_share(probability: Array) -> tuple[float, float, float]:
    """The share of labels that are wrong, and its interval, if nothing is unknown but chance: of their probabilities ``[N]``."""
    if not len(probability):
        return float("nan"), float("nan"), float("nan")
    drawn = np.random.default_rng(SEED + 2).random((DRAWS, len(probability))) < probability
    return float(probability.mean()), *_interval(drawn.mean(axis=1))


def draw_wrong(doubts: Floats, calibration: Calibration) -> WrongDraws:
    """Draws which labels are wrong.

    Args:
        doubts: of unverified clips, the most doubtful first, log odds ``[N]``.
        calibration: what they say.
    """
    rng = np.random.default_rng(SEED + 1)
    wrong = np.zeros((DRAWS, len(doubts)), bool)
    for draw in range(DRAWS):
        odds = calibration.shifts[draw] + calibration.slopes[draw] * doubts
        wrong[draw] = rng.random(len(doubts)) < 1 / (1 + np.exp(-odds))
    return WrongDraws(wrong, 1 / (1 + np.exp(-calibration.odds(doubts))))


def _interval(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, [(100 - LEVEL) / 2, 100 - (100 - LEVEL) / 2], method="closest_observation")
    return float(low), float(high)
