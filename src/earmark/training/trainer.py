"""The training of one net, batch by batch. Lightning Fabric takes care of the device and the precision."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from earmark.assess.metrics import values
from earmark.nets.member import load_tensors, new_net, save_tensors
from earmark.recipe import MemberSettings
from earmark.scoring.clips import score_clips
from earmark.scoring.torch_scorer import TorchScorer
from earmark.training.checkpoint import optimiser_tensors, restore_optimiser
from earmark.training.losses import loss_mask, masked_mean
from earmark.training.piece import Piece
from earmark.training.schedule import plan_schedule
from earmark.training.start import take_weights
from earmark.training.streams import open_streams

ADAM_BETAS = (0.9, 0.999)  # Keras's and PyTorch's


def make_fabric(device: str, precision: str) -> Fabric:
    """Fabric for one device, ``cpu`` or ``cuda``, in ``float32`` or ``bfloat16`` (autocast)."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else it prints its precision for every net
    return Fabric(accelerator=device, devices=1, precision="bf16-mixed" if precision == "bfloat16" else "32-true")


class FoldTrainer:
    """A net, its optimiser and its streams of batches; their state can be saved, and loaded to go on from there.

    Args:
        piece: what to train.
        fabric: Lightning Fabric with the device and the precision.

    Raises:
        RecipeError: the weights that the net is to start from are of another net, or an augmentation does not fit its front end.
    """

    def __init__(self, piece: Piece, fabric: Fabric) -> None:
        self.piece, self.fabric, self.settings = piece, fabric, piece.settings
        classes = len(piece.training.labels)
        # A copy, since spawning changes a seed sequence, and the piece's must stay as it is.
        seed = np.random.SeedSequence(piece.seed.entropy, spawn_key=piece.seed.spawn_key)
        net_seed, batch_seed, noisy_seed, soft_seed, dropout_seed = seed.spawn(5)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(net_seed.generate_state(1)[0]))
            self.plain_net = new_net(self.settings, classes)
        if piece.start is not None:
            take_weights(self.plain_net, load_tensors(piece.start)[0], piece.start)
        self.schedule = plan_schedule(self.settings, len(piece.training), classes)
        self.plain_optimiser = _new_optimiser(self.settings, self.plain_net.to(fabric.device).parameters())
        self.net, self.optimiser = fabric.setup(self.plain_net, self.plain_optimiser)
        self.scorer = TorchScorer(self.plain_net, self.settings.input, classes)
        self.streams = open_streams(piece, self.plain_net, (batch_seed, noisy_seed, soft_seed), fabric.device)
        self.dropout_seed = int(dropout_seed.generate_state(1, np.uint64)[0] >> 1)
        self.batch_number = 0
        self.best = -math.inf
        # Sums since the last row of metrics.csv, see `step`; kept on the device, so that no step has to wait for the GPU.
        self.tally = torch.zeros(5, dtype=torch.float64, device=fabric.device)

    def step(self) -> None:
        """Trains on the next batch of each stream.

        The batch of each stream goes through the net alone, so that batch normalisation uses the statistics of that stream, as in
        Akiyama & Sato's released code. The gradients of all streams are added.
        """
        for group in self.plain_optimiser.param_groups:
            group["lr"] = self.schedule.rate_at(self.batch_number)
            if (epsilon := _epsilon(self.settings, self.batch_number)) is not None:
                group["eps"] = epsilon
        # Dropout draws from torch's generator. Seeded with the batch's number, the generator need not be saved.
        torch.manual_seed((self.dropout_seed + self.batch_number) % 2**63)
        self.optimiser.zero_grad()
        sums = {}
        for name, stream in self.streams.items():
            batch = stream.batches.next()
            outputs = self.net(batch.sound, batch.domain, stream.task, stream.activate, batch.masked)
            losses = stream.losses(outputs.float(), batch.targets)
            alpha = self.settings.loss.masking if name == "curated" else None
            mask = loss_mask(losses, batch.verified, alpha) if alpha is not None else torch.ones_like(batch.verified)
            loss = masked_mean(losses, mask)
            self.fabric.backward(loss * stream.weight if stream.weight != 1 else loss)
            sums[name] = loss.detach()
            if name == "curated":
                masked, count = (~mask).sum(), len(batch.targets)
        self.optimiser.step()
        self.batch_number += 1
        zero = masked.new_zeros(())
        means = [sums["curated"], masked / count, zero + 1, sums.get("noisy", zero), sums.get("soft", zero)]
        self.tally += torch.stack([mean.double() * count for mean in means])

    def validate(self) -> dict[str, float]:
        """The metrics on the validation clips, by name; empty if there are none."""
        if not len(self.piece.validation):
            return {}
        view = self.settings.validation.view
        scores = score_clips(self.scorer, self.piece.validation, [view], self.settings.scoring)[0]
        return values(scores, self.piece.validation.positive)

    def save(self, path: Path) -> None:
        """Writes the whole state into a file."""
        tensors = {f"net.{name}": value for name, value in self.plain_net.state_dict().items()}
        tensors |= optimiser_tensors(self.plain_optimiser)
        tensors["tally"] = self.tally
        state = {
            "batch": self.batch_number,
            "best": self.best if math.isfinite(self.best) else None,
            "streams": {name: stream.batches.state() for name, stream in self.streams.items()},
        }
        save_tensors(path, tensors, state)

    def load(self, path: Path) -> None:
        """Loads the state that `save` wrote.

        Raises:
            RunError: the file is damaged.
        """
        tensors, state = load_tensors(path)
        self.plain_net.load_state_dict({n.removeprefix("net."): v for n, v in tensors.items() if n.startswith("net.")})
        restore_optimiser(self.plain_optimiser, {name: v for name, v in tensors.items() if name.startswith("optimiser.")})
        self.tally = tensors["tally"].to(self.fabric.device)
        self.batch_number = state["batch"]
        self.best = -math.inf if state["best"] is None else state["best"]
        for name, stream in self.streams.items():
            stream.batches.load_state(state["streams"][name])


def _new_optimiser(settings: MemberSettings, parameters: Iterator[torch.nn.Parameter]) -> torch.optim.Optimizer:
    optimiser = settings.optimiser
    if optimiser.name == "adam":
        return torch.optim.Adam(parameters, betas=ADAM_BETAS, eps=optimiser.epsilon, fused=True)
    return torch.optim.SGD(parameters, lr=1e-3, momentum=optimiser.momentum, nesterov=optimiser.nesterov, fused=True)


def _epsilon(settings: MemberSettings, batch: int) -> float | None:
    """Adam's ε for a batch, given by its number (from 0); None if ε is the same for all batches.

    PyTorch divides by √v / √(1 − β₂ᵗ) + ε. Keras multiplies by √(1 − β₂ᵗ) and divides by √v + ε, which is the
    same as PyTorch with ε / √(1 − β₂ᵗ).
    """
    optimiser = settings.optimiser
    if optimiser.name != "adam" or optimiser.epsilon_added == "after_correction":
        return None
    return float(optimiser.epsilon / math.sqrt(1 - ADAM_BETAS[1] ** (batch + 1)))
