"""Made-up clips with known truth: what judges guess, and labels of which some are wrong."""

from dataclasses import dataclass

import numpy as np

from earmark.data.table import ClipTable
from earmark.labels import LabelSet


@dataclass(frozen=True)
class World:
    """Clips, the guesses of a judge at them, float32 ``[N, K]``, and their right labels, bool ``[N, K]``."""

    clips: ClipTable
    guesses: np.ndarray
    truth: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """The clips whose given labels are wrong, bool ``[N]``."""
        return np.asarray((self.clips.positive != self.truth).any(axis=1))


def table_of(given: np.ndarray, verified: np.ndarray) -> ClipTable:
    """Training clips of as many recordings."""
    count, yes = len(given), np.ones(len(given), bool)
    names = np.array([f"clip {number:04}" for number in range(count)])
    labels = LabelSet(tuple(f"label {k}" for k in range(given.shape[1])))
    return ClipTable(labels, names, given, verified, np.arange(count) % 5, ~yes, yes, names, np.full(count, ""))


def world(
    count: int, classes: int, verified: float, wrong: float, seed: int, clear: float = 1.5, sure: float = 1.0, several: bool = False
) -> World:
    """Clips that are drawn at random.

    Args:
        count: number of clips.
        classes: number of classes.
        verified: share of the clips whose labels are checked, and right.
        wrong: share of the others of which a label is replaced by another.
        seed: of everything.
        clear: deviation of the judge's log odds by chance, and the higher, the clearer the right class.
        sure: of itself is the judge so many times as much as it should be.
        several: whether clips may have several labels.
    """
    rng = np.random.default_rng(seed)
    truth = np.eye(classes, dtype=bool)[rng.integers(0, classes, count)]
    noise = rng.normal(size=truth.shape) * clear
    if several:
        truth |= rng.random(truth.shape) < 0.5 / classes
        share = truth.mean()
        odds = noise + np.where(truth, 0.5, -0.5) * clear**2 + np.log(share / (1 - share))
        guesses = 1 / (1 + np.exp(-sure * odds))
    else:
        powers = np.exp(sure * (noise + truth * clear**2))
        guesses = powers / powers.sum(axis=1, keepdims=True)
    checked, given = rng.random(count) < verified, truth.copy()
    for row in np.flatnonzero(~checked & (rng.random(count) < wrong) & ~truth.all(axis=1)):
        given[row, rng.choice(np.flatnonzero(truth[row]))] = False
        given[row, rng.choice(np.flatnonzero(~truth[row]))] = True
    return World(table_of(given, checked), guesses.astype(np.float32), truth)
