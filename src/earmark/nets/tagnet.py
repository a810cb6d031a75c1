"""A whole net: waveform in, scores out."""

import importlib
import inspect
import pkgutil
from collections import OrderedDict
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from earmark.errors import RecipeError
from earmark.nets import backbones
from earmark.nets.frontends import FRONTENDS, FrontEnd
from earmark.nets.heads import HEADS, Head
from earmark.recipe import Part


class TagNet(nn.Module):
    """Front end → backbone → head.

    Args:
        frontend: of `frontends`.
        backbone: of `backbones`.
        head: of `heads`.
        noisy_stages: the noisy task's own copies of the backbone's last stages; None if it shares them all.

    Attributes:
        activation: how the scores were made (``softmax``, ``sigmoid``): what ensembles and thresholds need to know.

    Shape:
        waveform ``[B, T]``, −1..1 → scores ``[B, K]``.
    """

    def __init__(self, frontend: FrontEnd, backbone: nn.Module, head: Head, noisy_stages: nn.Sequential | None = None) -> None:
        super().__init__()
        self.frontend, self.backbone, self.head = frontend, backbone, head
        self.noisy_stages = noisy_stages
        self.activation: Literal["softmax", "sigmoid"] = head.activation

    def forward(
        self,
        sound: Tensor,
        domain: Literal["waveform", "power"] = "waveform",
        task: str = "curated",
        activate: bool = True,
        masked: Tensor | None = None,
    ) -> Tensor:
        """Scores of a batch.

        Args:
            sound: waveform ``[B, T]``, or what the front end's `power` made of it ``[B, F, N]``.
            domain: which of the two it is.
            task: of the head's tasks.
            activate: False gives the head's raw outputs, which losses are computed from.
            masked: bands whose power is set to zero, bool ``[B, F]``.
        """
        power = self.frontend.power(sound) if domain == "waveform" else sound
        if masked is not None:
            power = power.masked_fill(masked[:, :, None], 0.0)
        image = self.frontend.compress(power)
        if torch.is_autocast_enabled(kind := image.device.type):
            # Else what a backbone joins with the image, or adds to it, would become float32 again: twice as much to move.
            image = image.to(torch.get_autocast_dtype(kind))
        # Channels last is the layout that convolutions are fastest in, on CPUs with AVX-512 and on GPUs.
        features = self._features(image.contiguous(memory_format=torch.channels_last), task)
        outputs: Tensor = self.head(features, task)
        return self.head.activate(outputs) if activate else outputs

    def _features(self, image: Tensor, task: str) -> Tensor:
        """The backbone's map ``[B, C, F, N]``, made by the task's own stages where it has some."""
        if task != "noisy" or self.noisy_stages is None:
            return self.backbone(image)
        shared = list(_stages(self.backbone))[: -len(self.noisy_stages)]
        for stage in [*shared, *self.noisy_stages]:
            image = stage(image)
        return image


def backbone_names() -> list[str]:
    """The names that a recipe's ``backbone`` may have."""
    return sorted(module.name for module in pkgutil.iter_modules(backbones.__path__))


def build_net(frontend: Part, backbone: Part, head: Part, sample_rate: int, classes: int) -> TagNet:
    """Builds the net of a recipe's member, with fresh weights from torch's global generator.

    They are Glorot-uniform and the biases zero (Keras's defaults), but where a part has an `initialise` of its own.

    Raises:
        RecipeError: a name or an argument that is not known, or a value that its class refuses.
    """
    first = _construct("frontend", frontend, FRONTENDS.get(frontend.name), list(FRONTENDS), sample_rate=sample_rate)
    known = backbone_names()
    kind = importlib.import_module(f"{backbones.__name__}.{backbone.name}").Backbone if backbone.name in known else None
    middle = _construct("backbone", backbone, kind, known, in_channels=first.out_channels)
    last = _construct("head", head, HEADS.get(head.name), list(HEADS), in_channels=middle.out_channels, classes=classes)
    _initialise(first, middle, last)
    noisy_stages = None
    if last.split is not None:
        names = [name for name, _ in _stages(middle).named_children()] if hasattr(middle, "stages") else []
        if not names:
            raise RecipeError(f"head {head.name}: split: backbone {backbone.name} has no named stages to split at")
        if last.split not in names:
            raise RecipeError(
                f"head {head.name}: split: backbone {backbone.name} has no stage {last.split!r}; it has {', '.join(names)}"
            )
        # Last, so that all other weights are those that the net has without a split.
        other = _construct("backbone", backbone, kind, known, in_channels=first.out_channels)
        _initialise(other)
        noisy_stages = nn.Sequential(OrderedDict(list(other.stages.named_children())[names.index(last.split) :]))
    net = TagNet(first, middle, last, noisy_stages)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def serving_head(head: Part) -> Part:
    """The head that scoring needs: of two tasks the curated one alone.

    A net built with it has some of the trained net's weights, under the same names; the others are the noisy task's.
    """
    if head.name != "curated_noisy":
        return head
    settings = {name: value for name, value in head.arguments.items() if name != "split"}
    return Part.model_validate({"name": head.name, **settings, "noisy": False})


def parameter_count(net: nn.Module) -> int:
    """How many numbers are trained: running statistics are not."""
    return sum(parameter.numel() for parameter in net.parameters())


def _stages(backbone: nn.Module) -> nn.Sequential:
    return cast(nn.Sequential, backbone.stages)


def _initialise(*parts: nn.Module) -> None:
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    for part in parts:
        if hasattr(part, "initialise"):
            part.initialise()  # type: ignore[operator]  # a method where it is there


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
