"""A batch of `ShuffledBatches` done again from the numbers that were drawn for it: one example and one sample at a time."""

import math
from typing import Any

import numpy as np

from earmark.data.clips import ClipSet
from earmark.recipe import ShuffledSettings
from tests.reference import augment


def frames_of(waveform: np.ndarray, n_fft: int, hop: int, filters: np.ndarray) -> np.ndarray:
    """Mel power ``[F, N]`` of whole frames alone: frame f begins at sample f · hop."""
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * i / n_fft) for i in range(n_fft)])
    frames = [
        np.abs(np.fft.rfft(waveform[first : first + n_fft] * hann)) ** 2 for first in range(0, len(waveform) - n_fft + 1, hop)
    ]
    return (filters @ np.array(frames).T).astype(np.float64)


def whole_mel(clip: list[float], n_fft: int, hop: int, filters: np.ndarray) -> np.ndarray:
    """Mel power ``[F, N]`` of a whole clip as librosa makes it, centred and reflected: frame f has its middle at sample f · hop."""
    context = n_fft // 2
    return frames_of(np.pad(augment.centred(clip, context + 1), context, mode="reflect"), n_fft, hop, filters)


def cropped(sound: np.ndarray, size: int, edge: int, position: float) -> tuple[np.ndarray, np.ndarray]:
    """A random crop of so many frames; a shorter sound lies among zeros instead (§3.3.1).

    Args:
        sound: ``[F, N]``.
        size: frames of the crop.
        edge: zeros put before and behind the sound first.
        position: in [0, 1), of the crop in the sound, or of the sound in the zeros.

    Returns:
        ``[F, size]``, and which of these frames are the sound's.
    """
    padded, own = np.pad(sound, ((0, 0), (edge, edge))), np.pad(np.ones(sound.shape[1], bool), edge)
    spare = padded.shape[1] - size
    if spare >= 0:
        begin = math.floor(position * (spare + 1))
        return padded[:, begin : begin + size], own[begin : begin + size]
    behind = math.floor(position * (1 - spare))
    zeros = (-spare - behind, behind)
    return np.pad(padded, ((0, 0), zeros)), np.pad(own, zeros)


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

    def tiled(own: list[int], clip: int, place: int) -> np.ndarray:
        """Cut out of the clip in an endless row; a frame sees the row before and behind the window, too."""
        context = mel[0] // 2 if mel else 0
        low, high = sorted((0, math.ceil(len(own) / speed[place]) - window))
        start = low + math.floor(position[place] * (high - low + 1))
        cut = augment.cut_scaled(own, start - context, speed[place], window + 2 * context, "tiles")
        waveform = np.array(cut) / 32768 * clips.scale[clip]
        return frames_of(waveform, *mel) if mel else waveform[None]

    def example(clip: int, place: int) -> np.ndarray:
        own = clips.pcm[int(clips.offset[clip]) : int(clips.offset[clip] + clips.length[clip])].tolist()
        if tile:
            sound = tiled(own, clip, place)
            there = np.ones(sound.shape[1], bool)
        else:
            played = [sample / 32768 * clips.scale[clip] for sample in augment.played_at(own, speed[place])]
            size = 1 + window // mel[1] if mel else window
            whole = whole_mel(played, *mel) if mel else np.array(played)[None]
            sound, there = cropped(whole, size, round(settings.edge * size), position[place])
        if place in part:
            kept, where = part[place]
            sound = augment.additional_crop(sound[None], [int(there.argmax())], [int(there.sum())], [kept], [where])[0]
        return sound

    sounds, found = [], []
    partner = 0
    for place, clip in enumerate(first):
        sound, target = example(clip, place)[None], targets[clip][None]
        if place in share:
            other = example(second[partner], size + place)[None]
            if settings.mix and settings.mix.kind == "between_class":
                levels = settings.mix.level_frame, settings.mix.level_hop, settings.mix.level_floor
                sound = augment.between_class_mix(sound[:, 0], other[:, 0], [share[place]], *levels)[:, None]
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
