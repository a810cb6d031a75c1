"""A batch of `ShuffledBatches` done again from the numbers that were drawn for it: one example and one sample at a time."""

import math
from typing import Any

import numpy as np

from earmark.data.clips import ClipSet
from earmark.recipe import ShuffledSettings
from tests.reference import augment


def mel_power(waveform: np.ndarray, n_fft: int, hop: int, filters: np.ndarray) -> np.ndarray:
    """Of a waveform that has half a window more on either side: frame f begins at sample f · hop."""
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * i / n_fft) for i in range(n_fft)])
    frames = [
        np.abs(np.fft.rfft(waveform[first : first + n_fft] * hann)) ** 2 for first in range(0, len(waveform) - n_fft + 1, hop)
    ]
    return (filters @ np.array(frames).T).astype(np.float64)


def batch(
    state: dict[str, Any],
    settings: ShuffledSettings,
    clips: ClipSet,
    targets: np.ndarray,
    first: list[int],
    window: int,
    tile: bool,
    mel: tuple[int, int, np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sound ``[B, F, N]`` and targets ``[B, K]``.

    Args:
        state: of the stream before the batch: its generators.
        settings: of the stream, which has one pool of all clips.
        clips: of the stream.
        targets: of the clips.
        first: the clips that the passes bring.
        window: samples.
        tile: short clips repeat.
        mel: FFT length, hop and filters of the front end; None for waveforms.
    """
    drawn = {name: np.random.default_rng() for name in state if name != "drawn"}
    for name, generator in drawn.items():
        generator.bit_generator.state = state[name]
    size = len(first)

    def falls_on(name: str, chance: float, count: int) -> list[int]:
        return [i for i, number in enumerate(drawn[name].random(count)) if number < chance]

    # The draws, each for all places of the batch and a partner of each.
    share: dict[int, float] = {}
    if settings.mix:
        mixed = falls_on("mixing", settings.mix.chance, size)
        share = dict(zip(mixed, drawn["mixing"].beta(settings.mix.alpha, settings.mix.alpha, len(mixed)), strict=True))
    drawn["partners"].integers(0, 1, len(share))  # of the one pool
    second = drawn["partners"].integers(0, np.full(len(share), len(clips))).tolist()
    speed = [1.0] * (2 * size)
    if settings.speed:
        at = falls_on("speeds", settings.speed.chance, 2 * size)
        low, high = (math.log(limit) for limit in settings.speed.range)
        for i, number in zip(at, drawn["speeds"].uniform(low, high, len(at)), strict=True):
            speed[i] = math.exp(number)
    position = drawn["crops"].random(2 * size)
    part: dict[int, tuple[float, float]] = {}
    if settings.additional_crop:
        at = falls_on("parts", settings.additional_crop.chance, 2 * size)
        kept = drawn["parts"].uniform(*settings.additional_crop.keep, len(at))
        part = dict(zip(at, zip(kept, drawn["parts"].random(len(at)), strict=True), strict=True))

    hop = mel[1] if mel else 1
    context = mel[0] // 2 if mel else 0

    def example(clip: int, place: int) -> np.ndarray:
        own = clips.pcm[int(clips.offset[clip]) : int(clips.offset[clip] + clips.length[clip])].tolist()
        length = math.ceil(len(own) / speed[place])
        edge = round(settings.edge * window)
        ends = sorted((-edge, length + edge - window))  # the window lies within the clip and its edges, or they within it
        start = ends[0] + math.floor(position[place] * (ends[1] - ends[0] + 1))
        cut = augment.cut_scaled(own, start - context, speed[place], window + 2 * context, tile)
        waveform = np.array(cut) / 32768 * clips.scale[clip]
        sound = mel_power(waveform, *mel) if mel else waveform[None]
        if place in part:
            # A frame is the clip's where any of the hop that begins with it is.
            there = [f for f in range(sound.shape[1]) if tile or ((f + 1) * hop > -start and f * hop < length - start)]
            kept, where = part[place]
            sound = augment.additional_crop(sound[None], [there[0]], [len(there)], [kept], [where])[0]
        return sound

    sounds, found = [], []
    partner = 0
    for place, clip in enumerate(first):
        sound, target = example(clip, place)[None], targets[clip][None]
        if place in share:
            other = example(second[partner], size + place)[None]
            if settings.mix and settings.mix.kind == "between_class":
                sound = augment.between_class_mix(sound[:, 0], other[:, 0], [share[place]])[:, None]
            else:
                sound = augment.mixup(sound, other, [share[place]])
            target = augment.mixup(target, targets[second[partner]][None], [share[place]])
            partner += 1
        sounds.append(sound[0])
        found.append(target[0])
    sound = np.stack(sounds)
    if settings.gain:
        at = falls_on("levels", settings.gain.chance, size)
        factor = [1.0] * size
        for i, number in zip(at, drawn["levels"].uniform(*settings.gain.range, len(at)), strict=True):
            factor[i] = 10 ** (number / 20) if settings.gain.unit == "decibel" else number
        sound = augment.gain(sound, factor)
    if settings.frequency_mask:
        at = falls_on("masks", settings.frequency_mask.chance, size)
        low, high = settings.frequency_mask.width
        lowest, width = [0] * size, [0] * size
        for i, (one, other) in zip(at, drawn["masks"].random((len(at), 2)), strict=True):
            width[i] = min(low + math.floor(one * (high - low + 1)), sound.shape[1])
            lowest[i] = math.floor(other * (sound.shape[1] - width[i] + 1))
        sound = augment.frequency_mask(sound, lowest, width)
    return sound, np.stack(found)
