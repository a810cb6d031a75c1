"""A member's net: made from the member's settings; its weights are written and read as safetensors."""

import hashlib
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
    weights = load_tensors(path)[0]
    try:
        load_weights(net, weights)
    except ValueError as error:
        raise RunError(f"{path} has not this net's weights ({error}); remove {path.parent} to train this piece again") from None
    return net


def load_weights(net: TagNet, weights: Mapping[str, Tensor]) -> None:
    """Gives a net its weights.

    Raises:
        ValueError: they are those of a different net, or not all finite.
    """
    check_weights(net, weights)
    net.load_state_dict(weights)


def check_weights(net: TagNet, weights: Mapping[str, Tensor]) -> None:
    """Checks that weights, by name, are a net's: the same names, shapes and types, and all finite.

    Raises:
        ValueError: they are not.
    """
    own = net.state_dict()
    if other := sorted(set(own) ^ set(weights)):
        raise ValueError(f"{other[0]} is {'missing' if other[0] in own else 'not known'}")
    for name, value in weights.items():
        if (value.shape, value.dtype) != (own[name].shape, own[name].dtype):
            raise ValueError(f"{name} is {value.dtype} {list(value.shape)}, not {own[name].dtype} {list(own[name].shape)}")
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} has values that are not finite")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any] | None = None) -> None:
    """Writes tensors to a file, and ``state`` with a hash of the tensors as JSON into the file's header."""
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    with files.replacing(path) as partial:
        # Not with save_file: it makes a file that only its owner may read.
        # A single entry, since safetensors writes several in any order, and equal nets have equal files.
        partial.write_bytes(safetensors.torch.save(plain, {"earmark": json.dumps({"sha256": _hash(plain), "state": state})}))


def _hash(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors and the state that `save_tensors` wrote to a file.

    Raises:
        RunError: the file is damaged.
    """
    try:
        files.refuse_special(path)
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            header = file.metadata() or {}
        if "earmark" not in header:  # of an earlier version
            return tensors, json.loads(header.get("state", "null"))
        written = json.loads(header["earmark"])
        if written["sha256"] != _hash(tensors):
            raise ValueError("its numbers are not those that were written")
        return tensors, written["state"]
    except FileNotFoundError:
        raise RunError(f"{path} is missing; remove {path.parent} to train this piece again") from None
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path} is damaged ({reason}); remove {path.parent} to train this piece again") from None
