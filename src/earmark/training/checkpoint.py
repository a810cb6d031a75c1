"""A training state as one safetensors file, so that it is there whole or not at all."""

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


def save_tensors(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any] | None = None) -> None:
    """Writes tensors, and ``state`` as JSON in the file's header."""
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    with files.replacing(path) as partial:
        # Not save_file, which makes a file that only its owner may read.
        partial.write_bytes(safetensors.torch.save(plain, {"state": json.dumps(state)} if state is not None else None))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Reads what `save_tensors` wrote: the tensors and the state.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            return tensors, json.loads((file.metadata() or {}).get("state", "null"))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({str(error).splitlines()[0]}); remove it to train this piece again") from None


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
