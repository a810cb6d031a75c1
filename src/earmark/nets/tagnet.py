"""A whole net: waveform in, scores out."""

import importlib
import inspect
import pkgutil
from typing import Any, Literal

import torch
from torch import Tensor, nn

from earmark.errors import RecipeError
from earmark.nets import backbones
from earmark.nets.frontends import FRONTENDS
from earmark.nets.heads import HEADS
from earmark.recipe import Part


class TagNet(nn.Module):
    """Front end → backbone → head.

    Attributes:
        activation: how the scores were made (``softmax``): what ensembles and thresholds need to know.

    Shape:
        waveform ``[B, T]``, −1..1 → scores ``[B, K]``.
    """

    def __init__(self, frontend: nn.Module, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.frontend, self.backbone, self.head = frontend, backbone, head
        self.activation: Literal["softmax"] = head.activation  # type: ignore[assignment]  # heads are modules to mypy

    def forward(self, waveform: Tensor) -> Tensor:
        image = self.frontend(waveform)
        # Channels last is the layout that convolutions are fastest in, on CPUs with AVX-512 and on GPUs.
        features = self.backbone(image.contiguous(memory_format=torch.channels_last))
        scores: Tensor = self.head(features)
        return scores


def backbone_names() -> list[str]:
    """The names that a recipe's ``backbone`` may have."""
    return sorted(module.name for module in pkgutil.iter_modules(backbones.__path__))


def build_net(frontend: Part, backbone: Part, head: Part, sample_rate: int, classes: int) -> TagNet:
    """Builds the net of a recipe's member, with fresh Glorot-uniform weights and zero biases (Keras's defaults).

    The weights come from torch's global generator.

    Raises:
        RecipeError: a name or an argument that is not known, or a value that its class refuses.
    """
    first = _construct("frontend", frontend, FRONTENDS.get(frontend.name), list(FRONTENDS), sample_rate=sample_rate)
    known = backbone_names()
    kind = importlib.import_module(f"{backbones.__name__}.{backbone.name}").Backbone if backbone.name in known else None
    middle = _construct("backbone", backbone, kind, known, in_channels=first.out_channels)
    last = _construct("head", head, HEADS.get(head.name), list(HEADS), in_channels=middle.out_channels, classes=classes)
    net = TagNet(first, middle, last)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if hasattr(last, "initialise"):
        last.initialise()
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def parameter_count(net: nn.Module) -> int:
    """How many numbers are trained: running statistics are not."""
    return sum(parameter.numel() for parameter in net.parameters())


def _construct(slot: str, part: Part, kind: Any, known: list[str], **given: Any) -> Any:
    if kind is None:
        raise RecipeError(f"{slot}.name: no {slot} {part.name!r}; there are {', '.join(sorted(known))}")
    valid = [name for name in inspect.signature(kind).parameters if name not in given]
    if unknown := set(part.arguments) - set(valid):
        raise RecipeError(f"{slot} {part.name}: no setting {', '.join(sorted(unknown))}; it has {', '.join(valid)}")
    try:
        return kind(**given, **part.arguments)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise RecipeError(f"{slot} {part.name}: {str(error).splitlines()[0]}") from None
