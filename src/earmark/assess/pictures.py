"""Pictures on a page, as places and texts; templates draw them, in the page's own colours, with its own letters."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.assess.joined import Joined
from earmark.assess.metrics import METRICS
from earmark.assess.page import NAMES, short
from earmark.runs.run import Run, read_metrics_log

COLOURS = 10  # of learning curves
CURVE_POINTS = 6000  # in one picture of learning curves, about
BAND_POINTS = 400  # in a curve of shares, about
TICKS = 4  # of an axis, about
PLOT = (44, 10, 300, 160)  # left, top, right, bottom of the area that curves are drawn in, in units of the picture
CONFUSED = 100  # classes in the confusion matrix, at most
AXIS_NAME = 28  # letters of a name beside the matrix, at most
CURVES = {
    "loss": "Training loss",
    "masked": "Masked share",
    "noisy_loss": "Loss of the noisy task",
    "soft_loss": "Loss on pseudo labels",
}

Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Curves over the batches of a training.

    Attributes:
        title: what is drawn.
        curves: for each net the number of its colour and its points, in units of the picture; without a colour the number is −1.
        across: places and texts of the ticks below.
        up: places and texts of the ticks on the left.
    """

    title: str
    curves: list[tuple[int, list[Point]]]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


@dataclass(frozen=True)
class Band:
    """A curve of shares, 0 % to 100 %, with the interval around it.

    Attributes:
        curve: its points, in units of the picture.
        around: the outline of the interval.
        across: places and texts of the ticks below.
        up: places and texts of the ticks on the left.
        mark: place of a number across that is marked; None if it lies beyond the curve.
    """

    curve: list[Point]
    around: list[Point]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    mark: float | None


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix: the number of clips of a label (``row``) with a best guess (``column``), and their share."""

    row: int
    column: int
    clips: int
    share: float


@dataclass(frozen=True)
class MixUp:
    """So many ``clips`` of a label, ``of`` all its clips, that are taken for another class."""

    label: str
    guess: str
    clips: int
    of: int


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix.

    Attributes:
        names: the classes that it shows.
        cells: those that are not empty.
        cell: width of a cell, in pixels.
        margin: room for the names, in pixels.
        pairs: what is taken for what, the most frequent first.
    """

    names: list[str]
    cells: list[Cell]
    cell: int
    margin: int
    pairs: list[MixUp]


