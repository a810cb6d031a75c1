"""Heads: a backbone's map ``[B, C, F, N]`` → outputs ``[B, K]`` → scores ``[B, K]``."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from earmark.nets.arguments import checked
from earmark.recipe.basics import BelowOne, Epsilon, Few, Share, Size

if TYPE_CHECKING:
    from earmark.nets.drawing.graph import Graph


class Head(nn.Module):
    """The last part of a net.

    Attributes:
        activation: what kind of scores the head makes: ``softmax``, a clip's scores add up to 1; ``sigmoid``, each score is the
            probability of one class.
        outputs: what ``forward`` returns: ``probabilities``, which are already the scores, or ``logits``, whose losses are exact.
        tasks: the tasks of ``forward``; the first task is the task that tags.
        channels: C, numbers of a sound after `pooled`.
        split: name of the first stage of the backbone that the noisy task has a copy of; None if the tasks share all stages.

    Shape:
        ``[B, C, F, N]`` → outputs ``[B, K]``, and `activate`: outputs ``[B, K]`` → scores ``[B, K]``, 0..1.
    """

    activation: Literal["softmax", "sigmoid"]
    outputs: Literal["probabilities", "logits"]
    tasks: tuple[str, ...] = ("curated",)
    channels: int
    split: str | None = None

    def pooled(self, image: Tensor) -> Tensor:
        """A backbone's map ``[B, C, F, N]`` → what the last layers see of it, ``[B, C]``: the net's embedding of the sound."""
        raise NotImplementedError

    def draw_pooled(self, graph: "Graph", image: str) -> str:
        """Draws `pooled` in an ONNX graph."""
        raise NotImplementedError

    def draw(self, graph: "Graph", pooled: str) -> str:
        """Draws the layers behind `pooled` in an ONNX graph: ``[B, C]`` → outputs ``[B, K]`` of the task that tags."""
        raise NotImplementedError

    def activate(self, outputs: Tensor) -> Tensor:
        """Outputs of ``forward`` ``[B, K]`` → scores ``[B, K]``."""
        raise NotImplementedError

    def check_task(self, task: str) -> None:
        """Checks the name of a task.

        Raises:
            ValueError: the head has no such task.
        """
        if task not in self.tasks:
            raise ValueError(f"no task {task!r}; the head has {', '.join(self.tasks)}")


class MeanOfSoftmax(Head):
    """The mean of several softmaxes over one globally averaged map (Jeong & Lim §3.2.3, figure 2c).

    BN → ReLU → ``heads`` × (linear → global average → softmax) → mean. The average is computed before the linear layer,
    which gives the same result.

    Args:
        in_channels: C of the backbone's map.
        classes: K.
        heads: number of softmaxes; 1 is an ordinary softmax.
        epsilon: added to the variances in the batch normalisation.
        momentum: share of the newest batch in the batch normalisation's running statistics (PyTorch's convention).

    Raises:
        ValueError: an argument is out of its range.

    Shape:
        ``[B, C, F, N]`` → probabilities ``[B, K]``, each row with sum 1.
    """

    activation = "softmax"
    outputs = "probabilities"

    @checked
    def __init__(self, in_channels: int, classes: int, heads: Few = 8, epsilon: Epsilon = 1e-3, momentum: Share = 0.01) -> None:
        super().__init__()
        self.heads, self.channels = heads, in_channels
        self.norm = nn.BatchNorm2d(in_channels, epsilon, momentum)
        self.linear = nn.Linear(in_channels, heads * classes)

    def initialise(self) -> None:
        """Draws Glorot-uniform weights for each softmax separately: drawn as a single matrix, they would be smaller."""
        with torch.no_grad():
            for weight in self.linear.weight.unflatten(0, (self.heads, -1)):
                nn.init.xavier_uniform_(weight)

    def forward(self, image: Tensor, task: str = "curated") -> Tensor:
        self.check_task(task)
        pooled = self.pooled(image)
        with torch.autocast(pooled.device.type, enabled=False):  # 8 bits are too few for probabilities near 1
            logits = nn.functional.linear(pooled.float(), self.linear.weight.float(), self.linear.bias.float())
            return logits.unflatten(1, (self.heads, -1)).softmax(dim=-1).mean(dim=1)

    def pooled(self, image: Tensor) -> Tensor:
        return torch.relu(self.norm(image)).mean(dim=(2, 3))

    def draw_pooled(self, graph: "Graph", image: str) -> str:
        active = graph.node("Relu", graph.draw(self.norm, image))
        return graph.reduced("ReduceMean", active, (2, 3), keep=False)

    def draw(self, graph: "Graph", pooled: str) -> str:
        logits = graph.reshape(graph.linear(self.linear, pooled), [0, self.heads, -1])
        return graph.reduced("ReduceMean", graph.node("Softmax", logits, axis=2), (1,), keep=False)

    def activate(self, outputs: Tensor) -> Tensor:
        return outputs


class FullyConnected(nn.Module):
    """Two hidden layers (linear → ReLU → dropout), then a linear layer: ``[B, C]`` → logits ``[B, K]``."""

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

    def draw(self, graph: "Graph", pooled: str) -> str:
        return graph.draw(self.last, graph.draw(self.hidden, pooled))


class CuratedNoisy(Head):
    """Global max pooling, then linear layers for each task: curated and noisy labels (Akiyama & Sato §2.1, §3.4.3).

    Args:
        in_channels: C of the backbone's map.
        classes: K.
        activation: ``sigmoid`` for independent classes, ``softmax`` for models E and F.
        hidden: width of both hidden layers.
        dropout: dropout rates after the first and after the second hidden layer.
        noisy: whether the head has the noisy task; tagging needs only the curated task.
        split: name of the backbone's stage from which on the noisy task has copies, made by `tagnet.build_net`; None if the
            tasks share all stages. (The paper's §5 leaves open where the tasks should part.)

    Raises:
        ValueError: an argument is out of its range, or ``split`` is given without the noisy task.

    Shape:
        ``[B, C, F, N]`` → logits ``[B, K]``, float32 under autocast too.

    >>> head = CuratedNoisy(512, 80)
    >>> head(torch.zeros(2, 512, 4, 16), task="noisy").shape
    torch.Size([2, 80])
    """

    outputs = "logits"

    @checked
    def __init__(
        self,
        in_channels: int,
        classes: int,
        activation: Literal["sigmoid", "softmax"] = "sigmoid",
        hidden: Size = 1024,
        dropout: tuple[BelowOne, BelowOne] = (0.2, 0.1),
        noisy: bool = True,
        split: str | None = None,
    ) -> None:
        super().__init__()
        if split is not None and not noisy:
            raise ValueError("split says where the noisy task parts from the curated one, but noisy is false")
        self.activation, self.split, self.channels = activation, split, in_channels
        self.curated = FullyConnected(in_channels, classes, hidden, dropout)
        if noisy:
            self.tasks = ("curated", "noisy")
            self.noisy = FullyConnected(in_channels, classes, hidden, dropout)

    def initialise(self) -> None:
        """Draws the weights as PyTorch does by default, and so did the published net."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()

    def forward(self, image: Tensor, task: str = "curated") -> Tensor:
        self.check_task(task)
        stack = self.noisy if task == "noisy" else self.curated
        return stack(self.pooled(image))

    def pooled(self, image: Tensor) -> Tensor:
        return image.amax(dim=(2, 3))

    def draw_pooled(self, graph: "Graph", image: str) -> str:
        return graph.reduced("ReduceMax", image, (2, 3), keep=False)

    def draw(self, graph: "Graph", pooled: str) -> str:
        return self.curated.draw(graph, pooled)

    def activate(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1) if self.activation == "softmax" else outputs.sigmoid()


class Linear(Head):
    """Global average pooling, then a linear layer for each task. At the beginning every class has the score 1/K.

    Args:
        in_channels: C of the backbone's map.
        classes: K.
        activation: ``softmax``, a clip's scores add up to 1; ``sigmoid`` for independent classes.
        noisy: whether the head has the noisy task; tagging needs only the curated task.

    Raises:
        ValueError: an argument is out of its range.

    Shape:
        ``[B, C, F, N]`` → logits ``[B, K]``, float32 under autocast too.

    >>> Linear(384, 50)(torch.zeros(2, 384, 1, 1)).shape
    torch.Size([2, 50])
    """

    outputs = "logits"

    @checked
    def __init__(
        self, in_channels: int, classes: int, activation: Literal["sigmoid", "softmax"] = "softmax", noisy: bool = False
    ) -> None:
        super().__init__()
        self.activation, self.channels = activation, in_channels
        self.curated = nn.Linear(in_channels, classes)
        if noisy:
            self.tasks = ("curated", "noisy")
            self.noisy = nn.Linear(in_channels, classes)

    def initialise(self) -> None:
        """Sets all weights to zero: the loss of a linear layer has one minimum, which is reached from there without any luck.

        The biases of a sigmoid begin where a clip has one label of K: from 0, scores of one half, they would take thousands of batches.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.weight)
                nn.init.constant_(module.bias, -math.log(max(module.out_features - 1, 1)) if self.activation == "sigmoid" else 0.0)

    def forward(self, image: Tensor, task: str = "curated") -> Tensor:
        self.check_task(task)
        layer = self.noisy if task == "noisy" else self.curated
        pooled = self.pooled(image)
        with torch.autocast(pooled.device.type, enabled=False):  # 8 bits are too few for probabilities near 0 and 1
            return nn.functional.linear(pooled.float(), layer.weight.float(), layer.bias.float())

    def pooled(self, image: Tensor) -> Tensor:
        return image.mean(dim=(2, 3))

    def draw_pooled(self, graph: "Graph", image: str) -> str:
        return graph.reduced("ReduceMean", image, (2, 3), keep=False)

    def draw(self, graph: "Graph", pooled: str) -> str:
        return graph.linear(self.curated, pooled)

    def activate(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1) if self.activation == "softmax" else outputs.sigmoid()


HEADS: dict[str, type[Head]] = {"mean_of_softmax": MeanOfSoftmax, "curated_noisy": CuratedNoisy, "linear": Linear}
