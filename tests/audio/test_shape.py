import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from earmark import audio
from earmark.errors import AudioError


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


@given(st.integers(0, 20), st.integers(0, 40))
def test_a_short_clip_lies_in_the_middle_of_zeros_and_a_long_one_stays(length: int, wanted: int) -> None:
    samples = np.arange(1, length + 1, dtype=np.float32)
    found = audio.pad_to(samples, wanted)
    missing = max(wanted - length, 0)
    assert found.tolist() == [0] * (missing // 2) + samples.tolist() + [0] * (missing - missing // 2)  # an odd one behind
    assert found.dtype == np.float32


def test_a_tiled_clip_begins_with_itself_and_is_cut_at_the_window() -> None:
    samples = np.array([0.5, -0.25, 0.125], np.float32)
    assert audio.model_input(samples, 7, tile=True, peak=False).tolist() == [0.5, -0.25, 0.125, 0.5, -0.25, 0.125, 0.5]
    assert audio.model_input(samples, 2, tile=True, peak=False).tolist() == samples.tolist()
    trimmed = audio.model_input(np.array([0, 0.5, 0], np.float32), 3, tile=True, trim_silence=True)
    assert trimmed.tolist() == [1, 1, 1]  # the silence is gone before the clip is repeated
    assert audio.model_input(samples, 0).tolist() == [1, -0.5, 0.25]  # nothing is filled to no window


def test_the_peak_is_that_of_either_sign_and_silence_stays() -> None:
    assert audio.peak_normalised(np.array([0.25, -0.5], np.float32)).tolist() == [0.5, -1]
    assert audio.peak_normalised(np.zeros(2, np.float32)).tolist() == [0, 0]
    assert audio.peak_normalised(np.zeros(0, np.float32)).tolist() == []


def test_the_sounding_part_of_an_all_silent_clip_is_one_sample() -> None:
    assert audio.sounding_part(10, 2, 3) == (2, 5)
    assert audio.sounding_part(4, 4, 0) == (3, 1)
    first, count = audio.sounding_part(np.array([10, 4, 1]), np.array([0, 4, 1]), np.array([9, 0, 0]))
    assert (first.tolist(), count.tolist()) == ([0, 3, 0], [1, 1, 1])


def test_the_same_rate_changes_nothing_and_too_few_samples_are_refused() -> None:
    samples = tone(8000)[:, 0].astype(np.float32)
    assert audio.resample(samples, 8000, 8000) is samples
    with pytest.raises(AudioError, match="too short: 1 samples at 96000 Hz leave none at 8000 Hz"):
        audio.resample(samples[:1], 96000, 8000)
    with pytest.raises(AudioError, match="resampling makes infinite samples"):
        audio.resample(np.tile(np.repeat([3.4e38, -3.4e38], 20), 50).astype(np.float32), 44100, 16000)


@pytest.mark.parametrize("peak", [1e-38, 1e-9, 0.3, 1.0, 7.0, 1e38])
def test_16_bits_keep_a_sound_of_any_level_to_half_a_step(peak: float) -> None:
    samples = (np.random.default_rng(3).uniform(-1, 1, 1000) * peak).astype(np.float32)
    error = np.abs(audio.of_16_bits(samples).astype(np.float64) - samples).max()
    assert error <= peak / 32768 or peak < 1e-28  # the scale is below twice the peak, and half a step is 1/65536 of it


def test_16_bits_change_nothing_about_what_had_them() -> None:
    steps = np.random.default_rng(4).integers(-32768, 32767, 1000).astype(np.int16)
    np.testing.assert_array_equal(audio.of_16_bits(audio.full_scale(steps)), audio.full_scale(steps))
    np.testing.assert_array_equal(audio.of_16_bits(audio.full_scale(steps // 300)), audio.full_scale(steps // 300))
    assert not audio.of_16_bits(np.zeros(3, np.float32)).any()
