"""Training batches cut and mixed on the device that holds the store (Jeong & Lim §3.1).

Only a few numbers an example (which clip, where to cut, how to mix) are drawn on the host, so a seed means the same batches
on every device; everything that touches samples is one vectorised operation over the whole batch on the device.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from earmark.data.clips import Array, ClipSet
from earmark.recipe import BalancedSettings

FULL_SCALE = 32768.0  # of 16-bit PCM
CHOICES = ("order", "crops", "mixing", "speeds")  # kinds of; each has a generator of its own


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        sound: float32 ``[B, T]``, or ``[B, F, N]`` where the front end's first stage was done already.
        targets: float32 ``[B, K]``.
        verified: bool ``[B]``.
        stage: ``waveform`` or ``power``: what ``sound`` is.
    """

    sound: Tensor
    targets: Tensor
    verified: Tensor
    stage: Literal["waveform", "power"] = "waveform"


class Windows:
    """Cuts fixed-length windows of many clips out of one flat PCM tensor.

    Args:
        clips: the clips, with the PCM they point into.
        window: samples of a cut.
        fastest: the highest speed that will be asked for.
    """

    def __init__(self, clips: ClipSet, window: int, fastest: float = 1.0) -> None:
        self.window = window
        missing = round(window * fastest) - len(clips.pcm)  # a store smaller than one window
        self.pcm = torch.nn.functional.pad(clips.pcm, (0, missing)) if missing > 0 else clips.pcm
        self.offset = torch.from_numpy(clips.offset).to(self.pcm.device)
        self.length = torch.from_numpy(clips.length).to(self.pcm.device)
        self.scale = torch.from_numpy(clips.scale / FULL_SCALE).to(self.pcm.device, torch.float32)

    def cut(self, clip: Tensor, position: Tensor, speed: float = 1.0) -> Tensor:
        """A window of each clip.

        A clip longer than the window is cut at a place; a shorter one lies at a place among zeros (random split of the
        padding: §3.1). ``position`` in [0, 1) chooses that place.

        Args:
            clip: int64 ``[B]``, indices into the clips.
            position: float64 ``[B]``.
            speed: the clips play this much faster and higher (linear interpolation).

        Returns:
            float32 ``[B, window]``.
        """
        taken = round(self.window * speed)
        rows = self.pcm.unfold(0, taken, 1)  # a view [N − taken + 1, taken]: choosing rows copies each as one block
        spare = self.length[clip] - taken
        place = (position * (spare.abs() + 1)).long()
        shift = torch.where(spare >= 0, place, -place)  # the window's first sample, counted from the clip's first
        wanted = self.offset[clip] + shift
        start = wanted.clamp(0, len(rows) - 1)
        waveform = rows.index_select(0, start).to(torch.float32)
        time = torch.arange(taken, device=waveform.device)
        # Short clips at the very ends of the store: their window would begin before its first or end after its last sample.
        displaced = (wanted != start).nonzero().squeeze(1)
        if len(displaced):
            moved = (time + (wanted - start)[displaced, None]).clamp(0, taken - 1)
            waveform[displaced] = waveform[displaced].gather(1, moved)
        place_in_clip = time + shift[:, None]
        outside = (place_in_clip < 0) | (place_in_clip >= self.length[clip, None])
        waveform = waveform.masked_fill_(outside, 0.0).mul_(self.scale[clip, None])
        if taken == self.window:
            return waveform
        return torch.nn.functional.interpolate(waveform.unsqueeze(1), size=self.window, mode="linear").squeeze(1)


