"""How much given labels are doubted: what labels probably are, under an estimate of how labels go wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earmark.assess.label_noise import (
    FLOOR,
    agreed_classes,
    class_posterior,
    confusion,
    label_posterior,
    label_rates,
    weighed_labels,
)
from earmark.data.table import Array

# Clips of each class with which the estimate leans on all together; of 10 to 1000 as good as any, on planted labels.
STRENGTH = 100.0
MOST_CLIPS = 50_000  # that the estimate is made with, at most
SURE = 30.0  # log odds, at most


@dataclass(frozen=True)
class ClassNoiseModel:
    """How labels go wrong where a clip has one label.

    Attributes:
        table: ``[K, K]``: row i, column j is the chance that a clip of class i is given the label j.
    """

    table: NDArray[np.float64]

    def probable(self, guesses: Array, given: Array) -> NDArray[np.float32]:
        """How probable each class is, ``[N, K]``, by guesses ``[N, K]`` and given labels, bool ``[N, K]``."""
        return class_posterior(np.maximum(guesses, FLOOR), given, self.table).astype(np.float32)

    def draw(self, truth: Array, rng: np.random.Generator) -> Array:
        """Labels that clips with these right labels, bool ``[N, K]``, might be given, bool ``[N, K]``."""
        ends = np.cumsum(self.table, axis=1)[truth.argmax(axis=1)]
        drawn = (rng.random(len(truth))[:, None] > ends).sum(axis=1)
        given = np.zeros_like(truth)
        given[np.arange(len(truth)), np.minimum(drawn, truth.shape[1] - 1)] = True
        return given


@dataclass(frozen=True)
class LabelNoiseModel:
    """How labels go wrong where a clip has several.

    Attributes:
        where: how often each label is given where it belongs, ``[K]``.
        elsewhere: how often it is given where it does not, ``[K]``.
    """

    where: NDArray[np.float64]
    elsewhere: NDArray[np.float64]

    def probable(self, guesses: Array, given: Array) -> NDArray[np.float32]:
        """How probable it is that each label belongs, ``[N, K]``."""
        return label_posterior(np.clip(guesses, FLOOR, 1 - FLOOR), given, self.where, self.elsewhere).astype(np.float32)

    def draw(self, truth: Array, rng: np.random.Generator) -> Array:
        """Labels that clips with these right labels, bool ``[N, K]``, might be given, bool ``[N, K]``."""
        given: Array = rng.random(truth.shape) < np.where(truth, self.where, self.elsewhere)
        return given


NoiseModel = ClassNoiseModel | LabelNoiseModel


def estimate_noise(guesses: Array, given: Array, exclusive: bool) -> NoiseModel:
    """An estimate of how the labels of clips go wrong.

    Args:
        guesses: what judges think that never learned from these labels, as sure as they are right, ``[N, K]``.
        given: the given labels, bool ``[N, K]``; at least one a clip.
        exclusive: whether a clip has one label at most.
    """
    some = slice(None, None, max(-(-len(given) // MOST_CLIPS), 1))
    guesses, given = guesses[some], given[some]
    if exclusive:
        return ClassNoiseModel(confusion(agreed_classes(guesses, given, STRENGTH), given, STRENGTH))
    guesses = np.clip(guesses, FLOOR, 1 - FLOOR).astype(np.float64)
    return LabelNoiseModel(*label_rates(weighed_labels(guesses, given, STRENGTH), given, STRENGTH))


def doubt(probable: Array, given: Array, exclusive: bool) -> NDArray[np.float64]:
    """How doubtful the labels of clips are, as log odds that they are wrong, ``[N]``.

    With one label a clip: that it is wrong. Else that the most doubtful single statement about a clip is wrong, be it a given label or
    that a label is not given.

    Args:
        probable: how probable each label is, ``[N, K]``.
        given: the given labels, bool ``[N, K]``.
        exclusive: whether a clip has one label at most.
    """
    probable = probable.astype(np.float64)
    if exclusive:
        wrong, right = np.where(given, 0, probable).sum(axis=1), np.where(given, probable, 0).sum(axis=1)
    else:
        wrong = np.where(given, 1 - probable, probable).max(axis=1)
        right = 1 - wrong
    odds: NDArray[np.float64] = np.log(np.maximum(wrong, 1e-13)) - np.log(np.maximum(right, 1e-13))
    return np.clip(odds, -SURE, SURE)
