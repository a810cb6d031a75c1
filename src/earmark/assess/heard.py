"""What it brings to hear doubtful clips: wrong labels that are met, and the gain of training again, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.assess.audit_result import Promise
from earmark.assess.comparison import signed
from earmark.assess.metrics import EstimateFigures
from earmark.assess.paired import Difference


@dataclass(frozen=True)
class Heard:
    """A training after some clips were heard and their labels corrected.

    Attributes:
        name: which clips were heard, for people.
        clips: how many.
        wrong: of them, those whose labels were wrong, and are right now.
        left: clips whose labels are wrong still, of all.
        figures: the accuracy of the nets that learned from the corrected labels.
        gain: of the accuracy, over the nets that learned before; None for these themselves.
    """

    name: str
    clips: int
    wrong: int
    left: int
    figures: EstimateFigures
    gain: Difference | None = None

    @property
    def rate(self) -> float | None:
        """Wrong labels that are met for each clip that is heard; None if none is."""
        return self.wrong / self.clips if self.clips else None

    @property
    def gain_in_words(self) -> str:
        """The gain and its interval; empty if there is none to speak of."""
        return f"{signed(self.gain.value, 3)} ({signed(self.gain.low, 3)} to {signed(self.gain.high, 3)})" if self.gain else ""

    @property
    def verdict(self) -> str:
        """Whether the training is better than before, in words; empty for that before."""
        if self.gain is None:
            return ""
        if not self.gain.stands_out:
            return "cannot be told apart"
        return "better" if self.gain.value > 0 else "worse"


@dataclass(frozen=True)
class HeardTable:
    """A training before anything was heard, and after clips were heard in some orders.

    Attributes:
        title: heading of the table.
        note: who heard what, and what the figures are of, in sentences.
        before: the training before.
        by_list: after the first clips of the audit's list.
        at_random: after as many clips in random order.
        promise: how many of the first clips of the list the audit takes for wrong; None if it does not say.
    """

    title: str
    note: str
    before: Heard
    by_list: Heard
    at_random: Heard
    promise: Promise | None = None

    @property
    def rows(self) -> Sequence[Heard]:
        """All trainings, in the order to show."""
        return (self.before, self.by_list, self.at_random)

    @property
    def in_words(self) -> str:
        """What the table says, in sentences."""
        heard, random = self.by_list, self.at_random
        promised = f" (the audit had said {self.promise.in_words()})" if self.promise and self.promise.first == heard.clips else ""
        return (
            f"Of the first {heard.clips:,} clips of the list, {heard.wrong:,} had a wrong label{promised}; of {random.clips:,} in random order, "
            f"{random.wrong:,}. Trained again, {_against(heard, 'the list')}; {_against(random, 'random order')}."
        )

    def lines(self) -> list[str]:
        """The title and a line for each row, for a terminal."""
        width = max(len(row.name) for row in self.rows)
        lines = [
            f"{self.title}: clips heard, wrong labels met, for each clip, left; accuracy (95 % interval), difference (its interval)"
        ]
        for row in self.rows:
            figures = f"{row.figures['value']:.4f} ({row.figures['low']:.4f}–{row.figures['high']:.4f})"
            rate = "–" if row.rate is None else f"{row.rate:.2f}"
            lines.append(
                f"  {row.name:<{width}}  {row.clips:>4} {row.wrong:>4}  {rate:>4}  {row.left:>4}  {figures}  {row.gain_in_words}".rstrip()
            )
        return lines


def _against(row: Heard, order: str) -> str:
    """What a training has gained, in words."""
    gain = row.gain
    if gain is None or gain.is_nothing:
        return f"{order} changes nothing"
    if row.verdict == "cannot be told apart":
        return f"what {order} brings cannot be told from chance ({row.gain_in_words})"
    return f"{order} makes it {row.verdict}: accuracy {gain.second:.3f} instead of {gain.first:.3f}, {row.gain_in_words}"
