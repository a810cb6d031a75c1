"""Opening a net of a bundle. Needs torch, so it is imported only when a net is opened."""

from pathlib import Path

import safetensors
import safetensors.torch

from earmark.errors import BundleError
from earmark.nets.tagnet import TagNet, build_net
from earmark.tagging.bundle import BundleMember


def open_net(folder: Path, member: BundleMember, classes: int) -> TagNet:
    """A net of a bundle, with its weights, in evaluation mode.

    Args:
        folder: folder of the bundle.
        member: description of the net in the bundle.
        classes: number of classes K.

    Raises:
        BundleError: the weights are missing, damaged, not finite, or those of another net.
    """
    net = build_net(member.frontend, member.backbone, member.head, member.input.sample_rate, classes)
    path = folder / member.file
    try:
        weights = safetensors.torch.load_file(path)
        if not all(tensor.isfinite().all() for tensor in weights.values()):
            raise BundleError(f"{path}: its weights hold NaN or infinite numbers")
        net.load_state_dict(weights)
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        raise BundleError(f"{path}: not this net's weights: {str(error).splitlines()[0]}") from None
    return net.eval()
