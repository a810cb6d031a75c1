"""An optimiser's state as named tensors, so that it can lie in one file with the net's."""

from collections.abc import Mapping

import torch
from torch import Tensor


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by parameter number and name."""
    state = optimiser.state_dict()["state"]
    return {f"optimiser.{i}.{name}": value for i, values in state.items() for name, value in values.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `optimiser_tensors` gave."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for key, value in tensors.items():
        _, number, name = key.split(".")
        parameter = parameters[int(number)]
        # In the memory layout of the parameter, which a fused step asks for.
        if value.shape == parameter.shape:
            kept = torch.empty_like(parameter, dtype=value.dtype)
        else:  # the step count
            kept = torch.empty_like(value, device=parameter.device)
        optimiser.state[parameter][name] = kept.copy_(value)
