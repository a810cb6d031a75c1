"""A net's streams of batches: verified labels, noisy ones, pseudo labels, each with its loss."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earmark.data.batching import BalancedBatches
from earmark.data.clips import ClipSet
from earmark.data.shuffled import ShuffledBatches
from earmark.data.table import Array
from earmark.nets.tagnet import TagNet
from earmark.training.losses import binary_cross_entropy, cross_entropy, kl_divergence, squared_error
from earmark.training.piece import Piece

STORE_SHARE = 0.5  # of a GPU's free memory, at most, for the store: the rest is the net's

Losses = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Stream:
    """Batches and what their loss is.

    Attributes:
        batches: where they come from.
        task: the head's, ``curated`` or ``noisy``.
        losses: of the net's outputs and the targets, ``[B, K]`` each → ``[B]``.
        activate: whether those outputs are scores, not logits.
        weight: of the loss in the sum of all streams.
    """

    batches: BalancedBatches | ShuffledBatches
    task: str
    losses: Losses
    activate: bool
    weight: float = 1.0


def open_streams(piece: Piece, net: TagNet, seeds: tuple[np.random.SeedSequence, ...], device: torch.device) -> dict[str, Stream]:
    """The streams of a piece by name: ``curated``, the first task's, then ``noisy`` and ``soft`` where the member has them.

    Args:
        piece: what is trained.
        net: whose front end the batches may go through.
        seeds: of the three streams in that order.
        device: of the batches.
    """
    settings, activation, kind = piece.settings, net.activation, piece.settings.loss.kind
    # Once: all streams cut from the same store.
    pcm = _near(torch.from_numpy(piece.training.pcm), device)

    def shuffled(clips: ClipSet, targets: Array, pools: list[Array], seed: np.random.SeedSequence) -> ShuffledBatches:
        own, batch = settings.input, settings.batch
        assert batch.sampling == "shuffled"  # the recipe's schema holds it for noisy and soft tasks
        return ShuffledBatches(clips, targets, pools, own.window, own.fill == "tile", batch, net.frontend, seed, pcm, device)

    training = _trimmed(piece.training, settings.input.trim_silence)
    targets = training.targets if kind == "cross_entropy" else training.multi_hot(activation)
    batches: BalancedBatches | ShuffledBatches
    if settings.batch.sampling == "balanced":
        bands = net.frontend.bands
        batches = BalancedBatches(training, settings.input.window, settings.batch, seeds[0], targets, bands, pcm, device)
    else:
        batches = shuffled(training, targets, [np.arange(len(training))], seeds[0])
    streams = {"curated": Stream(batches, "curated", losses_of(kind, settings.loss.double_sigmoid), kind == "cross_entropy")}
    if settings.noisy is not None and piece.noisy is not None:
        noisy = _trimmed(piece.noisy, settings.input.trim_silence)
        batches = shuffled(noisy, noisy.multi_hot(activation), [np.arange(len(noisy))], seeds[1])
        losses = losses_of(kind, settings.noisy.double_sigmoid)
        streams["noisy"] = Stream(batches, "noisy", losses, False, settings.noisy.weight)
    if settings.soft is not None and piece.soft is not None:
        soft, guessed = _trimmed(piece.soft.clips, settings.input.trim_silence), piece.soft.guessed
        targets = np.where(guessed[:, None], piece.soft.guesses, soft.multi_hot(activation))
        batches = shuffled(soft, targets, [np.flatnonzero(~guessed), np.flatnonzero(guessed)], seeds[2])
        losses, of_scores = losses_of(settings.soft.loss), settings.soft.loss == "mse"
        streams["soft"] = Stream(batches, "curated", losses, of_scores, settings.soft.weight)
    return streams


def losses_of(kind: str, double_sigmoid: bool = False) -> Losses:
    """The loss that a recipe names.

    Args:
        kind: ``cross_entropy``, ``bce``, ``kl`` or ``mse``.
        double_sigmoid: see `binary_cross_entropy`.
    """
    if kind == "bce":
        return lambda logits, targets: binary_cross_entropy(logits, targets, double_sigmoid)
    return {"cross_entropy": cross_entropy, "kl": kl_divergence, "mse": squared_error}[kind]


def _trimmed(clips: ClipSet, trim_silence: bool) -> ClipSet:
    return clips.without_silent_ends() if trim_silence else clips


def _near(pcm: Tensor, device: torch.device) -> Tensor:
    """A store's samples on the device where they fit; else where they are, in files that are read as they are needed."""
    if device.type == "cuda" and pcm.nbytes > STORE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return pcm
    return pcm.to(device)
