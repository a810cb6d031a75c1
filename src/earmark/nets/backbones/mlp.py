"""Hidden layers for vectors, as the front end `embedding` makes them; without hidden layers a linear head stands on the vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from torch import Tensor, nn

from earmark.nets.arguments import checked
from earmark.recipe.basics import BelowOne, Size

if TYPE_CHECKING:
    from earmark.nets.drawing.graph import Graph


class Backbone(nn.Module):
    """Dropout → hidden layers (1×1 convolution → ReLU → dropout).

    Args:
        in_channels: D.
        hidden: sizes of the hidden layers; none by default.
        dropout: share of the numbers that are set to zero in training, of the vector and after each hidden layer.

    Attributes:
        out_channels: size of the last hidden layer, or D.

    Raises:
        ValueError: an argument is out of its range.

    Shape:
        ``[B, D, F, N]`` → ``[B, out_channels, F, N]``.
    """

    @checked
    def __init__(
        self, in_channels: int, hidden: Annotated[Sequence[Size], Field(max_length=100)] = (), dropout: BelowOne = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        for before, size in zip([in_channels, *hidden], hidden, strict=False):
            layers += [nn.Conv2d(before, size, 1), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.out_channels = hidden[-1] if hidden else in_channels

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.layers(image)
        return result

    def draw(self, graph: "Graph", image: str) -> str:
        return graph.draw(self.layers, image)
