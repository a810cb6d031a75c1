"""Training batches cut and mixed on the device that trains (Jeong & Lim §3.1), out of a store that lies there or in files.

Only a few numbers an example (which clip, where to cut, how to mix) are drawn on the host, so a seed means the same batches
on every device; everything that touches samples is one vectorised operation over the whole batch on the device.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from earmark.data.clips import FULL_SCALE, ClipSet
from earmark.data.table import Array
from earmark.recipe import BalancedSettings, FrequencyMaskSettings

CHOICES = ("order", "crops", "mixing", "speeds", "masks")  # kinds of; each has a generator of its own


def on(device: torch.device, array: Array, kind: torch.dtype | None = None) -> Tensor:
    """A small array as a tensor on a device, without waiting for what the device is at."""
    return torch.from_numpy(array).to(device, kind, non_blocking=True)


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        sound: float32 ``[B, T]``, or ``[B, F, N]`` where the front end's first stage was done already.
        targets: float32 ``[B, K]``.
        verified: bool ``[B]``.
        domain: ``waveform`` or ``power``: what ``sound`` is.
        masked: bool ``[B, F]``, mel bands whose power the front end is to leave out; None if there are none.
    """

    sound: Tensor
    targets: Tensor
    verified: Tensor
    domain: Literal["waveform", "power"] = "waveform"
    masked: Tensor | None = None


def draw_masks(settings: FrequencyMaskSettings, generator: np.random.Generator, count: int, bands: int) -> tuple[Array, Array]:
    """The lowest band masked of each example, and how many are; none in those that chance spares. int64 ``[count]`` each."""
    narrowest, widest = settings.width
    at = np.flatnonzero(generator.random(count) < settings.chance)
    of_width, of_place = generator.random((len(at), 2)).T
    width, first = np.zeros(count, np.int64), np.zeros(count, np.int64)
    width[at] = np.minimum(narrowest + (of_width * (widest - narrowest + 1)).astype(np.int64), bands)
    first[at] = (of_place * (bands - width[at] + 1)).astype(np.int64)
    return first, width


class Windows:
    """Cuts windows of many clips out of one flat PCM tensor.

    Args:
        clips: the clips.
        window: samples of a cut.
        fastest: the highest speed that will be asked for.
        pcm: the store's samples where they are cut from, int16 ``[samples]``; the clips' own by default.
        device: of the windows; the PCM's own by default.
    """

    def __init__(
        self,
        clips: ClipSet,
        window: int,
        fastest: float = 1.0,
        pcm: Tensor | None = None,
        device: torch.device | None = None,
    ) -> None:
        pcm = torch.from_numpy(clips.pcm) if pcm is None else pcm
        self.window, self.device = window, device or pcm.device
        missing = round(window * fastest) - len(pcm)  # a store smaller than one window
        self.pcm = torch.nn.functional.pad(pcm, (0, missing)) if missing > 0 else pcm
        self.offset, self.length = clips.offset, clips.length

    def cut(self, clip: Array, position: Array, speed: float = 1.0) -> Tensor:
        """A window of each clip.

        A clip longer than the window is cut at a place; a shorter one lies at a place among zeros (random split of the
        padding: §3.1). ``position`` in [0, 1) chooses that place.

        Args:
            clip: int64 ``[B]``, indices into the clips.
            position: float64 ``[B]``.
            speed: the clips will play this much faster: so much more, or less, is cut.

        Returns:
            int16 ``[B, round(window · speed)]``, as they are stored: their scale, which a peak takes out again, is left out.
        """
        device, taken = self.device, round(self.window * speed)
        # Places are reckoned on the host: which rows need more than a copy is known there without asking the device.
        spare = self.length[clip] - taken
        place = (position * (np.abs(spare) + 1)).astype(np.int64)
        shift = np.where(spare >= 0, place, -place)  # the window's first sample, counted from the clip's first
        wanted = self.offset[clip] + shift
        start = np.clip(wanted, 0, len(self.pcm) - taken)
        rows = self.pcm.unfold(0, taken, 1)  # a view [N − taken + 1, taken]: choosing rows copies each as one block
        steps = rows.index_select(0, on(self.pcm.device, start)).to(device, non_blocking=True)  # 16 bits: half as much to move
        time = torch.arange(taken, device=device, dtype=torch.int32)
        # Short clips at the very ends of the store: their window would begin before its first or end after its last sample.
        if len(displaced := np.flatnonzero(wanted != start)):
            at, by = (on(device, a) for a in (displaced, (wanted - start)[displaced]))
            steps[at] = steps[at].gather(1, (time + by[:, None]).clamp(0, taken - 1))
        if len(short := np.flatnonzero(spare < 0)):
            first = -shift[short]
            at, begin, end = on(device, short), *(on(device, a, time.dtype) for a in (first, first + self.length[clip][short]))
            steps[at] = steps[at].masked_fill_((time < begin[:, None]) | (time >= end[:, None]), 0)
        return steps


