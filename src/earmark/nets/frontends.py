"""Front ends: waveform, float32 ``[B, T]`` → image ``[B, C, F, N]``. They are part of the net: trained and exported with it."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earmark.nets.arguments import checked
from earmark.nets.mel import MelPower, affine_power
from earmark.nets.norms import WaveformNorm
from earmark.recipe.basics import Decibels, Epsilon, Few, Floor, Real, Share, Size

Count = TypeVar("Count", int, NDArray[np.int64])


class FrontEnd(nn.Module):
    """A front end. It has two halves, `power` and `compress`, so that augmentation and padding can act between them.

    Attributes:
        out_channels: number of channels C of the image.
        bands: number of rows F of the image.
        hop_length: samples from one step of the axis N to the next; 1 if `power` returns the waveform itself.
        context: samples of real signal that ``power(waveform, with_context=True)`` expects at each end of the waveform.
        shortest: in samples; a shorter waveform is centred in silence of this length before `power` uses it.
        fills: where shorter examples in a batch to be scored get zeros of power: on the ``right`` or on ``both`` sides.
        trainable_power: whether `power` has something to train or depends on the batch; its results must not be stored then.
        takes_vectors: whether it takes vectors, made of the sounds before the net, and has no `power`; see `vectors`.

    Shape:
        waveform ``[B, T]`` → image ``[B, out_channels, F, N]``.
    """

    out_channels: int
    bands: int
    hop_length: int
    context: int = 0
    shortest: int = 1
    fills: Literal["right", "both"] = "both"
    trainable_power: bool
    takes_vectors: bool = False

    def power(self, waveform: Tensor, with_context: bool = False) -> Tensor:
        """Waveform ``[B, T]`` → power ``[B, F, N]``; sounds are mixed by adding their power, and silence is zero.

        Args:
            waveform: −1..1.
            with_context: whether the waveform has `context` more samples at each end, so that all frames see real signal.
        """
        raise NotImplementedError

    def frames(self, samples: Count) -> Count:
        """Number of steps N that `power` makes of a number of samples (at least `shortest`, without context)."""
        return -(-samples // self.hop_length)

    def compress(self, power: Tensor) -> Tensor:
        """Result of `power` ``[B, F, N]`` → image ``[B, out_channels, F, N]``."""
        raise NotImplementedError

    def forward(self, waveform: Tensor) -> Tensor:
        return self.compress(self.power(waveform))


Method = TypeVar("Method", bound=Callable[..., Tensor])


def _without_autocast(method: Method) -> Method:
    """A front end's method without autocast, in the precision of the window: spectra need the range and the digits of float32."""

    @wraps(method)
    def exact(self: Any, sound: Tensor, *rest: Any, **named: Any) -> Tensor:
        with torch.autocast(sound.device.type, enabled=False):
            return method(self, sound.to(self.mel_power.window.dtype), *rest, **named)

    return cast(Method, exact)


