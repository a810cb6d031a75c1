"""The examples of shuffled batches: parts of clips as the front end's `power` makes them, or vectors (Akiyama & Sato §3.3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data import augment
from earmark.data.batching import to_device, vectors_on
from earmark.data.clips import FULL_SCALE, ClipSet
from earmark.data.table import Array
from earmark.recipe import ShuffledSettings

Count = TypeVar("Count", int, NDArray[np.int64])
Generators = Mapping[str, np.random.Generator]


class PowerHalf(Protocol):
    """The half of a front end that batches are made with; see `earmark.nets.frontends.FrontEnd`."""

    hop_length: int
    context: int
    shortest: int
    trainable_power: bool
    takes_vectors: bool

    def power(self, waveform: Tensor, with_context: bool = False) -> Tensor: ...

    def frames(self, samples: Count) -> Count: ...


@dataclass(frozen=True)
class Chosen:
    """The examples that an augmentation changes.

    Attributes:
        at: places in the batch, int64 ``[n]``.
        values: random numbers for each of these places, ``[n]`` or ``[n, 2]``.
    """

    at: Array
    values: Array


def choose(generator: np.random.Generator, settings: Any, count: int, draw: Callable[[np.random.Generator, int], Array]) -> Chosen:
    """Draws which of ``count`` examples an augmentation changes, and ``draw(generator, n)`` for these n examples.

    Args:
        generator: source of the random numbers.
        settings: of the augmentation, with its ``chance``; None if there is none.
        count: number of examples.
        draw: draws what the augmentation needs.
    """
    if settings is None:
        return Chosen(np.empty(0, np.int64), np.empty(0))
    at = np.flatnonzero(generator.random(count) < settings.chance)
    return Chosen(at, draw(generator, len(at)))


class Examples(Protocol):
    """Makes the examples of a batch."""

    def of(self, clip: Array, place: Array, window: int) -> Tensor:
        """An example of each clip, ``[B, …]``.

        Numbers are drawn for all places in the batch and for a partner at each place, whether it is mixed or not. So the cut of a
        clip does not depend on how many examples are mixed.

        Args:
            clip: indices of the clips, int64 ``[B]``.
            place: index of each clip's numbers among those drawn, int64 ``[B]``.
            window: length of a window, in samples.
        """
        ...


class VectorExamples:
    """Examples that are vectors ``[B, D]``: of each clip one of its variations, or of the clip as it is.

    Args:
        clips: N clips with their vectors.
        settings: of the batches.
        generator: draws the variations.
        device: the device of the examples.
    """

    def __init__(self, clips: ClipSet, settings: ShuffledSettings, generator: np.random.Generator, device: torch.device) -> None:
        self.vectors, self.draws, self.generator = vectors_on(clips, device), 2 * settings.size, generator

    def of(self, clip: Array, place: Array, window: int) -> Tensor:  # noqa: ARG002  (a vector is of a whole clip)
        """See `Examples.of`."""
        variation = (self.generator.random(self.draws)[place] * self.vectors.shape[1]).astype(np.int64)
        return self.vectors[to_device(clip, self.vectors.device), to_device(variation, self.vectors.device)]


class CutExamples:
    """Examples that are windows of clips, as the front end's `power` makes them.

    Args:
        clips: the N clips.
        pcm: the store's samples, int16 ``[samples]``.
        settings: of the batches.
        tile: whether clips shorter than the window are repeated; else they are padded with zeros.
        frontend: the net's front end.
        generators: sources of random numbers for ``speeds``, ``crops`` and ``parts``.
        device: the device of the examples and of the front end.
    """

    def __init__(
        self,
        clips: ClipSet,
        pcm: Tensor,
        settings: ShuffledSettings,
        tile: bool,
        frontend: PowerHalf,
        generators: Generators,
        device: torch.device,
    ) -> None:
        self.clips, self.pcm, self.settings, self.tile, self.frontend = clips, pcm, settings, tile, frontend
        self.generators, self.device = generators, device
        self.offset = to_device(clips.offset, pcm.device)
        self.length = to_device(clips.length, pcm.device)
        self.scale = to_device(clips.scale / FULL_SCALE, device, torch.float32)

    def of(self, clip: Array, place: Array, window: int) -> Tensor:
        """See `Examples.of`: the front end's `power` of a window of each clip, ``[B, F, N]``.

        With a mel front end, a window has the same frames that scoring makes of the whole clip (played at the drawn speed): the
        clip is mirrored at its ends, a window begins at a frame, and frames outside the clip have zero power (§3.3.1), which is
        not the power of silence. Only if clips are tiled, a window begins at any sample and is filled with repetitions.
        """
        settings, device, store, frontend = self.settings, self.device, self.pcm.device, self.frontend
        speed = self._speeds()[place]
        length = np.ceil(self.clips.length[clip] / speed).astype(np.int64)
        # `size` of a window, `count` of each clip: in samples if clips are tiled, else in frames.
        if self.tile:
            hop, size, count = 1, window, length
        else:
            # A clip without samples has the frames of a short silence.
            hop, size, count = frontend.hop_length, frontend.frames(window), frontend.frames(np.maximum(length, frontend.shortest))
        start = self._starts(size, count, place)
        ends: augment.Ends = "tiles" if self.tile else "mirrored" if frontend.context else "zeros"
        index = to_device(clip, store)
        waveform = augment.cut_scaled(
            self.pcm,
            self.offset[index],
            self.length[index],
            to_device(start * hop - frontend.context, store),
            to_device(speed, store),
            window + 2 * frontend.context,
            ends,
            frontend.shortest,
        ).to(device, non_blocking=True)
        sound = frontend.power(waveform.mul_(self.scale[to_device(clip, device), None]), with_context=True)
        if self.tile:
            first, count = np.zeros_like(start), np.full_like(start, sound.shape[2])
        else:
            first = np.clip(-start, 0, size)
            count = np.clip(count - start, 0, size) - first
        if ends == "mirrored" and (count < size).any():
            sound = augment.keep_frames(sound, to_device(first, device), to_device(count, device))
        return sound if settings.additional_crop is None else self._additional_crop(sound, place, first, count)

    def _speeds(self) -> Array:
        """Speed of the clip at each place in the batch, then of its partner, float64 ``[2 · size]``."""
        draws = 2 * self.settings.size
        speed = np.ones(draws)
        if self.settings.speed is not None:
            slowest, fastest = np.log(self.settings.speed.range)
            faster = choose(
                self.generators["speeds"], self.settings.speed, draws, lambda g, n: np.exp(g.uniform(slowest, fastest, n))
            )
            speed[faster.at] = faster.values
        return speed

    def _starts(self, size: int, count: Array, place: Array) -> Array:
        """Where the windows begin, relative to the beginning of each clip, int64 ``[B]``.

        If the clip with its edges is longer than the window, the window lies anywhere within them. If it is shorter, the clip
        with its edges lies anywhere within the window.

        Args:
            size: frames of a window (samples if clips are tiled).
            count: frames of each clip (samples if clips are tiled), int64 ``[B]``.
            place: index of each clip's numbers among those drawn, int64 ``[B]``.
        """
        edge, spare = round(self.settings.edge * size), count - size
        low, high = np.minimum(-edge, spare + edge), np.maximum(-edge, spare + edge)
        position = self.generators["crops"].random(2 * self.settings.size)[place]
        start: Array = low + np.floor(position * (high - low + 1)).astype(np.int64)
        return start

    def _additional_crop(self, sound: Tensor, place: Array, first: Array, count: Array) -> Tensor:
        """Sets frames of some clips to zero power; the frames of a clip are ``count`` frames from ``first`` on."""
        draws = 2 * self.settings.size
        shorter = choose(self.generators["parts"], self.settings.additional_crop, draws, self._kept)
        values = np.zeros((draws, 2))
        values[shorter.at] = shorter.values
        share, position = values[place].T
        count = np.where(np.isin(place, shorter.at), count, 0)  # 0: the clip stays unchanged
        return augment.additional_crop(sound, *(to_device(a, self.device) for a in (first, count, share, position)))

    def _kept(self, generator: np.random.Generator, count: int) -> Array:
        """Share of the frames to keep and the place where they begin, for each clip, float64 ``[count, 2]``."""
        assert self.settings.additional_crop is not None
        return np.stack([generator.uniform(*self.settings.additional_crop.keep, count), generator.random(count)], axis=1)
