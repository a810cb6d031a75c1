"""Front ends: waveform ``float32 [B, T]`` → image ``[B, C, F, N]``, inside the model, so that they train and export with it."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earmark.nets.mel import MelPower, affine_power
from earmark.nets.norms import WaveformNorm

Count = TypeVar("Count", int, NDArray[np.int64])


class FrontEnd(nn.Module):
    """What every front end has: two stages, so that augmentations and filling can act between them.

    Attributes:
        out_channels: C of the image.
        bands: F of the image.
        hop_length: samples a step of the last axis N of `power`'s result; 1 where that is the waveform itself.
        context: samples of true signal on each side that ``power(waveform, with_context=True)`` expects.
        shortest: samples; `power` first centres a shorter waveform in so many samples of silence.
        fills: where zeros are appended to shorter examples' power when lengths differ in a batch that is scored.
        trainable_power: `power` has something to train, or depends on the batch: its result is not to be kept.

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

    def power(self, waveform: Tensor, with_context: bool = False) -> Tensor:
        """Waveform ``[B, T]`` → ``[B, F, N]``, in which sounds add and zero is silence.

        Args:
            waveform: −1..1.
            with_context: the first and last `context` samples are there only so that the frames in between see true signal.
        """
        raise NotImplementedError

    def frames(self, samples: Count) -> Count:
        """How many steps N `power` makes of so many samples: of one number, or of an array of them.

        They are at least `shortest`, or, with context, the ones between the two contexts.
        """
        return -(-samples // self.hop_length)

    def compress(self, power: Tensor) -> Tensor:
        """Result of `power` ``[B, F, N]`` → image ``[B, out_channels, F, N]``."""
        raise NotImplementedError

    def forward(self, waveform: Tensor) -> Tensor:
        return self.compress(self.power(waveform))


Stage = TypeVar("Stage", bound=Callable[..., Tensor])


def _without_autocast(stage: Stage) -> Stage:
    """A stage in the precision of its window, float32: spectra need its range and its digits."""

    @wraps(stage)
    def exact(self: Any, sound: Tensor, *rest: Any, **named: Any) -> Tensor:
        with torch.autocast(sound.device.type, enabled=False):
            return stage(self, sound.to(self.mel_power.window.dtype), *rest, **named)

    return cast(Stage, exact)


class LogMel(FrontEnd):
    """Log-mel image of Jeong & Lim §3.2.1 (figure 2a), in kapre 0.1's order.

    BatchNorm of the waveform → STFT (periodic Hann window, *same* padding: ``ceil(T / hop_length)`` frames) → power →
    mel bands → dB of the *square root* of the mel power, relative to a maximum, clipped below → BatchNorm per band.

    In training the maximum is the whole batch's or each example's own. kapre took the batch's until its version 0.1.3.1, which was
    current when Jeong & Lim released their code, and each example's from February 2019 on. With the batch's maximum a gain on
    an example is seen in its image; with the example's own it is not. When clips are scored the maximum is always the
    example's own: a clip's scores do not depend on what is scored beside it.

    Args:
        sample_rate: in Hz; sets the bands.
        n_fft: window and FFT length in samples.
        hop_length: in samples.
        n_mels: number of mel bands F.
        reference: the maximum in training: ``batch`` or ``example``.
        floor: mel power below which there is no difference (kapre: 1e-10, of the square root).
        dynamic_range: dB below the maximum at which the image is clipped.
        epsilon: of the batch normalisations.
        momentum: of the batch normalisations' running statistics (PyTorch's sense: the share of the new value).

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, n_mels, ceil(T / hop_length)]``.

    >>> LogMel(sample_rate=16000)(torch.zeros(2, 64000)).shape
    torch.Size([2, 1, 64, 500])
    """

    out_channels = 1
    trainable_power = True

    def __init__(
        self,
        sample_rate: int,
        n_fft: int = 1024,
        hop_length: int = 128,
        n_mels: int = 64,
        reference: Literal["batch", "example"] = "example",
        floor: float = 1e-20,
        dynamic_range: float = 80.0,
        epsilon: float = 1e-3,
        momentum: float = 0.01,
    ) -> None:
        super().__init__()
        if hop_length < 1:
            raise ValueError("hop_length must be at least 1")
        if reference not in ("batch", "example"):
            raise ValueError(f"no reference {reference!r}; there are batch, example")
        if min(floor, dynamic_range) <= 0:
            raise ValueError("floor and dynamic_range must be above 0")
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

        The BatchNorm's gain g and bias b act on the normalised waveform x before the STFT, which is linear:
        |STFT(g·x + b)|² = g²·|X|² + 2gb·Re(X·O*) + b²·|O|² with O the STFT of ones. The mel bands are linear in turn, so g
        and b train on mel bands alone, and no gradient has to go back through the STFT, where it would cost more than a layer.
        What x is multiplied by to have a variance of 1 goes into g.
        """
        samples = waveform.shape[1]
        count = -(-samples // self.hop_length)
        padding = max((count - 1) * self.hop_length + self.n_fft - samples, 0)
        before, after = padding // 2, padding - padding // 2
        padded, factor = self.waveform_norm.centred(waveform, before, after)
        padded_ones = nn.functional.pad(torch.ones_like(waveform[:1]), (before, after))
        frames, ones = (signal.unfold(1, self.n_fft, self.hop_length)[:, :count] for signal in (padded, padded_ones))
        # Frames that begin before the signal, and frames up to the last that ends within it.
        begins, ends = min(-(-before // self.hop_length), count), (samples + before - self.n_fft) // self.hop_length + 1
        inner = slice(begins, min(max(begins, ends), count))
        mel_signal, products = self.mel_power.with_products(frames, ones, inner)
        return affine_power(self.waveform_gain * factor, self.waveform_bias, mel_signal, products).transpose(1, 2)

    @_without_autocast
    def compress(self, power: Tensor) -> Tensor:
        """Mel power ``[B, n_mels, N]`` → normalised dB image ``[B, 1, n_mels, N]``."""
        level = torch.log10(power.clamp(min=self.floor))
        of_batch = self.training and self.reference == "batch"
        loudest = level.amax(dim=(0, 1, 2) if of_batch else (1, 2), keepdim=True)
        # dB, 10·log10, of the square root: a literal square root has an infinite gradient at zero.
        relative = torch.add(-5 * loudest, level, alpha=5)
        clipped = relative.clamp(min=-self.dynamic_range).transpose(1, 2)
        # As rows of bands, the way they lie in memory: to the same result without moving them.
        rows = self.band_norm(clipped.flatten(0, 1))
        return rows.view(clipped.shape).transpose(1, 2).unsqueeze(1)


class Waveform(FrontEnd):
    """The waveform itself as a one-row image (Jeong & Lim §3.2.1, waveform variant): BatchNorm only.

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, 1, T]``.
    """

    out_channels = 1
    bands = 1
    hop_length = 1
    trainable_power = True

    def __init__(
        self,
        sample_rate: int,  # noqa: ARG002  (every front end is given it)
        epsilon: float = 1e-3,
        momentum: float = 0.01,
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
    """Log-mel image of Akiyama & Sato §3.2.2: each example has zero mean and unit variance. Nothing is trained.

    STFT (periodic Hann window, centred, reflected at both ends: ``1 + T // hop_length`` frames) → power → mel bands → dB,
    clipped below relative to the example's maximum → minus the example's mean, divided by its standard deviation.
    Augmentations act on the mel power, between the two stages.

    Args:
        sample_rate: in Hz; sets the bands.
        n_fft: window and FFT length in samples.
        hop_length: in samples (347 at 44.1 kHz: 127 frames a second).
        n_mels: number of mel bands F.
        f_min: lower edge of the lowest band, in Hz.
        f_max: upper edge of the highest band, in Hz; half the sample rate by default.
        floor: mel power below which there is no difference (1e-10 is −100 dB).
        dynamic_range: dB below the example's maximum at which the image is clipped.
        epsilon: dB added to the example's standard deviation.

    Shape:
        waveform ``[B, T]`` → image ``[B, 1, n_mels, 1 + T // hop_length]`` for an even n_fft. A waveform of at most
        ``n_fft // 2`` samples, too short to be reflected, is first centred in ``n_fft // 2 + 1`` samples of silence.

    >>> StandardisedLogMel(sample_rate=44100)(torch.zeros(2, 44100)).shape
    torch.Size([2, 1, 128, 128])
    """

    out_channels = 1
    fills = "right"
    trainable_power = False

    def __init__(
        self,
        sample_rate: int,
        n_fft: int = 2560,
        hop_length: int = 347,
        n_mels: int = 128,
        f_min: float = 20.0,
        f_max: float | None = None,
        floor: float = 1e-10,
        dynamic_range: float = 80.0,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__()
        if hop_length < 1:
            raise ValueError("hop_length must be at least 1")
        if min(floor, dynamic_range, epsilon) <= 0:
            raise ValueError("floor, dynamic_range and epsilon must be above 0")
        self.bands, self.n_fft, self.hop_length = n_mels, n_fft, hop_length
        self.floor, self.dynamic_range, self.epsilon = floor, dynamic_range, epsilon
        self.context = n_fft // 2
        self.shortest = self.context + 1  # a reflection does not repeat the last sample itself
        self.mel_power = MelPower(sample_rate, n_fft, n_mels, f_min, f_max)

    @_without_autocast
    def power(self, waveform: Tensor, with_context: bool = False) -> Tensor:
        """Waveform ``[B, T]`` → mel power ``[B, n_mels, N]``.

        With context the frames are those of the whole clip's power that lie over the waveform without its two contexts,
        where that begins at a multiple of the hop.
        """
        padded = waveform if with_context else self._reflected(waveform)
        return self.mel_power(padded.unfold(1, self.n_fft, self.hop_length)).transpose(1, 2)

    def frames(self, samples: Count) -> Count:
        """``1 + samples // hop_length`` for an even n_fft."""
        return 1 + (samples + 2 * self.context - self.n_fft) // self.hop_length

    def _reflected(self, waveform: Tensor) -> Tensor:
        missing = self.shortest - waveform.shape[1]
        if missing > 0:
            waveform = nn.functional.pad(waveform, (missing // 2, missing - missing // 2))
        return nn.functional.pad(waveform, (self.context, self.context), mode="reflect")

    def decibels(self, power: Tensor) -> Tensor:
        """Mel power ``[B, n_mels, N]`` → dB of the same shape, clipped below: zero power becomes the lowest value there is."""
        decibels = 10 * torch.log10(power.clamp(min=self.floor))
        return torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - self.dynamic_range)

    @_without_autocast
    def compress(self, power: Tensor) -> Tensor:
        """Mel power ``[B, n_mels, N]`` → standardised dB image ``[B, 1, n_mels, N]``; zeros where all is the same."""
        decibels = self.decibels(power)
        # Relative to the maximum silence is 0 exactly. Around −100 dB its rounded mean would differ from its values, and
        # that difference would be divided by itself.
        relative = decibels - decibels.amax(dim=(1, 2), keepdim=True)
        centred = relative - relative.mean(dim=(1, 2), keepdim=True)
        deviation = centred.square().mean(dim=(1, 2), keepdim=True).sqrt()
        return (centred / (deviation + self.epsilon)).unsqueeze(1)


class RawWaveform(FrontEnd):
    """The waveform as it is, a one-row image (Akiyama & Sato §3.2.1). Nothing is trained.

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
        sample_rate: int,  # noqa: ARG002  (every front end is given it)
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


FRONTENDS: dict[str, type[FrontEnd]] = {
    "logmel": LogMel,
    "waveform": Waveform,
    "standardised_logmel": StandardisedLogMel,
    "raw_waveform": RawWaveform,
}
