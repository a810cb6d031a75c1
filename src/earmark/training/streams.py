"""The streams of batches that a net is trained on (given labels, noisy labels, pseudo labels), each with its loss."""

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

STORE_SHARE = 0.5  # of the GPU's free memory that the store may take; the net needs the rest

Losses = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Stream:
    """A stream of batches with its loss.

    Attributes:
        batches: an endless source of batches.
        task: task of the head that learns from them, ``curated`` or ``noisy``.
        losses: computes the loss of each example: net's outputs ``[B, K]``, targets ``[B, K]`` → ``[B]``.
        activate: whether the loss takes scores; else it takes logits.
        weight: weight of this loss in the sum over all streams.
    """

    batches: BalancedBatches | ShuffledBatches
    task: str
    losses: Losses
    activate: bool
    weight: float = 1.0


def open_streams(piece: Piece, net: TagNet, seeds: tuple[np.random.SeedSequence, ...], device: torch.device) -> dict[str, Stream]:
    """The streams of a training by name: ``curated`` (the first task's), and ``noisy`` and ``soft`` if the member has them.

    Args:
        piece: what is trained.
        net: the net; shuffled batches go through the `power` half of its front end.
        seeds: the seeds of ``curated``, ``noisy`` and ``soft``.
        device: the device of the batches.
    """
    settings, activation, kind = piece.settings, net.activation, piece.settings.loss.kind
    # One copy of the samples for all streams, which cut from the same store.
    pcm = _on_device_if_it_fits(torch.from_numpy(piece.training.pcm), device)

    def shuffled(clips: ClipSet, targets: Array, pools: list[Array], seed: np.random.SeedSequence) -> ShuffledBatches:
        window, tile, batch = settings.input.window, settings.input.fill == "tile", settings.batch
        assert batch.sampling == "shuffled"  # the recipe's schema requires it for noisy and soft streams
        return ShuffledBatches(clips, targets, pools, window, tile, batch, net.frontend, seed, pcm, device)

    training = _trimmed(piece.training, settings.input.trim_silence)
    targets = training.targets if kind == "cross_entropy" else training.multi_hot(activation)
    if piece.agreed is not None:
        targets = np.where(training.verified[:, None], targets, piece.agreed.astype(np.float32))
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
        losses, takes_scores = losses_of(settings.soft.loss), settings.soft.loss == "mse"
        streams["soft"] = Stream(batches, "curated", losses, takes_scores, settings.soft.weight)
    return streams


def losses_of(kind: str, double_sigmoid: bool = False) -> Losses:
    """The loss function that a recipe names.

    Args:
        kind: ``cross_entropy``, ``bce``, ``kl`` or ``mse``.
        double_sigmoid: see `binary_cross_entropy`.
    """
    if kind == "bce":
        return lambda logits, targets: binary_cross_entropy(logits, targets, double_sigmoid)
    return {"cross_entropy": cross_entropy, "kl": kl_divergence, "mse": squared_error}[kind]


def _trimmed(clips: ClipSet, trim_silence: bool) -> ClipSet:
    return clips.without_silent_ends() if trim_silence else clips


def _on_device_if_it_fits(pcm: Tensor, device: torch.device) -> Tensor:
    """A store's samples on the device if they fit there; else in the memory-mapped file, which is read as needed."""
    if device.type == "cuda" and pcm.nbytes > STORE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return pcm
    return pcm.to(device)
