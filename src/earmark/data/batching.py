"""Class-balanced training batches, cut and mixed on the device that trains (Jeong & Lim §3.1).

Only a few random numbers for each example (which clip, where to cut, how to mix) are drawn, and they are drawn on the CPU, so that
a seed gives the same batches on every device. All work on samples is done on the device, for the whole batch at once.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from earmark.data.clips import FULL_SCALE, ClipSet
from earmark.data.table import Array
from earmark.recipe import BalancedSettings, FrequencyMaskSettings

Domain = Literal["waveform", "power", "embedding"]
CHOICES = ("order", "crops", "mixing", "speeds", "masks")  # kinds of random choices; each has its own generator


def to_device(array: Array, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A small array as a tensor on a device, without waiting for the work that the device is doing."""
    return torch.from_numpy(array).to(device, dtype, non_blocking=True)


def vectors_on(clips: ClipSet, device: torch.device) -> Tensor:
    """The vectors of clips that have some, on a device: float32 ``[N, 1 + variations, D]``."""
    assert clips.vectors is not None
    return torch.from_numpy(np.ascontiguousarray(clips.vectors[clips.row])).to(device)


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        sound: waveforms, float32 ``[B, T]``, or what the front end's `power` makes of them, ``[B, F, N]``, or vectors ``[B, D]``.
        targets: float32 ``[B, K]``.
        verified: whether the labels of each example are verified, bool ``[B]``.
        domain: what ``sound`` is: ``waveform``, ``power`` or ``embedding``.
        masked: mel bands whose power the front end must set to zero, bool ``[B, F]``; None if there are none.
    """

    sound: Tensor
    targets: Tensor
    verified: Tensor
    domain: Domain = "waveform"
    masked: Tensor | None = None


def draw_masks(settings: FrequencyMaskSettings, generator: np.random.Generator, count: int, bands: int) -> tuple[Array, Array]:
    """Draws a run of masked mel bands for each example.

    Args:
        settings: the chance of a mask, and the limits of its width.
        generator: source of the random numbers.
        count: number of examples B.
        bands: number of mel bands.

    Returns:
        The lowest masked band and the number of masked bands, int64 ``[B]`` each; 0 bands for an example without a mask.
    """
    narrowest, widest = settings.width
    chosen = np.flatnonzero(generator.random(count) < settings.chance)
    width_draw, place_draw = generator.random((len(chosen), 2)).T
    width, first = np.zeros(count, np.int64), np.zeros(count, np.int64)
    width[chosen] = np.minimum(narrowest + (width_draw * (widest - narrowest + 1)).astype(np.int64), bands)
    first[chosen] = (place_draw * (bands - width[chosen] + 1)).astype(np.int64)
    return first, width


class Windows:
    """Cuts windows of many clips out of one flat PCM tensor.

    Args:
        clips: the clips to cut from.
        window: length of a window, in samples.
        fastest: the highest ``speed`` that `cut` will be called with.
        pcm: the store's samples, int16 ``[samples]``, on the CPU or on the device; by default those of ``clips``.
        device: the device of the windows; by default that of ``pcm``.
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

        Out of a clip longer than the window, a part is cut. A clip shorter than the window gets zeros before and after it (a random
        split of the padding: §3.1). ``position`` says where the part begins, or how the zeros are split.

        Args:
            clip: indices of the clips, int64 ``[B]``.
            position: 0 for the first possible place, 1 (excluded) for the last, float64 ``[B]``.
            speed: how much faster the clips will play: the window is longer by this factor.

        Returns:
            int16 ``[B, round(window · speed)]``: the stored samples, not multiplied by the clips' scale, since dividing by the peak
            would undo that.
        """
        device, taken = self.device, round(self.window * speed)
        # The places are computed on the CPU, so that nothing has to wait for the device to know which rows need more than a copy.
        spare = self.length[clip] - taken
        place = (position * (np.abs(spare) + 1)).astype(np.int64)
        shift = np.where(spare >= 0, place, -place)  # the window's first sample, relative to the clip's first
        wanted = self.offset[clip] + shift
        start = np.clip(wanted, 0, len(self.pcm) - taken)
        rows = self.pcm.unfold(0, taken, 1)  # a view [N − taken + 1, taken]: selecting rows copies each row as one block
        # Moved as 16 bits: half as much as float32.
        steps = rows.index_select(0, to_device(start, self.pcm.device)).to(device, non_blocking=True)
        time = torch.arange(taken, device=device, dtype=torch.int32)
        # Short clips at the ends of the store: their window would begin before the store's first sample or end after its last.
        if len(displaced := np.flatnonzero(wanted != start)):
            row, offset = (to_device(a, device) for a in (displaced, (wanted - start)[displaced]))
            steps[row] = steps[row].gather(1, (time + offset[:, None]).clamp(0, taken - 1))
        if len(short := np.flatnonzero(spare < 0)):
            first = -shift[short]
            row = to_device(short, device)
            begin, end = (to_device(a, device, time.dtype) for a in (first, first + self.length[clip][short]))
            steps[row] = steps[row].masked_fill_((time < begin[:, None]) | (time >= end[:, None]), 0)
        return steps


def stretched(steps: Tensor, window: int) -> Tensor:
    """Windows int16 ``[B, T]`` as float32 ``[B, window]``, by linear interpolation; if T > window, they play faster and higher."""
    waveform = steps.to(torch.float32)
    if steps.shape[1] == window:
        return waveform
    return torch.nn.functional.interpolate(waveform.unsqueeze(1), size=window, mode="linear").squeeze(1)


class BalancedBatches:
    """An endless stream of batches with the same number of clips of every class, each mixed with another clip (§3.1, eq. 2).

    Clips that are labelled *none of these* are one more class here, with a uniform target.

    Args:
        clips: the N training clips; none of them unlabelled.
        window: length of an example, in samples.
        settings: how the recipe draws and mixes examples.
        seed: seed of all random choices of the stream.
        targets: target of each clip, float32 ``[N, K]``.
        bands: number of the front end's mel bands, for frequency masks.
        pcm: the store's samples, int16 ``[samples]``, on the CPU or on the device; by default those of ``clips``.
        device: the device of the batches; by default that of ``pcm``.

    Raises:
        ValueError: a class has no clip, or there are fewer than two classes.
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
        self.vectors = None if clips.vectors is None else vectors_on(clips, self.device)
        self.targets = to_device(targets, self.device)
        self.verified = to_device(clips.verified, self.device)
        self.clip_peak = to_device(clips.peak / clips.scale * FULL_SCALE, self.device, torch.float32)
        in_class = clips.positive
        if clips.none_of_these.any():
            in_class = np.concatenate([in_class, clips.none_of_these[:, None]], axis=1)
        class_of_slot, self.clip_of_slot = np.nonzero(in_class.T)  # a slot for each clip and class of it, sorted by class
        self.class_size = np.bincount(class_of_slot, minlength=in_class.shape[1])
        self.class_start = np.cumsum(self.class_size) - self.class_size
        if (self.class_size == 0).any() or len(self.class_size) < 2:
            raise ValueError("every class needs a training clip, and there must be two classes")
        self.clips = len(clips.offset)
        # One generator for each kind of choice, so that a change in mixing does not change the order of the clips.
        self.order, self.crops, self.mixing, self.speeds, self.masks = map(np.random.default_rng, seed.spawn(len(CHOICES)))

    def state(self) -> dict[str, Any]:
        """The states of the random generators, as plain numbers and strings."""
        return {name: getattr(self, name).bit_generator.state for name in CHOICES}

    def load_state(self, state: dict[str, Any]) -> None:
        """Sets the random generators to what `state` returned."""
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
        share = np.maximum(share, 1 - share)  # at least one half: the clip that was drawn for its class dominates
        low, high = settings.gain
        gain = high - (high - low) * self.mixing.random(len(first))  # (low, high]: never silence
        slowest, fastest = settings.speed
        # One speed for all first clips and one for all second clips, so that each is cut and stretched in one operation.
        speed = np.exp(self.speeds.uniform(np.log(slowest), np.log(fastest), 2)).tolist()
        return self._mix(first, second, position, share, gain, speed=speed, masked=self._masked(len(first)))

    def _draw(self, class_index: np.ndarray) -> np.ndarray:
        slot = self.order.integers(0, self.class_size[class_index])
        return self.clip_of_slot[self.class_start[class_index] + slot]

    def _masked(self, count: int) -> Array | None:
        """Which mel bands of each example are masked, bool ``[B, F]``; None without such masks."""
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
        """Equation (2): x = w·λ·x_j / max|x_j| + w·(1 − λ)·x_k / max|x_k|, t = λ·t_j + (1 − λ)·t_k; vectors are mixed as they are."""
        j, k, first_share, factor = (to_device(a, self.device) for a in (first, second, share, gain))
        first_share, factor = first_share.float()[:, None], factor.float()[:, None]
        if self.vectors is None:
            sound, to_peak_1 = self._window(first, position[0], speed[0])
            partner, partner_to_peak_1 = self._window(second, position[1], speed[1])
            sound.mul_(factor * first_share * to_peak_1).addcmul_(partner, factor * (1 - first_share) * partner_to_peak_1)
        else:
            sound = torch.lerp(self._vector(second, position[1]), self._vector(first, position[0]), first_share)
        targets = first_share * self.targets[j] + (1 - first_share) * self.targets[k]
        match self.settings.verified_by:
            case "dominant":
                verified = self.verified[j]
            case "both":
                verified = self.verified[j] & self.verified[k]
        domain: Domain = "waveform" if self.vectors is None else "embedding"
        return Batch(sound, targets, verified, domain, None if masked is None else to_device(masked, self.device))

    def _vector(self, clip: Array, position: Array) -> Tensor:
        """A vector of each clip, ``[B, D]``: of the clip as it is, or of a variation."""
        assert self.vectors is not None
        variation = (position * self.vectors.shape[1]).astype(np.int64)
        return self.vectors[to_device(clip, self.device), to_device(variation, self.device)]

    def _window(self, clip: Array, position: Array, speed: float) -> tuple[Tensor, Tensor]:
        """A window of each clip, float32 ``[B, T]``, and the factor that makes its peak 1, ``[B, 1]``."""
        steps = self.windows.cut(clip, position, speed)
        if self.settings.peak == "window":
            # Peaks of the 16-bit samples, before stretching: a fifth of the time. aminmax would do both at once, but far slower.
            peak = torch.maximum(steps.amax(dim=1).float(), -steps.amin(dim=1).float())
        else:
            peak = self.clip_peak[to_device(clip, self.device)]
        factor = torch.where(peak > 0, 1 / peak, 1.0)  # silence stays silence
        return stretched(steps, self.windows.window), factor[:, None]