def learning_curves(run: Run) -> tuple[list[Chart], list[str]]:
    """The learning curves of all finished nets, and what their colours mean: nets, members where there are too many nets, or nothing.

    A figure that no net has twice is no curve, and is left out.
    """
    logs = {
        (member, fold): read_metrics_log(run.net_folder(member, fold) / "metrics.csv")
        for member, folds in run.finished().items()
        for fold in folds
    }
    members = list(run.finished())
    if len(logs) <= COLOURS:
        legend, colours = [f"{member} fold {fold}" for member, fold in logs], list(range(len(logs)))
    elif len(members) <= COLOURS:
        legend, colours = members, [members.index(member) for member, _ in logs]
    else:
        legend, colours = [], [-1] * len(logs)
    masked = any(run.recipe.members[member].loss.masking is not None for member in members)
    extra = [name for name in ("noisy_loss", "soft_loss") if any(row.get(name) for rows in logs.values() for row in rows)]
    charts = []
    for column in ["loss", *(["masked"] if masked else []), *extra, *METRICS]:
        curves = []
        for rows in logs.values():
            points = [(float(row["batch"]), float(row[column])) for row in rows if row.get(column)]
            thinned = points[:: -(len(points) // max(CURVE_POINTS // len(logs), 1) + 1)]  # backwards, so that the last one is in
            curves.append(thinned[::-1])
        if any(len(curve) > 1 for curve in curves):
            charts.append(_chart(CURVES.get(column) or f"{NAMES[column]}, held-out fold", curves, colours))
    return charts, legend


def _chart(title: str, curves: Sequence[Sequence[Point]], colours: Sequence[int]) -> Chart:
    left, top, right, bottom = PLOT
    xs, ys = zip(*(point for curve in curves for point in curve), strict=True)
    low, high, step = _scale(min(ys), max(ys))
    last, x_step = max(xs), _step(max(xs))

    def place(point: Point) -> Point:
        x, y = point
        return round(left + (right - left) * x / last, 1), round(bottom - (bottom - top) * (y - low) / (high - low), 1)

    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return Chart(
        title,
        [(colour, [place(point) for point in curve]) for colour, curve in zip(colours, curves, strict=True) if curve],
        [(place((k * x_step, low))[0], f"{k * x_step:,.0f}") for k in range(int(last / x_step + 1e-9) + 1)],
        [(place((0, low + k * step))[1], f"{low + k * step:.{decimals}f}") for k in range(round((high - low) / step) + 1)],
    )


def share_band(points: Sequence[tuple[float, float, float, float]], marked: float) -> Band:
    """A curve of shares.

    Args:
        points: numbers across, rising, each with its share and the ends of the interval, all 0..1; one at least.
        marked: the number across to mark.
    """
    left, top, right, bottom = PLOT
    last = points[-1][0]

    def place(across: float, share: float) -> Point:
        return round(left + (right - left) * across / last, 1), round(bottom - (bottom - top) * share, 1)

    thinned = points[:: -(len(points) // BAND_POINTS + 1)][::-1]  # the last one is in
    step = max(_step(last / 2), 1.0)
    return Band(
        [place(x, share) for x, share, _, _ in thinned],
        [place(x, high) for x, _, _, high in thinned] + [place(x, low) for x, _, low, _ in reversed(thinned)],
        [(place(k * step, 0)[0], f"{k * step:,.0f}") for k in range(int(last / step + 1e-9) + 1)],
        [(place(0, k / 4)[1], f"{k * 25} %") for k in range(5)],
        place(marked, 0)[0] if 0 < marked <= last else None,
    )


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """The ends of an axis on which these values lie, and the step between its ticks."""
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-3):
        low, high = low - max(abs(low), 1e-3) / 10, high + max(abs(high), 1e-3) / 10
    step = _step(high - low)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _step(length: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides a length into about `TICKS` parts."""
    power = 10.0 ** math.floor(math.log10(length / TICKS))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= length / TICKS - 1e-9 * power)


def confusion(judged: Joined, pairs: int) -> Confusion:
    """How often each class is the best guess for clips of each label.

    A clip with several labels counts once, if the guess is one of them; else it counts as a mistake for each of its labels. Of many
    classes the matrix has those with the most mistakes.

    Args:
        judged: the clips, with their scores.
        pairs: the number of mix-ups to list, at most.
    """
    names, positive, best = judged.clips.labels.names, judged.clips.positive, judged.scores.argmax(axis=1)
    right = positive[np.arange(len(best)), best]
    clip, label = np.nonzero(positive & ~right[:, None])
    given, guess = np.concatenate([best[right], label]), np.concatenate([best[right], best[clip]])
    mistakes = np.bincount(label, minlength=len(names)) + np.bincount(best[clip], minlength=len(names))
    shown = np.sort(np.argsort(-mistakes, kind="stable")[:CONFUSED])
    place = np.full(len(names), -1)
    place[shown] = np.arange(len(shown))
    total = np.bincount(given, minlength=len(names))
    counted, counts = np.unique(np.stack([given, guess], axis=1), axis=0, return_counts=True)
    cells = [
        Cell(int(place[row]), int(place[column]), int(count), float(count / total[row]))
        for (row, column), count in zip(counted, counts, strict=True)
        if place[row] >= 0 and place[column] >= 0
    ]
    wrong = np.flatnonzero(counted[:, 0] != counted[:, 1])
    often = wrong[np.argsort(-counts[wrong], kind="stable")[:pairs]]
    texts = [_beside(names[k]) for k in shown]
    size = 28 if len(shown) <= 20 else 22 if len(shown) <= 35 else 18
    margin = 16 + math.ceil(max((width(text) for text in texts), default=0.0) * 12)
    return Confusion(
        texts,
        cells,
        size,
        margin,
        [
            MixUp(short(names[row]), short(names[column]), int(count), int(total[row]))
            for (row, column), count in zip(counted[often], counts[often], strict=True)
        ],
    )


def _beside(name: str) -> str:
    name = short(name)
    return name if len(name) <= AXIS_NAME else name[: AXIS_NAME - 1] + "…"


def width(text: str) -> float:
    """About how wide a text is, in heights of its letters: a browser's letters are not known here."""
    return sum(
        1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.0 if unicodedata.combining(letter) else 0.6 for letter in text
    )
