"""Mel bands: their filters, and the power of frames in them at the speed of the FFT."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Samples of frames held at once. On a CPU they and their spectra (2.5 MB each) stay in the cache from the window to
# the mel bands; a GPU wants few large operations.
CHUNK_SAMPLES, CHUNK_SAMPLES_GPU = 600 * 2**10, 2**26
BANDS_AT_ONCE = 16  # neighbouring bands cover about the same bins: multiplied together they leave out most of the filters' zeros


def _slaney_hz_to_mel(hz: Tensor) -> Tensor:
    """Slaney's mel scale: linear (200/3 Hz a mel) below 1 kHz, logarithmic (27 mels for a factor of 6.4) above."""
    linear = hz * 3 / 200
    logarithmic = 15 + torch.log(hz.clamp(min=1e-10) / 1000) * (27 / math.log(6.4))
    return torch.where(hz < 1000, linear, logarithmic)


def _slaney_mel_to_hz(mel: Tensor) -> Tensor:
    linear = mel * 200 / 3
    logarithmic = 1000 * torch.exp((mel - 15) * (math.log(6.4) / 27))
    return torch.where(mel < 15, linear, logarithmic)


def mel_filter_bank(sample_rate: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float | None = None) -> Tensor:
    """Triangular mel filters on Slaney's scale, each normalised to unit area over Hz.

    Args:
        sample_rate: in Hz.
        n_fft: FFT length in samples.
        n_mels: number of bands.
        f_min: lower edge of the lowest band, in Hz.
        f_max: upper edge of the highest band, in Hz; half the sample rate by default.

    Returns:
        float32 ``[n_mels, n_fft // 2 + 1]``, the same as ``librosa.filters.mel(..., htk=False, norm="slaney")``.

    Raises:
        ValueError: the bands would reach below 0 Hz or above half the sample rate, or there is nothing between the edges.

    >>> mel_filter_bank(16000, 1024, 64).shape
    torch.Size([64, 513])
    """
    f_max = sample_rate / 2 if f_max is None else f_max
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise ValueError(f"f_min {f_min:g} Hz and f_max {f_max:g} Hz must be in order, within 0 and {sample_rate / 2:g} Hz")
    lowest, highest = _slaney_hz_to_mel(torch.tensor([f_min, f_max], dtype=torch.float64)).tolist()
    edges_mel = torch.linspace(lowest, highest, n_mels + 2, dtype=torch.float64)
    edges = _slaney_mel_to_hz(edges_mel)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    area = 2 / (edges[2:] - edges[:-2])
    return (triangles * area[:, None]).float()


@dataclass(frozen=True)
class Products:
    """Products of the spectra X of a signal's frames with those of ones, O, in mel bands, where they are not all zero.

    The spectrum of a frame of ones is that of the window, and has but two bins, save at the ends of the signal.

    Attributes:
        frames: which they are of.
        bands: which they are of.
        cross: Re(X·O*), ``[B, frames, bands]``.
        ones: |O|², ``[1, frames, bands]``, or ``[1, 1, bands]`` where all frames are alike.
    """

    frames: slice
    bands: slice
    cross: Tensor
    ones: Tensor


