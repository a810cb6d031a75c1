"""Views of a clip, and which clips are scored together (Akiyama & Sato §3.6)."""

import numpy as np
from numpy.typing import NDArray

from earmark.recipe import ScoringSettings


def padding_of(view: str) -> int:
    """Frames (samples, for a net on waveforms) of zeros that a view has on either side.

    >>> padding_of("pad8"), padding_of("whole")
    (8, 0)
    """
    return int(view.removeprefix("pad")) if view.startswith("pad") else 0


def length_groups(lengths: NDArray[np.int64], settings: ScoringSettings, extra: int = 0) -> list[NDArray[np.int64]]:
    """Which clips are scored together: neighbours in length (Akiyama & Sato §3.6, and their released code's rule).

    Args:
        lengths: samples of each clip, ``[N]``.
        settings: see `ScoringSettings`.
        extra: samples that each clip gets besides.

    Returns:
        Indices of each group, the shortest clips first.
    """
    order = np.argsort(lengths, kind="stable")
    step = 0
    few = settings.groups + len(lengths) / settings.clips_per_group
    while True:
        groups = _groups(lengths, order, round(step * settings.patience_step, 9), settings, extra)
        if len(groups) <= few or (step + 1) * settings.patience_step > settings.patience + 1e-9:
            return groups
        step += 1


def _groups(
    lengths: NDArray[np.int64], order: NDArray[np.int64], rate: float, settings: ScoringSettings, extra: int
) -> list[NDArray[np.int64]]:
    bounds = [0]
    for place, index in enumerate(order):
        first, count = lengths[order[bounds[-1]]], place - bounds[-1]
        too_many = count >= settings.clips or (lengths[index] + extra) * (count + 1) > settings.samples
        if count and (too_many or lengths[index] > first * (1 + rate)):
            bounds.append(place)
    return [order[a:b] for a, b in zip(bounds, [*bounds[1:], len(order)], strict=True) if b > a]
