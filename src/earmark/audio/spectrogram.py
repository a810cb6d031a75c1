"""Spectrograms to look at: samples → a PNG image, time from left to right, frequency upwards, louder is lighter."""

import io
import math
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Scale = Literal["mel", "log"]
Powers = NDArray[np.float32]

WINDOW_SECONDS = 0.032  # the window is the next power of two
WINDOWS_IN_A_CLIP = 4  # at least: the window of a very short clip is shorter
SHORTEST_WINDOW = 32  # samples
LOWEST = 40.0  # Hz; the lower end of a logarithmic axis, which cannot begin at 0
SAMPLES_AT_ONCE = 2**19  # of the frames that are computed together
LEVELS = 64  # colours; more cannot be told apart, and make the file larger
# From the softest to the loudest: night blue to cream, in even steps of lightness. Both ends stand out from a light and a dark page.
COLOURS = (
    (18, 22, 33),
    (30, 52, 89),
    (38, 87, 117),
    (54, 124, 132),
    (103, 160, 125),
    (172, 191, 125),
    (228, 215, 148),
    (252, 246, 226),
)


def spectrogram_png(
    samples: NDArray[np.float32],
    sample_rate: int,
    *,
    width: int,
    height: int,
    scale: Scale = "mel",
    range_db: float = 80.0,
    top_hz: float | None = None,
) -> bytes:
    """A spectrogram of a whole clip.

    Where many frames fall into a column of pixels, the loudest counts at every frequency: a short call shows even in a long clip.
    What it takes in memory hardly depends on the length of the clip.

    Args:
        samples: ``[samples]``, of any length.
        sample_rate: in Hz.
        width: of the image, in pixels; the clip fills it.
        height: likewise.
        scale: ``mel`` (Slaney's scale, from 0 Hz) or ``log`` (octaves of equal height, from 40 Hz).
        range_db: how far below the loudest spot of the clip a sound still shows, in dB. The larger, the lighter are soft sounds.
        top_hz: the upper edge of the image; half the sample rate by default, and at most.

    Returns:
        A PNG file with a palette.

    Raises:
        ValueError: a size, a rate, a range or an edge is not above zero, or the scale is unknown.
    """
    from PIL import Image

    if min(width, height, sample_rate) < 1 or not range_db > 0 or (top_hz is not None and not top_hz > 0):
        raise ValueError("width, height, sample_rate, range_db and top_hz must be above 0")
    edges = _edges(height, sample_rate, scale, top_hz)
    power = _columns(samples, sample_rate, width) @ _filters(edges, sample_rate)
    loudest = float(power.max())
    share = np.zeros_like(power)  # silence is dark
    if loudest > 0:
        softest = 10 ** (-range_db / 10)
        share = 1 + 10 * np.log10(np.maximum(power / loudest, softest)) / range_db
    levels = np.rint(share.T[::-1].clip(0, 1) * (LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(colours().tobytes())
    with io.BytesIO() as file:
        image.save(file, format="PNG", optimize=True)
        return file.getvalue()


def colours() -> NDArray[np.uint8]:
    """The colours from the softest to the loudest sound, red, green and blue: ``[64, 3]``, each lighter than the one before."""
    known = np.linspace(0, 1, len(COLOURS))
    shares = np.linspace(0, 1, LEVELS)
    return np.stack([np.rint(np.interp(shares, known, part)) for part in np.array(COLOURS).T], axis=1).astype(np.uint8)


def _limits(sample_rate: int, scale: Scale, top_hz: float | None) -> tuple[float, float]:
    """The lower and the upper edge of the image, in Hz."""
    high = min(top_hz or math.inf, sample_rate / 2)
    return (0.0 if scale == "mel" else min(LOWEST, high / 4)), high


def _to_scale(hz: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    if scale == "log":
        return np.log(np.maximum(hz, 1e-9))
    if scale == "mel":
        return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1e-9) / 1000) * (27 / math.log(6.4)))
    raise ValueError(f"the scale is {scale}; mel and log are known")


def _from_scale(place: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    if scale == "log":
        return np.exp(place)
    return np.where(place < 15, place * 200 / 3, 1000 * np.exp((place - 15) * (math.log(6.4) / 27)))


def _edges(height: int, sample_rate: int, scale: Scale, top_hz: float | None) -> NDArray[np.float64]:
    """The centres of the rows of pixels in Hz, from below, with one more at either end: ``[height + 2]``."""
    low, high = _to_scale(np.array(_limits(sample_rate, scale, top_hz)), scale)
    step = (high - low) / height
    return _from_scale(low + step * (np.arange(height + 2) - 0.5), scale)


def _window_and_bins(sample_rate: int) -> tuple[int, int]:
    """The length of the window in samples, and the number of frequencies of its spectrum."""
    window = max(2 ** math.ceil(math.log2(sample_rate * WINDOW_SECONDS)), SHORTEST_WINDOW)
    return window, window // 2 + 1


def _filters(edges: NDArray[np.float64], sample_rate: int) -> Powers:
    """What each frequency of a spectrum gives to each row: ``[frequencies, height]``.

    Triangles of height 1, so that a tone is as light anywhere. Where rows are closer than the frequencies of the spectrum, the
    triangles are as wide as these are apart: what lies between them is interpolated.
    """
    _, bins = _window_and_bins(sample_rate)
    hz, apart = np.linspace(0, sample_rate / 2, bins)[:, None], sample_rate / 2 / (bins - 1)
    below, above = np.maximum(edges[1:-1] - edges[:-2], apart), np.maximum(edges[2:] - edges[1:-1], apart)
    rising, falling = 1 + (hz - edges[1:-1]) / below, 1 - (hz - edges[1:-1]) / above
    return np.minimum(rising, falling).clip(0, None).astype(np.float32)


def _columns(samples: NDArray[np.float32], sample_rate: int, width: int) -> Powers:
    """The power of the loudest frame of each column of pixels at each frequency: ``[width, frequencies]``, 0 for silence."""
    longest, bins = _window_and_bins(sample_rate)
    shortest = min(longest, SHORTEST_WINDOW)
    if len(samples) < shortest:
        samples = np.pad(samples, (0, shortest - len(samples)))
    window = min(longest, max(2 ** int(math.log2(len(samples) / WINDOWS_IN_A_CLIP)), shortest))
    swing = float(samples.max()) - float(samples.min())
    if not 0 < swing < math.inf:  # silence, or nothing that can be drawn
        return np.zeros((width, bins), np.float32)
    per_column = math.ceil(len(samples) / width / (window / 2))
    centres = (np.arange(width * per_column) + 0.5) * (len(samples) / (width * per_column))
    firsts = np.rint(centres - window / 2).astype(np.int64).clip(0, len(samples) - window)
    frames = sliding_window_view(samples, window)
    hann = np.hanning(window + 1)[:-1].astype(np.float32)
    power = np.zeros((width, bins), np.float32)
    at_once = max(SAMPLES_AT_ONCE // window, 1)
    for first in range(0, len(firsts), at_once):
        sound = frames[firsts[first : first + at_once]] / np.float32(swing)
        sound -= sound.mean(axis=1, keepdims=True)  # a steady offset is no sound
        spectra = np.fft.rfft(sound * hann, 2 * (bins - 1))
        powers = (spectra.real**2 + spectra.imag**2).astype(np.float32)
        columns = np.arange(first, first + len(powers)) // per_column
        begins = np.flatnonzero(np.diff(columns, prepend=-1))
        touched = columns[begins]
        power[touched] = np.maximum(power[touched], np.maximum.reduceat(powers, begins, axis=0))
    return power
