"""Front ends: waveform ``float32 [B, T]`` → image ``[B, C, F, N]``, inside the model, so that they train and export with it."""

import math

import torch
from torch import Tensor, nn

AMIN_MEL = 1e-20  # floor of the mel power before the logarithm; its dB value is far below every dynamic range used here


def _slaney_hz_to_mel(hz: Tensor) -> Tensor:
    """Slaney's mel scale: linear (200/3 Hz a mel) below 1 kHz, logarithmic (27 mels for a factor of 6.4) above."""
    linear = hz * 3 / 200
    logarithmic = 15 + torch.log(hz.clamp(min=1e-10) / 1000) * (27 / math.log(6.4))
    return torch.where(hz < 1000, linear, logarithmic)


def _slaney_mel_to_hz(mel: Tensor) -> Tensor:
    linear = mel * 200 / 3
    logarithmic = 1000 * torch.exp((mel - 15) * (math.log(6.4) / 27))
    return torch.where(mel < 15, linear, logarithmic)


def mel_filter_bank(sample_rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Triangular mel filters on Slaney's scale, each normalised to unit area over Hz.

    Args:
        sample_rate: in Hz.
        n_fft: FFT length in samples.
        n_mels: number of bands, from 0 Hz to half the sample rate.

    Returns:
        float32 ``[n_mels, n_fft // 2 + 1]``, the same as ``librosa.filters.mel(..., htk=False, norm="slaney")``.

    >>> mel_filter_bank(16000, 1024, 64).shape
    torch.Size([64, 513])
    """
    highest = float(_slaney_hz_to_mel(torch.tensor(sample_rate / 2, dtype=torch.float64)))
    edges_mel = torch.linspace(0, highest, n_mels + 2, dtype=torch.float64)
    edges = _slaney_mel_to_hz(edges_mel)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    area = 2 / (edges[2:] - edges[:-2])
    return (triangles * area[:, None]).float()


class LogMel(nn.Module):
    """Log-mel image of Jeong & Lim §3.2.1 (figure 2a), in kapre 0.1's order.

    BatchNorm of the waveform → STFT (periodic Hann window, *same* padding: ``ceil(T / hop_length)`` frames) → power →
    mel bands → dB of the *square root* of the mel power, relative to the example's maximum, clipped below → BatchNorm per band.

    Args:
        sample_rate: in Hz; sets the bands.
        n_fft: window and FFT length in samples.
        hop_length: in samples.
        n_mels: number of mel bands F.
        dynamic_range: dB below the example's maximum at which the image is clipped.
        epsilon: of the batch normalisations.
        momentum: of the batch normalisations' running statistics (PyTorch's sense: the share of the new value).

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, n_mels, ceil(T / hop_length)]``.

    >>> LogMel(sample_rate=16000)(torch.zeros(2, 64000)).shape
    torch.Size([2, 1, 64, 500])
    """

    window: Tensor
    filters: Tensor
    out_channels = 1

    def __init__(
        self,
        sample_rate: int,
        n_fft: int = 1024,
        hop_length: int = 128,
        n_mels: int = 64,
        dynamic_range: float = 80.0,
        epsilon: float = 1e-3,
        momentum: float = 0.01,
    ) -> None:
        super().__init__()
        if min(n_fft, hop_length, n_mels) < 1:
            raise ValueError("n_fft, hop_length and n_mels must be at least 1")
        self.n_fft, self.hop_length, self.dynamic_range = n_fft, hop_length, dynamic_range
        self.waveform_norm = nn.BatchNorm1d(1, epsilon, momentum, affine=False)
        self.waveform_gain = nn.Parameter(torch.ones(1))
        self.waveform_bias = nn.Parameter(torch.zeros(1))
        self.band_norm = nn.BatchNorm1d(n_mels, epsilon, momentum)
        # Both follow from the settings: not in the weights file.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filter_bank(sample_rate, n_fft, n_mels), persistent=False)

    def spectrum(self, waveform: Tensor) -> Tensor:
        """Waveform ``[B, T]`` → STFT ``[B, ceil(T / hop_length), n_fft // 2 + 1, 2]`` (real and imaginary part)."""
        n_frames = -(-waveform.shape[1] // self.hop_length)
        padding = max((n_frames - 1) * self.hop_length + self.n_fft - waveform.shape[1], 0)
        padded = nn.functional.pad(waveform, (padding // 2, padding - padding // 2))
        frames = padded.unfold(1, self.n_fft, self.hop_length)[:, :n_frames] * self.window
        return torch.view_as_real(torch.fft.rfft(frames))

    def power(self, waveform: Tensor) -> Tensor:
        """Waveform ``[B, T]`` → mel power ``[B, n_mels, N]``.

        The BatchNorm's gain g and bias b act on the normalised waveform x before the STFT, which is linear:
        |STFT(g·x + b)|² = g²·|X|² + 2gb·Re(X·O*) + b²·|O|² with O the STFT of ones. The mel bands are linear in turn, so g
        and b train on mel bands alone, and no gradient has to go back through the STFT, where it would cost more than a layer.
        """
        normal = self.waveform_norm(waveform.unsqueeze(1)).squeeze(1)
        of_ones = self.spectrum(torch.ones_like(normal[:1]))
        mel_ones = self._mel_product(of_ones, of_ones)
        of_signal = self.spectrum(normal)
        mel_signal, mel_cross = self._mel_product(of_signal, of_signal), self._mel_product(of_signal, of_ones)
        gain, bias = self.waveform_gain, self.waveform_bias
        return (gain.square() * mel_signal + 2 * gain * bias * mel_cross + bias.square() * mel_ones).transpose(1, 2)

    def _mel_product(self, a: Tensor, b: Tensor) -> Tensor:
        """Re(a·b*) summed into mel bands: ``[B, N, bins, 2]`` twice → ``[B, N, n_mels]``."""
        return (a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]) @ self.filters.T

    def compress(self, power: Tensor) -> Tensor:
        """Mel power ``[B, n_mels, N]`` → normalised dB image ``[B, 1, n_mels, N]``."""
        # 10·log10 of the square root: a literal square root has an infinite gradient at zero.
        decibels = 5 * torch.log10(power.clamp(min=AMIN_MEL))
        relative = decibels - decibels.amax(dim=(1, 2), keepdim=True)
        return self.band_norm(relative.clamp(min=-self.dynamic_range)).unsqueeze(1)

    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):  # spectra need the range and the digits of float32
            return self.compress(self.power(waveform.float()))


class Waveform(nn.Module):
    """The waveform itself as a one-row image (Jeong & Lim §3.2.1, waveform variant): BatchNorm only.

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, 1, T]``.
    """

    out_channels = 1

    def __init__(
        self,
        sample_rate: int,  # noqa: ARG002  (every front end is given it)
        epsilon: float = 1e-3,
        momentum: float = 0.01,
    ) -> None:
        super().__init__()
        self.waveform_norm = nn.BatchNorm1d(1, epsilon, momentum)

    def forward(self, waveform: Tensor) -> Tensor:
        return self.waveform_norm(waveform.unsqueeze(1)).unsqueeze(2)


FRONTENDS = {"logmel": LogMel, "waveform": Waveform}
