import librosa
import numpy as np
import pytest
import torch

from earmark.nets.frontends import LogMel, Waveform, mel_filter_bank


@pytest.mark.parametrize(("rate", "n_fft", "n_mels"), [(16000, 1024, 64), (44100, 1024, 64), (44100, 2560, 128)])
def test_mel_filters_are_librosas(rate: int, n_fft: int, n_mels: int) -> None:
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, htk=False, norm="slaney")
    assert np.allclose(mel_filter_bank(rate, n_fft, n_mels), expected, atol=1e-7)


def waveform(seconds: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, int(16000 * seconds), generator=generator) * 0.1


def test_mel_power_is_that_of_librosas_stft_of_the_normalised_waveform() -> None:
    net = LogMel(16000)
    net.train()
    wave = waveform()
    found = net.power(wave).detach()
    normal = ((wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + 1e-3)).numpy()
    n_frames = -(-16000 // 128)
    padding = (n_frames - 1) * 128 + 1024 - 16000
    padded = np.pad(normal, ((0, 0), (padding // 2, padding - padding // 2)))
    spectrum = librosa.stft(padded, n_fft=1024, hop_length=128, center=False)
    expected = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=64) @ np.abs(spectrum) ** 2
    assert found.shape == expected.shape == (2, 64, 125)
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_gain_and_bias_act_on_the_waveform_and_train_as_if_they_did() -> None:
    """The mel bands are put together from three spectra; here gain and bias are applied where the paper has them."""
    net = LogMel(16000).double()
    wave = waveform(0.2).double()
    with torch.no_grad():
        net.waveform_gain.fill_(1.7)
        net.waveform_bias.fill_(-0.3)
    weight = torch.randn(2, 64, 25, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (net.power(wave) * weight).sum().backward()

    gain = torch.tensor([1.7], dtype=torch.float64, requires_grad=True)
    bias = torch.tensor([-0.3], dtype=torch.float64, requires_grad=True)
    normal = (wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + 1e-3)
    spectrum = net.spectrum(gain * normal + bias)
    power = (spectrum.square().sum(-1) @ net.filters.T).transpose(1, 2)
    (power * weight).sum().backward()

    assert torch.allclose(net.power(wave), power)
    assert net.waveform_gain.grad is not None and gain.grad is not None
    assert net.waveform_bias.grad is not None and bias.grad is not None
    assert torch.allclose(net.waveform_gain.grad, gain.grad)
    assert torch.allclose(net.waveform_bias.grad, bias.grad)


def test_decibels_are_half_of_librosas_because_of_the_square_root() -> None:
    net = LogMel(16000)
    power = torch.rand(1, 64, 30, generator=torch.Generator().manual_seed(0)) ** 8
    net.band_norm.eval()  # running mean 0 and variance 1: only the epsilon changes values
    found = net.compress(power)[:, 0].detach() * np.sqrt(1 + 1e-3)
    expected = librosa.power_to_db(power.sqrt().numpy(), ref=np.max, amin=1e-10, top_db=80)
    assert np.allclose(found, expected, atol=1e-3)


def test_silence_and_a_single_sample_stay_finite_with_finite_gradients() -> None:
    net = LogMel(16000)
    for wave in (torch.zeros(2, 4000), torch.nn.functional.one_hot(torch.tensor([5, 9]), 4000).float()):
        net(wave).square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("samples", [64000, 64001, 1, 127, 128, 1500])
def test_frames_round_up(samples: int) -> None:
    assert LogMel(16000).eval()(torch.zeros(1, samples)).shape == (1, 1, 64, -(-samples // 128))


def test_spectra_are_float32_under_autocast() -> None:
    wave = waveform(0.5)
    net = LogMel(16000).eval()
    expected = net(wave)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net(wave), expected)


def test_waveform_front_end_is_the_normalised_waveform() -> None:
    wave = waveform()
    found = Waveform(16000)(wave)
    assert found.shape == (2, 1, 1, 16000)
    expected = (wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + 1e-3)
    assert torch.allclose(found[:, 0, 0], expected, atol=1e-5)
