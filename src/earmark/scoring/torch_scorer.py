"""Scoring with PyTorch, on any device."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark import audio
from earmark.nets.tagnet import TagNet
from earmark.recipe import InputSettings
from earmark.scoring.groups import padding_of
from earmark.scoring.scorer import Scorer, Scores


class TorchScorer(Scorer):
    """A scorer that runs a `TagNet`.

    Args:
        net: the net, on any device; it is put into evaluation mode while it scores, and back afterwards.
        input: how a clip becomes the net's input.
        classes: number of classes K.
        precision: what the net computes in: ``float32`` or ``bfloat16``, which is faster on processors that multiply in it.
    """

    def __init__(
        self, net: TagNet, input: InputSettings, classes: int, precision: Literal["float32", "bfloat16"] = "float32"
    ) -> None:
        super().__init__(input, classes, net.frontend.hop_length, net.activation)
        self.net, self.precision = net, precision

    @property
    def device(self) -> torch.device:
        """The device that the net is on."""
        return next(self.net.parameters()).device

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        """See `Scorer.score_group`."""
        reduced = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with evaluating(self.net), torch.inference_mode(), reduced:
            scores: Scores = score_views(self.net, power_of(self.net, waveforms, self.device), views).float().cpu().numpy()
        return scores


def score_vectors(net: TagNet, precision: Literal["float32", "bfloat16"], vectors: NDArray[np.float32]) -> Scores:
    """Scores of vectors ``[N, D]`` by a net with the front end ``embedding``: float32 ``[N, K]``."""
    device = next(net.parameters()).device
    reduced = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
    with evaluating(net), torch.inference_mode(), reduced:
        scores: Scores = net(torch.from_numpy(vectors).to(device), domain="embedding").float().cpu().numpy()
    return scores


@contextmanager
def evaluating(net: TagNet) -> Iterator[None]:
    """Inside the block the net is in evaluation mode; after it, in the mode that it was in."""
    if not net.training:
        yield
        return
    net.eval()
    try:
        yield
    finally:
        net.train()


def power_of(net: TagNet, waveforms: Sequence[audio.Samples], device: torch.device) -> Tensor:
    """The front end's power ``[B, F, N]`` of B waveforms; after it, the power of the shorter ones is filled with zeros."""
    if len({len(waveform) for waveform in waveforms}) == 1:
        return net.frontend.power(torch.from_numpy(np.stack(waveforms)).to(device))
    powers = [net.frontend.power(torch.from_numpy(waveform[None]).to(device)) for waveform in waveforms]
    longest = max(power.shape[2] for power in powers)
    padded = []
    for power in powers:
        missing = longest - power.shape[2]
        left = missing // 2 if net.frontend.fills == "both" else 0
        padded.append(torch.nn.functional.pad(power, (left, missing - left)))
    return torch.cat(padded)


def score_views(net: TagNet, power: Tensor, views: Sequence[str]) -> Tensor:
    """Scores of each view of sounds.

    A view's zeros are added between the front end's halves, `power` and `compress`. As decibels, zeros of mel power become the
    lowest level that the clip's dynamic range allows.

    Args:
        net: the net, in evaluation mode.
        power: the sounds after `FrontEnd.power`, ``[B, F, N]``.
        views: V versions of each sound: ``whole`` or ``padN``.

    Returns:
        ``[V, B, K]``.
    """
    widths = [padding_of(view) for view in views]
    return torch.stack([net(torch.nn.functional.pad(power, (width, width)), domain="power") for width in widths])
