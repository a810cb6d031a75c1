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
from earmark.nets.frontends import FrontEnd, LogMel, RawWaveform, StandardisedLogMel, Waveform
from earmark.nets.heads import HEADS, Head
from earmark.nets.vectors import Embedding
from earmark.recipe import Part

FRONTENDS: dict[str, type[FrontEnd]] = {
    "logmel": LogMel,
    "waveform": Waveform,
    "standardised_logmel": StandardisedLogMel,
    "raw_waveform": RawWaveform,
    "embedding": Embedding,
}


class TagNet(nn.Module):
    """Front end → backbone → head.

    Args:
        frontend: a front end from `frontends`.
        backbone: a backbone from `backbones`.
        head: a head from `heads`.
        noisy_stages: the noisy task's copies of the backbone's last stages; None if the tasks share all stages.

    Attributes:
        activation: what makes the scores, ``softmax`` or ``sigmoid``; ensembles and thresholds need to know it.

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
        domain: Literal["waveform", "power", "embedding"] = "waveform",
        task: str = "curated",
        activate: bool = True,
        masked: Tensor | None = None,
    ) -> Tensor:
        """Scores of a batch, ``[B, K]``.

        Args:
            sound: waveforms ``[B, T]``, or what the front end's `power` makes of them, ``[B, F, N]``, or vectors ``[B, D]``.
            domain: what ``sound`` is: ``waveform``, ``power`` or ``embedding``.
            task: a task of the head.
            activate: whether to return scores; False returns the outputs of the head, from which losses are computed.
            masked: bands whose power is set to zero, bool ``[B, F]``.

        Raises:
            ValueError: the head has no such task.
        """
        power = self.frontend.power(sound) if domain == "waveform" else sound
        if masked is not None:
            power = power.masked_fill(masked[:, :, None], 0.0)
        image = self.frontend.compress(power)
        if torch.is_autocast_enabled(kind := image.device.type):
            # Adding a float32 image to 16-bit features, or joining them, would give float32: twice as many bytes to move.
            image = image.to(torch.get_autocast_dtype(kind))
        # Channels last is the layout that convolutions are fastest in, on CPUs with AVX-512 and on GPUs.
        features = self._features(image.contiguous(memory_format=torch.channels_last), task)
        outputs: Tensor = self.head(features, task)
        return self.head.activate(outputs) if activate else outputs

    def scores_and_embedding(
        self, sound: Tensor, domain: Literal["waveform", "power", "embedding"] = "waveform"
    ) -> tuple[Tensor, Tensor]:
        """Scores ``[B, K]``, and what the head's last layers see of each sound, ``[B, C]``; see `forward` for the arguments."""
        power = self.frontend.power(sound) if domain == "waveform" else sound
        features = self.backbone(self.frontend.compress(power).contiguous(memory_format=torch.channels_last))
        return self.head.activate(self.head(features)), self.head.pooled(features)

    def _features(self, image: Tensor, task: str) -> Tensor:
        """The backbone's map ``[B, C, F, N]``; the noisy task's copies of stages are used for the noisy task."""
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
    """Builds the net of a recipe's member, with new weights drawn from torch's global random generator.

    Weights are Glorot-uniform and biases zero (Keras's defaults), except in parts that have a method `initialise`.

    Args:
        frontend: name and arguments of the front end.
        backbone: name and arguments of the backbone.
        head: name and arguments of the head.
        sample_rate: in Hz.
        classes: number of classes K.

    Raises:
        RecipeError: a name or an argument is unknown, or a value is not allowed.
    """
    new_frontend = _construct("frontend", frontend, FRONTENDS.get(frontend.name), list(FRONTENDS), sample_rate=sample_rate)
    known = backbone_names()
    kind = importlib.import_module(f"{backbones.__name__}.{backbone.name}").Backbone if backbone.name in known else None
    new_backbone = _construct("backbone", backbone, kind, known, in_channels=new_frontend.out_channels)
    new_head = _construct("head", head, HEADS.get(head.name), list(HEADS), in_channels=new_backbone.out_channels, classes=classes)
    _initialise(new_frontend, new_backbone, new_head)
    noisy_stages = None
    if new_head.split is not None:
        names = [name for name, _ in _stages(new_backbone).named_children()] if hasattr(new_backbone, "stages") else []
        if not names:
            raise RecipeError(f"head {head.name}: split: backbone {backbone.name} has no named stages to split at")
        if new_head.split not in names:
            raise RecipeError(
                f"head {head.name}: split: backbone {backbone.name} has no stage {new_head.split!r}; it has {', '.join(names)}"
            )
        # Drawn last, so that all other weights are the same as without a split.
        noisy_backbone = _construct("backbone", backbone, kind, known, in_channels=new_frontend.out_channels)
        _initialise(noisy_backbone)
        noisy_stages = nn.Sequential(OrderedDict(list(noisy_backbone.stages.named_children())[names.index(new_head.split) :]))
    net = TagNet(new_frontend, new_backbone, new_head, noisy_stages)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def serving_head(head: Part) -> Part:
    """The settings of a head for scoring: without the noisy task.

    All weights of a net built with this head are in the trained net too, under the same names.
    """
    if head.name not in ("curated_noisy", "linear"):
        return head
    settings = {name: value for name, value in head.arguments.items() if name != "split"}
    return Part.model_validate({"name": head.name, **settings, "noisy": False})


def parameter_count(net: nn.Module) -> int:
    """How many numbers are trained; running statistics are not counted."""
    return sum(parameter.numel() for parameter in net.parameters())


def _stages(backbone: nn.Module) -> nn.Sequential:
    """The named stages of a backbone that has them."""
    return cast(nn.Sequential, backbone.stages)


def _initialise(*parts: nn.Module) -> None:
    """Draws the weights of a net's parts: first the Glorot-uniform weights of all parts, then those of the methods `initialise`."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    for part in parts:
        if hasattr(part, "initialise"):
            part.initialise()  # type: ignore[operator]  # a method, if the part has it


def _construct(slot: str, part: Part, kind: Any, known: list[str], **given: Any) -> Any:
    """Makes a part of a net.

    Args:
        slot: what the part is: ``frontend``, ``backbone`` or ``head``.
        part: its name and arguments in the recipe.
        kind: its class; None if the name is unknown.
        known: all names that are known.
        given: arguments that do not come from the recipe.

    Raises:
        RecipeError: the name or an argument is unknown, or a value is not allowed.
    """
    if kind is None:
        raise RecipeError(f"{slot}.name: no {slot} {part.name!r}; there are {', '.join(sorted(known))}")
    valid = [name for name in inspect.signature(kind).parameters if name not in given]
    if unknown := set(part.arguments) - set(valid):
        raise RecipeError(f"{slot} {part.name}: no setting {', '.join(sorted(unknown))}; it has {', '.join(valid)}")
    try:
        return kind(**given, **part.arguments)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise RecipeError(f"{slot} {part.name}: {str(error).splitlines()[0]}") from None
