"""What views of a clip are, and which clips are scored together (Akiyama & Sato §3.6)."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from earmark.errors import RecipeError
from earmark.recipe import ScoringSettings
from earmark.recipe.schema import MOST_SECONDS


def padding_of(view: str) -> int:
    """How many frames of zeros a view adds on each side (samples of zeros, for a net that takes waveforms).

    >>> padding_of("pad8"), padding_of("whole")
    (8, 0)
    """
    return int(view.removeprefix("pad")) if view.startswith("pad") else 0


def variation_of(view: str) -> int:
    """The number of the variation that a view of a clip is; 0 is the clip as it is.

    >>> variation_of("varied2"), variation_of("whole")
    (2, 0)
    """
    return int(view.removeprefix("varied")) if view.startswith("varied") else 0


def check_views(views: Iterable[str], takes_vectors: bool) -> None:
    """Checks that a net knows these views: variations are of nets that take vectors, padding of those that take sounds.

    Raises:
        RecipeError: it knows them not.
    """
    if wrong := sorted({view for view in views if (variation_of(view) if not takes_vectors else view.startswith("pad"))}):
        known = "whole and varied1, varied2 …" if takes_vectors else "whole and padN"
        kind = "the front end embedding has" if takes_vectors else "nets that take sounds have"
        raise RecipeError(f"views {', '.join(wrong)}: {kind} {known}")


def check_padding(padding: int, hop_length: int, sample_rate: int) -> None:
    """Checks that a view does not make a sound far longer than any that is scored.

    Args:
        padding: frames of zeros on both sides of the sound.
        hop_length: samples of a frame.
        sample_rate: in Hz.

    Raises:
        RecipeError: the zeros are longer than the longest sound.
    """
    if (seconds := 2 * padding * hop_length / sample_rate) > MOST_SECONDS:
        raise RecipeError(f"view pad{padding} adds {seconds:,.0f} s of zeros; {MOST_SECONDS} s are the most")


def length_groups(lengths: NDArray[np.int64], settings: ScoringSettings, extra: int = 0) -> list[NDArray[np.int64]]:
    """Groups of clips of similar length, which are scored together (Akiyama & Sato §3.6, by the rule of their released code).

    Args:
        lengths: length of each clip in samples, ``[N]``.
        settings: the limits of a group; see `ScoringSettings`.
        extra: samples that the padding of the views adds to each clip.

    Returns:
        The clip indices of each group, the group with the shortest clips first.
    """
    order = np.argsort(lengths, kind="stable")
    step = 0
    max_groups = settings.groups + len(lengths) / settings.clips_per_group
    while True:
        groups = _groups(lengths, order, round(step * settings.patience_step, 9), settings, extra)
        if len(groups) <= max_groups or (step + 1) * settings.patience_step > settings.patience + 1e-9:
            return groups
        step += 1


def _groups(
    lengths: NDArray[np.int64], order: NDArray[np.int64], rate: float, settings: ScoringSettings, extra: int
) -> list[NDArray[np.int64]]:
    """The groups whose longest clip is longer than the shortest by at most ``rate``."""
    starts = [0]
    for position, clip in enumerate(order):
        shortest, count = lengths[order[starts[-1]]], position - starts[-1]
        too_many = count >= settings.clips or (lengths[clip] + extra) * (count + 1) > settings.samples
        if count and (too_many or lengths[clip] > shortest * (1 + rate)):
            starts.append(position)
    return [order[start:end] for start, end in zip(starts, [*starts[1:], len(order)], strict=True) if end > start]
