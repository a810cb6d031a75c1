"""EnvNet-v2 (Tokozume et al. 2018) as in Akiyama & Sato §3.4.2: max pooling over time makes it take sounds of any length."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from earmark.nets.arguments import checked
from earmark.recipe.basics import Size

if TYPE_CHECKING:
    from earmark.nets.drawing.graph import Graph


class ZeroPad(nn.Module):
    """Adds zeros on both sides of images that are too short: ``[B, C, F, N]`` → ``[B, C, F, max(N, min_frames)]``."""

    def __init__(self, min_frames: int) -> None:
        super().__init__()
        self.min_frames = min_frames

    def forward(self, image: Tensor) -> Tensor:
        missing = max(self.min_frames - image.shape[3], 0)
        return nn.functional.pad(image, (missing // 2, missing - missing // 2))

    def draw(self, graph: "Graph", image: str) -> str:
        missing = graph.node("Max", graph.minus(graph.whole(self.min_frames), graph.size(image, 3)), graph.whole(0))
        left = graph.over(missing, graph.whole(2))
        return graph.padded(image, left, graph.minus(missing, left), 3, 4)


class ChannelsToRows(nn.Module):
    """Makes the outputs of C filters the rows of an image: ``[B, C, 1, N]`` → ``[B, 1, C, N]``."""

    def forward(self, image: Tensor) -> Tensor:
        return image.transpose(1, 2)

    def draw(self, graph: "Graph", image: str) -> str:
        return graph.node("Transpose", image, perm=[0, 2, 1, 3])


class MaxOverTime(nn.Module):
    """The largest output of each filter in each row: ``[B, C, F, N]`` → ``[B, C · F, 1, 1]``."""

    def forward(self, image: Tensor) -> Tensor:
        return image.amax(dim=3).flatten(1)[:, :, None, None]

    def draw(self, graph: "Graph", image: str) -> str:
        largest = graph.reduced("ReduceMax", image, (3,), keep=False)
        return graph.node("Unsqueeze", graph.node("Flatten", largest, axis=1), graph.constant([2, 3]))


def convolution(in_channels: int, filters: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """Conv → BN → ReLU, without padding; only BN has a bias."""
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, kernel, stride, bias=False), nn.BatchNorm2d(filters), nn.ReLU(inplace=True)
    )


class Backbone(nn.Module):
    """Two convolutions over the waveform make an image like a spectrogram; eight more convolutions act on that image.

    Args:
        in_channels: channels of the front end's one-row image.
        width: number of filters of the first convolution; the later ones have 2, 1, 1, 2, 2, 4, 4, 8 and 8 times as many.
        initialisation: how the first weights are drawn, which the papers do not say. ``he``: from a normal distribution with
            variance 2 / inputs. ``released``: as by default in PyTorch 1.1, which Akiyama & Sato's code does not change: weights
            uniform within ±1/√inputs, gains of the batch normalisations uniform in 0..1. (With ``he`` the gains are 1.)

    Attributes:
        stages: the stages by name: sound, layer1 … layer4.
        min_frames: the fewest samples for which every layer has an output (20,570 for every width); shorter images are padded
            to this length.

    Raises:
        ValueError: ``width`` is too small, or the initialisation is unknown.

    Shape:
        ``[B, in_channels, 1, T]`` → ``[B, out_channels, 1, 1]``; of 64 rows 10 remain, each with 256 channels: 2,560.

    >>> import torch
    >>> Backbone(1, width=10)(torch.zeros(2, 1, 1, 30000)).shape
    torch.Size([2, 80, 1, 1])
    """

    @checked
    def __init__(self, in_channels: int, width: Size = 32, initialisation: Literal["he", "released"] = "he") -> None:
        super().__init__()
        self.initialisation = initialisation
        rows = (2 * width - 2 * (8 - 1)) // 5  # of 2 · width rows: after two 8×8 convolutions and a pooling by 5
        if rows < 1:
            raise ValueError("width must be at least 10: two 8×8 convolutions and a pooling by 5 act on 2 · width rows")
        sound = [
            convolution(in_channels, width, (1, 64), (1, 2)),
            convolution(width, 2 * width, (1, 16), (1, 2)),
            nn.MaxPool2d((1, 64)),
            ChannelsToRows(),
        ]
        layer1 = [convolution(1, width, (8, 8)), convolution(width, width, (8, 8)), nn.MaxPool2d((5, 3))]
        layer2 = [convolution(width, 2 * width, (1, 4)), convolution(2 * width, 2 * width, (1, 4)), nn.MaxPool2d((1, 2))]
        layer3 = [convolution(2 * width, 4 * width, (1, 2)), convolution(4 * width, 4 * width, (1, 2)), nn.MaxPool2d((1, 2))]
        layer4 = [convolution(4 * width, 8 * width, (1, 2)), convolution(8 * width, 8 * width, (1, 2)), MaxOverTime()]
        self.min_frames = _fewest_frames(nn.Sequential(*sound, *layer1, *layer2, *layer3, *layer4))
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["sound"] = nn.Sequential(ZeroPad(self.min_frames), *sound)
        for number, layer in enumerate((layer1, layer2, layer3, layer4), 1):
            stages[f"layer{number}"] = nn.Sequential(*layer)
        self.stages = nn.Sequential(stages)
        self.out_channels = 8 * width * rows

    def initialise(self) -> None:
        """Draws the first weights: as in He et al. (2015) for layers before a ReLU, or as in the released code."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if self.initialisation == "he":
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                else:
                    module.reset_parameters()  # still the same as in PyTorch 1.1
            elif isinstance(module, nn.BatchNorm2d) and self.initialisation == "released":
                nn.init.uniform_(module.weight)

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)

    def draw(self, graph: "Graph", image: str) -> str:
        return graph.draw(self.stages, image)


def _fewest_frames(layers: nn.Sequential) -> int:
    """The shortest input for which the last layer has an output, computed from the last layer back to the first."""
    frames = 1
    for layer in reversed(list(layers.modules())):
        if isinstance(layer, nn.Conv2d):
            frames = (frames - 1) * layer.stride[1] + layer.kernel_size[1]
        elif isinstance(layer, nn.MaxPool2d):
            frames *= layer.kernel_size[1]  # type: ignore[index]  # a pair here
    return frames
