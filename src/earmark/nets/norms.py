"""Batch normalisation where torch's is slow: of images with few channels, and of waveforms."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

NARROW, WIDE = 8, 64  # channels; torch's kernels for CPUs take ten times as long for 8 as for 64 with the same numbers in all


def _rows(image: Tensor, width: int) -> Tensor:
    """``[B, C, F, N]`` with its channels last in memory, as ``[B · F · N · C / width, width]``; the same numbers in place."""
    return image.permute(0, 2, 3, 1).view(-1, width)


def _scaled(image: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``image * scale + shift`` by channel, in one pass: float32 within, the image's own precision without."""
    pack = WIDE // len(scale)
    zeros, ones = torch.zeros(WIDE, dtype=scale.dtype), torch.ones(WIDE, dtype=scale.dtype)
    result = torch.empty_like(image)
    out = (_rows(result, WIDE), torch.empty_like(zeros[:0]), torch.empty_like(zeros[:0]))
    torch.native_batch_norm(_rows(image, WIDE), scale.repeat(pack), shift.repeat(pack), zeros, ones, False, 0.0, 0.0, out=out)
    return result


class _Normalised(torch.autograd.Function):
    """An image whose channels have mean 0 and variance 1, times a weight, plus a bias; and the mean and variance they had."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        pack = WIDE // len(weight)
        # With a weight in float32 the sums are in float32, too, whatever the image is.
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
        of_weight, of_bias = (each.view(pack, -1).sum(dim=0) for each in sums[1:])
        # weight · inverse · (gradient − of_bias / count − normalised · of_weight / count), by what it has of each
        of_gradient = weight * inverse
        of_image = -of_gradient * inverse * of_weight / count
        result = _scaled(gradient, of_gradient, -of_gradient * of_bias / count - of_image * mean)
        result += _scaled(image, of_image, torch.zeros_like(of_image))
        return result, of_weight, of_bias, None


class BatchNorm(nn.BatchNorm2d):
    """The same as its base class, but fast on a CPU where an image has few channels, which lie last in memory.

    Several neighbouring places of the image are taken for one with as many times the channels.
    """

    def forward(self, image: Tensor) -> Tensor:
        channels, count = image.shape[1], image.numel() // image.shape[1]
        narrow = channels <= NARROW and WIDE % channels == 0 and count % (WIDE // channels) == 0
        on_cpu = image.device.type == "cpu" and image.is_contiguous(memory_format=torch.channels_last)
        if not (self.training and narrow and on_cpu):
            return super().forward(image)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None  # nor has one of the nets' norms none
        normalise = cast(Callable[..., tuple[Tensor, Tensor, Tensor]], _Normalised.apply)
        normalised, mean, variance = normalise(image, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        return normalised


class WaveformNorm(nn.BatchNorm1d):
    """Batch normalisation of waveforms ``[B, T]``, without gain and bias, for what is linear in the waveform.

    It subtracts the mean, and says by what the result has to be multiplied. Its sums are those of its base class with one
    channel, which runs on one core and takes a third of a front end's time.
    """

    def __init__(self, epsilon: float, momentum: float) -> None:
        super().__init__(1, epsilon, momentum, affine=False)
        self.share = momentum  # of a batch in the running statistics

    @torch.no_grad()
    def centred(self, waveform: Tensor, before: int, after: int) -> tuple[Tensor, Tensor]:
        """The waveform minus its mean, between zeros, ``[B, before + T + after]``; and the factor ``[1]``.

        In training mode mean and factor are the batch's, and the running statistics take their share of them.
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
