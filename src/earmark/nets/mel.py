"""Mel bands: their filters, and the power of frames in them at the speed of the FFT."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

# Samples of frames held at once. On a CPU they and their spectra (2 MB each) stay in the cache from the window to
# the mel bands; a GPU wants few large operations.
CHUNK_SAMPLES, CHUNK_SAMPLES_GPU = 2**19, 2**26
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
        # A frame of ones has two bins, both real, of no and of one period: their products with the bands' filters.
        spectrum = torch.fft.rfft(self.window.double())[:2].real
        self.register_buffer("of_ones", (spectrum * self.filters[:, : len(spectrum)]).T.float(), persistent=False)

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        power = frames.new_empty(*frames.shape[:2], len(self.filters))
        for part, of_part in _in_chunks(frames, power):
            self._sum_bands(self._spectrum(part).square_(), of_part)
        return power

    @torch.no_grad()
    def with_product(self, frames: Tensor, ones: Tensor, inner: slice) -> tuple[Tensor, Tensor]:
        """Power in mel bands, and Re(X·O*) in mel bands, X the frames' spectra and O those of a signal that is 1 throughout.

        The window's own spectrum, and with it O, has but two bins, save in frames that reach beyond the signal's ends.

        Args:
            frames: ``[B, N, n_fft]``.
            ones: the other signal's, ``[1, N, n_fft]``: 0 beyond its ends.
            inner: which of the N are 1 throughout.

        Returns:
            ``[B, N, n_mels]`` each.
        """
        both = frames.new_empty(*frames.shape[:2], len(self.filters) + len(self.of_ones))
        for part, of_part in _in_chunks(frames, both):
            numbers = self._spectrum(part)
            of_part[..., len(self.filters) :] = numbers[..., : 2 * len(self.of_ones) : 2]  # the real parts of the two bins
            self._sum_bands(numbers.square_(), of_part)
        power, lowest = both.split([len(self.filters), len(self.of_ones)], dim=2)
        product = lowest @ self.of_ones
        for outer in (slice(0, inner.start), slice(inner.stop, frames.shape[1])):
            if outer.stop > outer.start:
                self._sum_bands(self._spectrum(frames[:, outer]) * self._spectrum(ones[:, outer]), product[:, outer])
        return power, product

    def _spectrum(self, frames: Tensor) -> Tensor:
        """``[B, N, n_fft]`` → ``[B, N, 2 * bins]``, real and imaginary part of each bin in turn."""
        return torch.view_as_real(torch.fft.rfft(frames * self.window)).flatten(-2)

    def _sum_bands(self, numbers: Tensor, bands: Tensor) -> None:
        """Sums ``[B, N, 2 * bins]`` into the first n_mels of ``[B, N, …]``."""
        for index, (some, covered) in enumerate(self.groups):
            bands[..., some] = numbers[..., covered] @ getattr(self, f"filters{index}")


def _in_chunks(frames: Tensor, results: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Parts of both, ``[B, N, …]`` each, of a number of samples that suits the device."""
    _, count, n_fft = frames.shape
    at_once = max((CHUNK_SAMPLES if frames.device.type == "cpu" else CHUNK_SAMPLES_GPU) // n_fft, 1)
    clips_at_once = max(at_once // max(count, 1), 1)
    for clips, of_clips in zip(frames.split(clips_at_once), results.split(clips_at_once), strict=True):
        yield from zip(clips.split(at_once, dim=1), of_clips.split(at_once, dim=1), strict=True)
