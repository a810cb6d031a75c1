import numpy as np
import pytest
import scipy.signal

from earmark import audio


def tone(rate: int, channels: int = 1, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * (c + 1) * time) for c in range(channels)], axis=1)


@pytest.mark.parametrize(("lead", "tail"), [(0, 0), (1, 0), (0, 3), (4095, 4096), (4096, 9000), (10001, 1)])
def test_silent_ends_are_those_that_round_to_zero(lead: int, tail: int) -> None:
    sound = np.array([2e-5, 0, -2e-5], np.float32)
    samples = np.concatenate([np.full(lead, 1e-5, np.float32), sound, np.full(tail, -1e-5, np.float32)])
    assert audio.silent_ends(samples) == (lead, tail)
    assert audio.silent_ends(samples[:lead]) == (lead, 0)


def test_mono_is_the_mean_of_the_channels() -> None:
    assert audio.to_mono(np.array([[1, 0], [0, 0.5]], np.float32)).tolist() == [0.5, 0.25]


@pytest.mark.parametrize(("old", "new"), [(44100, 16000), (16000, 44100), (48000, 32000)])
def test_resampling_agrees_with_scipys_within_the_pass_band(old: int, new: int) -> None:
    samples = tone(old)[:, 0].astype(np.float32)
    ours = audio.resample(samples, old, new)
    theirs = scipy.signal.resample(samples, len(ours))
    middle = slice(len(ours) // 4, -len(ours) // 4)
    assert len(ours) == round(len(samples) * new / old)
    assert np.abs(ours[middle] - theirs[middle]).max() < 2e-3


def test_what_lies_above_half_the_new_rate_is_gone() -> None:
    time = np.arange(44100) / 44100
    samples = np.sin(2 * np.pi * 12000 * time).astype(np.float32)
    assert np.abs(audio.resample(samples, 44100, 16000)[1000:-1000]).max() < 1e-3


def test_model_input_trims_pads_in_the_middle_and_normalises() -> None:
    samples = np.array([0, 0, 0.25, -0.5, 0, 0, 0], np.float32)
    assert audio.model_input(samples, 4, trim_silence=True).tolist() == [0, 0.5, -1, 0]
    assert audio.model_input(samples, 4, trim_silence=False).tolist() == [0, 0, 0.5, -1, 0, 0, 0]
    assert audio.model_input(np.zeros(3, np.float32), 2, trim_silence=True).tolist() == [0, 0]