class LogMel(FrontEnd):
    """Log-mel image of Jeong & Lim §3.2.1 (figure 2a), computed in the same order as in kapre 0.1.

    BatchNorm of the waveform → STFT (periodic Hann window, *same* padding: ``ceil(T / hop_length)`` frames) → power →
    mel bands → dB of the *square root* of the mel power, relative to a maximum, clipped below → BatchNorm per band.

    In training, the maximum is taken over the whole batch or over each example. kapre took the batch's maximum up to version
    0.1.3.1, which was current when Jeong & Lim released their code, and the example's maximum from February 2019 on. Relative to
    the batch's maximum, a gain changes an example's image; relative to the example's maximum, it does not. In scoring, the
    maximum is always the example's, so that a clip's scores do not depend on the other clips in the batch.

    Args:
        sample_rate: in Hz; sets the bands.
        n_fft: length of window and FFT, in samples.
        hop_length: samples from one frame to the next.
        n_mels: number of mel bands F.
        reference: what the maximum is taken over in training: ``batch`` or ``example``.
        floor: lower mel power counts as this (kapre: 1e-10, for the square root).
        dynamic_range: dB below the maximum at which the image is clipped.
        epsilon: added to the variances in the batch normalisations.
        momentum: share of the newest batch in the batch normalisations' running statistics (PyTorch's convention).

    Raises:
        ValueError: an argument is out of its range.

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, n_mels, ceil(T / hop_length)]``.

    >>> LogMel(sample_rate=16000)(torch.zeros(2, 64000)).shape
    torch.Size([2, 1, 64, 500])
    """

    out_channels = 1
    trainable_power = True

    @checked
    def __init__(
        self,
        sample_rate: int,
        n_fft: Size = 1024,
        hop_length: Size = 128,
        n_mels: Few = 64,
        reference: Literal["batch", "example"] = "example",
        floor: Floor = 1e-20,
        dynamic_range: Decibels = 80.0,
        epsilon: Epsilon = 1e-3,
        momentum: Share = 0.01,
    ) -> None:
        super().__init__()
        self.bands, self.n_fft, self.hop_length = n_mels, n_fft, hop_length
        self.reference, self.floor, self.dynamic_range = reference, floor, dynamic_range
        self.waveform_norm = WaveformNorm(epsilon, momentum)
        self.waveform_gain = nn.Parameter(torch.ones(1))
        self.waveform_bias = nn.Parameter(torch.zeros(1))
        self.band_norm = nn.BatchNorm1d(n_mels, epsilon, momentum)
        self.mel_power = MelPower(sample_rate, n_fft, n_mels)

    @_without_autocast
    def power(
        self,
        waveform: Tensor,
        with_context: bool = False,  # noqa: ARG002  (its context is 0)
    ) -> Tensor:
        """Waveform ``[B, T]`` → mel power ``[B, n_mels, N]``.

        BatchNorm's gain g and bias b act on the normalised waveform x, before the STFT. The STFT is linear, so
        |STFT(g·x + b)|² = g²·|X|² + 2gb·Re(X·O*) + b²·|O|², where X is the STFT of x, and O the STFT of a signal of ones. Mel bands
        of these three terms are enough to train g and b, so no gradient has to go back through the STFT, which would cost more
        time than a layer. The factor that gives x a variance of 1 is multiplied into g.
        """
        samples = waveform.shape[1]
        count = -(-samples // self.hop_length)
        padding = max((count - 1) * self.hop_length + self.n_fft - samples, 0)
        before, after = padding // 2, padding - padding // 2
        padded, factor = self.waveform_norm.centred(waveform, before, after)
        padded_ones = nn.functional.pad(torch.ones_like(waveform[:1]), (before, after))
        frames, ones = (signal.unfold(1, self.n_fft, self.hop_length)[:, :count] for signal in (padded, padded_ones))
        # Inner frames lie wholly within the signal, without padding: from the first that begins in it to the last that ends in it.
        begin, end = min(-(-before // self.hop_length), count), (samples + before - self.n_fft) // self.hop_length + 1
        inner = slice(begin, min(max(begin, end), count))
        mel_signal, products = self.mel_power.with_products(frames, ones, inner)
        return affine_power(self.waveform_gain * factor, self.waveform_bias, mel_signal, products).transpose(1, 2)

    @_without_autocast
    def compress(self, power: Tensor) -> Tensor:
        """Mel power ``[B, n_mels, N]`` → normalised dB image ``[B, 1, n_mels, N]``."""
        level = torch.log10(power.clamp(min=self.floor))
        over_batch = self.training and self.reference == "batch"
        loudest = level.amax(dim=(0, 1, 2) if over_batch else (1, 2), keepdim=True)
        # 5·log10 is the dB value, 10·log10, of the square root. A literal square root has an infinite gradient at zero.
        relative = torch.add(-5 * loudest, level, alpha=5)
        clipped = relative.clamp(min=-self.dynamic_range).transpose(1, 2)
        # Frames are rows of bands in memory. Normalised as rows they give the same result, and nothing has to be moved.
        rows = self.band_norm(clipped.flatten(0, 1))
        return rows.view(clipped.shape).transpose(1, 2).unsqueeze(1)


class Waveform(FrontEnd):
    """The normalised waveform as an image with one row (Jeong & Lim §3.2.1, waveform variant): only BatchNorm.

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, 1, T]``.
    """

    out_channels = 1
    bands = 1
    hop_length = 1
    trainable_power = True

    @checked
    def __init__(
        self,
        sample_rate: int,  # noqa: ARG002  (every front end takes it)
        epsilon: Epsilon = 1e-3,
        momentum: Share = 0.01,
    ) -> None:
        super().__init__()
        self.waveform_norm = nn.BatchNorm1d(1, epsilon, momentum)

    def power(
        self,
        waveform: Tensor,
        with_context: bool = False,  # noqa: ARG002  (its context is 0)
    ) -> Tensor:
        """Waveform ``[B, T]`` → normalised waveform ``[B, 1, T]``."""
        return self.waveform_norm(waveform.unsqueeze(1))

    def compress(self, power: Tensor) -> Tensor:
        """Waveform ``[B, 1, T]`` → image ``[B, 1, 1, T]``."""
        return power.unsqueeze(2)


class StandardisedLogMel(FrontEnd):
    """Log-mel image of Akiyama & Sato §3.2.2: each example has mean 0 and variance 1. Nothing is trained.

    STFT (periodic Hann window, centred, reflected at both ends: ``1 + T // hop_length`` frames) → power → mel bands → dB,
    clipped below relative to the example's maximum → minus the example's mean, divided by its standard deviation.
    Augmentations act on the mel power, between the two halves.

    Args:
        sample_rate: in Hz; sets the bands.
        n_fft: length of window and FFT, in samples.
        hop_length: samples from one frame to the next (347 at 44.1 kHz: 127 frames a second).
        n_mels: number of mel bands F.
        f_min: lower edge of the lowest band, in Hz.
        f_max: upper edge of the highest band, in Hz; half the sample rate by default.
        floor: lower mel power counts as this (1e-10 is −100 dB).
        dynamic_range: dB below the example's maximum at which the image is clipped.
        epsilon: added to the example's standard deviation, in dB.

    Raises:
        ValueError: an argument is out of its range.

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, n_mels, 1 + T // hop_length]`` for an even n_fft. A waveform of at most
        ``n_fft // 2`` samples, too short to be reflected, is first centred in ``n_fft // 2 + 1`` samples of silence.

    >>> StandardisedLogMel(sample_rate=44100)(torch.zeros(2, 44100)).shape
    torch.Size([2, 1, 128, 128])
    """

    out_channels = 1
    fills = "right"
    trainable_power = False

    @checked
    def __init__(
        self,
        sample_rate: int,
        n_fft: Size = 2560,
        hop_length: Size = 347,
        n_mels: Few = 128,
        f_min: Real = 20.0,
        f_max: Real | None = None,
        floor: Floor = 1e-10,
        dynamic_range: Decibels = 80.0,
        epsilon: Epsilon = 1e-7,
    ) -> None:
        super().__init__()
        self.bands, self.n_fft, self.hop_length = n_mels, n_fft, hop_length
        self.floor, self.dynamic_range, self.epsilon = floor, dynamic_range, epsilon
        self.context = n_fft // 2
        self.shortest = self.context + 1  # the reflection of n samples needs n + 1: the sample at the end is not repeated
        self.mel_power = MelPower(sample_rate, n_fft, n_mels, f_min, f_max)

    @_without_autocast
    def power(self, waveform: Tensor, with_context: bool = False) -> Tensor:
        """Waveform ``[B, T]`` → mel power ``[B, n_mels, N]``.

        With context, the frames are the same as in the power of the whole clip, if the part of the clip that they cover begins at
        a multiple of `hop_length`.
        """
        padded = waveform if with_context else self._reflected(waveform)
        return self.mel_power(padded.unfold(1, self.n_fft, self.hop_length)).transpose(1, 2)

    def frames(self, samples: Count) -> Count:
        """``1 + samples // hop_length`` for an even n_fft."""
        return 1 + (samples + 2 * self.context - self.n_fft) // self.hop_length

    def _reflected(self, waveform: Tensor) -> Tensor:
        """The waveform, if too short centred in silence, with `context` reflected samples at each end."""
        missing = self.shortest - waveform.shape[1]
        if missing > 0:
            waveform = nn.functional.pad(waveform, (missing // 2, missing - missing // 2))
        return nn.functional.pad(waveform, (self.context, self.context), mode="reflect")

    def decibels(self, power: Tensor) -> Tensor:
        """Mel power ``[B, n_mels, N]`` → dB ``[B, n_mels, N]``, clipped below; zero power gets the example's lowest value."""
        decibels = 10 * torch.log10(power.clamp(min=self.floor))
        return torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - self.dynamic_range)

    @_without_autocast
    def compress(self, power: Tensor) -> Tensor:
        """Mel power ``[B, n_mels, N]`` → standardised dB image ``[B, 1, n_mels, N]``; zeros if all its values are equal."""
        decibels = self.decibels(power)
        # Relative to its maximum, silence is exactly 0. At −100 dB the mean would have a rounding error, which the division by a
        # deviation near 0 would make large.
        relative = decibels - decibels.amax(dim=(1, 2), keepdim=True)
        centred = relative - relative.mean(dim=(1, 2), keepdim=True)
        deviation = centred.square().mean(dim=(1, 2), keepdim=True).sqrt()
        return (centred / (deviation + self.epsilon)).unsqueeze(1)


class RawWaveform(FrontEnd):
    """The unchanged waveform as an image with one row (Akiyama & Sato §3.2.1). Nothing is trained.

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, 1, T]``.

    >>> RawWaveform(sample_rate=44100)(torch.zeros(2, 44100)).shape
    torch.Size([2, 1, 1, 44100])
    """

    out_channels = 1
    bands = 1
    hop_length = 1
    trainable_power = False

    def __init__(
        self,
        sample_rate: int,  # noqa: ARG002  (every front end takes it)
    ) -> None:
        super().__init__()

    def power(
        self,
        waveform: Tensor,
        with_context: bool = False,  # noqa: ARG002  (its context is 0)
    ) -> Tensor:
        """Waveform ``[B, T]`` → ``[B, 1, T]``."""
        return waveform.unsqueeze(1)

    def compress(self, power: Tensor) -> Tensor:
        """Waveform ``[B, 1, T]`` → image ``[B, 1, 1, T]``."""
        return power.unsqueeze(2)
