import hashlib

import numpy as np
import pytest
import scipy.signal
import soundfile

from earmark import audio
from earmark.errors import AudioError


def tone(rate: int, channels: int = 1, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * (c + 1) * time) for c in range(channels)], axis=1)


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [("wav", "PCM_U8", 2**-7), ("wav", "PCM_16", 2**-15), ("wav", "PCM_24", 2**-23), ("wav", "PCM_32", 2**-23), ("wav", "FLOAT", 2**-24),
     ("wav", "DOUBLE", 2**-24), ("flac", "PCM_24", 2**-23), ("aiff", "PCM_16", 2**-15)],
)  # fmt: skip
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (192000, 6)])
def test_every_sample_format_rate_and_channel_count_reads_back(suffix, subtype, step, rate, channels, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, tone(rate, channels), rate, subtype=subtype)
    samples, found_rate = audio.read(path)
    assert (samples.shape, found_rate, samples.dtype) == ((channels, rate // 2), rate, np.float32)
    assert np.abs(samples.T - tone(rate, channels)).max() <= step


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_16"), ("aiff", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("ogg", "VORBIS")]
)  # fmt: skip
@pytest.mark.parametrize("in_memory", [True, False])
def test_samples_are_libsndfiles_to_the_last_bit(suffix, subtype, in_memory, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / f"x.{suffix}"
    noise = np.random.default_rng(0).uniform(-1, 1, (5000, 2))
    noise[:2] = -1, 1 - 2**-15
    soundfile.write(path, noise, 22050, subtype=subtype)
    monkeypatch.setattr(audio.decode, "BLOCK", 1999)
    if not in_memory:
        monkeypatch.setattr(audio.decode, "IN_MEMORY", 0)
    expected = soundfile.read(path, dtype="float32")[0].T
    assert np.array_equal(audio.read(path)[0], expected)
    assert np.array_equal(audio.read(path, 0.1, 0.15)[0], expected[:, 2205 : round(0.15 * 22050)])
    with audio.opened(path) as file:
        assert np.array_equal(audio.read(file)[0], expected)
        assert audio.content_hash(file) == hashlib.sha256(path.read_bytes()).hexdigest()[:32]


@pytest.mark.parametrize(("lead", "tail"), [(0, 0), (1, 0), (0, 3), (4095, 4096), (4096, 9000), (10001, 1)])
def test_silent_ends_are_those_that_round_to_zero(lead: int, tail: int) -> None:
    sound = np.array([2e-5, 0, -2e-5], np.float32)
    samples = np.concatenate([np.full(lead, 1e-5, np.float32), sound, np.full(tail, -1e-5, np.float32)])
    assert audio.silent_ends(samples) == (lead, tail)
    assert audio.silent_ends(samples[:lead]) == (lead, 0)


def test_start_and_end_cut_the_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x.wav"
    soundfile.write(path, tone(8000), 8000, subtype="FLOAT")
    samples, _ = audio.read(path, 0.125, 0.25)
    assert np.allclose(samples[0], tone(8000)[1000:2000, 0])
    with pytest.raises(AudioError, match=r"0.6 s to 0.7 s asked for, but the file is 0.5 s long"):
        audio.read(path, 0.6, 0.7)


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


def test_files_are_found_once_in_order_through_links_but_not_in_circles(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "b" / "c.wav").mkdir(parents=True)
    for name in ("z.wav", "b/y.FLAC", "b/c.wav/x.ogg", "b/notes.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    found = [path.relative_to(tmp_path).as_posix() for path in audio.find_files(tmp_path)]
    assert found == ["b/c.wav/x.ogg", "b/y.FLAC", "loop.wav", "z.wav"]


def test_real_clips_are_not_taken_for_damaged(real_data) -> None:  # type: ignore[no-untyped-def]
    paths = sorted((real_data / "esc50" / "audio").glob("*.ogg"))[::100]
    assert len(paths) == 20
    for path in paths:
        samples, rate = audio.read(path)
        assert rate in (44100, 48000)
        assert samples.shape[1] > rate
