"""Variations of a sound that change nothing about what it is: faster or slower, louder or quieter."""

import math

import numpy as np

from earmark import audio

SPEED = (1.05, 1.18)  # of a faster variation; a slower one is as much slower. The pitch changes with the speed
DECIBELS = (-12.0, 6.0)
GOLDEN = (math.sqrt(5) - 1) / 2  # whose multiples fill a range evenly, however many there are
STEPS = 1000  # the speed is a fraction of this, which resampling takes as a ratio of two whole rates


def varied(samples: audio.Samples, number: int) -> audio.Samples:
    """A variation of a sound ``[samples]``, float32. The same number changes every sound in the same way.

    Parts of a sound are no variations here: what it is may be in the other part.

    Args:
        samples: the sound.
        number: 1, 2 … Odd ones are faster, even ones slower.

    >>> len(varied(np.ones(1000, np.float32), 1)), len(varied(np.ones(1000, np.float32), 2))
    (876, 1142)
    """
    lowest, highest = SPEED
    speed = lowest + (highest - lowest) * ((0.7 + GOLDEN * ((number - 1) // 2)) % 1)
    decibels = DECIBELS[0] + (DECIBELS[1] - DECIBELS[0]) * ((GOLDEN * number) % 1)
    rate = round((speed if number % 2 else 1 / speed) * STEPS)
    played = audio.resample(samples, rate, STEPS) if len(samples) * STEPS >= 2 * rate else samples
    return (played * 10 ** (decibels / 20)).astype(np.float32)