class BalancedBatches:
    """An endless stream of batches with the same number of clips of every class, each mixed with another clip (§3.1, eq. 2).

    Clips that are labelled *none of these* form a class of their own here, with a uniform target. Unlabelled clips have
    no place in this stream: leave them out of ``clips``.

    Args:
        clips: the training clips.
        window: samples of an example.
        settings: see the recipe.
        seed: of the stream.
        targets: float32 ``[N, K]``, of each clip.

    Raises:
        ValueError: a class has no clip, or there is no second class to mix with.
    """

    def __init__(
        self, clips: ClipSet, window: int, settings: BalancedSettings, seed: np.random.SeedSequence, targets: Array
    ) -> None:
        self.settings = settings
        self.windows = Windows(clips, window, settings.speed[1])
        self.device = clips.pcm.device
        self.targets = torch.from_numpy(targets).to(self.device)
        self.verified = torch.from_numpy(clips.verified).to(self.device)
        self.clip_peak = torch.from_numpy(clips.peak).to(self.device, torch.float32)
        members = clips.positive
        if clips.none_of_these.any():
            members = np.concatenate([members, clips.none_of_these[:, None]], axis=1)
        by_class, clip = np.nonzero(members.T)  # sorted by class
        self.clip_of_slot = clip
        self.class_size = np.bincount(by_class, minlength=members.shape[1])
        self.class_start = np.cumsum(self.class_size) - self.class_size
        if (self.class_size == 0).any() or len(self.class_size) < 2:
            raise ValueError("every class needs a training clip, and there must be two classes")
        self.clips = len(clips.offset)
        # One generator for each kind of choice: changing how examples are mixed leaves the order of the clips as it was.
        self.order, self.crops, self.mixing, self.speeds = (np.random.default_rng(s) for s in seed.spawn(4))

    def state(self) -> dict[str, Any]:
        """Where the generators stand, as plain numbers and strings."""
        return {name: getattr(self, name).bit_generator.state for name in CHOICES}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        for name, value in state.items():
            getattr(self, name).bit_generator.state = value

    def next(self) -> Batch:
        """The next batch of ``classes × clips_per_class`` examples."""
        settings = self.settings
        classes = len(self.class_size)
        first_class = np.repeat(np.arange(classes), settings.clips_per_class)
        first = self._draw(first_class)
        if settings.partner == "other_class":
            second = self._draw((first_class + self.order.integers(1, classes, len(first))) % classes)
        else:
            second = self.order.integers(0, self.clips, len(first))
        position = self.crops.random((2, len(first)))
        share = self.mixing.beta(settings.mix_alpha, settings.mix_alpha, len(first))
        share = np.maximum(share, 1 - share)  # the clip that was drawn for its class always dominates
        low, high = settings.gain
        gain = high - (high - low) * self.mixing.random(len(first))  # (low, high]: never silence
        slowest, fastest = settings.speed
        # One speed for all first clips and one for all second ones: cutting and interpolating stay two operations each.
        speed = np.exp(self.speeds.uniform(np.log(slowest), np.log(fastest), 2)).tolist()
        drawn = [torch.from_numpy(a).to(self.device) for a in (first, second, position, share, gain)]
        return self._mix(*drawn, speed=speed)

    def _draw(self, class_index: np.ndarray) -> np.ndarray:
        slot = self.order.integers(0, self.class_size[class_index])
        return self.clip_of_slot[self.class_start[class_index] + slot]

    def _mix(self, first: Tensor, second: Tensor, position: Tensor, share: Tensor, gain: Tensor, *, speed: list[float]) -> Batch:
        """Equation (2): x = w·λ·x_j / max|x_j| + w·(1 − λ)·x_k / max|x_k|, t = λ·t_j + (1 − λ)·t_k."""
        share, gain = share.float()[:, None], gain.float()[:, None]
        waveform = self._normalised(first, position[0], speed[0]).mul_(gain * share)
        waveform += self._normalised(second, position[1], speed[1]).mul_(gain * (1 - share))
        targets = share * self.targets[first] + (1 - share) * self.targets[second]
        match self.settings.verified_by:
            case "dominant":
                verified = self.verified[first]
            case "both":
                verified = self.verified[first] & self.verified[second]
        return Batch(waveform, targets, verified)

    def _normalised(self, clip: Tensor, position: Tensor, speed: float) -> Tensor:
        waveform = self.windows.cut(clip, position, speed)
        if self.settings.peak == "window":
            low, high = torch.aminmax(waveform, dim=1)
            peak = torch.maximum(high, -low)
        else:
            peak = self.clip_peak[clip]
        peak = torch.where(peak > 0, peak, 1.0)  # silence stays silence
        return waveform.div_(peak[:, None])
