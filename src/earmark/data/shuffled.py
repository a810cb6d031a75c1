"""Batches from passes over all clips, cut, augmented and mixed on the device that trains (Akiyama & Sato §3.3).

Examples are mixed between the two halves of the front end: as mel power, or as waveforms if `power` returns the waveform.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earmark.data import augment
from earmark.data.batching import Batch, draw_masks, to_device
from earmark.data.clips import FULL_SCALE, ClipSet
from earmark.data.table import Array
from earmark.errors import RecipeError
from earmark.recipe import BalancedSettings, ShuffledSettings

Count = TypeVar("Count", int, NDArray[np.int64])
CHOICES = ("partners", "speeds", "crops", "parts", "mixing", "levels", "masks", "windows")  # kinds of random choices


class PowerHalf(Protocol):
    """The half of a front end that batches are made with; see `earmark.nets.frontends.FrontEnd`."""

    hop_length: int
    context: int
    shortest: int
    trainable_power: bool

    def power(self, waveform: Tensor, with_context: bool = False) -> Tensor: ...

    def frames(self, samples: Count) -> Count: ...


class Passes:
    """Indices of a pool of clips, in endless passes over the pool; every pass has a new random order.

    The order of a pass follows from the seed and the number of the pass, so ``drawn`` is the whole state.

    Args:
        clips: indices of the pool's clips, int64.
        seed: seed of all orders.

    Attributes:
        drawn: number of indices drawn so far.
    """

    def __init__(self, clips: Array, seed: np.random.SeedSequence) -> None:
        self.clips, self.seed, self.drawn = clips, seed, 0
        self._number, self._order = -1, clips

    def take(self, count: int) -> Array:
        """The next ``count`` indices, int64 ``[count]``."""
        taken = [np.empty(0, np.int64)]
        while count:
            number, within = divmod(self.drawn, len(self.clips))
            taken.append(self._pass(number)[within : within + count])
            count -= len(taken[-1])
            self.drawn += len(taken[-1])
        return np.concatenate(taken)

    def _pass(self, number: int) -> Array:
        """All indices of the pool, in the order of a given pass (from 0)."""
        if number != self._number:
            seed = np.random.SeedSequence(self.seed.entropy, spawn_key=(*self.seed.spawn_key, number))
            self._number, self._order = number, np.random.default_rng(seed).permutation(self.clips)
        return self._order


@dataclass(frozen=True)
class Chosen:
    """The examples that an augmentation changes.

    Attributes:
        at: places in the batch, int64 ``[n]``.
        values: random numbers for each of these places, ``[n]`` or ``[n, 2]``.
    """

    at: Array
    values: Array


class ShuffledBatches:
    """An endless stream of batches, with equally many examples from each pool of clips.

    Args:
        clips: the N clips of the stream.
        targets: target of each clip, float32 ``[N, K]``.
        pools: indices of the clips of each pool, int64; if a batch cannot be divided equally, the first pools get one more.
        window: length of an example in samples, if the settings do not give lengths.
        tile: whether clips shorter than the window are repeated; else they are padded with zeros.
        settings: how the recipe draws, changes and mixes examples.
        frontend: the net's front end.
        seed: seed of all random choices of the stream.
        pcm: the store's samples, int16 ``[samples]``, on the CPU or on the device; by default those of ``clips``.
        device: the device of the batches and of the front end; by default that of ``pcm``.

    Raises:
        RecipeError: the front end cannot be used with the settings, see `check_augmentations`.
        ValueError: a pool is empty.
    """

    def __init__(
        self,
        clips: ClipSet,
        targets: Array,
        pools: Sequence[Array],
        window: int,
        tile: bool,
        settings: ShuffledSettings,
        frontend: PowerHalf,
        seed: np.random.SeedSequence,
        pcm: Tensor | None = None,
        device: torch.device | None = None,
    ) -> None:
        check_augmentations(settings, frontend)
        if not all(map(len, pools)):
            raise ValueError("a pool of clips is empty")
        self.settings, self.frontend, self.tile = settings, frontend, tile
        self.windows = settings.windows or (window,)
        self.clips, self.pcm = clips, torch.from_numpy(clips.pcm) if pcm is None else pcm
        self.device = device = device or self.pcm.device
        self.offset = to_device(clips.offset, self.pcm.device)
        self.length = to_device(clips.length, self.pcm.device)
        self.scale = to_device(clips.scale / FULL_SCALE, device, torch.float32)
        self.targets = to_device(targets, device)
        self.verified = to_device(clips.verified, device)
        order_seed, *choice_seeds = seed.spawn(1 + len(CHOICES))
        self.pools = [Passes(pool, pool_seed) for pool, pool_seed in zip(pools, order_seed.spawn(len(pools)), strict=True)]
        # One generator for each kind of choice, as in BalancedBatches, so that an augmentation does not change the other choices.
        self.generators = {name: np.random.default_rng(choice) for name, choice in zip(CHOICES, choice_seeds, strict=True)}

    def state(self) -> dict[str, Any]:
        """The states of the random generators and of the passes, as plain numbers and strings."""
        states = {name: generator.bit_generator.state for name, generator in self.generators.items()}
        return {**states, "drawn": [pool.drawn for pool in self.pools]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Sets the random generators and the passes to what `state` returned."""
        for name, generator in self.generators.items():
            generator.bit_generator.state = state[name]
        for pool, drawn in zip(self.pools, state["drawn"], strict=True):
            pool.drawn = drawn

    @torch.no_grad()
    def next(self) -> Batch:
        """The next batch, in the domain ``power``: ``sound`` is ``[B, F, N]``."""
        settings, device = self.settings, self.device
        window = int(self.generators["windows"].choice(self.windows))
        first = np.concatenate([pool.take(count) for pool, count in zip(self.pools, self._parts(), strict=True)])
        mixed = self._chosen("mixing", settings.mix, len(first), self._shares)
        second = self._partners(len(mixed.at))
        place = np.concatenate([np.arange(len(first)), len(first) + mixed.at])
        sound = self._examples(np.concatenate([first, second]), place, window)
        targets = self.targets[to_device(first, device)]
        verified = self.verified[to_device(first, device)]
        sound, partner = sound[: len(first)], sound[len(first) :]
        if settings.mix is not None and len(mixed.at):
            at, share = to_device(mixed.at, device), to_device(mixed.values, device, torch.float32)
            first_sound, second_sound = sound[at], sound[at] if settings.mix.self_mix else partner
            if settings.mix.kind == "between_class":
                levels = settings.mix.level_frame, settings.mix.level_hop, settings.mix.level_floor
                sound[at] = augment.between_class_mix(first_sound[:, 0], second_sound[:, 0], share, *levels)[:, None]
            else:
                sound[at] = augment.mixup(first_sound, second_sound, share)
            partner_clip = to_device(second, device)
            targets[at] = augment.mixup(targets[at], self.targets[partner_clip], share)
            verified[at] = torch.where(share >= 0.5, verified[at], self.verified[partner_clip])
        if settings.gain is not None:
            sound = self._gain(sound)
        if settings.frequency_mask is not None:
            sound = self._frequency_mask(sound)
        return Batch(sound, targets, verified, "power")

    def _parts(self) -> list[int]:
        """Number of examples in a batch from each pool."""
        size, pools = self.settings.size, len(self.pools)
        return [size // pools + (i < size % pools) for i in range(pools)]

    def _chosen(self, stream: str, settings: Any, count: int, draw: Any) -> Chosen:
        """Draws which of ``count`` examples an augmentation changes, and ``draw(generator, n)`` for these n examples."""
        if settings is None:
            return Chosen(np.empty(0, np.int64), np.empty(0))
        generator = self.generators[stream]
        at = np.flatnonzero(generator.random(count) < settings.chance)
        return Chosen(at, draw(generator, len(at)))

    def _shares(self, generator: np.random.Generator, count: int) -> Array:
        """Share of the first clip in each mix, float64 ``[count]``."""
        assert self.settings.mix is not None
        return generator.beta(self.settings.mix.alpha, self.settings.mix.alpha, count)

    def _partners(self, count: int) -> Array:
        """Indices of the clips to mix with, int64 ``[count]``; every pool has the same chance, and every clip in a pool."""
        generator = self.generators["partners"]
        sizes = np.array([len(pool.clips) for pool in self.pools])
        pool = generator.integers(0, len(sizes), count)
        place = (np.cumsum(sizes) - sizes)[pool] + generator.integers(0, sizes[pool])
        partners: Array = np.concatenate([pool.clips for pool in self.pools])[place]
        return partners

    def _examples(self, clip: Array, place: Array, window: int) -> Tensor:
        """The front end's `power` of a window of each clip, ``[B, F, N]``.

        With a mel front end, a window has the same frames that scoring makes of the whole clip (played at the drawn speed): the
        clip is mirrored at its ends, a window begins at a frame, and frames outside the clip have zero power (§3.3.1), which is
        not the power of silence. Only if clips are tiled, a window begins at any sample and is filled with repetitions.

        Numbers are drawn for all places in the batch and for a partner at each place, whether it is mixed or not. So the cut of a
        clip does not depend on how many examples are mixed.

        Args:
            clip: indices of the clips, int64 ``[B]``.
            place: index of each clip's numbers among those drawn, int64 ``[B]``.
            window: length of a window, in samples.
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
            faster = self._chosen("speeds", self.settings.speed, draws, lambda g, n: np.exp(g.uniform(slowest, fastest, n)))
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
        shorter = self._chosen("parts", self.settings.additional_crop, draws, self._kept)
        values = np.zeros((draws, 2))
        values[shorter.at] = shorter.values
        share, position = values[place].T
        count = np.where(np.isin(place, shorter.at), count, 0)  # 0: the clip stays unchanged
        return augment.additional_crop(sound, *(to_device(a, self.device) for a in (first, count, share, position)))

    def _kept(self, generator: np.random.Generator, count: int) -> Array:
        """Share of the frames to keep and the place where they begin, for each clip, float64 ``[count, 2]``."""
        assert self.settings.additional_crop is not None
        return np.stack([generator.uniform(*self.settings.additional_crop.keep, count), generator.random(count)], axis=1)

    def _gain(self, sound: Tensor) -> Tensor:
        settings = self.settings.gain
        assert settings is not None
        louder = self._chosen("levels", settings, len(sound), lambda g, n: g.uniform(*settings.range, n))
        factor = np.ones(len(sound))
        factor[louder.at] = 10 ** (louder.values / 20) if settings.unit == "decibel" else louder.values
        return augment.gain(sound, to_device(factor, sound.device))

    def _frequency_mask(self, sound: Tensor) -> Tensor:
        settings, bands = self.settings.frequency_mask, sound.shape[1]
        assert settings is not None
        first, width = draw_masks(settings, self.generators["masks"], len(sound), bands)
        return augment.frequency_mask(sound, to_device(first, sound.device), to_device(width, sound.device))


def check_augmentations(settings: BalancedSettings | ShuffledSettings, frontend: PowerHalf) -> None:
    """Checks that a front end can be used with the settings of the batches.

    Raises:
        RecipeError: an augmentation does not suit the front end, or shuffled batches need a `power` without anything to train.
    """
    faults = list(_faults(settings, frontend))
    if faults:
        raise RecipeError("batch: " + "; ".join(faults))


def _faults(settings: BalancedSettings | ShuffledSettings, frontend: PowerHalf) -> Iterator[str]:
    """What is wrong, as parts of an error message."""
    waveform = frontend.hop_length == 1
    if waveform and settings.frequency_mask is not None:
        yield "frequency_mask needs a mel front end"
    if settings.sampling == "balanced":
        return
    if frontend.trainable_power:
        yield (
            "sampling shuffled mixes behind the front end's first stage, which must have nothing to train: "
            "take standardised_logmel or raw_waveform"
        )
    if not waveform and settings.mix is not None and settings.mix.kind == "between_class":
        yield "mix.kind between_class weighs waveforms: it needs the front end raw_waveform"
    if settings.gain is not None and settings.gain.unit == "decibel" and not waveform:
        yield "gain.unit decibel is of a waveform's amplitude; a mel front end takes a factor on its power"
