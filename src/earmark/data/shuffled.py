"""Batches in passes over all clips, cut, augmented and mixed on the device that trains (Akiyama & Sato §3.3).

Examples are mixed behind the front end's first stage: as power mels, or as waveforms where the front end leaves them so.
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
CHOICES = ("partners", "speeds", "crops", "parts", "mixing", "levels", "masks", "windows")  # kinds of


class FirstStage(Protocol):
    """What a batch needs of a front end; see `earmark.nets.frontends.FrontEnd`."""

    hop_length: int
    context: int
    shortest: int
    trainable_power: bool

    def power(self, waveform: Tensor, with_context: bool = False) -> Tensor: ...

    def frames(self, samples: Count) -> Count: ...


class Passes:
    """Indices of one pool of clips in an endless row of passes, each in an order of its own.

    Only how many were drawn has to be kept: the order of a pass follows from the seed and its number.
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
        if number != self._number:
            seed = np.random.SeedSequence(self.seed.entropy, spawn_key=(*self.seed.spawn_key, number))
            self._number, self._order = number, np.random.default_rng(seed).permutation(self.clips)
        return self._order


@dataclass(frozen=True)
class Chosen:
    """Where an augmentation falls: the places in the batch, and a number or two for each."""

    at: Array
    values: Array


class ShuffledBatches:
    """An endless stream of batches of clips from one or more pools, in equal parts.

    Args:
        clips: all clips of the stream.
        targets: float32 ``[N, K]``, of each clip.
        pools: indices into the clips; each batch has the same number of each pool (the first ones get what is left over).
        window: samples of an example, where the settings name no other.
        tile: a clip shorter than the window is repeated, not put among zeros.
        settings: see the recipe.
        frontend: of the net.
        seed: of the stream.
        pcm: the store's samples where the batches are cut from them, int16 ``[samples]``; the clips' own by default.
        device: of the batches and of the front end; the PCM's own by default.

    Raises:
        RecipeError: an augmentation does not go with the front end, or the front end's first stage has something to train.
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
        frontend: FirstStage,
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
        order, *others = seed.spawn(1 + len(CHOICES))
        self.pools = [Passes(pool, own) for pool, own in zip(pools, order.spawn(len(pools)), strict=True)]
        # One generator for each kind of choice, as in BalancedBatches: an augmentation more or less changes nothing else.
        self.generators = {name: np.random.default_rng(own) for name, own in zip(CHOICES, others, strict=True)}

    def state(self) -> dict[str, Any]:
        """Where the generators stand, as plain numbers and strings."""
        states = {name: generator.bit_generator.state for name, generator in self.generators.items()}
        return {**states, "drawn": [pool.drawn for pool in self.pools]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        for name, generator in self.generators.items():
            generator.bit_generator.state = state[name]
        for pool, drawn in zip(self.pools, state["drawn"], strict=True):
            pool.drawn = drawn

    @torch.no_grad()
    def next(self) -> Batch:
        """The next batch, behind the front end's first stage: ``sound`` is ``[B, F, N]``."""
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
            own, other = sound[at], sound[at] if settings.mix.self_mix else partner
            if settings.mix.kind == "between_class":
                levels = settings.mix.level_frame, settings.mix.level_hop, settings.mix.level_floor
                sound[at] = augment.between_class_mix(own[:, 0], other[:, 0], share, *levels)[:, None]
            else:
                sound[at] = augment.mixup(own, other, share)
            of_partner = to_device(second, device)
            targets[at] = augment.mixup(targets[at], self.targets[of_partner], share)
            verified[at] = torch.where(share >= 0.5, verified[at], self.verified[of_partner])
        if settings.gain is not None:
            sound = self._gain(sound)
        if settings.frequency_mask is not None:
            sound = self._frequency_mask(sound)
        return Batch(sound, targets, verified, "power")

    def _parts(self) -> list[int]:
        size, pools = self.settings.size, len(self.pools)
        return [size // pools + (i < size % pools) for i in range(pools)]

    def _chosen(self, stream: str, settings: Any, count: int, draw: Any) -> Chosen:
        """Which examples an augmentation falls on, and ``draw(generator, n)`` for those."""
        if settings is None:
            return Chosen(np.empty(0, np.int64), np.empty(0))
        generator = self.generators[stream]
        at = np.flatnonzero(generator.random(count) < settings.chance)
        return Chosen(at, draw(generator, len(at)))

    def _shares(self, generator: np.random.Generator, count: int) -> Array:
        assert self.settings.mix is not None
        return generator.beta(self.settings.mix.alpha, self.settings.mix.alpha, count)

    def _partners(self, count: int) -> Array:
        """Any clips, from each pool with the same chance."""
        generator = self.generators["partners"]
        sizes = np.array([len(pool.clips) for pool in self.pools])
        pool = generator.integers(0, len(sizes), count)
        place = (np.cumsum(sizes) - sizes)[pool] + generator.integers(0, sizes[pool])
        partners: Array = np.concatenate([pool.clips for pool in self.pools])[place]
        return partners

    def _examples(self, clip: Array, place: Array, window: int) -> Tensor:
        """A window of each clip, behind the front end's first stage, ``[B, F, N]``.

        The frames of a mel front end are those that scoring makes of the whole clip, at the speed it is played at: the clip's ends
        are mirrored, a window begins at a frame, and what lies beside a clip in its window is zero power (§3.3.1), not the
        transform of silence. Tiled clips alone go on beyond their ends, and begin at any sample.

        Numbers are drawn for every place in the batch and for a partner of each, so that the cut of none depends on how many
        are mixed: ``place`` says which of them are a clip's.
        """
        settings, device, store, frontend = self.settings, self.device, self.pcm.device, self.frontend
        speed = self._speeds()[place]
        length = np.ceil(self.clips.length[clip] / speed).astype(np.int64)
        # Samples of tiles, frames of all else: of a window, and of each clip.
        if self.tile:
            hop, size, count = 1, window, length
        else:
            # An empty clip is a clip of silence.
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
            sound = augment.only(sound, to_device(first, device), to_device(count, device))
        return sound if settings.additional_crop is None else self._additional_crop(sound, place, first, count)

    def _speeds(self) -> Array:
        """Of every place in the batch and a partner of each, float64 ``[2 · size]``."""
        draws = 2 * self.settings.size
        speed = np.ones(draws)
        if self.settings.speed is not None:
            slowest, fastest = np.log(self.settings.speed.range)
            faster = self._chosen("speeds", self.settings.speed, draws, lambda g, n: np.exp(g.uniform(slowest, fastest, n)))
            speed[faster.at] = faster.values
        return speed

    def _starts(self, size: int, count: Array, place: Array) -> Array:
        """Where windows begin, counted from each clip's beginning, int64 ``[B]``.

        A window lies anywhere within its clip and the clip's edges, or these lie anywhere within it.

        Args:
            size: frames of a window.
            count: frames of each clip.
            place: in the batch, of each.
        """
        edge, spare = round(self.settings.edge * size), count - size
        low, high = np.minimum(-edge, spare + edge), np.maximum(-edge, spare + edge)
        position = self.generators["crops"].random(2 * self.settings.size)[place]
        start: Array = low + np.floor(position * (high - low + 1)).astype(np.int64)
        return start

    def _additional_crop(self, sound: Tensor, place: Array, first: Array, count: Array) -> Tensor:
        """Of some examples a part of the clip's frames: ``count`` of them, from ``first`` on."""
        draws = 2 * self.settings.size
        shorter = self._chosen("parts", self.settings.additional_crop, draws, self._kept)
        every_part = np.zeros((draws, 2))
        every_part[shorter.at] = shorter.values
        share, position = every_part[place].T
        count = np.where(np.isin(place, shorter.at), count, 0)  # the others stay as they are
        return augment.additional_crop(sound, *(to_device(a, self.device) for a in (first, count, share, position)))

    def _kept(self, generator: np.random.Generator, count: int) -> Array:
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


def check_augmentations(settings: BalancedSettings | ShuffledSettings, frontend: FirstStage) -> None:
    """Whether a front end can take what the settings ask for.

    Raises:
        RecipeError: it cannot.
    """
    faults = list(_faults(settings, frontend))
    if faults:
        raise RecipeError("batch: " + "; ".join(faults))


def _faults(settings: BalancedSettings | ShuffledSettings, frontend: FirstStage) -> Iterator[str]:
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
