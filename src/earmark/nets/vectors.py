"""The front end of nets that learn from vectors which a frozen model has made of the sounds: see `earmark.embedding`."""

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from earmark.nets.arguments import checked
from earmark.nets.frontends import Count, FrontEnd
from earmark.recipe.basics import Epsilon, Real, Size, Whole


class Embedding(FrontEnd):
    """Standardises vectors: every number of them has mean 0 and deviation 1 over the clips that the net learns from.

    Sounds become vectors before the net, by the model that the settings name: they stay the same all through a training, so they are
    computed once. What is trained begins here.

    Args:
        sample_rate: of the sounds, in Hz.
        model: file of the ONNX model, or ``statistics``, the built-in one.
        size: D, numbers of a vector.
        sha256: hash of the file; None for the built-in model.
        output: name of the model's output that has the vector; None for its own choice.
        window_seconds: seconds that the model looks at together; None for what the model says.
        variations: variations of each clip to learn from, besides the clip as it is.
        epsilon: added to the deviations.

    Raises:
        ValueError: an argument is out of its range.

    Shape:
        vectors ``[B, D]`` → image ``[B, D, 1, 1]``.
    """

    bands = 1
    hop_length = 1
    trainable_power = False
    takes_vectors = True

    @checked
    def __init__(
        self,
        sample_rate: int,  # noqa: ARG002  (every front end takes it)
        model: Annotated[str, Field(min_length=1, max_length=4096)] = "statistics",  # noqa: ARG002  (of the model before the net)
        size: Size = 600,
        sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None,  # noqa: ARG002
        output: str | None = None,  # noqa: ARG002
        window_seconds: Annotated[Real, Field(gt=0, le=600)] | None = None,  # noqa: ARG002
        variations: Annotated[Whole, Field(ge=0, le=100)] = 0,  # noqa: ARG002
        epsilon: Epsilon = 1e-6,
    ) -> None:
        super().__init__()
        self.out_channels, self.epsilon = size, epsilon
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def fit(self, vectors: np.ndarray[Any, Any]) -> None:
        """Sets mean and deviation to those of vectors ``[N, D]``."""
        exact = vectors.astype(np.float64)
        self.mean.copy_(torch.from_numpy(exact.mean(axis=0)))
        self.deviation.copy_(torch.from_numpy(exact.std(axis=0)))

    def frames(self, samples: Count) -> Count:
        """One vector, whatever the number of samples."""
        return samples * 0 + 1

    def compress(self, power: Tensor) -> Tensor:
        """Vectors ``[B, D]`` → standardised vectors ``[B, D, 1, 1]``."""
        with torch.autocast(power.device.type, enabled=False):
            return ((power.float() - self.mean) / (self.deviation + self.epsilon))[:, :, None, None]
