import io
import tracemalloc

import librosa
import numpy as np
import pytest
from PIL import Image

from earmark.audio.spectrogram import colours, spectrogram_png

RATE = 16000


def tone(hz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def levels(samples: np.ndarray, rate: int = RATE, width: int = 50, height: int = 100, **options: object) -> np.ndarray:
    """The image as numbers of colours, 0 for the softest: ``[height, width]``."""
    image = Image.open(io.BytesIO(spectrogram_png(samples, rate, width=width, height=height, **options)))
    assert (image.format, image.size) == ("PNG", (width, height))
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("hz", [150, 440, 1000, 3000, 7000])
def test_a_tone_is_in_the_row_that_the_mel_formula_says(hz: float) -> None:
    rows = levels(tone(hz)).mean(axis=1)
    share = librosa.hz_to_mel(hz) / librosa.hz_to_mel(RATE / 2)
    assert abs(rows.argmax() + 0.5 - 100 * (1 - share)) <= 1.5


def test_octaves_are_equally_high_on_a_logarithmic_axis() -> None:
    rows = [levels(tone(hz), scale="log").mean(axis=1).argmax() for hz in (500, 1000, 2000, 4000)]
    octave = 100 * np.log(2) / np.log(8000 / 40)
    assert np.abs(np.diff(rows) + octave).max() <= 1
    assert abs(rows[0] + 0.5 - 100 * np.log(8000 / 500) / np.log(8000 / 40)) <= 1.5


def test_a_lower_upper_edge_shows_what_is_below_it() -> None:
    assert abs(levels(tone(1000), top_hz=2000).mean(axis=1).argmax() - 100 * (1 - 15 / librosa.hz_to_mel(2000))) <= 1.5
    assert (levels(tone(1000), top_hz=1e6) == levels(tone(1000))).all()


def test_tones_are_as_light_anywhere() -> None:
    both = levels(tone(300) + tone(6000))
    assert both[:30].max(axis=0).min() >= 61
    assert both[50:].max(axis=0).min() >= 61


def test_louder_is_lighter_and_the_range_says_how_much() -> None:
    sound = np.concatenate([tone(1000), 0.1 * tone(1000), 0.01 * tone(1000)])  # 20 dB apart
    for range_db in (60, 80):
        row = levels(sound, range_db=range_db).max(axis=0)
        assert np.abs(np.array([row[8], row[25], row[41]]) - 63 * (1 - np.array([0, 20, 40]) / range_db)).max() <= 1


def test_each_colour_is_lighter_than_the_one_before() -> None:
    shares = colours() / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27)
    steps = np.diff(lightness)
    assert steps.min() > 0.9
    assert steps.max() < 2.0


def test_time_goes_from_left_to_right_over_the_whole_clip() -> None:
    clicks = np.zeros(2 * RATE, np.float32)
    clicks[[RATE // 2, 3 * RATE // 2]] = 1
    columns = np.flatnonzero(levels(clicks, width=40).max(axis=0) > 40)
    assert set(columns) == {9, 10, 29, 30}


def test_a_short_call_shows_in_a_long_clip() -> None:
    """20 ms in five minutes: a mean over the 3 s of a column would hide it 20 dB and more below."""
    sound = np.random.default_rng(0).normal(0, 0.001, 300 * 8000).astype(np.float32)
    for start in range(8000, len(sound), 24001):
        sound[start : start + 160] += 0.5 * tone(2000, 0.02, 8000)
    row = int(100 * (1 - librosa.hz_to_mel(2000) / librosa.hz_to_mel(4000)))
    assert levels(sound, 8000, width=100)[row - 1 : row + 2].max(axis=0).min() >= 60


def test_silence_is_dark_and_a_steady_offset_is_silence() -> None:
    assert not levels(np.zeros(RATE, np.float32)).any()
    assert not levels(np.full(RATE, 0.25, np.float32)).any()
    assert not levels(np.full(RATE, np.nan, np.float32)).any()
    assert (levels(tone(1000) + 3) == levels(tone(1000))).mean() > 0.95


@pytest.mark.parametrize("length", [0, 1, 2, 5, 31, 32, 33, 200, 1000])
def test_the_shortest_clips_have_an_image(length: int) -> None:
    shown = levels(np.random.default_rng(0).normal(size=length).astype(np.float32))
    assert shown.any() == (length > 0)


def test_a_very_short_clip_still_changes_with_time() -> None:
    shown = levels(np.concatenate([np.zeros(300, np.float32), tone(2000, 300 / RATE)])).max(axis=0)
    assert shown[0] < 20
    assert shown[-1] > 55


@pytest.mark.parametrize("rate", [50, 8000, 384_000])
def test_any_rate_has_an_image(rate: int) -> None:
    assert levels(np.random.default_rng(0).normal(size=rate).astype(np.float32), rate).max() == 63


@pytest.mark.parametrize("loudness", [1e-30, 1e30])
def test_the_softest_and_the_loudest_samples_make_the_same_image(loudness: float) -> None:
    sound = tone(500) * tone(3)
    assert np.abs(levels(sound * np.float32(loudness)) - levels(sound)).max() <= 1


def test_the_same_samples_make_the_same_file() -> None:
    sound = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    assert spectrogram_png(sound, RATE, width=90, height=40) == spectrogram_png(sound.copy(), RATE, width=90, height=40)


def test_the_memory_hardly_depends_on_the_length() -> None:
    peaks = []
    for seconds in (300, 1200):
        sound = np.zeros(seconds * 8000, np.float32)
        sound[::1000] = 1
        tracemalloc.start()
        spectrogram_png(sound, 8000, width=100, height=50)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000_000, peaks


@pytest.mark.parametrize(
    "options",
    [{"width": 0}, {"height": 0}, {"rate": 0}, {"range_db": 0}, {"range_db": np.nan}, {"top_hz": 0}, {"scale": "bark"}],
    ids=str,
)
def test_what_makes_no_image_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"above 0|mel and log"):
        levels(tone(500), **options)
