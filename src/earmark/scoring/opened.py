"""Opening a scorer with PyTorch: which kind it is follows from the net's front end."""

from functools import partial
from pathlib import Path
from typing import Literal

import torch

from earmark.embedding.opened import open_embedder
from earmark.nets.member import load_net
from earmark.nets.tagnet import TagNet
from earmark.recipe import InputSettings, MemberSettings, Part
from earmark.scoring.scorer import Scorer
from earmark.scoring.torch_scorer import TorchScorer, score_vectors
from earmark.scoring.vector_scorer import VectorScorer


def scorer_of(
    net: TagNet,
    frontend: Part,
    input: InputSettings,
    classes: int,
    precision: Literal["float32", "bfloat16"] = "float32",
    folder: Path | None = None,
) -> Scorer:
    """A scorer that runs a net.

    Args:
        net: the net, on the device to score on.
        frontend: settings of its front end.
        input: how a clip becomes the net's input.
        classes: number of classes K.
        precision: what the net computes in.
        folder: folder that the file of a pre-trained model is relative to; the current folder by default.
    """
    if net.frontend.takes_vectors:
        opening = partial(open_embedder, frontend.arguments, input.sample_rate, folder)
        return VectorScorer(input, classes, net.activation, opening, partial(score_vectors, net, precision))
    return TorchScorer(net, input, classes, precision)


def open_scorer(settings: MemberSettings, classes: int, weights: Path, device: torch.device | str = "cpu") -> Scorer:
    """A scorer with the net of a member and the weights from a file.

    Args:
        settings: settings of the member.
        classes: number of classes K.
        weights: the file of the weights.
        device: the device to score on.

    Raises:
        RunError: the file is damaged, or has the weights of another net.
    """
    net = load_net(settings, classes, weights).to(device)
    return scorer_of(net, settings.frontend, settings.input, classes)
