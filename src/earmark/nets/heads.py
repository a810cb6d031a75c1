"""Heads: backbone map ``[B, C, F, N]`` → scores ``[B, K]``."""

import torch
from torch import Tensor, nn


class MeanOfSoftmax(nn.Module):
    """The mean of several softmaxes over one globally averaged map (Jeong & Lim §3.2.3, figure 2c).

    BN → ReLU → ``heads`` × (linear → global average → softmax) → mean. Averaging and a linear map commute, so the
    average comes first.

    Args:
        in_channels: C of the backbone's map.
        classes: K.
        heads: n, the number of softmaxes; 1 is an ordinary softmax.
        epsilon: of the batch normalisation.
        momentum: of its running statistics (PyTorch's sense).

    Shape:
        ``[B, C, F, N]`` → probabilities ``[B, K]``, each row's sum 1.
    """

    activation = "softmax"

    def __init__(self, in_channels: int, classes: int, heads: int = 8, epsilon: float = 1e-3, momentum: float = 0.01) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.BatchNorm2d(in_channels, epsilon, momentum)
        if heads < 1:
            raise ValueError("heads must be at least 1")
        self.linear = nn.Linear(in_channels, heads * classes)

    def initialise(self) -> None:
        """Glorot-uniform weights for each softmax by itself: as one matrix they would be drawn smaller."""
        with torch.no_grad():
            for one in self.linear.weight.unflatten(0, (self.heads, -1)):
                nn.init.xavier_uniform_(one)

    def forward(self, image: Tensor) -> Tensor:
        pooled = torch.relu(self.norm(image)).mean(dim=(2, 3))
        with torch.autocast(pooled.device.type, enabled=False):  # 8 bits are too few for probabilities near 1
            logits = nn.functional.linear(pooled.float(), self.linear.weight.float(), self.linear.bias.float())
            return logits.unflatten(1, (self.heads, -1)).softmax(dim=-1).mean(dim=1)


HEADS = {"mean_of_softmax": MeanOfSoftmax}