class MelPower(nn.Module):
    """Frames of a signal → power of their spectra in mel bands (periodic Hann window). Nothing is trained.

    Real and imaginary parts are squared where they lie; the filters, which have every value twice for that, add them up.

    Args:
        sample_rate: in Hz.
        n_fft: frame and FFT length in samples.
        n_mels: number of bands.
        f_min: lower edge of the lowest band, in Hz.
        f_max: upper edge of the highest band, in Hz; half the sample rate by default.

    Raises:
        ValueError: a number below 1, or bands that cannot be (see `mel_filter_bank`).

    Shape:
        frames ``[B, N, n_fft]`` → ``[B, N, n_mels]``; no gradient goes back to them.

    >>> MelPower(sample_rate=16000, n_fft=1024, n_mels=64)(torch.zeros(2, 5, 1024)).shape
    torch.Size([2, 5, 64])
    """

    window: Tensor
    filters: Tensor
    of_ones: Tensor

    def __init__(self, sample_rate: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float | None = None) -> None:
        super().__init__()
        if min(n_fft, n_mels) < 1:
            raise ValueError("n_fft and n_mels must be at least 1")
        # All of it follows from the settings: not in the weights file.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filter_bank(sample_rate, n_fft, n_mels, f_min, f_max), persistent=False)
        self.groups: list[tuple[slice, slice]] = []  # of bands; and of the numbers, two a bin, that they cover
        for first in range(0, n_mels, BANDS_AT_ONCE):
            bands = slice(first, min(first + BANDS_AT_ONCE, n_mels))
            covered = self.filters[bands].any(dim=0).nonzero().flatten().tolist()
            self.groups.append((bands, slice(2 * covered[0], 2 * covered[-1] + 2) if covered else slice(0, 0)))
        for index, (bands, numbers) in enumerate(self.groups):
            twice = self.filters[bands].repeat_interleave(2, dim=1)
            self.register_buffer(f"filters{index}", twice[:, numbers].T.contiguous(), persistent=False)
        # A frame of ones has two bins, both real, of no and of one period: their products with the filters that cover them.
        spectrum = torch.fft.rfft(self.window.double())[:2].real
        of_ones = spectrum * self.filters[:, : len(spectrum)]
        covering = of_ones.any(dim=1).nonzero().flatten().tolist()
        self.register_buffer("of_ones", of_ones[: covering[-1] + 1 if covering else 0].T.float(), persistent=False)

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        power = frames.new_empty(*frames.shape[:2], len(self.filters))
        filters = self._filters()
        for part, of_part in _in_chunks(frames, power):
            _sum_bands(self._spectra(part).square_(), filters, of_part)
        return power

    @torch.no_grad()
    def with_products(self, frames: Tensor, ones: Tensor, inner: slice) -> tuple[Tensor, list[Products]]:
        """Power in mel bands, and in mel bands the products with the spectra of a signal that is 1 throughout.

        Args:
            frames: ``[B, N, n_fft]``.
            ones: the other signal's, ``[1, N, n_fft]``: 0 beyond its ends.
            inner: which of the N are 1 throughout.

        Returns:
            ``[B, N, n_mels]``; and the products wherever they are not zero.
        """
        power = frames.new_empty(*frames.shape[:2], len(self.filters))
        lowest = frames.new_empty(*frames.shape[:2], len(self.of_ones))
        filters = self._filters()
        for part, of_part, lowest_of_part in _in_chunks(frames, power, lowest):
            numbers = self._spectra(part)
            lowest_of_part.copy_(numbers[:, : 2 * len(self.of_ones) : 2])  # the real parts of the two bins
            _sum_bands(numbers.square_(), filters, of_part)
        low = slice(0, self.of_ones.shape[1])
        found = []
        if inner.stop > inner.start:
            alike = slice(inner.start, inner.start + 1)
            found.append(Products(inner, low, lowest[:, inner] @ self.of_ones, self(ones[:, alike])[..., low]))
        for outer in (slice(0, inner.start), slice(inner.stop, frames.shape[1])):
            if outer.stop > outer.start:
                of_ones = self._spectra(ones[:, outer])
                product = self._spectra(frames[:, outer]).view(len(frames), *of_ones.shape) * of_ones
                bands = frames.new_empty(len(frames) * len(of_ones), len(self.filters))
                _sum_bands(product.flatten(0, 1), filters, bands)
                found.append(Products(outer, slice(None), bands.view(len(frames), len(of_ones), -1), self(ones[:, outer])))
        return power, found

    def _spectra(self, frames: Tensor) -> Tensor:
        """``[B, N, n_fft]`` → ``[B * N, 2 * bins]``, real and imaginary part of each bin in turn."""
        return torch.view_as_real(torch.fft.rfft(frames * self.window)).flatten(0, 1).flatten(1)

    def _filters(self) -> list[tuple[slice, slice, Tensor]]:
        """Of each group: its bands, the numbers that they cover, and their filters ``[numbers, bands]``."""
        return [(*group, getattr(self, f"filters{index}")) for index, group in enumerate(self.groups)]


def _sum_bands(numbers: Tensor, filters: list[tuple[slice, slice, Tensor]], bands: Tensor) -> None:
    """Sums ``[M, 2 * bins]`` into ``[M, n_mels]``."""
    for some, covered, weights in filters:
        torch.mm(numbers[:, covered], weights, out=bands[:, some])


def _in_chunks(frames: Tensor, *results: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Parts ``[b, n, n_fft]`` of the frames, of a number of samples that suits the device; and of each result ``[b * n, …]``."""
    _, count, n_fft = frames.shape
    at_once = max((CHUNK_SAMPLES if frames.device.type == "cpu" else CHUNK_SAMPLES_GPU) // n_fft, 1)
    clips_at_once = max(at_once // max(count, 1), 1)
    for some in zip(*(tensor.split(clips_at_once) for tensor in (frames, *results)), strict=True):
        for part, *of_part in zip(*(tensor.split(at_once, dim=1) for tensor in some), strict=True):
            yield part, *(result.flatten(0, 1) for result in of_part)
