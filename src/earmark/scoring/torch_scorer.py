"""Scoring with PyTorch, on any device."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from earmark import audio
from earmark.nets.member import load_net
from earmark.nets.tagnet import TagNet
from earmark.recipe import InputSettings, MemberSettings, ScoringSettings
from earmark.scoring.groups import padding_of
from earmark.scoring.scorer import Scorer, Scores, Sounds


class TorchScorer(Scorer):
    """A `TagNet` that scores.

    Args:
        net: on any device; it is in evaluation mode while it scores, and afterwards as it was.
        input: how a clip becomes its input.
        classes: K.
        precision: of its arithmetic: ``float32``, or ``bfloat16``, which is faster where the processor multiplies in it.
    """

    def __init__(
        self, net: TagNet, input: InputSettings, classes: int, precision: Literal["float32", "bfloat16"] = "float32"
    ) -> None:
        super().__init__(input, classes, net.frontend.hop_length)
        self.net, self.precision = net, precision

    @property
    def device(self) -> torch.device:
        """Where the net is."""
        return next(self.net.parameters()).device

    def scores(
        self,
        sounds: Sounds,
        views: Sequence[str] = ("whole",),
        grouping: ScoringSettings | None = None,
        done: Callable[[int], None] | None = None,
    ) -> Scores:
        """See `Scorer.scores`."""
        was_training = self.net.training
        self.net.eval()
        try:
            return super().scores(sounds, views, grouping, done)
        finally:
            self.net.train(was_training)

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        """See `Scorer.score_group`."""
        reduced = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with torch.inference_mode(), reduced:
            scores: Scores = score_views(self.net, power_of(self.net, waveforms, self.device), views).float().cpu().numpy()
        return scores


def open_scorer(settings: MemberSettings, classes: int, weights: Path, device: torch.device | str = "cpu") -> TorchScorer:
    """A member's net with the weights of a file, to score with.

    Args:
        settings: of the member.
        classes: K.
        weights: the file.
        device: to score on.

    Raises:
        RunError: the file is damaged or of another net.
    """
    return TorchScorer(load_net(settings, classes, weights).to(device), settings.input, classes)


def power_of(net: TagNet, waveforms: Sequence[audio.Samples], device: torch.device) -> Tensor:
    """The front end's power of each waveform; the shorter ones are filled with zeros behind it."""
    if len({len(waveform) for waveform in waveforms}) == 1:
        return net.frontend.power(torch.from_numpy(np.stack(waveforms)).to(device))
    powers = [net.frontend.power(torch.from_numpy(waveform[None]).to(device)) for waveform in waveforms]
    longest = max(power.shape[2] for power in powers)
    filled = []
    for power in powers:
        missing = longest - power.shape[2]
        left = missing // 2 if net.frontend.fills == "both" else 0
        filled.append(torch.nn.functional.pad(power, (left, missing - left)))
    return torch.cat(filled)


def score_views(net: TagNet, power: Tensor, views: Sequence[str]) -> Tensor:
    """Scores of each view.

    The zeros are put behind the front end's `power`: of mel power they become, in decibels, the least that the clip's
    dynamic range allows.

    Args:
        net: in evaluation mode.
        power: of sounds, ``[B, F, N]``: see `FrontEnd.power`.
        views: ``whole`` or ``padN``.

    Returns:
        ``[V, B, K]``.
    """
    widths = [padding_of(view) for view in views]
    return torch.stack([net(torch.nn.functional.pad(power, (width, width)), domain="power") for width in widths])
