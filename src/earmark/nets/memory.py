"""How much memory a net needs at least, found before any of it is taken: from the shapes of a net on PyTorch's meta device."""

from typing import Any

import torch
from torch import Tensor, nn

from earmark.errors import RecipeError
from earmark.nets.tagnet import TagNet

NUMBER = 4  # bytes of a float32


def step_bytes(net: TagNet, examples: int, samples: int, states: int, number: int = NUMBER) -> int:
    """The memory of a training step, at least: weights, gradients, the optimiser's states, and what the backward pass needs.

    Args:
        net: the net, on the meta device; its mode changes.
        examples: number of examples in the batch.
        samples: length of an example.
        states: numbers that the optimiser keeps for each weight.
        number: bytes of a number between the layers: 2 in bfloat16.

    Raises:
        RecipeError: the net cannot take inputs of this length.
    """
    sizes = _sizes(net, samples, 0)
    weights = sum(weight.numel() for weight in net.parameters())
    return NUMBER * (weights * (2 + states) + examples * (samples + sizes[0])) + number * examples * sum(sizes[1:])


def scoring_bytes(net: TagNet, samples: int, padding: int = 0) -> int:
    """The memory for scoring a single sound, at least: the weights, the sound, and its largest image inside the net.

    Args:
        net: the net, on the meta device; its mode changes.
        samples: length of the sound.
        padding: frames of zeros on both sides of the sound.

    Raises:
        RecipeError: the net cannot take inputs of this length.
    """
    sizes = _sizes(net, samples, padding)
    weights = sum(weight.numel() for weight in net.parameters())
    return NUMBER * (weights + samples + max(sizes))


def in_words(count: int) -> str:
    """A number of bytes as text for people.

    >>> in_words(3_400_000), in_words(78 * 10**12)
    ('3.4 MB', '78,000.0 GB')
    """
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _sizes(net: TagNet, samples: int, padding: int) -> list[int]:
    """How many numbers one example has: its image, then what each convolution and each normalisation makes of it."""
    frontend = net.frontend
    frames = int(frontend.frames(max(samples, frontend.shortest))) + 2 * padding
    sizes = [frontend.out_channels * frontend.bands * frames]

    def note(_: nn.Module, __: Any, output: Tensor) -> None:
        sizes.append(output.numel())

    layers = [layer for layer in net.backbone.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            net.eval().backbone(torch.empty(1, frontend.out_channels, frontend.bands, frames, device="meta"))
    except RuntimeError as error:
        raise RecipeError(f"the net cannot take {samples:,} samples: {str(error).splitlines()[0]}") from None
    finally:
        for hook in hooks:
            hook.remove()
    return sizes
