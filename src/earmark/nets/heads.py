"""Heads: backbone map ``[B, C, F, N]`` → outputs ``[B, K]`` → scores ``[B, K]``."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """What every head has.

    Attributes:
        activation: what the scores are: each row a distribution, or each a probability of its own.
        outputs: what ``forward`` gives: probabilities, then the scores themselves, or logits, which losses are exact on.
        tasks: that ``forward`` can be asked for; the first is the one that is served.
        split: the backbone's stage from which on the noisy task has copies of its own; None if all stages are shared.

    Shape:
        ``[B, C, F, N]`` → outputs ``[B, K]``, and `activate`: outputs ``[B, K]`` → scores ``[B, K]``, 0..1.
    """

    activation: Literal["softmax", "sigmoid"]
    outputs: Literal["probabilities", "logits"]
    tasks: tuple[str, ...] = ("curated",)
    split: str | None = None

    def activate(self, outputs: Tensor) -> Tensor:
        """What ``forward`` gave ``[B, K]`` → scores ``[B, K]``."""
        raise NotImplementedError

    def check_task(self, task: str) -> None:
        """Raises ValueError: the head has no such task."""
        if task not in self.tasks:
            raise ValueError(f"no task {task!r}; the head has {', '.join(self.tasks)}")


class MeanOfSoftmax(Head):
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
    outputs = "probabilities"

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

    def forward(self, image: Tensor, task: str = "curated") -> Tensor:
        self.check_task(task)
        pooled = torch.relu(self.norm(image)).mean(dim=(2, 3))
        with torch.autocast(pooled.device.type, enabled=False):  # 8 bits are too few for probabilities near 1
            logits = nn.functional.linear(pooled.float(), self.linear.weight.float(), self.linear.bias.float())
            return logits.unflatten(1, (self.heads, -1)).softmax(dim=-1).mean(dim=1)

    def activate(self, outputs: Tensor) -> Tensor:
        return outputs


class FullyConnected(nn.Module):
    """Two hidden layers, each linear → ReLU → dropout, and a linear one. ``[B, C]`` → logits ``[B, K]``."""

    def __init__(self, in_channels: int, classes: int, hidden: int, dropout: Sequence[float]) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(in_channels, hidden),
            nn.ReLU(),
            nn.Dropout(dropout[0]),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout[1]),
        )
        self.last = nn.Linear(hidden, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        hidden = self.hidden(pooled)
        with torch.autocast(hidden.device.type, enabled=False):  # 8 bits are too few for probabilities near 0 and 1
            return nn.functional.linear(hidden.float(), self.last.weight.float(), self.last.bias.float())


class CuratedNoisy(Head):
    """Global max pooling, then a stack of linear layers a task: curated labels and noisy ones (Akiyama & Sato §2.1, §3.4.3).

    Args:
        in_channels: C of the backbone's map.
        classes: K.
        activation: ``sigmoid`` for independent classes, ``softmax`` for models E and F.
        hidden: width of both hidden layers.
        dropout: rates after the first and the second hidden layer.
        noisy: whether there is the noisy task; serving needs the curated one alone.
        split: the backbone's stage from which on the noisy task has copies of its own (the paper's §5 leaves open where the
            tasks best part); None: it shares all stages. `tagnet.build_net` makes the copies.

    Shape:
        ``[B, C, F, N]`` → logits ``[B, K]``, float32 under autocast too.

    >>> head = CuratedNoisy(512, 80)
    >>> head(torch.zeros(2, 512, 4, 16), task="noisy").shape
    torch.Size([2, 80])
    """

    outputs = "logits"

    def __init__(
        self,
        in_channels: int,
        classes: int,
        activation: Literal["sigmoid", "softmax"] = "sigmoid",
        hidden: int = 1024,
        dropout: Sequence[float] = (0.2, 0.1),
        noisy: bool = True,
        split: str | None = None,
    ) -> None:
        super().__init__()
        if activation not in ("sigmoid", "softmax"):
            raise ValueError(f"no activation {activation!r}; there are sigmoid, softmax")
        if hidden < 1:
            raise ValueError("hidden must be at least 1")
        if not isinstance(dropout, Sequence) or len(dropout) != 2 or not all(0 <= rate < 1 for rate in dropout):
            raise ValueError("dropout must be two rates, each at least 0 and below 1")
        if split is not None and not noisy:
            raise ValueError("split says where the noisy task parts from the curated one, but noisy is false")
        self.activation, self.split = activation, split
        self.curated = FullyConnected(in_channels, classes, hidden, dropout)
        if noisy:
            self.tasks = ("curated", "noisy")
            self.noisy = FullyConnected(in_channels, classes, hidden, dropout)

    def initialise(self) -> None:
        """PyTorch's own initial weights, which the published net had."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()

    def forward(self, image: Tensor, task: str = "curated") -> Tensor:
        self.check_task(task)
        stack = self.noisy if task == "noisy" else self.curated
        return stack(image.amax(dim=(2, 3)))

    def activate(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1) if self.activation == "softmax" else outputs.sigmoid()


HEADS: dict[str, type[Head]] = {"mean_of_softmax": MeanOfSoftmax, "curated_noisy": CuratedNoisy}
