"""Clips that are the same sound, and recordings that lie in two folds or under two labels. No torch."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["same file", "same sound", "near-duplicate", "sounds alike", "one recording"]


@dataclass(frozen=True)
class Duplicate:
    """Clips that belong together.

    Attributes:
        kind: ``same file`` (the same content), ``same sound`` (the same samples), ``near-duplicate`` (the samples of the clips are
            copies of each other: louder, shifted, cut or encoded anew), ``sounds alike`` (only their vectors are as close), or
            ``one recording`` (parts of a recording that lie in two folds or have different labels).
        clips: their names, two at least.
        folds: their folds, rising; −1 is the test split.
        labels: all labels that they have, in the order of the classes.
        two_folds: whether they lie in more than one fold: nets are judged on what they have learned from.
        two_labels: whether their labels differ.
    """

    kind: Kind
    clips: tuple[str, ...]
    folds: tuple[int, ...]
    labels: tuple[str, ...]
    two_folds: bool
    two_labels: bool
