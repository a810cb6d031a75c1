"""Variations: the same for every sound, in the ranges that they claim, and different from each other."""

import numpy as np
import pytest

from earmark.embedding.variations import DECIBELS, SPEED, varied

RATE = 16000


def tone(seconds: float, hertz: float = 1000.0) -> np.ndarray:
    return (0.25 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def pitch(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
    return float(spectrum.argmax()) * RATE / (1 << 18)


@pytest.mark.parametrize("number", [1, 2, 3, 20, 99])
def test_pitch_length_and_level_are_in_their_ranges(number: int) -> None:
    after = varied(tone(2.0), number)
    speed = pitch(after) / 1000
    assert SPEED[0] - 0.002 <= (speed if number % 2 else 1 / speed) <= SPEED[1] + 0.002
    assert len(after) == pytest.approx(2.0 * RATE / speed, rel=1e-3)
    level = 20 * np.log10(np.abs(after[200:-200]).max() / 0.25)
    assert DECIBELS[0] - 0.1 <= level <= DECIBELS[1] + 0.1
    assert after.dtype == np.float32


def test_first_variations_differ_in_pitch_and_level() -> None:
    variations = [varied(tone(2.0), number) for number in (1, 2, 3, 4)]
    for value in (pitch, lambda samples: round(float(np.abs(samples[200:-200]).max()), 3)):
        assert len({value(samples) for samples in variations}) == 4


@pytest.mark.parametrize("length", [1, 2, 3, 100])
def test_shortest_sounds_have_variations(length: int) -> None:
    assert 1 <= len(varied(np.ones(length, np.float32), 1)) <= length
