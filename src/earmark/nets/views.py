"""Views: versions of one clip that are scored beside each other (padding augmentation, Akiyama & Sato §3.6)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from earmark.nets.tagnet import TagNet


def padding_of(view: str) -> int:
    """Frames (samples, for a net on waveforms) of zeros that a view has on either side.

    >>> padding_of("pad8"), padding_of("whole")
    (8, 0)
    """
    return int(view.removeprefix("pad")) if view.startswith("pad") else 0


def score_views(net: TagNet, power: Tensor, views: Sequence[str]) -> Tensor:
    """Scores of each view.

    The zeros are put behind the front end's first stage: of a power mel they become, in decibels, the least that the clip's
    dynamic range allows.

    Args:
        net: in evaluation mode.
        power: what the net's front end made of waveforms in its first stage, ``[B, F, N]``.
        views: ``whole`` or ``padN``.

    Returns:
        ``[V, B, K]``.
    """
    widths = [padding_of(view) for view in views]
    return torch.stack([net(torch.nn.functional.pad(power, (width, width)), "power") for width in widths])
