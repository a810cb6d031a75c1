"""Variations of a sound that change nothing about what it is: faster or slower, a part of it, louder or quieter."""

import numpy as np

from earmark import audio

SPEED = (0.85, 1.18)  # log-uniform; the pitch changes with the speed
PART = (0.6, 1.0)  # share of the sound that is kept
DECIBELS = (-12.0, 6.0)
# Steps of the four numbers from one variation to the next, as shares of their ranges. Multiples of the powers of this number (the
# root of x⁵ = x + 1) fill four dimensions evenly, so that a few variations differ in everything.
STEPS = tuple(1.1673039782614187**-power for power in (1, 2, 3, 4))
FINE = 1000  # the speed is a fraction of this, which resampling takes as a ratio of two whole rates


def varied(samples: audio.Samples, number: int) -> audio.Samples:
    """A variation of a sound ``[samples]``, float32. The same number changes every sound in the same way.

    Args:
        samples: the sound.
        number: 1 is an eighth faster and the last nine tenths or so of the sound, and so on.

    >>> len(varied(np.ones(1000, np.float32), 1))
    793
    """
    speed, part, place, gain = (number * step % 1 for step in STEPS)
    rate = round(SPEED[0] * (SPEED[1] / SPEED[0]) ** speed * FINE)
    played = audio.resample(samples, rate, FINE) if len(samples) * FINE >= 2 * rate else samples
    length = max(round(len(played) * (PART[0] + part * (PART[1] - PART[0]))), 1)
    start = round(place * (len(played) - length))
    factor = 10 ** ((DECIBELS[0] + gain * (DECIBELS[1] - DECIBELS[0])) / 20)
    return (played[start : start + length] * factor).astype(np.float32)
