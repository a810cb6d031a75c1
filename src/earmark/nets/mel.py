"""Mel bands: their filters, and the power of frames in them, about as fast as the FFT."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

# Samples of the frames that are computed together. On a CPU, the frames and their spectra (2.5 MB each) stay in the cache from the
# window to the mel bands; on a GPU, a few large operations are fastest.
CHUNK_SAMPLES, CHUNK_SAMPLES_GPU = 600 * 2**10, 2**26
MOST_NUMBERS = 2**23  # of the filters together; making them takes several times their 64 MB
BANDS_AT_ONCE = 16  # a group: neighbouring bands cover nearly the same bins, so most of the filters' zeros are left out


def _slaney_hz_to_mel(hz: Tensor) -> Tensor:
    """Slaney's mel scale: linear (200/3 Hz a mel) below 1 kHz, logarithmic (27 mels for a factor of 6.4) above."""
    linear = hz * 3 / 200
    logarithmic = 15 + torch.log(hz.clamp(min=1e-10) / 1000) * (27 / math.log(6.4))
    return torch.where(hz < 1000, linear, logarithmic)


def _slaney_mel_to_hz(mel: Tensor) -> Tensor:
    """The inverse of `_slaney_hz_to_mel`."""
    linear = mel * 200 / 3
    logarithmic = 1000 * torch.exp((mel - 15) * (math.log(6.4) / 27))
    return torch.where(mel < 15, linear, logarithmic)


def mel_filter_bank(sample_rate: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float | None = None) -> Tensor:
    """Triangular mel filters on Slaney's scale, each with an area of 1 over the frequency in Hz.

    Args:
        sample_rate: in Hz.
        n_fft: FFT length in samples.
        n_mels: number of bands.
        f_min: lower edge of the lowest band, in Hz.
        f_max: upper edge of the highest band, in Hz; half the sample rate by default.

    Returns:
        float32 ``[n_mels, n_fft // 2 + 1]``, the same as ``librosa.filters.mel(..., htk=False, norm="slaney")``.

    Raises:
        ValueError: ``f_min`` is not below ``f_max``, or they are not within 0 Hz and half the sample rate.

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
    """Products of a signal's spectra X with the spectra O of a signal of ones, in some mel bands of some frames.

    Only a few products are not zero: a frame of ones has the spectrum of the window, which has two bins; only at the ends of the
    signal, where the frame has zeros too, are there more.

    Attributes:
        frames: the frames that the products belong to.
        bands: the mel bands that the products belong to.
        cross: Re(X·O*), ``[B, frames, bands]``.
        ones: |O|², ``[1, frames, bands]``, or ``[1, 1, bands]`` if all frames have the same.
    """

    frames: slice
    bands: slice
    cross: Tensor
    ones: Tensor


class _AffinePower(torch.autograd.Function):
    """The power of g·x + b in mel bands: g²·S + 2gb·C + b²·P, where S is the power of x, C is `Products.cross`, P `Products.ones`.

    Nearly all products are zero and left out: nothing is added for them, and nothing is multiplied in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, gain: Tensor, bias: Tensor, signal: Tensor, products: list[Products]) -> Tensor:
        ctx.save_for_backward(gain, bias, signal)
        ctx.products = products
        power = gain.square() * signal
        cross_factor, ones_factor = 2 * gain * bias, bias.square()
        for block in products:
            power[:, block.frames, block.bands] += cross_factor * block.cross + ones_factor * block.ones
        return power

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        gradient = gradients[0]
        gain, bias, signal = ctx.saved_tensors
        signal_sum = torch.einsum("bnf,bnf->", gradient, signal)
        cross_sum, ones_sum = torch.zeros_like(gain), torch.zeros_like(bias)
        for block in ctx.products:
            block_gradient = gradient[:, block.frames, block.bands]
            cross_sum += (block_gradient * block.cross).sum()
            ones_sum += (block_gradient * block.ones).sum()
        return 2 * gain * signal_sum + 2 * bias * cross_sum, 2 * gain * cross_sum + 2 * bias * ones_sum, None, None


def affine_power(gain: Tensor, bias: Tensor, signal: Tensor, products: list[Products]) -> Tensor:
    """The power of gain · x + bias in mel bands, with gradients for gain and bias; see `MelPower.with_products`.

    Args:
        gain: ``[1]``.
        bias: ``[1]``.
        signal: the power of x in mel bands, ``[B, N, n_mels]``.
        products: the products of x with a signal of ones.

    Returns:
        ``[B, N, n_mels]``.
    """
    return cast(Callable[..., Tensor], _AffinePower.apply)(gain, bias, signal, products)


