import hashlib
import os
import re

import numpy as np
import pytest
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
    monkeypatch.setattr(audio.sounds, "BLOCK", 1999)
    if not in_memory:
        monkeypatch.setattr(audio.opening, "IN_MEMORY", 0)
    expected = soundfile.read(path, dtype="float32")[0].T
    assert np.array_equal(audio.read(path)[0], expected)
    assert np.array_equal(audio.read(path, 0.1, 0.15)[0], expected[:, 2205 : round(0.15 * 22050)])
    with audio.opened(path) as file:
        assert np.array_equal(audio.read(file)[0], expected)
        assert audio.content_hash(file) == hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def test_start_and_end_cut_the_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x.wav"
    soundfile.write(path, tone(8000), 8000, subtype="FLOAT")
    samples, _ = audio.read(path, 0.125, 0.25)
    assert np.allclose(samples[0], tone(8000)[1000:2000, 0])
    with pytest.raises(AudioError, match=r"0.6 s to 0.7 s asked for, but the file is 0.5 s long"):
        audio.read(path, 0.6, 0.7)


def test_16_bits_stay_16_bits_until_somebody_wants_more(tmp_path) -> None:  # type: ignore[no-untyped-def]
    steps = np.array([0, -32768, 32767, 5], np.int16)
    soundfile.write(tmp_path / "x.wav", steps, 8000, subtype="PCM_16")
    stored, rate = audio.read_stored(tmp_path / "x.wav")
    assert (stored.dtype, stored.tolist(), rate) == (np.int16, [steps.tolist()], 8000)
    assert audio.full_scale(stored).tolist() == [[0, -1, 32767 / 32768, 5 / 32768]]
    floats = np.ones((1, 2), np.float32)
    assert audio.full_scale(floats) is floats


@pytest.mark.parametrize(
    ("start", "end", "first", "last"), [(None, 0.25, 0, 2000), (0.25, None, 2000, 4000), (0.1, 0.50009, 800, 4000)]
)
def test_a_part_is_cut_at_the_nearest_sample(start, end, first, last, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Half a second of 8 kHz; a table's end may be rounded up by less than a sample."""
    soundfile.write(tmp_path / "x.wav", np.arange(4000) / 4000, 8000, subtype="FLOAT")
    samples, _ = audio.read(tmp_path / "x.wav", start, end)
    assert samples.shape == (1, last - first)
    assert (samples[0, 0], samples[0, -1]) == (np.float32(first / 4000), np.float32((last - 1) / 4000))


@pytest.mark.parametrize(
    ("start", "end", "said"), [(0.5, None, "0.5 s to the end asked for"), (None, 0.6, "0 s to 0.6 s asked for"), (0.1, 0.502, "0.1 s to 0.502 s")]
)  # fmt: skip
def test_a_part_beyond_the_end_is_refused(start, end, said, tmp_path) -> None:  # type: ignore[no-untyped-def]
    soundfile.write(tmp_path / "x.wav", tone(8000), 8000)
    with pytest.raises(AudioError, match=f"{re.escape(said)}.*, but the file is 0.5 s long"):
        audio.read(tmp_path / "x.wav", start, end)


def test_what_is_no_file_is_said_in_plain_words(tmp_path) -> None:  # type: ignore[no-untyped-def]
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    for name, said in (
        ("no.wav", "no such file"),
        ("", "is a folder, not a file"),
        ("pipe.wav", "is no ordinary file"),  # opening it would wait for a writer
        ("loop.wav", "a link that leads to itself"),
    ):
        with pytest.raises(AudioError, match=f"^{said}$"):
            audio.read(tmp_path / name)
    with pytest.raises(AudioError, match="not readable as audio"):
        audio.read("a\0b.wav")
