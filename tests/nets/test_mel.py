import librosa
import numpy as np
import pytest
import torch

from earmark.nets.mel import BANDS_AT_ONCE, MelPower, mel_filter_bank


@pytest.mark.parametrize(("rate", "n_fft", "n_mels"), [(16000, 1024, 64), (44100, 1024, 64), (44100, 2560, 128)])
def test_mel_filters_are_librosas(rate: int, n_fft: int, n_mels: int) -> None:
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, htk=False, norm="slaney")
    assert np.allclose(mel_filter_bank(rate, n_fft, n_mels), expected, atol=1e-7)


@pytest.mark.parametrize(("f_min", "f_max"), [(20.0, None), (20.0, 22050.0), (0.0, 8000.0), (1500.0, 6000.0)])
def test_mel_filters_between_two_frequencies_are_librosas(f_min: float, f_max: float | None) -> None:
    expected = librosa.filters.mel(sr=44100, n_fft=2560, n_mels=128, fmin=f_min, fmax=f_max, htk=False, norm="slaney")
    assert np.allclose(mel_filter_bank(44100, 2560, 128, f_min, f_max), expected, atol=1e-7)


@pytest.mark.parametrize(("f_min", "f_max"), [(-1.0, None), (5000.0, 5000.0), (20.0, 22051.0), (float("nan"), None)])
def test_mel_filters_that_cannot_be_are_refused(f_min: float, f_max: float | None) -> None:
    with pytest.raises(ValueError, match=r"in order, within 0 and 22050 Hz"):
        mel_filter_bank(44100, 2560, 128, f_min, f_max)


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "f_min", "f_max"),
    [
        (16000, 1024, 64, 0.0, None),
        (44100, 2560, 128, 20.0, None),
        (16000, 256, 5, 0.0, 4000.0),  # fewer bands than are taken at once
        (16000, 1024, BANDS_AT_ONCE + 1, 3000.0, 3100.0),  # narrow ones: some lie between two bins and are empty
        (8000, 2, 1, 0.0, None),
        (8000, 3, 2, 0.0, None),
        (8000, 1, 1, 0.0, None),
    ],
)
def test_power_is_that_of_each_frames_spectrum(rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float | None) -> None:
    frames = torch.randn(2, 7, n_fft, generator=torch.Generator().manual_seed(0))
    found = MelPower(rate, n_fft, n_mels, f_min, f_max)(frames)
    spectra = np.fft.rfft(frames.numpy() * torch.hann_window(n_fft).numpy())
    expected = np.abs(spectra) ** 2 @ mel_filter_bank(rate, n_fft, n_mels, f_min, f_max).numpy().T
    assert found.shape == (2, 7, n_mels)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("n_fft", "n_mels", "rate"), [(1024, 64, 16000), (1024, 513, 16000), (3, 2, 8000), (2, 1, 8000)])
def test_product_with_ones_is_that_of_the_spectra(n_fft: int, n_mels: int, rate: int) -> None:
    generator = torch.Generator().manual_seed(0)
    frames, ones = torch.randn(2, 9, n_fft, generator=generator).double(), torch.ones(1, 9, n_fft).double()
    ones[0, :2, : n_fft // 2], ones[0, 7:, 1:] = 0, 0
    mel = MelPower(rate, n_fft, n_mels).double()
    power, products = mel.with_products(frames, ones, slice(2, 7))
    assert torch.equal(power, mel(frames))
    cross, of_ones = torch.zeros_like(power), torch.zeros_like(power[:1])
    for each in products:
        cross[:, each.frames, each.bands] += each.cross
        of_ones[:, each.frames, each.bands] += each.ones
    window = np.hanning(n_fft + 1)[:-1]
    spectra_of_ones = np.fft.rfft(ones.numpy() * window)
    product = np.fft.rfft(frames.numpy() * window) * spectra_of_ones.conj()
    assert np.allclose(cross, product.real @ mel.filters.numpy().T, rtol=1e-4, atol=1e-5 * n_fft)
    assert np.allclose(of_ones, np.abs(spectra_of_ones) ** 2 @ mel.filters.numpy().T, rtol=1e-4, atol=1e-5 * n_fft)


def test_settings_that_make_no_sense_are_refused() -> None:
    for n_fft, n_mels in ((0, 64), (1024, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            MelPower(16000, n_fft, n_mels)
