"""Batches from passes over all clips, cut, augmented and mixed on the device that trains (Akiyama & Sato §3.3).

Examples are mixed between the two halves of the front end: as mel power, or as waveforms if `power` returns the waveform.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earmark.data import augment
from earmark.data.batching import Batch, Domain, draw_masks, to_device
from earmark.data.clips import ClipSet
from earmark.data.cuts import CutExamples, Examples, PowerHalf, VectorExamples, choose
from earmark.data.table import Array
from earmark.errors import RecipeError
from earmark.recipe import BalancedSettings, ShuffledSettings

CHOICES = ("partners", "speeds", "crops", "parts", "mixing", "levels", "masks", "windows")  # kinds of random choices


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
        self.settings = settings
        self.windows = settings.windows or (window,)
        pcm = torch.from_numpy(clips.pcm) if pcm is None else pcm
        self.device = device = device or pcm.device
        self.targets = to_device(targets, device)
        self.verified = to_device(clips.verified, device)
        order_seed, *choice_seeds = seed.spawn(1 + len(CHOICES))
        self.pools = [Passes(pool, pool_seed) for pool, pool_seed in zip(pools, order_seed.spawn(len(pools)), strict=True)]
        # One generator for each kind of choice, as in BalancedBatches, so that an augmentation does not change the other choices.
        self.generators = {name: np.random.default_rng(choice) for name, choice in zip(CHOICES, choice_seeds, strict=True)}
        self.domain: Domain = "power" if clips.vectors is None else "embedding"
        self.examples: Examples
        if clips.vectors is None:
            self.examples = CutExamples(clips, pcm, settings, tile, frontend, self.generators, device)
        else:
            self.examples = VectorExamples(clips, settings, self.generators["crops"], device)

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
        """The next batch, in the domain ``power``, ``sound`` is ``[B, F, N]``, or ``embedding``, ``[B, D]``."""
        settings, device = self.settings, self.device
        window = int(self.generators["windows"].choice(self.windows))
        first = np.concatenate([pool.take(count) for pool, count in zip(self.pools, self._parts(), strict=True)])
        mixed = choose(self.generators["mixing"], settings.mix, len(first), self._shares)
        second = self._partners(len(mixed.at))
        place = np.concatenate([np.arange(len(first)), len(first) + mixed.at])
        sound = self.examples.of(np.concatenate([first, second]), place, window)
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
        return Batch(sound, targets, verified, self.domain)

    def _parts(self) -> list[int]:
        """Number of examples in a batch from each pool."""
        size, pools = self.settings.size, len(self.pools)
        return [size // pools + (i < size % pools) for i in range(pools)]

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

    def _gain(self, sound: Tensor) -> Tensor:
        settings = self.settings.gain
        assert settings is not None
        louder = choose(self.generators["levels"], settings, len(sound), lambda g, n: g.uniform(*settings.range, n))
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
    vectors = frontend.takes_vectors
    waveform = frontend.hop_length == 1 and not vectors
    if (waveform or vectors) and settings.frequency_mask is not None:
        yield "frequency_mask needs a mel front end"
    if vectors:
        changes = ("speed",) if settings.sampling == "balanced" else ("speed", "additional_crop", "gain")
        default = BalancedSettings()
        for name in changes:
            if getattr(settings, name) not in (None, getattr(default, name, None)):
                yield f"{name} changes sounds, and the front end embedding has only vectors; frontend.variations makes some of changed sounds"
    if settings.sampling == "balanced":
        return
    if frontend.trainable_power:
        yield (
            "sampling shuffled mixes behind the front end's first stage, which must have nothing to train: "
            "take standardised_logmel, raw_waveform or embedding"
        )
    if not waveform and settings.mix is not None and settings.mix.kind == "between_class":
        yield "mix.kind between_class weighs waveforms: it needs the front end raw_waveform"
    if settings.gain is not None and settings.gain.unit == "decibel" and not waveform and not vectors:
        yield "gain.unit decibel is of a waveform's amplitude; a mel front end takes a factor on its power"
