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
    numbers = [
        values
        for part in (features, np.diff(features))
        for values in (part.mean(axis=1), part.std(axis=1), *np.percentile(part, statistics.SPREAD, axis=1))
    ]
    np.testing.assert_allclose(Statistics().vector(SOUND), np.concatenate(numbers), atol=2e-3)


def test_level_does_not_matter_and_any_length_works() -> None:
    embedder = Statistics()
    np.testing.assert_allclose(embedder.vector(SOUND), embedder.vector(SOUND * 0.01), atol=1e-3)
    for samples in (np.zeros(5000, np.float32), SOUND[:1], SOUND[:513]):
        vector = embedder.vector(samples)
        assert vector.shape == (embedder.size,) and vector.dtype == np.float32 and np.isfinite(vector).all()
