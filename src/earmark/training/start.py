"""Starting a net from the weights of another net."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from earmark.errors import RecipeError
from earmark.nets.tagnet import TagNet


def take_weights(net: TagNet, weights: Mapping[str, Tensor], where: Path | str) -> None:
    """Starts a net from another member's weights. The parts of the noisy task keep their random weights if the other net has none.

    Args:
        net: the net to start.
        weights: the other net's tensors by name.
        where: the other net, in the error message.

    Raises:
        RecipeError: the other net has not the same front end and backbone.
    """
    tensors = net.state_dict()
    fitting = {name: value for name, value in weights.items() if name in tensors and tensors[name].shape == value.shape}
    noisy_task = ("head.noisy.", "noisy_stages.")
    missing = [name for name in tensors if name not in fitting and not name.startswith(noisy_task)]
    if missing:
        raise RecipeError(f"start_from: {where} is of another net: it has no fitting {missing[0]}")
    net.load_state_dict(fitting, strict=False)