class MelPower(nn.Module):
    """Frames of a signal → power of their spectra in mel bands (periodic Hann window). Nothing is trained.

    The real and imaginary parts of the spectra are squared in place. The filters add up both: they have each value twice.

    Args:
        sample_rate: in Hz.
        n_fft: frame and FFT length in samples.
        n_mels: number of bands.
        f_min: lower edge of the lowest band, in Hz.
        f_max: upper edge of the highest band, in Hz; half the sample rate by default.

    Raises:
        ValueError: ``n_fft`` or ``n_mels`` is below 1, the filters are too large, or the edges of the bands are wrong (see
            `mel_filter_bank`).

    Shape:
        frames ``[B, N, n_fft]`` → ``[B, N, n_mels]``; no gradient goes back to the frames.

    >>> MelPower(sample_rate=16000, n_fft=1024, n_mels=64)(torch.zeros(2, 5, 1024)).shape
    torch.Size([2, 5, 64])
    """

    window: Tensor
    filters: Tensor
    ones_filters: Tensor
    power_of_ones: Tensor

    def __init__(self, sample_rate: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float | None = None) -> None:
        super().__init__()
        if min(n_fft, n_mels) < 1:
            raise ValueError("n_fft and n_mels must be at least 1")
        if (numbers := n_mels * (n_fft // 2 + 1)) > MOST_NUMBERS:
            raise ValueError(
                f"n_fft {n_fft:,} and n_mels {n_mels:,} make filters of {numbers * 8 / 2**20:,.0f} MB; "
                f"{MOST_NUMBERS * 8 / 2**20:,.0f} MB are the most"
            )
        with torch.device("cpu"):  # the tables need values, even if the net is only planned, on the meta device
            self._make_tables(sample_rate, n_fft, n_mels, f_min, f_max)

    def _make_tables(self, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float | None) -> None:
        # All tables follow from the settings, so they are not in the weights file.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filter_bank(sample_rate, n_fft, n_mels, f_min, f_max), persistent=False)
        self.bands = [slice(first, min(first + BANDS_AT_ONCE, n_mels)) for first in range(0, n_mels, BANDS_AT_ONCE)]
        self.covered: list[slice] = []  # the numbers of a spectrum (two for each bin) that each group covers
        for index, bands in enumerate(self.bands):
            bins = self.filters[bands].any(dim=0).nonzero().flatten().tolist()
            self.covered.append(slice(2 * bins[0], 2 * bins[-1] + 2) if bins else slice(0, 0))
            doubled = self.filters[bands].repeat_interleave(2, dim=1)
            self.register_buffer(f"filters{index}", doubled[:, self.covered[-1]].T.contiguous(), persistent=False)
        # The spectrum of a frame of ones has two bins, 0 and 1, both real. They are multiplied by the filters that cover them.
        spectrum = torch.fft.rfft(self.window.double())[:2].real
        ones_filters = spectrum * self.filters[:, : len(spectrum)]
        covering = ones_filters.any(dim=1).nonzero().flatten().tolist()
        low_bands = slice(0, covering[-1] + 1 if covering else 0)
        self.register_buffer("ones_filters", ones_filters[low_bands].T.float(), persistent=False)
        self.register_buffer("power_of_ones", (ones_filters @ spectrum)[None, None, low_bands].float(), persistent=False)

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        return self._power(frames)[0]

    @torch.no_grad()
    def with_products(self, frames: Tensor, ones: Tensor, inner: slice) -> tuple[Tensor, list[Products]]:
        """Power in mel bands, and the products of the spectra with those of a signal of ones, in mel bands.

        Args:
            frames: ``[B, N, n_fft]``.
            ones: frames of the signal of ones, ``[1, N, n_fft]``, with zeros before and after the signal.
            inner: the frames in which ``ones`` is 1 throughout.

        Returns:
            The power ``[B, N, n_mels]``, and all products that are not zero.
        """
        power, lowest = self._power(frames, len(self.ones_filters))
        products = []
        if inner.stop > inner.start:
            low_bands = slice(0, self.ones_filters.shape[1])
            products.append(Products(inner, low_bands, lowest[:, inner] @ self.ones_filters, self.power_of_ones))
        outer = [part for part in (slice(0, inner.start), slice(inner.stop, frames.shape[1])) if part.stop > part.start]
        if outer:
            spectra, ones_spectra = (self._spectra(torch.cat([x[:, part] for part in outer], dim=1)) for x in (frames, ones))
            cross = self._in_bands(spectra.unflatten(0, (len(frames), -1)) * ones_spectra)
            power_of_ones = self._in_bands(ones_spectra.square().unsqueeze(0))
            lengths = [part.stop - part.start for part in outer]
            for part, *values in zip(outer, cross.split(lengths, dim=1), power_of_ones.split(lengths, dim=1), strict=True):
                products.append(Products(part, slice(None), *values))
        return power, products

    def _power(self, frames: Tensor, count: int = 0) -> tuple[Tensor, Tensor]:
        """The power in mel bands ``[B, N, n_mels]``, and the real parts of the ``count`` lowest bins ``[B, N, count]``."""
        clips, frames_per_clip, _ = frames.shape
        power = frames.new_empty(clips * frames_per_clip, len(self.filters))
        lowest = frames.new_empty(clips * frames_per_clip, count)
        chunks = _chunks(frames)
        rows = [chunk.shape[0] * chunk.shape[1] for chunk in chunks]
        groups = self._groups()
        # The results are split into views for all chunks at once: chunk by chunk, that would take a few percent of the time.
        group_powers = [power[:, bands].split(rows) for bands in self.bands]
        for chunk, chunk_lowest, *chunk_powers in zip(chunks, lowest.split(rows), *group_powers, strict=True):
            self._write_chunk(chunk, chunk_lowest, groups, chunk_powers)
        return power.unflatten(0, (clips, frames_per_clip)), lowest.unflatten(0, (clips, frames_per_clip))

    def _write_chunk(
        self, frames: Tensor, lowest: Tensor, groups: list[tuple[slice, Tensor]], group_powers: Sequence[Tensor]
    ) -> None:
        """Writes the results of one chunk. Its spectra are freed on return, so that those of the next chunk use the same cache."""
        numbers = self._spectra(frames)
        if lowest.shape[1]:
            lowest.copy_(numbers[:, : 2 * lowest.shape[1] : 2])
        _sum_groups(numbers.square_(), groups, group_powers)

    def _spectra(self, frames: Tensor) -> Tensor:
        """Frames ``[B, N, n_fft]`` → spectra ``[B * N, 2 * bins]``: of each bin the real part, then the imaginary part."""
        return torch.view_as_real(torch.fft.rfft(frames * self.window)).flatten(0, 1).flatten(1)

    def _in_bands(self, numbers: Tensor) -> Tensor:
        """Numbers of spectra ``[B, N, 2 * bins]`` → their sums in mel bands ``[B, N, n_mels]``."""
        sums = numbers.new_empty(*numbers.shape[:2], len(self.filters))
        _sum_groups(numbers.flatten(0, 1), self._groups(), [sums.flatten(0, 1)[:, bands] for bands in self.bands])
        return sums

    def _groups(self) -> list[tuple[slice, Tensor]]:
        """For each group of bands: the numbers that it covers, and its filters ``[numbers, bands]``."""
        return [(covered, getattr(self, f"filters{index}")) for index, covered in enumerate(self.covered)]


def _sum_groups(numbers: Tensor, groups: list[tuple[slice, Tensor]], sums: Sequence[Tensor]) -> None:
    """Writes the sums in mel bands of ``numbers`` ``[M, 2 * bins]`` into ``sums``: ``[M, bands]`` for each group."""
    for (covered, filters), group_sums in zip(groups, sums, strict=True):
        torch.mm(numbers[:, covered], filters, out=group_sums)


def _chunks(frames: Tensor) -> list[Tensor]:
    """The frames in chunks ``[b, n, n_fft]``, in their order; the size of the chunks suits the device."""
    _, count, n_fft = frames.shape
    at_once = max((CHUNK_SAMPLES if frames.device.type == "cpu" else CHUNK_SAMPLES_GPU) // n_fft, 1)
    clips_at_once = max(at_once // max(count, 1), 1)
    return [chunk for clips in frames.split(clips_at_once) for chunk in clips.split(at_once, dim=1)]
