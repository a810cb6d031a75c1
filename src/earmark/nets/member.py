"""A member's net: made from the member's settings; its weights are written and read as safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from earmark import files
from earmark.errors import RunError
from earmark.nets.tagnet import TagNet, build_net
from earmark.recipe import MemberSettings


def new_net(settings: MemberSettings, classes: int) -> TagNet:
    """The untrained net of a member.

    Raises:
        RecipeError: a setting of the front end, the backbone or the head is wrong.
    """
    return build_net(settings.frontend, settings.backbone, settings.head, settings.input.sample_rate, classes)


def planned_net(settings: MemberSettings, classes: int) -> TagNet:
    """A member's net with shapes, but without values: on PyTorch's meta device.

    Raises:
        RecipeError: a setting of the front end, the backbone or the head is wrong.
    """
    with torch.device("meta"):
        return new_net(settings, classes)


def load_net(settings: MemberSettings, classes: int, path: Path) -> TagNet:
    """The net of a member, with the weights that a file holds.

    Raises:
        RecipeError: a setting of the front end, the backbone or the head is wrong.
        RunError: the file is damaged, or holds the weights of a different net.
    """
    net = new_net(settings, classes)
    try:
        net.load_state_dict(load_tensors(path)[0])
    except RuntimeError as error:
        raise RunError(f"{path} has not this net's weights ({str(error).splitlines()[0]})") from None
    return net


def save_tensors(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any] | None = None) -> None:
    """Writes tensors to a file, and ``state`` as JSON into the file's header."""
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    with files.replacing(path) as partial:
        # Not with save_file: it makes a file that only its owner may read.
        partial.write_bytes(safetensors.torch.save(plain, {"state": json.dumps(state)} if state is not None else None))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors and the state that `save_tensors` wrote to a file.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            return tensors, json.loads((file.metadata() or {}).get("state", "null"))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({str(error).splitlines()[0]}); remove it to train this piece again") from None
