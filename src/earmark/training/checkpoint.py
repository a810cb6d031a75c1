"""The state of an optimiser as named tensors, so that it fits into the same file as the net's tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser; a tensor is named ``optimiser.PARAMETER.NAME``, with the number of its parameter."""
    state = optimiser.state_dict()["state"]
    return {f"optimiser.{i}.{name}": value for i, values in state.items() for name, value in values.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Sets the state of an optimiser to what `optimiser_tensors` returned.

    Raises:
        ValueError: a tensor is named otherwise, is of another shape, or belongs to no parameter.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for key, value in tensors.items():
        _, number, name = key.split(".")
        if not 0 <= int(number) < len(parameters):
            raise ValueError(f"{key} belongs to no parameter")
        parameter = parameters[int(number)]
        # A fused optimiser step needs the memory layout of the parameter.
        if value.shape == parameter.shape:
            tensor = torch.empty_like(parameter, dtype=value.dtype)
        elif name != "step":
            raise ValueError(f"{key} has the shape {list(value.shape)} instead of {list(parameter.shape)}")
        else:
            tensor = torch.empty_like(value, device=parameter.device)
        optimiser.state[parameter][name] = tensor.copy_(value)
