import io

import numpy as np
import pytest
import soundfile

from earmark.assess.copies import same_sound, white

RATE = 8000


def noise(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes, with most of its power below 1 kHz."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    smooth = np.convolve(rng.standard_normal(count), np.ones(6) / 6, mode="same")
    return (smooth * (0.6 + 0.4 * np.sin(np.arange(count) / 3000))).astype(np.float32)


def call(seed: int = 0) -> np.ndarray:
    """A few chirps in soft noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(3 * RATE) / RATE
    sound = 0.01 * rng.standard_normal(len(time))
    for start, low, high in zip(rng.uniform(0, 2.5, 8), rng.uniform(300, 1500, 8), rng.uniform(500, 3000, 8), strict=True):
        inside = (time > start) & (time < start + 0.3)
        share = (time - start) / 0.3
        sound += inside * np.sin(2 * np.pi * 0.3 * (low * share + (high - low) * share**2 / 2))
    return sound.astype(np.float32)


def encoded(samples: np.ndarray) -> np.ndarray:
    with io.BytesIO() as file:
        soundfile.write(file, samples / np.abs(samples).max(), RATE, format="OGG", subtype="VORBIS")
        return soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0]


def copies(first: np.ndarray, second: np.ndarray) -> bool:
    return same_sound(white(first, RATE), white(second, RATE), RATE)


@pytest.mark.parametrize("sound", [noise(), call()], ids=["noise", "call"])
@pytest.mark.parametrize(
    "change",
    [
        lambda x: 7 * x,
        lambda x: -x,
        lambda x: x[4000:],
        lambda x: np.concatenate([noise(1, 9) * 0.05, x])[: len(x)],
        lambda x: encoded(x),
        lambda x: encoded(0.1 * x[3210:]),
        lambda x: np.convolve(x, [1, -0.9], mode="same").astype(np.float32),
        lambda x: x + 0.2 * np.abs(x).mean() * np.random.default_rng(5).standard_normal(len(x)).astype(np.float32),
    ],
    ids=["louder", "upside down", "cut", "later", "encoded", "softer, cut and encoded", "filtered", "with noise"],
)
def test_copies_are_told(sound: np.ndarray, change: object) -> None:
    changed = change(sound)  # type: ignore[operator]
    assert copies(sound, changed)
    assert copies(changed, sound)


def tone(hz: float, seed: int) -> np.ndarray:
    time = np.arange(3 * RATE) / RATE
    return (np.sin(2 * np.pi * hz * time + seed) + 0.02 * np.random.default_rng(seed).standard_normal(len(time))).astype(np.float32)


def click(seed: int) -> np.ndarray:
    sound = 0.001 * np.random.default_rng(seed).standard_normal(3 * RATE)
    sound[5000 + 100 * seed : 5100 + 100 * seed] += np.exp(-np.arange(100) / 20) * np.sin(np.arange(100))
    return sound.astype(np.float32)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (noise(seed=1), noise(seed=2)),
        (call(1), call(2)),
        (tone(440, 1), tone(440, 2)),
        (tone(440, 1), tone(441, 2)),
        (click(1), click(2)),
        (noise(), np.zeros(8000, np.float32)),
        (np.zeros(8000, np.float32), np.zeros(8000, np.float32)),
    ],
    ids=["noises", "calls", "the same tone in other noise", "nearly the same tone", "the same click", "silence", "two silences"],
)
def test_what_is_only_alike_is_no_copy(first: np.ndarray, second: np.ndarray) -> None:
    assert not copies(first, second)


def test_a_short_word_is_compared_in_shorter_pieces() -> None:
    word = noise(0.4)
    assert copies(word, encoded(word[300:]))
    assert not copies(word, noise(0.4, seed=3))


@pytest.mark.parametrize("length", [0, 1, 2, 50])
def test_what_is_too_short_proves_nothing(length: int) -> None:
    assert not copies(noise()[:length], noise()[:length])
    assert not copies(noise(), noise()[:length])


def test_a_white_sound_has_all_its_frequencies_in_equal_parts() -> None:
    power = np.abs(np.fft.rfft(white(noise(30), RATE))) ** 2
    bands = power[: len(power) // 40 * 40].reshape(40, -1).mean(axis=1)[1:12]  # up to 1.2 kHz; it has a gap at 1.3 kHz
    assert bands.max() / bands.min() < 1.3
    before = np.abs(np.fft.rfft(noise(30))) ** 2
    bands = before[: len(before) // 40 * 40].reshape(40, -1).mean(axis=1)[1:12]
    assert bands.max() / bands.min() > 10
