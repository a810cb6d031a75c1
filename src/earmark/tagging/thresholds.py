"""A model's calibration and thresholds, applied: scores as sure as they are right, and the scores from which on a label is given.

`earmark.assess.thresholds` chooses both; the bundle keeps them. No torch, no scikit-learn.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from earmark.errors import BundleError, EarmarkError
from earmark.tagging.bundle import BundleConfig, Thresholds

AUTO, PRECISION = "auto", "precision:"
NEVER = np.inf  # threshold of a class that is given to no sound


@dataclass(frozen=True)
class Wish:
    """What a threshold is to do.

    Attributes:
        score: no label below this score; None for a wish that the bundle's thresholds fulfil.
        precision: the share of a class's labels that are to be right, 0..1; None for the highest F1.
    """

    score: float | None = None
    precision: float | None = None

    @classmethod
    def parse(cls, wish: str | float) -> Self:
        """Reads a score from 0 to 1, ``auto``, or ``precision:P``.

        Raises:
            EarmarkError: it is something else.

        >>> Wish.parse("precision:0.9")
        Wish(score=None, precision=0.9)
        """
        text = str(wish).strip()
        if text == AUTO:
            return cls()
        try:
            number = float(text.removeprefix(PRECISION))
        except ValueError:
            number = math.nan
        if text.startswith(PRECISION) and 0 < number < 1:
            return cls(precision=number)
        if not text.startswith(PRECISION) and 0 <= number <= 1:
            return cls(score=number)
        raise EarmarkError(
            f"threshold {text[:100]!r}: a score from 0 to 1 is needed, {AUTO}, or {PRECISION}P with P above 0 and below 1, such as {PRECISION}0.9"
        )


def exclusive(config: BundleConfig) -> bool:
    """Whether the scores of a sound have the sum 1, so that its classes exclude each other."""
    return config.rule == "geometric_mean" or all(member.activation == "softmax" for member in config.members)


def calibrated(scores: NDArray[np.float32], config: BundleConfig) -> NDArray[np.float32]:
    """An ensemble's scores, as sure as they are right; the order of a sound's classes stays.

    Args:
        scores: float32 ``[..., K]``; NaN stays NaN.
        config: the bundle's configuration; without a calibration in it, the scores come back as they are.

    Returns:
        float32 ``[..., K]``.
    """
    return scores if config.calibration is None else tempered(scores, config.calibration.temperature, exclusive(config))


def tempered(scores: NDArray[np.float32], temperature: float, exclusive: bool) -> NDArray[np.float32]:
    """Scores at another temperature: their log probabilities, or the log odds of scores that do not exclude each other, divided by it.

    Args:
        scores: float32 ``[..., K]``, 0..1.
        temperature: above 1 makes the scores less sure.
        exclusive: whether the scores of a sound have the sum 1.

    Returns:
        float32 ``[..., K]``.
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # a sound's scores may be NaN, or all 0
        exact = np.asarray(scores, np.float64)
        if exclusive:
            powers = (exact / exact.max(axis=-1, keepdims=True)) ** (1 / temperature)
            result = powers / powers.sum(axis=-1, keepdims=True)
        else:
            powers = exact ** (1 / temperature)
            result = powers / (powers + (1 - exact) ** (1 / temperature))
    return result.astype(np.float32)


def thresholds(config: BundleConfig, wish: str | float) -> float | NDArray[np.float32]:
    """The scores from which on a label is given.

    Args:
        config: the bundle's configuration.
        wish: a score; ``auto``: for each class where its F1 is highest; ``precision:P``: for each class where at least the share P of
            its labels are right.

    Returns:
        A number, or a number for each class, float32 ``[K]``: infinity for a class that cannot be as precise.

    Raises:
        EarmarkError: the wish is none of these.
        BundleError: the bundle has no thresholds.
    """
    parsed = Wish.parse(wish)
    if parsed.score is not None:
        return parsed.score
    return class_thresholds(_thresholds_of(config, str(wish)), parsed.precision)


def class_thresholds(chosen: Thresholds, precision: float | None) -> NDArray[np.float32]:
    """The score from which on each label is given, float32 ``[K]``: infinity for a class that cannot be as precise.

    Args:
        chosen: the bundle's thresholds.
        precision: the share of a class's labels that are to be right; the next higher one counts that the bundle has thresholds for.
            None: where a class's F1 is highest.
    """
    if precision is None:
        return np.array(chosen.f1, np.float32)
    place = int(np.searchsorted(np.array(chosen.precisions), precision - 1e-9))
    if place == len(chosen.precisions):
        return np.full(len(chosen.f1), NEVER, np.float32)
    return np.array([NEVER if row[place] is None else row[place] for row in chosen.scores], np.float32)


def _thresholds_of(config: BundleConfig, wish: str) -> Thresholds:
    if config.thresholds is not None:
        return config.thresholds
    if config.version == 1:
        reason = "it was made by an earlier earmark; `earmark evaluate RUN` makes a run's bundle anew, with them"
    else:
        reason = "too few verified clips were there to choose them on"
    raise BundleError(f"threshold {wish}: the bundle has no thresholds: {reason}; a score from 0 to 1 needs none")


def out_of_reach(config: BundleConfig, wish: str | float) -> list[str]:
    """The classes that no sound is given, since their labels cannot be as precise as wished."""
    chosen = thresholds(config, wish)
    if isinstance(chosen, float):
        return []
    return [label for label, score in zip(config.labels, chosen, strict=True) if score == NEVER]
