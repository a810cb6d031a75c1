"""Augmentations of Akiyama & Sato §3.3 and Tokozume et al. (ICLR 2018), one example and one number at a time."""

import math

import numpy as np


def mixup(first: np.ndarray, second: np.ndarray, share: list[float]) -> np.ndarray:
    return np.stack([share[b] * first[b] + (1 - share[b]) * second[b] for b in range(len(first))])


def sound_level(waveform: np.ndarray, frame: int = 4096, hop: int = 2048, floor_db: float = -80.0) -> float:
    """Of one waveform."""
    samples = [float(x) for x in waveform]
    while len(samples) < frame:
        samples.append(0.0)
    levels = [floor_db]
    begin = 0
    while begin + frame <= len(samples):
        energy = math.fsum(x * x for x in samples[begin : begin + frame]) / frame
        if energy > 0:
            levels.append(10 * math.log10(energy))
        begin += hop
    return max(levels)


def between_class_mix(
    first: np.ndarray, second: np.ndarray, ratio: list[float], frame: int = 4096, hop: int = 2048, floor_db: float = -80.0
) -> np.ndarray:
    mixed = []
    for x1, x2, r in zip(first.astype(np.float64), second.astype(np.float64), ratio, strict=True):
        if r == 0:
            t = 0.0  # the limit of the equation
        else:
            level, other = (sound_level(x, frame, hop, floor_db) for x in (x1, x2))
            t = 1 / (1 + 10 ** ((level - other) / 20) * (1 - r) / r)
        mixed.append((t * x1 + (1 - t) * x2) / math.sqrt(t**2 + (1 - t) ** 2))
    return np.stack(mixed)


def frequency_mask(power: np.ndarray, first: list[int], width: list[int]) -> np.ndarray:
    power = power.copy()
    for b in range(power.shape[0]):
        for band in range(first[b], first[b] + width[b]):
            if band < power.shape[1]:
                power[b, band] = 0
    return power


def gain(sound: np.ndarray, factor: list[float]) -> np.ndarray:
    return np.stack([factor[b] * sound[b] for b in range(len(sound))])


def additional_crop(power: np.ndarray, first: list[int], count: list[int], share: list[float], place: list[float]) -> np.ndarray:
    cropped = np.zeros_like(power)
    for b in range(power.shape[0]):
        if count[b] == 0:
            cropped[b] = power[b]
            continue
        kept = max(1, round(share[b] * count[b]))
        begin = first[b] + math.floor(place[b] * (count[b] - kept + 1))
        cropped[b, :, begin : begin + kept] = power[b, :, begin : begin + kept]
    return cropped


def cut_scaled(clip: list[int], start: float, speed: float, window: int, ends: str, shortest: int = 1) -> list[float]:
    """A window of one clip, given by its own samples; NaN beyond what is mirrored."""
    if ends == "mirrored":
        played = centred(played_at(clip, speed), shortest)
        backwards = played[:0:-1]  # without its first sample, which follows
        mirrored = backwards + played + played[-2::-1]
        place = [math.floor(start) + t + len(backwards) for t in range(window)]
        return [mirrored[i] if 0 <= i < len(mirrored) else math.nan for i in place]
    cut = []
    for t in range(window):
        i = math.floor((start + t) * speed)
        if ends == "tiles" and clip:
            i %= len(clip)
        cut.append(float(clip[i]) if 0 <= i < len(clip) else 0.0)
    return cut


def played_at(clip: list[int], speed: float) -> list[float]:
    """A clip at another speed: of each place the nearest sample before it."""
    return [float(clip[math.floor(t * speed)]) for t in range(math.ceil(len(clip) / speed))]


def centred(samples: list[float], shortest: int) -> list[float]:
    """In the middle of so many samples of silence, unless there are as many already; of an odd rest the larger half behind."""
    missing = max(shortest - len(samples), 0)
    return [0.0] * (missing // 2) + samples + [0.0] * (missing - missing // 2)
