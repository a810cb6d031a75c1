import io
import wave

import numpy as np
import pytest

from earmark import audio
from earmark.web.wav import HEADER, Sound, asked_part, playable


def random_sound(channels: int, kind: type, rate: int = 8000) -> Sound:
    rng = np.random.default_rng(channels)
    if kind is np.int16:
        return Sound(rng.integers(-32768, 32768, (channels, 501), dtype=np.int16), rate, "file")
    return Sound(rng.uniform(-1, 1, (channels, 501)).astype(np.float32), rate, "file")


def read_back(content: bytes) -> tuple[np.ndarray, int]:
    """What Python's own reader finds in a WAV file: ``[channels, samples]`` and the rate."""
    with wave.open(io.BytesIO(content)) as file:
        assert file.getsampwidth() == 2
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return frames.reshape(-1, file.getnchannels()).T, file.getframerate()


@pytest.mark.parametrize("channels", [1, 2])
def test_16_bit_samples_stay_as_they_are(channels: int) -> None:
    sound = random_sound(channels, np.int16)
    content = sound.part(0, sound.size)
    assert len(content) == sound.size
    samples, rate = read_back(content)
    assert (samples == sound.stored).all()
    assert rate == 8000


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_any_part_is_what_the_whole_has_there(channels: int, kind: type) -> None:
    sound = random_sound(channels, kind)
    whole = sound.part(0, sound.size)
    rng = np.random.default_rng(0)
    ends = [sorted(rng.integers(0, sound.size + 1, 2).tolist()) for _ in range(200)]
    for first, last in [*ends, [0, 1], [43, 45], [44, 45], [0, 44], [sound.size - 1, sound.size]]:
        assert sound.part(first, last) == whole[first:last]


def test_what_is_too_loud_is_made_softer_and_what_is_soft_is_not_touched() -> None:
    soft, loud = np.array([[0.001, -0.25, 0.5]], np.float32), np.array([[4.0, -1.0, 0.0]], np.float32)
    assert read_back(Sound(soft, 8000, "file").part(0, HEADER + 6))[0].tolist() == [[33, -8192, 16384]]
    assert read_back(Sound(loud, 8000, "file").part(0, HEADER + 6))[0].tolist() == [[32767, -8192, 0]]


def test_what_browsers_cannot_play_is_changed() -> None:
    many = random_sound(5, np.float32).stored
    mixed = playable(many, 44100, "file")
    assert np.allclose(mixed.stored[0], many.mean(axis=0), atol=1e-6)
    assert (mixed.stored.shape, mixed.sample_rate) == ((1, 501), 44100)
    slow = playable(np.zeros((2, 1000), np.int16), 500, "store", "gone")
    assert (slow.stored.shape, slow.sample_rate, slow.origin, slow.why) == ((2, 6000), 3000, "store", "gone")
    assert slow.seconds == 2
    assert playable(np.zeros((1, 1000), np.float32), 1_000_000, "file").sample_rate == 384_000
    untouched = random_sound(2, np.int16).stored
    assert playable(untouched, 96_000, "file").stored is untouched


def test_mono_is_the_mean_at_full_scale() -> None:
    sound = Sound(np.array([[16384, 0], [0, 16384]], np.int16), 8000, "file")
    assert sound.mono().tolist() == [0.25, 0.25]
    assert sound.mono().dtype == audio.full_scale(sound.stored).dtype


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=99-", (99, 100)),
        ("bytes=10-500", (10, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes = 1 - 2", (1, 3)),
        ("bytes=1-2,5-6", None),
        ("lines=1-2", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=5-2", None),
        ("bytes=--5", None),
        ("bytes=²-", None),
    ],
)
def test_ranges(header: str | None, part: tuple[int, int] | None) -> None:
    assert asked_part(header, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_ranges_outside(header: str) -> None:
    with pytest.raises(ValueError, match="has no part"):
        asked_part(header, 100)
