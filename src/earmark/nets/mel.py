"""Mel bands: their filters, and the power of frames in them at the speed of the FFT."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

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


class _AffinePower(torch.autograd.Function):
    """g²·S + 2gb·C + b²·O: the power of g·x + b in mel bands, from that of x and its products with ones.

    Where the products are zero, which is nearly everywhere, nothing is added, and nothing multiplied on the way back.
    """

    @staticmethod
    def forward(ctx: Any, gain: Tensor, bias: Tensor, signal: Tensor, products: list[Products]) -> Tensor:
        ctx.save_for_backward(gain, bias, signal)
        ctx.products = products
        power = gain.square() * signal
        of_cross, of_ones = 2 * gain * bias, bias.square()
        for each in products:
            power[:, each.frames, each.bands] += of_cross * each.cross + of_ones * each.ones
        return power

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        gradient = gradients[0]
        gain, bias, signal = ctx.saved_tensors
        of_signal = torch.einsum("bnf,bnf->", gradient, signal)
        of_cross, of_ones = torch.zeros_like(gain), torch.zeros_like(bias)
        for each in ctx.products:
            there = gradient[:, each.frames, each.bands]
            of_cross += (there * each.cross).sum()
            of_ones += (there * each.ones).sum()
        return 2 * gain * of_signal + 2 * bias * of_cross, 2 * gain * of_cross + 2 * bias * of_ones, None, None


def affine_power(gain: Tensor, bias: Tensor, signal: Tensor, products: list[Products]) -> Tensor:
    """The power in mel bands of gain · x + bias, differentiable in the two, from what `MelPower.with_products` says of x.

    Args:
        gain: ``[1]``.
        bias: ``[1]``.
        signal: the power of x, ``[B, N, n_mels]``.
        products: with ones.

    Returns:
        ``[B, N, n_mels]``.
    """
    return cast(Callable[..., Tensor], _AffinePower.apply)(gain, bias, signal, products)


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
    power_of_ones: Tensor

    def __init__(self, sample_rate: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float | None = None) -> None:
        super().__init__()
        if min(n_fft, n_mels) < 1:
            raise ValueError("n_fft and n_mels must be at least 1")
        with torch.device("cpu"):  # also where a net is only planned, on the meta device: the tables are computed
            self._make_tables(sample_rate, n_fft, n_mels, f_min, f_max)

    def _make_tables(self, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float | None) -> None:
        # All of it follows from the settings: not in the weights file.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filter_bank(sample_rate, n_fft, n_mels, f_min, f_max), persistent=False)
        self.bands = [slice(first, min(first + BANDS_AT_ONCE, n_mels)) for first in range(0, n_mels, BANDS_AT_ONCE)]
        self.covered: list[slice] = []  # by each group of bands, of the numbers, which are two a bin
        for index, bands in enumerate(self.bands):
            bins = self.filters[bands].any(dim=0).nonzero().flatten().tolist()
            self.covered.append(slice(2 * bins[0], 2 * bins[-1] + 2) if bins else slice(0, 0))
            twice = self.filters[bands].repeat_interleave(2, dim=1)
            self.register_buffer(f"filters{index}", twice[:, self.covered[-1]].T.contiguous(), persistent=False)
        # A frame of ones has two bins, both real, of no and of one period: their products with the filters that cover them.
        spectrum = torch.fft.rfft(self.window.double())[:2].real
        of_ones = spectrum * self.filters[:, : len(spectrum)]
        covering = of_ones.any(dim=1).nonzero().flatten().tolist()
        low = slice(0, covering[-1] + 1 if covering else 0)
        self.register_buffer("of_ones", of_ones[low].T.float(), persistent=False)
        self.register_buffer("power_of_ones", (of_ones @ spectrum)[None, None, low].float(), persistent=False)

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        return self._power(frames)[0]

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
        power, lowest = self._power(frames, len(self.of_ones))
        found = []
        if inner.stop > inner.start:
            low = slice(0, self.of_ones.shape[1])
            found.append(Products(inner, low, lowest[:, inner] @ self.of_ones, self.power_of_ones))
        outer = [each for each in (slice(0, inner.start), slice(inner.stop, frames.shape[1])) if each.stop > each.start]
        if outer:
            of_frames, of_ones = (self._spectra(torch.cat([each[:, some] for some in outer], dim=1)) for each in (frames, ones))
            cross = self._in_bands(of_frames.unflatten(0, (len(frames), -1)) * of_ones)
            power_of_ones = self._in_bands(of_ones.square().unsqueeze(0))
            lengths = [some.stop - some.start for some in outer]
            for some, *of_some in zip(outer, cross.split(lengths, dim=1), power_of_ones.split(lengths, dim=1), strict=True):
                found.append(Products(some, slice(None), *of_some))
        return power, found

    def _power(self, frames: Tensor, count: int = 0) -> tuple[Tensor, Tensor]:
        """Power in mel bands ``[B, N, n_mels]``; and of the spectra's so many lowest bins the real parts ``[B, N, count]``."""
        clips, frames_a_clip, _ = frames.shape
        power = frames.new_empty(clips * frames_a_clip, len(self.filters))
        lowest = frames.new_empty(clips * frames_a_clip, count)
        chunks = _chunks(frames)
        rows = [chunk.shape[0] * chunk.shape[1] for chunk in chunks]
        groups = self._groups()
        # The places that all results go to are found at once: one by one, chunk after chunk, it takes a few hundredths of the time.
        of_groups = [power[:, bands].split(rows) for bands in self.bands]
        for chunk, lowest_of_chunk, *of_chunk in zip(chunks, lowest.split(rows), *of_groups, strict=True):
            self._chunk(chunk, lowest_of_chunk, groups, of_chunk)
        return power.unflatten(0, (clips, frames_a_clip)), lowest.unflatten(0, (clips, frames_a_clip))

    def _chunk(self, frames: Tensor, lowest: Tensor, groups: list[tuple[slice, Tensor]], of_groups: Sequence[Tensor]) -> None:
        """One chunk's part of `_power`; on return its spectra are gone, and the next ones take their place in the cache."""
        numbers = self._spectra(frames)
        if lowest.shape[1]:
            lowest.copy_(numbers[:, : 2 * lowest.shape[1] : 2])
        _sum_groups(numbers.square_(), groups, of_groups)

    def _spectra(self, frames: Tensor) -> Tensor:
        """``[B, N, n_fft]`` → ``[B * N, 2 * bins]``, real and imaginary part of each bin in turn."""
        return torch.view_as_real(torch.fft.rfft(frames * self.window)).flatten(0, 1).flatten(1)

    def _in_bands(self, numbers: Tensor) -> Tensor:
        """Sums ``[B, N, 2 * bins]`` into ``[B, N, n_mels]``."""
        sums = numbers.new_empty(*numbers.shape[:2], len(self.filters))
        _sum_groups(numbers.flatten(0, 1), self._groups(), [sums.flatten(0, 1)[:, bands] for bands in self.bands])
        return sums

    def _groups(self) -> list[tuple[slice, Tensor]]:
        """Of each group of bands: the numbers that they cover, and their filters ``[numbers, bands]``."""
        return [(covered, getattr(self, f"filters{index}")) for index, covered in enumerate(self.covered)]


def _sum_groups(numbers: Tensor, groups: list[tuple[slice, Tensor]], sums: Sequence[Tensor]) -> None:
    """Sums ``[M, 2 * bins]`` into each group's ``[M, bands]``."""
    for (covered, weights), of_group in zip(groups, sums, strict=True):
        torch.mm(numbers[:, covered], weights, out=of_group)


def _chunks(frames: Tensor) -> list[Tensor]:
    """Parts ``[b, n, n_fft]`` of the frames, in their order, of a number of samples that suits the device."""
    _, count, n_fft = frames.shape
    at_once = max((CHUNK_SAMPLES if frames.device.type == "cpu" else CHUNK_SAMPLES_GPU) // n_fft, 1)
    clips_at_once = max(at_once // max(count, 1), 1)
    return [chunk for some in frames.split(clips_at_once) for chunk in some.split(at_once, dim=1)]
