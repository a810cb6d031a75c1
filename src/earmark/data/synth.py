"""Ten clearly different kinds of synthetic sound, for the demo and for tests, which need no recordings then."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from earmark.data.manifest import Clip

RATE = 16000  # Hz
BACKGROUND = (10.0, 40.0)  # dB that the background noise is below the sound, at least and at most

Sound = NDArray[np.float64]
Random = np.random.Generator


def _time(seconds: float) -> Sound:
    return np.arange(round(seconds * RATE)) / RATE


def _tone(pitch: Sound | float, time: Sound) -> Sound:
    """A sine whose pitch in Hz may change over time."""
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(pitch, time.shape)) / RATE)


def _coloured_noise(rng: Random, time: Sound, low: float, high: float) -> Sound:
    """White noise between two frequencies in Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(len(time)))
    frequency = np.fft.rfftfreq(len(time), 1 / RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    noise = np.fft.irfft(spectrum, len(time))
    return noise / (np.abs(noise).max() + 1e-9)


def _at_random_times(rng: Random, time: Sound, per_second: float, event: Callable[[], Sound]) -> Sound:
    """Short sounds at random times, at least one."""
    track = np.zeros(len(time))
    for start in rng.integers(0, max(len(time) * 9 // 10, 1), max(1, rng.poisson(per_second * len(time) / RATE))):
        part = event()[: len(time) - start]
        track[start : start + len(part)] += part * rng.uniform(0.5, 1)
    return track


def _sweep(rng: Random, time: Sound) -> Sound:
    pitches = np.geomspace(rng.uniform(150, 400), rng.uniform(2000, 6000), len(time))
    return _tone(pitches if rng.random() < 0.5 else pitches[::-1], time)


def _bell(rng: Random, time: Sound) -> Sound:
    pitch = rng.uniform(300, 900)
    partials = [(1.0, 1.0), (2.76, 0.6), (5.4, 0.4), (8.9, 0.25)]  # (frequency, amplitude) of a struck bar: not harmonic
    return sum((a * _tone(pitch * f, time) * np.exp(-time * 2.5 * f**0.5) for f, a in partials), np.zeros(len(time)))


def _drum(rng: Random, time: Sound) -> Sound:
    beat = rng.uniform(0.25, 0.6)
    since = time % beat
    pitch = rng.uniform(50, 90) * (1 + 2 * np.exp(-since * 30))
    return _tone(pitch, time) * np.exp(-since * rng.uniform(10, 18))


def _hum(rng: Random, time: Sound) -> Sound:
    pitch = rng.uniform(45, 130)
    return sum((_tone(pitch * k, time) / k for k in range(1, 9)), np.zeros(len(time)))


def _rain(rng: Random, time: Sound) -> Sound:
    drops = _at_random_times(rng, time, 60, lambda: rng.standard_normal(40) * np.exp(-np.arange(40) / 8))
    return 0.5 * _coloured_noise(rng, time, 1000, 8000) + 0.3 * drops


def _clicks(rng: Random, time: Sound) -> Sound:
    period = round(RATE * rng.uniform(0.05, 0.2))
    track = np.zeros(len(time))
    click = np.exp(-np.arange(24) / 4) * rng.choice([-1, 1], 24)
    for start in range(int(rng.integers(period)), len(time), period):
        part = click[: len(time) - start]
        track[start : start + len(part)] += part
    return track


def _chirps(rng: Random, time: Sound) -> Sound:
    low = rng.uniform(2200, 3500)

    def chirp() -> Sound:
        part = _time(rng.uniform(0.04, 0.09))
        return _tone(np.linspace(low, low * rng.uniform(1.3, 1.8), len(part)), part) * np.hanning(len(part))

    return _at_random_times(rng, time, 6, chirp)


def _siren(rng: Random, time: Sound) -> Sound:
    middle, depth, speed = rng.uniform(600, 1100), rng.uniform(0.25, 0.45), rng.uniform(0.8, 2.5)
    return _tone(middle * (1 + depth * np.sin(2 * np.pi * speed * time + rng.uniform(0, 6))), time)


def _wind(rng: Random, time: Sound) -> Sound:
    gusts = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * time + rng.uniform(0, 6))
    return _coloured_noise(rng, time, 60, rng.uniform(350, 700)) * gusts


def _chord(rng: Random, time: Sound) -> Sound:
    root = rng.uniform(180, 400)
    third = rng.choice([1.1892, 1.2599])  # minor or major, equal temperament
    attack = np.minimum(time / 0.05, 1)
    return attack * sum((_tone(root * r, time) + 0.4 * _tone(2 * root * r, time) for r in (1, third, 1.4983)), np.zeros(len(time)))


KINDS: dict[str, Callable[[Random, Sound], Sound]] = {
    "bell": _bell,
    "chirps": _chirps,
    "chord": _chord,
    "clicks": _clicks,
    "drum": _drum,
    "hum": _hum,
    "rain": _rain,
    "siren": _siren,
    "sweep": _sweep,
    "wind": _wind,
}
TONAL = ("bell", "chirps", "chord", "siren", "sweep")  # the kinds that a careless listener mixes up; the other five likewise


def render(kind: str, rng: Random, background: tuple[float, float] = BACKGROUND) -> NDArray[np.float32]:
    """Renders a sound with random pitch, length (0.4–2.5 s), level (−30–0 dB) and background noise.

    Args:
        kind: one of `KINDS`.
        rng: source of the random numbers.
        background: how many dB the peak of the background noise is below that of the sound, at least and at most; below 0 the
            noise is the louder of the two.

    Returns:
        float32 ``[samples]`` at 16 kHz.
    """
    time = _time(rng.uniform(0.4, 2.5))
    sound = KINDS[kind](rng, time)
    sound = sound / (np.abs(sound).max() + 1e-9)
    noise = _coloured_noise(rng, time, 20, rng.uniform(1000, 8000)) * 10 ** (-rng.uniform(*background) / 20)
    mixed = sound + noise
    mixed *= 10 ** (-rng.uniform(0, 30) / 20) / np.abs(mixed).max()
    return mixed.astype(np.float32)


def render_clips(
    folder: Path,
    per_kind: int,
    verified_share: float,
    folds: int,
    seed: int,
    background: tuple[float, float] = BACKGROUND,
) -> list[Clip]:
    """Renders clips of all kinds into ``folder/audio/*.wav``, and returns the clips with their true labels.

    Args:
        folder: the folder, which is made if needed.
        per_kind: number of clips of each of the ten kinds.
        verified_share: share of the clips of each kind that are verified, 0..1.
        folds: number of folds.
        seed: the same seed renders the same samples.
        background: see `render`.
    """
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    clips = []
    for number, (kind, clip_seed) in enumerate(
        (kind, clip_seed)
        for kind, kind_seed in zip(KINDS, np.random.SeedSequence(seed).spawn(len(KINDS)), strict=True)
        for clip_seed in kind_seed.spawn(per_kind)
    ):
        number_in_kind = number % per_kind
        name = f"audio/{number:04d}.wav"  # without the kind, so that the name does not give the label away
        soundfile.write(folder / name, render(kind, np.random.default_rng(clip_seed), background), RATE, subtype="PCM_16")
        verified = number_in_kind < round(verified_share * per_kind)
        clips.append(Clip(name, (kind,), verified=verified, fold=number_in_kind % folds, group=name))
    return clips
