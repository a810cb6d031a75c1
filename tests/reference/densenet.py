"""The log-mel net of Jeong & Lim in plain PyTorch: one operation of the paper after the other, float32, channels first.

Its modules have the names of `earmark.nets`, so that weights can be exchanged.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from earmark.nets.mel import mel_filter_bank


class PlainLogMel(nn.Module):
    def __init__(self, sample_rate: int, n_fft: int, hop_length: int, n_mels: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.waveform_norm = nn.BatchNorm1d(1, 1e-3, 0.01, affine=False)
        self.waveform_gain, self.waveform_bias = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.band_norm = nn.BatchNorm1d(n_mels, 1e-3, 0.01)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filter_bank(sample_rate, n_fft, n_mels), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        samples = waveform.shape[1]
        waveform = self.waveform_norm(waveform[:, None])[:, 0] * self.waveform_gain + self.waveform_bias
        frames = -(-samples // self.hop_length)
        padding = max((frames - 1) * self.hop_length + self.n_fft - samples, 0)
        waveform = nn.functional.pad(waveform, (padding // 2, padding - padding // 2))
        spectrum = torch.stft(waveform, self.n_fft, self.hop_length, window=self.window, center=False, return_complex=True)
        mel = self.filters @ spectrum[..., :frames].abs().square()
        decibels = 10 * torch.log10(mel.clamp(min=1e-20).sqrt())
        loudest = decibels.amax() if self.training else decibels.amax(dim=(1, 2), keepdim=True)  # of the batch, as kapre had it
        relative = decibels - loudest
        return self.band_norm(relative.clamp(min=-80))[:, None]


class PlainExcitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Linear(channels, channels // 2), nn.Linear(channels // 2, channels)

    def forward(self, image: Tensor) -> Tensor:
        gate = torch.sigmoid(self.expand(torch.relu(self.reduce(image.mean(dim=(2, 3))))))
        return image * gate[:, :, None, None]


class PlainModule(nn.Module):
    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.input_norm, self.bottleneck = nn.BatchNorm2d(channels, 1e-3, 0.01), nn.Conv2d(channels, growth, 1)
        self.bottleneck_norm, self.conv = nn.BatchNorm2d(growth, 1e-3, 0.01), nn.Conv2d(growth, growth, 3, padding="same")
        self.excitation = PlainExcitation(growth)

    def forward(self, image: Tensor) -> Tensor:
        narrow = self.bottleneck(torch.relu(self.input_norm(image)))
        features = self.excitation(self.conv(torch.relu(self.bottleneck_norm(narrow))))
        return nn.functional.max_pool2d(torch.cat([image, features], dim=1), 2, ceil_mode=True)


class PlainBackbone(nn.Module):
    def __init__(self, stem: int, growth: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, stem, 3, padding="same")
        channels = [1 + stem + sum(growth[:i]) for i in range(len(growth) + 1)]
        self.dense = nn.Sequential(*(PlainModule(before, width) for before, width in zip(channels, growth, strict=False)))
        self.out_channels = channels[-1]

    def forward(self, image: Tensor) -> Tensor:
        return self.dense(torch.cat([image, self.stem(image)], dim=1))


class PlainHead(nn.Module):
    def __init__(self, channels: int, classes: int, heads: int) -> None:
        super().__init__()
        self.norm, self.linear, self.heads = nn.BatchNorm2d(channels, 1e-3, 0.01), nn.Linear(channels, heads * classes), heads

    def forward(self, image: Tensor) -> Tensor:
        maps = self.linear(torch.relu(self.norm(image)).permute(0, 2, 3, 1))  # at every place
        each = maps.mean(dim=(1, 2)).chunk(self.heads, dim=1)
        return torch.stack([one.softmax(dim=1) for one in each]).mean(dim=0)


class PlainNet(nn.Module):
    """Waveform ``[B, T]`` → scores ``[B, K]``."""

    def __init__(
        self, stem: int, growth: Sequence[int], classes: int, sample_rate: int = 16000, hop_length: int = 128, heads: int = 8
    ) -> None:
        super().__init__()
        self.frontend = PlainLogMel(sample_rate, 1024, hop_length, 64)
        self.backbone = PlainBackbone(stem, growth)
        self.head = PlainHead(self.backbone.out_channels, classes, heads)

    def forward(self, waveform: Tensor) -> Tensor:
        return self.head(self.backbone(self.frontend(waveform)))
