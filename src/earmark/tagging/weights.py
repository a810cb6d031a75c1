"""Opening a net of a bundle. Needs torch, so it is imported only when a net is opened."""

from pathlib import Path

import safetensors
import safetensors.torch
import torch

from earmark.errors import BundleError, RecipeError
from earmark.machine import memory
from earmark.nets.memory import in_words, scoring_bytes
from earmark.nets.tagnet import TagNet, build_net
from earmark.scoring.groups import padding_of
from earmark.tagging.bundle import CONFIG, BundleMember


def open_net(folder: Path, member: BundleMember, classes: int) -> TagNet:
    """A net of a bundle, with its weights, in evaluation mode.

    Nothing large is made before it is known that the file holds as much: the net is first planned, without values, and compared.

    Args:
        folder: folder of the bundle.
        member: description of the net in the bundle.
        classes: number of classes K.

    Raises:
        BundleError: the net cannot be, or needs more memory than there is; or the weights are missing, damaged, not finite, or
            those of another net.
    """
    path = folder / member.file
    parts = (member.frontend, member.backbone, member.head, member.input.sample_rate, classes)
    try:
        with torch.device("meta"):
            planned = build_net(*parts)
        needs = scoring_bytes(planned, member.input.window, max(map(padding_of, member.views)))
    except RecipeError as error:
        raise BundleError(f"{folder / CONFIG}: {member.name}: {error}") from None
    if needs > (has := memory()):
        raise BundleError(
            f"{folder / CONFIG}: {member.name}: a sound of {member.input.window:,} samples needs at least {in_words(needs)} of "
            f"memory, and this machine has {in_words(has)}"
        )
    _compare(path, planned)
    net = build_net(*parts)
    try:
        weights = safetensors.torch.load_file(path)
        if not all(tensor.isfinite().all() for tensor in weights.values()):
            raise BundleError(f"{path}: its weights hold NaN or infinite numbers")
        net.load_state_dict(weights)
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        raise BundleError(f"{path}: not this net's weights: {str(error).splitlines()[0]}") from None
    return net.eval()


def _compare(path: Path, planned: TagNet) -> None:
    """Checks a file's header against the tensors that a net has; the tensors are not read.

    Raises:
        BundleError: they differ, or the file cannot be read.
    """
    tensors = planned.state_dict()
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = set(file.keys())
            if odd := sorted(names ^ set(tensors)):
                what = "the net has none" if odd[0] in names else "it has none"
                raise BundleError(f"{path}: not this net's weights: {odd[0][:100]!r}: {what}")
            for name, tensor in tensors.items():
                if (shape := file.get_slice(name).get_shape()) != list(tensor.shape):
                    raise BundleError(f"{path}: not this net's weights: {name} is {shape}, not {list(tensor.shape)}")
    except (safetensors.SafetensorError, OSError) as error:
        raise BundleError(f"{path}: not this net's weights: {str(error).splitlines()[0]}") from None
