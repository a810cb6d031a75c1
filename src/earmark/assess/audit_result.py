"""What an audit of a run's labels says: the doubtful clips in order, how many labels are wrong, and what goes with them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earmark.assess.duplicates import Duplicate

DOUBTED = 0.5  # probability from which a label counts as probably wrong
PROMISES_SAID = 3  # on a terminal


@dataclass(frozen=True)
class Suspect:
    """A clip whose labels may be wrong.

    Attributes:
        rank: its place in the list of all clips, the most doubtful first, from 1.
        clip_id: the clip's name.
        given: its labels; none if it is unlabelled.
        suggested: the labels that the nets would give it; none if no class fits.
        score: log odds that the given labels are wrong; NaN if there are none.
        probability: that they are wrong, 0..1; NaN if there are none.
        verified: whether a person has checked them.
        reasons: why the clip is in the list, in words (``wrong label``, ``missing label``, ``none of these``, ``unlabelled``,
            ``duplicate``, ``two folds``, ``two labels``); empty if nothing speaks against its labels.
    """

    rank: int
    clip_id: str
    given: tuple[str, ...]
    suggested: tuple[str, ...]
    score: float
    probability: float
    verified: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Suspects:
    """All training clips as columns of equal length N: the most doubtful first, those without labels last.

    Attributes:
        clip_id: str ``[N]``.
        given: labels of each clip; N of them.
        suggested: likewise.
        score: float64 ``[N]``; NaN for unlabelled clips.
        probability: float64 ``[N]``; NaN for unlabelled clips.
        verified: bool ``[N]``.
        reasons: N of them.
    """

    clip_id: NDArray[np.str_]
    given: Sequence[tuple[str, ...]]
    suggested: Sequence[tuple[str, ...]]
    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    verified: NDArray[np.bool_]
    reasons: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.clip_id)

    @property
    def unlabelled(self) -> NDArray[np.bool_]:
        """The clips that have no labels, bool ``[N]``."""
        return np.isnan(self.probability)

    @property
    def unverified(self) -> NDArray[np.bool_]:
        """The clips with labels that nobody has checked, bool ``[N]``."""
        return ~self.unlabelled & ~self.verified

    @property
    def doubtful_verified(self) -> NDArray[np.bool_]:
        """The clips whose labels were checked and are probably wrong all the same, bool ``[N]``."""
        return self.verified & (np.nan_to_num(self.probability) >= DOUBTED)

    def shown(self, first: int, chosen: NDArray[np.bool_] | None = None) -> list[Suspect]:
        """The first clips of the list.

        Args:
            first: how many, at most.
            chosen: the clips that count, bool ``[N]``; all by default.
        """
        rows = range(len(self))[:first] if chosen is None else np.flatnonzero(chosen)[:first].tolist()
        return [
            Suspect(
                i + 1,
                str(self.clip_id[i]),
                self.given[i],
                self.suggested[i],
                float(self.score[i]),
                float(self.probability[i]),
                bool(self.verified[i]),
                self.reasons[i],
            )
            for i in rows
        ]


@dataclass(frozen=True)
class Promise:
    """How many of the first unverified clips of the list have wrong labels.

    Attributes:
        first: number of clips.
        wrong: of them, the expected number with wrong labels.
        low: lower end of its interval.
        high: upper end of its interval.
    """

    first: int
    wrong: float
    low: float
    high: float

    def in_words(self) -> str:
        """The number of wrong labels: ``about 31 (25–36)``.

        >>> Promise(50, 31.2, 25.0, 36.0).in_words()
        'about 31 (25–36)'
        """
        return f"about {self.wrong:,.0f} ({self.low:,.0f}–{self.high:,.0f})"


@dataclass(frozen=True)
class ClassNoise:
    """How much of a class is wrong.

    Attributes:
        label: the class.
        clips: unverified clips that are given the label.
        verified: verified clips that have it.
        wrong: the share of the unverified ones on which it is wrong, 0..1; NaN if nothing can be said.
        low: lower end of its interval.
        high: upper end of its interval.
        note: what to know about the figure, such as that too few clips of the class are verified; empty otherwise.
    """

    label: str
    clips: int
    verified: int
    wrong: float
    low: float
    high: float
    note: str = ""

    @property
    def known(self) -> bool:
        """Whether anything can be said."""
        return not math.isnan(self.wrong)


@dataclass(frozen=True)
class NoiseMixUp:
    """A class whose clips carry the label of another.

    Attributes:
        right: what they are.
        given: the label that they carry.
        share: of the unverified clips with that label, 0..1.
        clips: how many that are, as expected.
    """

    right: str
    given: str
    share: float
    clips: float


@dataclass(frozen=True)
class Audit:
    """What an audit says.

    Attributes:
        run: the folder of the run.
        store: the folder of its store.
        strategy: a sentence: what the scores stand on, and why.
        several: whether a clip may have several labels.
        suspects: all training clips.
        promise: wrong labels among the first 50, 100, …, to be put into words; empty if there is nothing to promise.
        curve: the same for more numbers of clips, rising, to be drawn.
        whole: the same for all unverified clips; None if there are none.
        classes: the noise of each class.
        mix_ups: what is labelled as what, the most frequent first.
        duplicates: clips that are the same sound, and recordings that lie in two folds or under two labels.
        cut: the number of suspects that the audit proposes to hear.
        notes: what else a reader should know, a sentence each.
    """

    run: Path
    store: Path
    strategy: str
    several: bool
    suspects: Suspects
    promise: list[Promise]
    curve: list[Promise]
    whole: Promise | None
    classes: list[ClassNoise]
    mix_ups: list[NoiseMixUp]
    duplicates: list[Duplicate]
    cut: int
    notes: list[str]

    def lines(self) -> list[str]:
        """What the audit says, for a terminal."""
        suspects = self.suspects
        lines = [self.strategy, *self.notes]
        unverified, verified = int(suspects.unverified.sum()), int(suspects.verified.sum())
        if self.whole is not None:
            lines.append(f"unverified: {unverified:,} labels, {self.whole.in_words()} of them wrong")
            firsts = [promise for promise in self.promise[:PROMISES_SAID] if promise.first < unverified]
            lines += [f"of the first {promise.first:,} {promise.in_words()} are wrong" for promise in firsts]
            first = {0: "no label is", 1: "the first is"}.get(self.cut, f"the first {self.cut:,} are")
            lines.append(f"{first} wrong rather than right")
        if verified:
            lines.append(
                f"verified: {verified:,} clips, the labels of {int(suspects.doubtful_verified.sum()):,} are doubtful all the same"
            )
        if unlabelled := int(suspects.unlabelled.sum()):
            lines.append(f"unlabelled: {unlabelled:,} clips")
        copies = sum(row.kind != "one recording" for row in self.duplicates)
        # Clips that are the same file and, by that, one recording are in two rows.
        two_folds = len({row.clips for row in self.duplicates if row.two_folds})
        two_labels = len({row.clips for row in self.duplicates if row.two_labels})
        if self.duplicates:
            lines.append(
                f"duplicates: {copies:,}; sounds that lie in two folds: {two_folds:,}; sounds under two labels: {two_labels:,}"
            )
        return lines
