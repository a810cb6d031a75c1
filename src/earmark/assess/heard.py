"""What it brings to hear doubtful clips: wrong labels that are met, and the gain of training again, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.assess.audit_result import Promise
from earmark.assess.comparison import signed
from earmark.assess.metrics import EstimateFigures
from earmark.assess.paired import Difference


@dataclass(frozen=True)
class Heard:
    """Some clips that were heard, and whose labels were corrected.

    Attributes:
        name: which clips, for people.
        clips: how many.
        wrong: of them, those whose labels were wrong, and are right now.
        left: clips whose labels are wrong still, of all.
    """

    name: str
    clips: int
    wrong: int
    left: int

    @property
    def rate(self) -> float | None:
        """Wrong labels that are met for each clip that is heard; None if none is."""
        return self.wrong / self.clips if self.clips else None


@dataclass(frozen=True)
class Learned:
    """A method that learned from the labels before and after.

    Attributes:
        name: of the method, for people.
        figures: its accuracy: before, by the list, at random.
        gains: of the accuracy: by the list over before, at random over before, by the list over at random.
    """

    name: str
    figures: tuple[EstimateFigures, EstimateFigures, EstimateFigures]
    gains: tuple[Difference, Difference, Difference]

    @property
    def changes(self) -> tuple[str, str, str]:
        """The gains over before, in words, for each figure; empty for that before."""
        return "", change(self.gains[0]), change(self.gains[1])

    @property
    def in_words(self) -> str:
        """What it has gained, in a sentence."""
        before, by_list, at_random = (figure["value"] for figure in self.figures)
        text = f"{self.name.capitalize()}: accuracy {before:.3f} before, {by_list:.3f} after the list, {at_random:.3f} after random order; "
        apart = self.gains[2]
        if not apart.stands_out:
            return f"{text}list and random order cannot be told apart."
        better = "the list brings more" if apart.value > 0 else "random order brings more"
        return f"{text}{better} (list less random: {change(apart)})."


@dataclass(frozen=True)
class HeardTable:
    """Labels and methods before anything was heard, and after clips were heard in two orders.

    Attributes:
        title: heading of the table.
        note: who heard what, and what the figures are of, in sentences.
        orders: before, by the audit's list, at random.
        methods: what learned from these labels.
        promise: how many of the first clips of the list the audit takes for wrong; None if it does not say.
    """

    title: str
    note: str
    orders: tuple[Heard, Heard, Heard]
    methods: Sequence[Learned]
    promise: Promise | None = None

    @property
    def in_words(self) -> list[str]:
        """What the table says, in sentences."""
        _, listed, random = self.orders
        promised = f" (the audit had said {self.promise.in_words()})" if self.promise and self.promise.first == listed.clips else ""
        found = (
            f"Of the first {listed.clips:,} clips of the list, {listed.wrong:,} had a wrong label{promised}; of {random.clips:,} in random "
            f"order, {random.wrong:,}."
        )
        return [found, *(method.in_words for method in self.methods)]

    def lines(self) -> list[str]:
        """The title and a line for each method and order, for a terminal."""
        lines = [
            f"{self.title}: clips heard, wrong labels met, for each clip heard, left; accuracy (95 % interval), difference (its interval)"
        ]
        names = {(method.name, order.name): f"{method.name}, {order.name}" for method in self.methods for order in self.orders}
        width = max(map(len, names.values()))
        for method in self.methods:
            for order, figure, gain in zip(self.orders, method.figures, method.changes, strict=True):
                rate = "–" if order.rate is None else f"{order.rate:.2f}"
                lines.append(
                    f"  {names[method.name, order.name]:<{width}}  {order.clips:>4} {order.wrong:>4} {rate:>5} {order.left:>4}  "
                    f"{figure['value']:.4f} ({figure['low']:.4f}–{figure['high']:.4f})  {gain}".rstrip()
                )
        return lines


def change(gain: Difference) -> str:
    """A difference and its interval: ``+0.123 (+0.097 to +0.148)``."""
    return f"{signed(gain.value, 3)} ({signed(gain.low, 3)} to {signed(gain.high, 3)})"
