"""The built-in embedding: statistics over time of a log-mel spectrum and its cepstrum. NumPy only; nothing was learned."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.embedding.embedder import Embedder, Vector

RATE = 16000  # Hz
N_FFT, HOP = 512, 160  # samples: 32 ms, 10 ms
BANDS, CEPSTRA = 40, 20
LOWEST = 50.0  # Hz, lower edge of the lowest band
FLOOR = 1e-8  # power relative to the loudest band of the sound: −80 dB
EXTREMES = (10, 90)  # percentiles over time
KINDS = 10  # of numbers, of each band and coefficient
BLOCK = 4096  # frames at a time: bounds the memory
ROWS = (
    24  # of a matrix product: so few that NumPy takes one thread for it; its threads would wait for those that work on other sounds
)

Table = NDArray[np.float64]


class Statistics(Embedder):
    """How log-mel bands, cepstral coefficients (MFCC) and their changes from frame to frame are spread over the time of a sound.

    Over all frames alike, and over the frames weighed by their amplitude: silence around a sound and noise behind it count little
    there, and what comes first and what last in the sound itself can be told. The level of a sound does not matter: the log-mel
    spectrum is relative to the sound's loudest band. Sounds of any length.

    Args:
        sample_rate: of the sounds, in Hz; those at another rate than `RATE` are resampled first.
    """

    title = "built-in statistics"
    sample_rate = RATE
    window = 0
    shortest = N_FFT
    size = KINDS * (BANDS + CEPSTRA)

    def __init__(self, sample_rate: int = RATE) -> None:
        self.sample_rate = sample_rate
        self.key = "statistics-2" if sample_rate == RATE else f"statistics-2-of-{sample_rate}"

    def vector(self, samples: audio.Samples, variation: int = 0) -> Vector:
        """See `Embedder.vector`."""
        return super().vector(audio.resample(samples, self.sample_rate, RATE), variation)

    def of_window(self, samples: audio.Samples) -> Vector:
        """See `Embedder.of_window`; the whole sound."""
        power = _mel_power(samples)
        loudest = power.max()
        level = np.log(np.maximum(power / loudest, FLOOR)) if loudest > 0 else np.full_like(power, np.log(FLOOR))
        features = np.concatenate([level, _times(level, _cosines().T)], axis=1)
        amplitude = np.sqrt(np.exp(level).sum(axis=1))
        plain = [features.mean(axis=0), features.std(axis=0), *np.percentile(features, EXTREMES, axis=0)]
        changes = np.diff(features, axis=0) if len(features) > 1 else np.zeros_like(features)
        between = np.sqrt(amplitude[1:] * amplitude[:-1]) if len(features) > 1 else amplitude
        parts = [*plain, *_weighed(features, amplitude), changes.std(axis=0), *_weighed(changes, between)[:2]]
        return np.concatenate(parts).astype(np.float32)


def _weighed(features: Table, weight: Table) -> tuple[Table, Table, Table]:
    """Mean, deviation and trend of features ``[frames, F]`` over frames that count with a weight ``[frames]``.

    The trend is the covariance with the share of all weight that has passed, from −½ to ½: below 0 if a feature falls.
    """
    share = (weight / weight.sum())[:, None]
    mean = (share * features).sum(axis=0)
    centred = features - mean
    passed = np.cumsum(share, axis=0) - share / 2 - 0.5
    return mean, np.sqrt((share * centred**2).sum(axis=0)), (share * passed * centred).sum(axis=0)


def _mel_power(samples: audio.Samples) -> Table:
    """Power in mel bands, ``[frames, BANDS]``."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    blocks = [
        _times(np.abs(np.fft.rfft(frames[first : first + BLOCK] * hann, axis=1)) ** 2, _bands().T)
        for first in range(0, len(frames), BLOCK)
    ]
    return np.concatenate(blocks)


def _times(rows: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product of two matrices."""
    return np.concatenate([rows[first : first + ROWS] @ table for first in range(0, len(rows), ROWS)])


@cache
def _bands() -> Table:
    """Triangular mel bands (O'Shaughnessy's mel scale), ``[BANDS, N_FFT // 2 + 1]``, each with its peak at 1."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (LOWEST, RATE / 2))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    hertz = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


@cache
def _cosines() -> Table:
    """The orthonormal discrete cosine transform of the log-mel bands, ``[CEPSTRA, BANDS]``."""
    table = np.cos(np.pi * np.arange(CEPSTRA)[:, None] * (np.arange(BANDS) + 0.5) / BANDS)
    table *= np.sqrt(2 / BANDS)
    table[0] /= np.sqrt(2)
    return table
