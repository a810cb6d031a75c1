"""Several ways to learn from the same clips, side by side: a table, its drawing, and a sentence that says what it means."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from earmark.assess.metrics import EstimateFigures, Figures
from earmark.assess.page import NAMES, percent, write_page

SMALLEST_GAP = 0.01  # between the worst and the best labels; a share of a smaller one says nothing
LITTLE = 0.1  # share of the gap: a method that gets less of it back is said to do little
TICK = 0.05  # of the drawing's axis
LEAST_AXIS = 0.1  # length of the axis, at least


@dataclass(frozen=True)
class Method:
    """One way to learn, and how right it was.

    Attributes:
        name: for people, in lower case: ``agreement``, ``verified only``.
        figures: its metrics, as in ``metrics.json``; those that were not measured are None.
        role: ``start`` is learning from all labels as they are given, ``goal`` learning without wrong labels; what lies between
            them is the gap.
        this: whether it is the run that the page is about.
    """

    name: str
    figures: Figures
    role: Literal["method", "start", "goal"] = "method"
    this: bool = False


@dataclass(frozen=True)
class Bar:
    """A method as it is drawn. Places are per cent of the axis.

    Attributes:
        method: the method.
        figure: the drawn metric; None if it was not measured, and nothing is drawn then.
        recovered: share of the gap that it gets back, or None.
        value: place of the metric.
        low: place of the lower end of its interval.
        high: place of the upper end.
        first: where the bar begins.
        length: its length.
        worse: whether the bar goes to the left of the start.
    """

    method: Method
    figure: EstimateFigures | None
    recovered: float | None
    value: float = 0.0
    low: float = 0.0
    high: float = 0.0
    first: float = 0.0
    length: float = 0.0
    worse: bool = False


@dataclass(frozen=True)
class MethodTable:
    """Several methods on the same clips.

    Attributes:
        title: heading of the table.
        note: what the methods have in common and what they are scored on, in sentences.
        rows: the methods, in the order to show.
        metric: the metric that is drawn and that the gap is measured in: ``accuracy``, ``map@3`` or ``lwlrap``.
    """

    title: str
    note: str
    rows: tuple[Method, ...]
    metric: Literal["map@3", "accuracy", "lwlrap"] = "accuracy"

    def figure(self, method: Method) -> EstimateFigures | None:
        """The table's metric of a method."""
        return method.figures[self.metric]

    def recovered(self, method: Method) -> float | None:
        """The share of the gap that a method gets back: 0 as bad as the start, 1 as good as the goal.

        None for the start and the goal themselves, if one of the three figures is missing, or if the gap is too small to be shared.
        """
        start, goal, figure = self._value_of("start"), self._value_of("goal"), self.figure(method)
        if method.role != "method" or start is None or goal is None or figure is None or goal - start < SMALLEST_GAP:
            return None
        return (figure["value"] - start) / (goal - start)

    @property
    def in_words(self) -> str:
        """What the table says, in plain sentences; empty if it has too little to say."""
        start, goal = self._value_of("start"), self._value_of("goal")
        measured = [row for row in self.rows if row.role == "method" and self.figure(row)]
        if start is None or not measured:
            return ""
        best = max(measured, key=lambda row: self.figure(row)["value"])  # type: ignore[index]
        if goal is None:
            return self._against_start(best, start)
        if goal - start < SMALLEST_GAP:
            return (
                f"Wrong labels cost next to nothing here: {start:.3f} with them, {goal:.3f} without. There is nothing to get back."
            )
        lost = (
            f"{100 * (goal - start):.1f} of 100 clips"
            if self.metric == "accuracy"
            else f"{goal - start:.3f} of {NAMES[self.metric]}"
        )
        text = f"Wrong labels cost {lost}: {start:.3f} instead of {goal:.3f}."
        shares = {row.name: self.recovered(row) or 0.0 for row in measured}
        if shares[best.name] < LITTLE:
            return f"{text} No method here gets any of that back worth speaking of."
        little = [name for name, share in shares.items() if -LITTLE < share < LITTLE]
        worse = [name for name, share in shares.items() if share <= -LITTLE]
        return (
            f"{text} The best method here, {best.name}, gets {percent(shares[best.name])} of that back ({self.figure(best)['value']:.3f})"  # type: ignore[index]
            + (f"; {' and '.join(little)}: little or nothing" if little else "")
            + (f"; {' and '.join(worse)}: worse than to do nothing" if worse else "")
            + "."
        )

    def lines(self, by_planting: Mapping[str, Sequence[float]] | None = None) -> list[str]:
        """The title and a line for each row, for a terminal; rows without a figure are left out.

        Args:
            by_planting: further figures of some rows, by their names: those of single plantings.
        """
        several = ", each planting" if by_planting else ""
        lines = [f"{self.title}: {self.metric} (95 % interval), share of the gap got back{several}"]
        width = max(len(row.name) for row in self.rows)
        for row in self.rows:
            if (figure := self.figure(row)) is not None:
                back = "–" if (share := self.recovered(row)) is None else f"{share:.0%}"
                further = " ".join(f"{value:.4f}" for value in (by_planting or {}).get(row.name, ()))
                figures = f"{figure['value']:.4f} ({figure['low']:.4f}–{figure['high']:.4f})"
                lines.append(f"  {row.name:<{width}}  {figures}  {back:>5}  {further}".rstrip())
        return lines

    def _against_start(self, best: Method, start: float) -> str:
        first = next(row for row in self.rows if row.role == "start")
        mine, other = self.figure(best), self.figure(first)
        assert mine is not None and other is not None
        text = f"{NAMES[self.metric]} {best.name}: {mine['value']:.3f}; {first.name}: {start:.3f}."
        apart = mine["low"] > other["high"] or other["low"] > mine["high"]
        return text if apart else f"{text} Their intervals overlap: the difference may be chance."

    def _value_of(self, role: str) -> float | None:
        for row in self.rows:
            if row.role == role and (figure := self.figure(row)):
                return figure["value"]
        return None

    @property
    def further(self) -> list[str]:
        """The metrics besides the drawn one that some method has."""
        return [name for name in NAMES if name != self.metric and any(row.figures.get(name) for row in self.rows)]

    @property
    def axis(self) -> tuple[float, float]:
        """The lower and the upper end of the drawing."""
        figures = [figure for row in self.rows if (figure := self.figure(row))]
        if not figures:
            return 0.0, 1.0
        low = max(math.floor(min(figure["low"] for figure in figures) / TICK) * TICK, 0.0)
        high = min(math.ceil(max(figure["high"] for figure in figures) / TICK) * TICK, 1.0)
        high = min(max(high, low + LEAST_AXIS), 1.0)
        return round(min(low, high - LEAST_AXIS), 2), round(high, 2)

    def _place(self, value: float) -> float:
        low, high = self.axis
        return round(100 * (value - low) / (high - low), 2)

    @property
    def bars(self) -> list[Bar]:
        """The methods as they are drawn. A bar runs from the start to the method: the axis does not begin at 0, so that it would say
        nothing if it ran from there."""
        start = self._value_of("start")
        bars = []
        for row in self.rows:
            figure = self.figure(row)
            if figure is None:
                bars.append(Bar(row, None, None))
                continue
            value = self._place(figure["value"])
            origin = value if start is None else self._place(start)
            bars.append(
                Bar(
                    row,
                    figure,
                    self.recovered(row),
                    value,
                    self._place(figure["low"]),
                    self._place(figure["high"]),
                    min(value, origin),
                    round(abs(value - origin), 2),
                    value < origin,
                )
            )
        return bars

    @property
    def marks(self) -> list[tuple[str, float]]:
        """Where lines go through all bars: the role and the place of the start and of the goal."""
        return [(role, self._place(value)) for role in ("start", "goal") if (value := self._value_of(role)) is not None]


def write_method_page(path: Path, title: str, note: str, tables: Sequence[MethodTable]) -> Path:
    """Writes a page of its own with some tables.

    Args:
        path: the file to write.
        title: heading of the page.
        note: a paragraph under it.
        tables: the tables.

    Returns:
        ``path``.
    """
    return write_page(path, "methods_page.html.jinja", title=title, note=note, tables=tables)
