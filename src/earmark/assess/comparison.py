"""What came of comparing two runs: the verdict in words, the differences as lines, as data and drawn on a page."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from earmark.assess.page import NAMES, write_page
from earmark.assess.paired import LEAST, LEVEL, Difference

LEAST_SIDE = 0.25  # length of a drawing's axis on one side of 0, as a share of the other side, at least
TICK = 0.01  # the ends of an axis are multiples of it

Metric = Literal["accuracy", "lwlrap"]
Verdict = Literal["better", "worse", "cannot be told apart"]


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        path: its folder, as the user wrote it.
        recipe: name of its recipe.
        store: its store's folder.
        leaks: whether validation labels got into the training of its ensemble.
        best_weights: whether weights of its ensemble were chosen on the clips that are scored.
    """

    path: Path
    recipe: str
    store: Path
    leaks: bool
    best_weights: bool

    @property
    def remarks(self) -> list[str]:
        """What speaks against its figures, in sentences."""
        remarks = []
        if self.leaks:
            remarks.append(f"{self.path} leaks validation labels: its figures are too high, and this comparison is not fair.")
        if self.best_weights:
            remarks.append(f"{self.path}: its weights were chosen on these clips, so that its figures are a little too high.")
        return remarks


@dataclass(frozen=True)
class LeftOut:
    """Clips that are not compared.

    Attributes:
        relabelled: verified in both stores, but with other labels.
        other_sound: the same name in both stores, but not the same file.
        only_first: verified and held out in the first run alone.
        only_second: verified and held out in the second run alone.
    """

    relabelled: int
    other_sound: int
    only_first: int
    only_second: int

    @property
    def lines(self) -> list[str]:
        """What is left out and why, a line for each reason."""
        alone = "in the other's store they are missing or not verified, or it did not hold them out"
        lines = {
            f"{self.relabelled:,} clips whose labels differ between the stores: a corrected label is in the second store only": self.relabelled,
            f"{self.other_sound:,} clips that are another sound in the second store": self.other_sound,
            f"{self.only_first:,} verified clips of the first run alone: {alone}": self.only_first,
            f"{self.only_second:,} verified clips of the second run alone: {alone}": self.only_second,
        }
        return [line for line, count in lines.items() if count]


