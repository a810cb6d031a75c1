"""Variations of a sound that change nothing about what it is: shifted, louder or quieter, faster or slower, a part of it."""

import numpy as np

from earmark import audio

SPEED = (0.85, 1.18)  # log-uniform; the pitch changes with the speed
DECIBELS = (-12.0, 6.0)
PART = (0.6, 1.0)  # share of the sound that is kept
STEPS = 1000  # the speed is a fraction of this, which resampling takes as a ratio of two whole rates


def varied(samples: audio.Samples, rng: np.random.Generator) -> audio.Samples:
    """A variation of a sound ``[samples]``, float32.

    Its end may stand before its beginning, it is a few semitones higher or lower, louder or quieter, and up to two fifths are missing.

    >>> len(varied(np.ones(1000, np.float32), np.random.default_rng(0))) < 1200
    True
    """
    speed = round(float(np.exp(rng.uniform(*np.log(SPEED)))) * STEPS)
    played = audio.resample(samples, speed, STEPS) if len(samples) * STEPS >= 2 * speed else samples
    shifted = np.roll(played, int(rng.integers(len(played))))
    length = max(round(len(shifted) * rng.uniform(*PART)), 1)
    start = int(rng.integers(len(shifted) - length + 1))
    factor = 10 ** (rng.uniform(*DECIBELS) / 20)
    return (shifted[start : start + length] * factor).astype(np.float32)
