"""How far scores are shares: of the best labels with a score of about 0.8, about 80 % should be right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

BINS = 12
SIDE, MARGIN, TOP = 240, 48, 34  # of a diagram, in pixels


@dataclass(frozen=True)
class Bin:
    """Clips whose best labels have about the same score: their mean ``score``, the share that is ``right``, and how many they are."""

    score: float
    right: float
    clips: int


def reliability(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> list[Bin]:
    """The best labels of clips in bins of equally many clips, by their scores.

    Args:
        scores: float32 ``[N, K]``, N at least 1.
        positive: the labels, bool ``[N, K]``.
    """
    rows, best = np.arange(len(scores)), scores.argmax(axis=1)
    order = np.argsort(scores[rows, best], kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    hit, sure = positive[rows, best], scores[rows, best].astype(np.float64)
    return [Bin(float(sure[part].mean()), float(hit[part].mean()), len(part)) for part in parts]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the mean distance between the scores and the shares that are right."""
    return sum(abs(part.score - part.right) * part.clips for part in bins) / sum(part.clips for part in bins)


def draw_reliability(diagrams: Mapping[str, Sequence[Bin]]) -> str:
    """Reliability diagrams side by side, as SVG: a point on the diagonal is a score that is as sure as it is right.

    Args:
        diagrams: bins, by the title of their diagram.
    """
    width, height = len(diagrams) * (SIDE + MARGIN) + MARGIN // 2, SIDE + TOP + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (title, bins) in enumerate(diagrams.items()):
        left, bottom = MARGIN + number * (SIDE + MARGIN), TOP + SIDE
        parts += [
            f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{escape(title)}</text>',
            f'<rect x="{left}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>',
            f'<line x1="{left}" y1="{bottom}" x2="{left + SIDE}" y2="{TOP}" stroke="#999" stroke-dasharray="4 3"/>',
        ]
        for tick in range(5):
            across, up = left + SIDE * tick / 4, bottom - SIDE * tick / 4
            parts.append(f'<text x="{across:.1f}" y="{bottom + 14}" text-anchor="middle">{tick / 4:g}</text>')
            parts.append(f'<text x="{left - 5}" y="{up + 4:.1f}" text-anchor="end">{25 * tick} %</text>')
        places = [(left + SIDE * part.score, bottom - SIDE * part.right) for part in bins]
        parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" fill="none" stroke="#2a6fb0"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#2a6fb0"/>' for x, y in places]
        parts.append(f'<text x="{left + SIDE / 2}" y="{bottom + 30}" text-anchor="middle">score of the best label</text>')
        parts.append(f'<text x="{left + 6}" y="{TOP + 16}">best labels that are right</text>')
    return "\n".join([*parts, "</svg>", ""])