@dataclass(frozen=True)
class ClassDifference:
    """How the runs differ on the clips of one class.

    Attributes:
        label: the class.
        difference: of its recall, if the runs are compared by accuracy, else of its lwlrap.
        corrected: the difference's ``p`` after Holm's correction for all classes.
    """

    label: str
    difference: Difference
    corrected: float

    @property
    def verdict(self) -> Verdict:
        """Whether the second run is better on this class, as far as so many classes allow to say."""
        return _verdict(self.difference, self.corrected <= LEVEL)


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same clips.

    Attributes:
        first: the first run.
        second: the second run.
        metric: the one that decides: accuracy where every clip has one label, else lwlrap.
        differences: of each metric, by its name.
        classes: the classes that some clip has, the largest gain first.
        unseen: number of classes that no clip has.
        left_out: the clips that are not compared.
    """

    first: Side
    second: Side
    metric: Metric
    differences: dict[str, Difference]
    classes: tuple[ClassDifference, ...]
    unseen: int
    left_out: LeftOut

    @property
    def decisive(self) -> Difference:
        """The difference that decides."""
        return self.differences[self.metric]

    @property
    def verdict(self) -> Verdict:
        """Whether the second run is better than the first."""
        return self.verdict_of(self.metric)

    def verdict_of(self, metric: str) -> Verdict:
        """The same by another metric."""
        return _verdict(self.differences[metric])

    @property
    def of_class(self) -> str:
        """What a class is compared by."""
        return "recall" if self.metric == "accuracy" else "lwlrap"

    @property
    def in_words(self) -> str:
        """The verdict in a sentence or two."""
        found, second, first = self.decisive, self.second.path, self.first.path
        ends = f"{signed(found.value)} (95 % interval {signed(found.low)} to {signed(found.high)})"
        if self.verdict == "cannot be told apart":
            text = f"{second} and {first} cannot be told apart: {self.metric} {found.second:.4f} and {found.first:.4f}, {ends}."
        else:
            text = (
                f"{second} is {self.verdict} than {first}: {self.metric} {found.second:.4f} instead of {found.first:.4f}, {ends}."
            )
        if found.leaves_out_zero and not found.stands_out:
            text += f" The interval leaves out 0, but only {found.differing} recordings differ: too few to tell."
        return text

    @property
    def remarks(self) -> list[str]:
        """What speaks against the comparison, in sentences."""
        return list(dict.fromkeys([*self.first.remarks, *self.second.remarks]))  # the same run may be given twice

    @property
    def basis(self) -> str:
        """What is compared, in a sentence."""
        return (
            f"Compared on {self.decisive.clips:,} verified clips of {self.decisive.groups:,} recordings, all held out by both runs and with "
            "the same labels in both stores."
        )

    @property
    def classes_in_words(self) -> str:
        """How many classes differ, and how many would by chance, in sentences."""
        verdicts, count = [row.verdict for row in self.classes], len(self.classes)
        better, worse = verdicts.count("better"), verdicts.count("worse")
        apart = sum(row.difference.stands_out for row in self.classes)
        text = (
            f"By {self.of_class}, {better} of {count} classes are better, {worse} worse; {count - better - worse} cannot be told apart. "
            f"{apart or 'None'} of their intervals leave out 0, and up to {LEVEL * count:.1f} of {count} would by chance alone (5 %). So a class is "
            "called better or worse only if its difference stands up to Holm's correction for all classes."
        )
        return text + (f" {self.unseen} more classes have no clip to compare." if self.unseen else "")

    def lines(self) -> list[str]:
        """The verdict, the metrics, the classes that stand out, and what was left out, as lines for a terminal."""
        lines = [self.in_words, *self.remarks, self.basis, "  metric    first   second  difference (95 % interval)"]
        for name, found in self.differences.items():
            lines.append(f"  {name:<8}  {_row(found)}  {self.verdict_of(name)}")
        lines.append(self.classes_in_words)
        shown = [row for row in self.classes if row.difference.stands_out]
        width = max((len(row.label) for row in shown), default=0)
        for row in shown:
            lines.append(f"  {row.label:<{width}}  {_row(row.difference)}  {row.verdict} ({row.difference.clips:,} clips)")
        return [*lines, *(f"left out: {line}" for line in self.left_out.lines)]

    def as_data(self) -> dict[str, Any]:
        """The comparison as plain data."""
        return {
            "first": _plain(self.first),
            "second": _plain(self.second),
            "metric": self.metric,
            "verdict": self.verdict,
            "words": self.in_words,
            "clips": self.decisive.clips,
            "groups": self.decisive.groups,
            "differences": {name: asdict(found) | {"verdict": self.verdict_of(name)} for name, found in self.differences.items()},
            "class_metric": self.of_class,
            "classes": [
                {"label": row.label, **asdict(row.difference), "p_corrected": row.corrected, "verdict": row.verdict}
                for row in self.classes
            ],
            "left_out": asdict(self.left_out),
        }


def signed(value: float, digits: int = 4) -> str:
    """A difference for people.

    >>> signed(0.0125), signed(-0.25, 2), signed(-0.00001)
    ('+0.0125', '−0.25', '0.0000')
    """
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def _row(found: Difference) -> str:
    return f"{found.first:.4f}  {found.second:.4f}  {signed(found.value):>7} ({signed(found.low)} to {signed(found.high)})"


def _plain(side: Side) -> dict[str, Any]:
    return asdict(side) | {"path": str(side.path), "store": str(side.store)}


def _verdict(found: Difference, sure: bool = True) -> Verdict:
    if not (found.stands_out and sure):
        return "cannot be told apart"
    return "better" if found.value > 0 else "worse"


@dataclass(frozen=True)
class Drawn:
    """A difference as it is drawn. Places are per cent of the axis.

    Attributes:
        name: the metric or the class.
        difference: the difference.
        verdict: what it says of the second run.
        value: place of the difference.
        low: place of the lower end of its interval.
        high: place of the upper end.
    """

    name: str
    difference: Difference
    verdict: Verdict
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Drawing:
    """Differences around 0.

    Attributes:
        low: left end of the axis.
        high: right end of the axis.
        zero: place of 0, in per cent of the axis.
        rows: the differences, from the top down.
    """

    low: float
    high: float
    zero: float
    rows: tuple[Drawn, ...]


def drawing(rows: Sequence[tuple[str, Difference, Verdict]]) -> Drawing:
    """Lays differences out on an axis that holds all their intervals, and something on both sides of 0."""
    low = min([0.0, *(found.low for _, found, _ in rows)])
    high = max([0.0, *(found.high for _, found, _ in rows)])
    low, high = min(low, -LEAST_SIDE * high, -TICK), max(high, -LEAST_SIDE * low, TICK)
    low, high = math.floor(round(low / TICK, 6)) * TICK, math.ceil(round(high / TICK, 6)) * TICK

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    drawn = (Drawn(name, found, verdict, *map(place, (found.value, found.low, found.high))) for name, found, verdict in rows)
    return Drawing(round(low, 2), round(high, 2), place(0.0), tuple(drawn))


def write_comparison_page(path: Path, comparison: Comparison) -> Path:
    """Writes a page with a comparison. It needs no other files.

    Args:
        path: the file to write.
        comparison: two runs on the same clips.

    Returns:
        ``path``.
    """
    metrics = [(NAMES[name], found, comparison.verdict_of(name)) for name, found in comparison.differences.items()]
    alike = [row.label for row in comparison.classes if row.difference.is_nothing]
    classes = [(row.label, row.difference, row.verdict) for row in comparison.classes if not row.difference.is_nothing]
    return write_page(
        path,
        "comparison_page.html.jinja",
        title="Which run is better?",
        comparison=comparison,
        metrics=drawing(metrics),
        classes=drawing(classes),
        alike=alike,
        signed=signed,
        least=LEAST,
    )
