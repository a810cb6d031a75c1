import librosa
import numpy as np
import scipy.fft

from earmark.embedding import statistics
from earmark.embedding.statistics import Statistics

SOUND = np.random.default_rng(1).normal(0, 0.3, 20000).astype(np.float32)


def test_bands_are_librosas() -> None:
    filters = librosa.filters.mel(
        sr=16000, n_fft=statistics.N_FFT, n_mels=statistics.BANDS, fmin=statistics.LOWEST, htk=True, norm=None, dtype=np.float64
    )
    np.testing.assert_allclose(statistics._bands(), filters, atol=1e-9)


def test_numbers_are_the_statistics_of_librosas_and_scipys_features() -> None:
    power = librosa.feature.melspectrogram(
        y=SOUND, sr=16000, n_fft=statistics.N_FFT, hop_length=statistics.HOP, center=False, window="hann",
        n_mels=statistics.BANDS, fmin=statistics.LOWEST, htk=True, norm=None,
    )  # fmt: skip
    level = np.log(np.maximum(power / power.max(), statistics.FLOOR))
    cepstrum = scipy.fft.dct(level, type=2, norm="ortho", axis=0)[: statistics.CEPSTRA]
    features = np.concatenate([level, cepstrum])
    amplitude = np.sqrt((power / power.max()).sum(axis=0))
    changes, between = np.diff(features), np.sqrt(amplitude[1:] * amplitude[:-1])
    numbers = [features.mean(axis=1), features.std(axis=1), *np.percentile(features, statistics.EXTREMES, axis=1)]
    passed = (np.cumsum(amplitude) - amplitude / 2) / amplitude.sum()
    numbers += [np.average(features, axis=1, weights=amplitude), deviation(features, amplitude)]
    numbers += [np.array([np.cov(row, passed, aweights=amplitude, ddof=0)[0, 1] for row in features])]
    numbers += [changes.std(axis=1), np.average(changes, axis=1, weights=between), deviation(changes, between)]
    np.testing.assert_allclose(Statistics().vector(SOUND), np.concatenate(numbers), atol=2e-3)


def deviation(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.array([np.sqrt(np.cov(row, aweights=weights, ddof=0)) for row in features])


def test_silence_around_a_sound_and_its_order_in_time() -> None:
    seconds = np.arange(8000) / 16000
    low, high = (np.sin(2 * np.pi * hertz * seconds).astype(np.float32) for hertz in (300, 3000))
    noise = np.random.default_rng(2).normal(0, 1e-3, 16000).astype(np.float32)
    rising, falling = np.concatenate([low, high]), np.concatenate([high, low])
    values = {}
    for name, sound in {"rising": rising, "falling": falling, "padded": np.concatenate([noise[:4000], rising, noise])}.items():
        sound = sound + np.resize(noise, len(sound))
        values[name] = Statistics().vector(sound).reshape(statistics.KINDS, -1)
    mean, weighed, trend = 0, 4, 6
    first = statistics.BANDS  # the second coefficient is above 0 where low bands are the loudest
    assert values["rising"][trend, first + 1] < -0.1 < 0.1 < values["falling"][trend, first + 1]
    np.testing.assert_allclose(values["rising"][mean], values["falling"][mean], atol=0.3)
    moved = np.abs(values["padded"] - values["rising"]).mean(axis=1)
    assert moved[weighed] < 0.2 * moved[mean]


def test_level_does_not_matter_and_any_length_works() -> None:
    embedder = Statistics()
    np.testing.assert_allclose(embedder.vector(SOUND), embedder.vector(SOUND * 0.01), atol=1e-3)
    for samples in (np.zeros(5000, np.float32), SOUND[:1], SOUND[:513]):
        vector = embedder.vector(samples)
        assert vector.shape == (embedder.size,) and vector.dtype == np.float32 and np.isfinite(vector).all()
