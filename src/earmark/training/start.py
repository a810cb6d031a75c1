"""Beginning with the weights of another net."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from earmark.errors import RecipeError
from earmark.nets.tagnet import TagNet


def take_weights(net: TagNet, weights: Mapping[str, Tensor], where: Path | str) -> None:
    """Starts a net from another member's weights; what only this one has (a second task's head) stays as it was drawn.

    Raises:
        RecipeError: the other net has not the same front end and backbone.
    """
    own = net.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    second_task = ("head.noisy.", "noisy_stages.")
    missing = [name for name in own if name not in fitting and not name.startswith(second_task)]
    if missing:
        raise RecipeError(f"start_from: {where} is of another net: it has no fitting {missing[0]}")
    net.load_state_dict(fitting, strict=False)