def stretched(steps: Tensor, window: int) -> Tensor:
    """int16 ``[B, T]`` → float32 ``[B, window]``: where T is more, faster and higher by as much (linear interpolation)."""
    waveform = steps.to(torch.float32)
    if steps.shape[1] == window:
        return waveform
    return torch.nn.functional.interpolate(waveform.unsqueeze(1), size=window, mode="linear").squeeze(1)


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
        bands: mel bands of the front end, for masks.
        pcm: the store's samples where the batches are cut from them, int16 ``[samples]``; the clips' own by default.
        device: of the batches; the PCM's own by default.

    Raises:
        ValueError: a class has no clip, or there is no second class to mix with.
    """

    def __init__(
        self,
        clips: ClipSet,
        window: int,
        settings: BalancedSettings,
        seed: np.random.SeedSequence,
        targets: Array,
        bands: int = 1,
        pcm: Tensor | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.settings, self.bands = settings, bands
        self.windows = Windows(clips, window, settings.speed[1], pcm, device)
        self.device = self.windows.device
        self.targets = on(self.device, targets)
        self.verified = on(self.device, clips.verified)
        self.clip_peak = on(self.device, clips.peak / clips.scale * FULL_SCALE, torch.float32)
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
        self.order, self.crops, self.mixing, self.speeds, self.masks = map(np.random.default_rng, seed.spawn(len(CHOICES)))

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
        return self._mix(first, second, position, share, gain, speed=speed, masked=self._masked(len(first)))

    def _draw(self, class_index: np.ndarray) -> np.ndarray:
        slot = self.order.integers(0, self.class_size[class_index])
        return self.clip_of_slot[self.class_start[class_index] + slot]

    def _masked(self, count: int) -> Array | None:
        """Which bands of each example are masked, bool ``[B, F]``."""
        settings = self.settings.frequency_mask
        if settings is None:
            return None
        first, width = draw_masks(settings, self.masks, count, self.bands)
        band = np.arange(self.bands)
        masked: Array = (band >= first[:, None]) & (band < (first + width)[:, None])
        return masked

    def _mix(
        self,
        first: Array,
        second: Array,
        position: Array,
        share: Array,
        gain: Array,
        *,
        speed: list[float],
        masked: Array | None,
    ) -> Batch:
        """Equation (2): x = w·λ·x_j / max|x_j| + w·(1 − λ)·x_k / max|x_k|, t = λ·t_j + (1 − λ)·t_k."""
        one, other, own, weight = (on(self.device, a) for a in (first, second, share, gain))
        own, weight = own.float()[:, None], weight.float()[:, None]
        waveform, factor = self._window(first, position[0], speed[0])
        partner, of_partner = self._window(second, position[1], speed[1])
        waveform.mul_(weight * own * factor).addcmul_(partner, weight * (1 - own) * of_partner)
        targets = own * self.targets[one] + (1 - own) * self.targets[other]
        match self.settings.verified_by:
            case "dominant":
                verified = self.verified[one]
            case "both":
                verified = self.verified[one] & self.verified[other]
        return Batch(waveform, targets, verified, masked=None if masked is None else on(self.device, masked))

    def _window(self, clip: Array, position: Array, speed: float) -> tuple[Tensor, Tensor]:
        """A window of each clip, and by what it has to be multiplied for a peak of 1, float32 ``[B, 1]``."""
        steps = self.windows.cut(clip, position, speed)
        if self.settings.peak == "window":
            # Of the 16 bits that were cut, before they are stretched: a fifth of the time. aminmax does both at once, many times slower.
            peak = torch.maximum(steps.amax(dim=1).float(), -steps.amin(dim=1).float())
        else:
            peak = self.clip_peak[on(self.device, clip)]
        factor = torch.where(peak > 0, 1 / peak, 1.0)  # silence stays silence
        return stretched(steps, self.windows.window), factor[:, None]
