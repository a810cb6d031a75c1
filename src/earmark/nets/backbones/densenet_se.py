"""The single-block DenseNet with squeeze-and-excitation of Jeong & Lim (§3.2.1 low-level module, §3.2.2, figure 2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from earmark.nets.arguments import checked
from earmark.nets.norms import BatchNorm
from earmark.recipe.basics import Epsilon, Few, Share, Size

if TYPE_CHECKING:
    from earmark.nets.drawing.graph import Graph

Growth = Annotated[Size, Field(ge=2)]  # squeeze-excitation halves it

# Convolutions and poolings are fastest if the channels lie last in memory, and slow if they lie first in an input or a gradient.
# torch chooses the layout of each result, but wrongly for two operations; `_joined` and `_averages` take their place.


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """Two images joined along the channels, which lie last in memory; torch.cat puts them first for an image with one channel."""
    return torch.cat([first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1)], dim=3).permute(0, 3, 1, 2)


def _averages(image: Tensor) -> Tensor:
    """The mean of each channel, ``[B, C, F, N]`` → ``[B, C]``; the channels of the gradient lie last in memory."""
    return image.permute(0, 2, 3, 1).flatten(1, 2).mean(dim=1)


class SqueezeExcitation(nn.Module):
    """A gate in 0..1 for each channel, computed from the means of all channels: ``[B, C, F, N]`` → ``[B, C, 1, 1]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, channels // 2)
        self.expand = nn.Linear(channels // 2, channels)

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.expand(torch.relu(self.reduce(_averages(image)))))[:, :, None, None]

    def draw(self, graph: "Graph", image: str) -> str:
        averages = graph.reduced("ReduceMean", image, (2, 3), keep=False)
        expanded = graph.draw(self.expand, graph.node("Relu", graph.draw(self.reduce, averages)))
        return graph.node("Unsqueeze", graph.node("Sigmoid", expanded), graph.constant([2, 3]))


class DenseModule(nn.Module):
    """BN → ReLU → 1×1 conv → BN → ReLU → conv → squeeze-excitation → concatenate with the input → max-pool.

    Shape:
        ``[B, C, F, N]`` → ``[B, C + growth, ceil(F / pool[0]), ceil(N / pool[1])]``.
    """

    def __init__(
        self, in_channels: int, growth: int, kernel: tuple[int, int], pool: tuple[int, int], epsilon: float, momentum: float
    ) -> None:
        super().__init__()
        self.input_norm = BatchNorm(in_channels, epsilon, momentum)
        self.bottleneck = nn.Conv2d(in_channels, growth, 1)
        self.bottleneck_norm = BatchNorm(growth, epsilon, momentum)
        self.conv = nn.Conv2d(growth, growth, kernel, padding="same")
        self.excitation = SqueezeExcitation(growth)
        self.pool = nn.MaxPool2d(pool, ceil_mode=True)  # sizes are rounded up, so eight poolings leave 1 of 64 bands

    def forward(self, image: Tensor) -> Tensor:
        narrow = self.bottleneck(self.input_norm(image).relu_())
        features = self.conv(self.bottleneck_norm(narrow).relu_())
        # Image and features are pooled before they are scaled and joined. The values are the same, since pooling acts on each
        # channel separately and no gate is negative, but there is only a quarter as much to multiply and copy.
        return _joined(self.pool(image), self.pool(features) * self.excitation(features))

    def draw(self, graph: "Graph", image: str) -> str:
        narrow = graph.draw(self.bottleneck, graph.node("Relu", graph.draw(self.input_norm, image)))
        features = graph.draw(self.conv, graph.node("Relu", graph.draw(self.bottleneck_norm, narrow)))
        gated = graph.times(graph.draw(self.pool, features), graph.draw(self.excitation, features))
        return graph.node("Concat", graph.draw(self.pool, image), gated, axis=1)


class Backbone(nn.Module):
    """One dense block: each module adds channels to those of its input, so that the image itself reaches the head.

    Args:
        in_channels: channels of the front end's image.
        stem: number of filters of the first convolution, which is linear; the result is joined with the image.
        growth: number of channels that each module adds (k in the paper).
        kernel: size of every spatial convolution (``[3, 3]`` for log-mel, ``[1, 3]`` for waveforms).
        pool: size of every max-pooling.
        epsilon: added to the variances in the batch normalisations (1e-3 in Keras).
        momentum: share of the newest batch in the batch normalisations' running statistics (Keras's 0.99 is 0.01 here).

    Raises:
        ValueError: an argument is out of its range.

    Shape:
        ``[B, in_channels, F, N]`` → ``[B, out_channels, F', N']``, ``out_channels = in_channels + stem + sum(growth)``.

    >>> net = Backbone(1, stem=15, growth=[16, 32])
    >>> net(torch.zeros(2, 1, 64, 50)).shape
    torch.Size([2, 64, 16, 13])
    """

    @checked
    def __init__(
        self,
        in_channels: int,
        stem: Size,
        growth: Annotated[Sequence[Growth], Field(min_length=1, max_length=100)],
        kernel: tuple[Few, Few] = (3, 3),
        pool: tuple[Few, Few] = (2, 2),
        epsilon: Epsilon = 1e-3,
        momentum: Share = 0.01,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, stem, kernel, padding="same")
        channels = in_channels + stem
        modules = []
        for width in growth:
            modules.append(DenseModule(channels, width, kernel, pool, epsilon, momentum))
            channels += width
        self.dense = nn.Sequential(*modules)
        self.out_channels = channels

    def forward(self, image: Tensor) -> Tensor:
        return self.dense(_joined(image, self.stem(image)))

    def draw(self, graph: "Graph", image: str) -> str:
        return graph.draw(self.dense, graph.node("Concat", image, graph.draw(self.stem, image), axis=1))
