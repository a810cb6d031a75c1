"""Scoring whole sounds: views of each, and those of like length together (Akiyama & Sato §3.6)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.nets.tagnet import TagNet
from earmark.recipe import ScoringSettings


def score_sounds(
    net: TagNet,
    lengths: NDArray[np.int64],
    sound: Callable[[int], NDArray[np.float32]],
    classes: int,
    views: Sequence[str],
    settings: ScoringSettings,
    device: torch.device,
    done: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Scores sounds of any lengths; those of like length go through the net together.

    Args:
        net: in evaluation mode.
        lengths: samples of each, ``[N]``.
        sound: gives one of them ``[samples]`` as the net takes it, by its index; asked for when its turn comes.
        classes: K.
        views: V versions of each sound: ``whole``, or ``padN``.
        settings: which go through the net together.
        device: of the net.
        done: told how many are scored.

    Returns:
        float32 ``[V, N, K]``, in the order of the sounds.
    """
    found = np.zeros((len(views), len(lengths), classes), np.float32)
    extra = 2 * max(map(padding_of, views)) * net.frontend.hop_length
    count = 0
    with torch.inference_mode():
        for indices in length_groups(lengths, settings, extra):
            power = _first_stage(net, [sound(index) for index in indices], device)
            found[:, indices] = score_views(net, power, views).float().cpu().numpy()
            count += len(indices)
            if done is not None:
                done(count)
    return found


def length_groups(lengths: NDArray[np.int64], settings: ScoringSettings, extra: int = 0) -> list[NDArray[np.int64]]:
    """Which clips are scored together: neighbours in length (Akiyama & Sato §3.6, and their released code's rule).

    Within a group no clip is longer than the shortest by more than a rate. It starts at 0 and grows by 0.01 as long as it may
    and there are more than 60 + n / 55 groups.

    Args:
        lengths: samples of each clip, ``[N]``.
        settings: the highest rate (0 puts only clips of equal length together), and the most samples and clips of a group.
        extra: samples that each clip gets besides.

    Returns:
        Indices of each group, the shortest clips first.
    """
    order = np.argsort(lengths, kind="stable")
    step = 0
    while True:
        groups = _groups(lengths, order, step / 100, settings, extra)
        if len(groups) <= 60 + len(lengths) / 55 or (step + 1) / 100 > settings.patience + 1e-9:
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


def _first_stage(net: TagNet, waveforms: Sequence[NDArray[np.float32]], device: torch.device) -> Tensor:
    """The front end's first stage of each waveform; the shorter ones are filled with zeros behind it."""
    if len({len(waveform) for waveform in waveforms}) == 1:
        return net.frontend.power(torch.from_numpy(np.stack(waveforms)).to(device))
    each = [net.frontend.power(torch.from_numpy(waveform[None]).to(device)) for waveform in waveforms]
    longest = max(power.shape[2] for power in each)
    filled = []
    for power in each:
        missing = longest - power.shape[2]
        left = missing // 2 if net.frontend.fills == "both" else 0
        filled.append(torch.nn.functional.pad(power, (left, missing - left)))
    return torch.cat(filled)


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
