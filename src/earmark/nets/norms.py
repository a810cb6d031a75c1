"""Batch normalisation of images with few channels and of waveforms, faster than torch's."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

NARROW, WIDE = 8, 64  # channels; torch's CPU kernels take ten times as long for 8 channels as for 64, for equally many numbers


def _rows(image: Tensor, width: int) -> Tensor:
    """A view ``[B · F · N · C / width, width]`` of an image ``[B, C, F, N]`` whose channels lie last in memory."""
    return image.permute(0, 2, 3, 1).view(-1, width)


def _scaled(image: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``image * scale + shift`` for each channel, in one pass: computed in float32, returned in the image's precision."""
    pack = WIDE // len(scale)
    zeros, ones = torch.zeros(WIDE, dtype=scale.dtype), torch.ones(WIDE, dtype=scale.dtype)
    result = torch.empty_like(image)
    out = (_rows(result, WIDE), torch.empty_like(zeros[:0]), torch.empty_like(zeros[:0]))
    torch.native_batch_norm(_rows(image, WIDE), scale.repeat(pack), shift.repeat(pack), zeros, ones, False, 0.0, 0.0, out=out)
    return result


class _Normalised(torch.autograd.Function):
    """A batch-normalised image, and the mean and the variance of each channel before that, ``[C]``."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        pack = WIDE // len(weight)
        # The weight is float32, so the sums are float32 too, whatever the image's precision.
        _, means, inverses = torch.native_batch_norm(_rows(image, WIDE), weight.repeat(pack), None, None, None, True, 0.0, epsilon)
        means, variances = means.view(pack, -1), (inverses.view(pack, -1).pow(-2) - epsilon).clamp(min=0)
        mean, variance = means.mean(dim=0), variances.mean(dim=0) + means.var(dim=0, correction=0)
        inverse = torch.rsqrt(variance + epsilon)
        ctx.save_for_backward(image, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, variance)
        return _scaled(image, weight * inverse, bias - mean * weight * inverse), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        image, weight, mean, inverse = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        pack, count = WIDE // len(weight), image.numel() // len(weight)
        sums = torch.ops.aten.native_batch_norm_backward(
            _rows(gradient, WIDE),
            _rows(image, WIDE),
            weight.repeat(pack),
            None,
            None,
            mean.repeat(pack),
            inverse.repeat(pack),
            True,
            0.0,
            [False, True, True],
        )
        weight_gradient, bias_gradient = (packed.view(pack, -1).sum(dim=0) for packed in sums[1:])
        # The result is weight · inverse · (gradient − bias_gradient / count − normalised · weight_gradient / count), computed as
        # a multiple of the gradient, a multiple of the image, and a constant.
        gradient_factor = weight * inverse
        image_factor = -gradient_factor * inverse * weight_gradient / count
        result = _scaled(gradient, gradient_factor, -gradient_factor * bias_gradient / count - image_factor * mean)
        result += _scaled(image, image_factor, torch.zeros_like(image_factor))
        return result, weight_gradient, bias_gradient, None


class BatchNorm(nn.BatchNorm2d):
    """Like its base class, but faster in training on a CPU if the image has few channels and they lie last in memory.

    Several neighbouring places of the image are computed as one place with 64 channels.
    """

    def forward(self, image: Tensor) -> Tensor:
        channels, count = image.shape[1], image.numel() // image.shape[1]
        narrow = channels <= NARROW and WIDE % channels == 0 and count % (WIDE // channels) == 0
        on_cpu = image.device.type == "cpu" and image.is_contiguous(memory_format=torch.channels_last)
        if not (self.training and narrow and on_cpu):
            return super().forward(image)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None  # every norm in a net has a momentum
        normalise = cast(Callable[..., tuple[Tensor, Tensor, Tensor]], _Normalised.apply)
        normalised, mean, variance = normalise(image, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        return normalised


class WaveformNorm(nn.BatchNorm1d):
    """Batch normalisation of waveforms ``[B, T]`` without gain and bias, for a front end that multiplies by the factor later.

    The sums are the same as in the base class with one channel. But the base class uses only one core for one channel, and would
    take a third of the front end's time.
    """

    def __init__(self, epsilon: float, momentum: float) -> None:
        super().__init__(1, epsilon, momentum, affine=False)
        self.share = momentum  # share of the newest batch in the running statistics

    @torch.no_grad()
    def centred(self, waveform: Tensor, before: int, after: int) -> tuple[Tensor, Tensor]:
        """The waveform minus the mean, and the factor that gives the result a variance of 1.

        In training mode, mean and factor are those of the batch, and the running statistics are updated; else mean and factor
        come from the running statistics.

        Args:
            waveform: ``[B, T]``.
            before: number of zeros that are put before each waveform.
            after: number of zeros that are put after each waveform.

        Returns:
            The waveform ``[B, before + T + after]``, and the factor ``[1]``.
        """
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        clips, samples = waveform.shape
        mean = waveform.mean() if self.training else self.running_mean
        padded = waveform.new_empty(clips, before + samples + after)
        padded[:, :before] = 0
        torch.sub(waveform, mean, out=padded[:, before : before + samples])
        padded[:, before + samples :] = 0
        if not self.training:
            return padded, torch.rsqrt(self.running_var + self.eps)
        squares = torch.dot(padded.flatten(), padded.flatten())
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.share)
        self.running_var.lerp_(squares / max(waveform.numel() - 1, 1), self.share)
        return padded, torch.rsqrt(squares / waveform.numel() + self.eps)
