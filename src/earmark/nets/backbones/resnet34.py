"""ResNet-34 (He et al., table 1) as in Akiyama & Sato §3.4.1: without the final pooling, which the head does."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from earmark.nets.arguments import checked
from earmark.recipe.basics import Size

if TYPE_CHECKING:
    from earmark.nets.drawing.graph import Graph

BLOCKS = (3, 4, 6, 3)  # number of blocks in each layer (He et al., table 1)


class BasicBlock(nn.Module):
    """3×3 conv → BN → ReLU → 3×3 conv → BN, plus the input (through a 1×1 conv and BN where the shape changes) → ReLU.

    Shape:
        ``[B, C, F, N]`` → ``[B, channels, ceil(F / stride), ceil(N / stride)]``.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut.append(nn.Conv2d(in_channels, channels, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, image: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(torch.relu_(self.norm1(self.conv1(image)))))
        return torch.relu_(residual + self.shortcut(image))

    def draw(self, graph: "Graph", image: str) -> str:
        inner = graph.node("Relu", graph.draw(self.norm1, graph.draw(self.conv1, image)))
        residual = graph.draw(self.norm2, graph.draw(self.conv2, inner))
        return graph.node("Relu", graph.add(residual, graph.draw(self.shortcut, image)))


class Backbone(nn.Module):
    """Stem (7×7 convolution, max-pool) and four layers of basic blocks; each layer except the first halves both sides of the image.

    Args:
        in_channels: channels of the front end's image.
        width: number of channels of the first layer; the later layers have 2, 4 and 8 times as many.
        initialisation: how the first weights are drawn, which the papers do not say. ``he``: in every convolution from a normal
            distribution with variance 2 / (outputs that an input feeds). ``released``: the same, except in the first convolution.
            Akiyama & Sato's code replaces it, and leaves its weights as PyTorch draws them: uniform within ±1/√inputs.

    Attributes:
        stages: the stages by name: stem, layer1 … layer4.

    Raises:
        ValueError: an argument is out of its range.

    Shape:
        ``[B, in_channels, F, N]`` → ``[B, 8 · width, ceil(F / 32), ceil(N / 32)]``.

    >>> Backbone(1, width=8)(torch.zeros(2, 1, 128, 512)).shape
    torch.Size([2, 64, 4, 16])
    """

    @checked
    def __init__(self, in_channels: int, width: Size = 64, initialisation: Literal["he", "released"] = "he") -> None:
        super().__init__()
        self.initialisation = initialisation
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"] = nn.Sequential(
            nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels = width
        for number, blocks in enumerate(BLOCKS):
            wider = width * 2**number
            first = BasicBlock(channels, wider, stride=1 if number == 0 else 2)
            stages[f"layer{number + 1}"] = nn.Sequential(first, *(BasicBlock(wider, wider, stride=1) for _ in range(blocks - 1)))
            channels = wider
        self.stages = nn.Sequential(stages)
        self.out_channels = channels

    def initialise(self) -> None:
        """Draws the first weights, as in He et al. (2015) so that gradients keep their size from layer to layer."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if self.initialisation == "released":
            next(module for module in self.modules() if isinstance(module, nn.Conv2d)).reset_parameters()

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)

    def draw(self, graph: "Graph", image: str) -> str:
        return graph.draw(self.stages, image)
