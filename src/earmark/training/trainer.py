"""The training of one net, batch by batch. Lightning Fabric takes care of the device and the precision."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from earmark.assess.metrics import values
from earmark.errors import RunError, one_line
from earmark.nets.member import load_tensors, load_weights, new_net, save_tensors
from earmark.nets.vectors import Embedding
from earmark.recipe import MemberSettings
from earmark.scoring.clips import score_clips
from earmark.scoring.opened import scorer_of
from earmark.training.checkpoint import optimiser_tensors, restore_optimiser
from earmark.training.diverged import divergence
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
        if isinstance(frontend := self.plain_net.frontend, Embedding):
            frontend.fit(_vectors_to_learn_from(piece))
        self.schedule = plan_schedule(self.settings, len(piece.training), classes)
        self.plain_optimiser = _new_optimiser(self.settings, self.plain_net.to(fabric.device).parameters())
        self.net, self.optimiser = fabric.setup(self.plain_net, self.plain_optimiser)
        self.scorer = scorer_of(self.plain_net, self.settings.frontend, self.settings.input, classes)
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
        self._seed((self.dropout_seed + self.batch_number) % 2**63)
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

    def refuse_divergence(self, weights: bool = False) -> None:
        """Checks that the losses since the last row of ``metrics.csv`` are finite; waits for the GPU.

        Args:
            weights: check the net's weights, too, before they are written.

        Raises:
            RunError: they are not; the message says where, and because of which clip, if one stands out.
        """
        finite = torch.isfinite(self.tally).all()
        if weights:
            finite = torch.stack([finite, *(torch.isfinite(value).all() for value in self.plain_net.state_dict().values())]).all()
        if not finite:
            raise divergence(self.piece, self.batch_number, self.schedule.batches)

    def _seed(self, seed: int) -> None:
        # Not torch.manual_seed, which also seeds devices that are not there, and takes half the time of a small net's step for it.
        torch.default_generator.manual_seed(seed)
        if self.fabric.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def validate(self) -> dict[str, float]:
        """The metrics on the validation clips, by name; empty if there are none.

        Raises:
            RunError: some scores are not finite.
        """
        if not len(self.piece.validation):
            return {}
        view = self.settings.validation.view
        net = f"{self.piece.title}, batch {self.batch_number:,}"
        scores = score_clips(self.scorer, self.piece.validation, [view], self.settings.scoring, net=net)[0]
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
        try:
            self._load(tensors, state)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RunError(
                f"{path} is damaged ({one_line(reason[:200])}); remove {path.parent} to train this piece again"
            ) from None

    def _load(self, tensors: dict[str, torch.Tensor], state: Any) -> None:
        batch, best = state["batch"], state["best"]
        if type(batch) is not int or not 0 <= batch <= self.schedule.batches:
            raise ValueError(f"its batch is none of the {self.schedule.batches:,}")
        if best is not None and not (type(best) in (int, float) and math.isfinite(best)):
            raise ValueError("its best score is no number")
        if (tally := tensors["tally"]).shape != self.tally.shape or tally.dtype != self.tally.dtype:
            raise ValueError("its sums are of another shape")
        if broken := [name for name, value in tensors.items() if not torch.isfinite(value).all()]:
            raise ValueError(f"{broken[0]} is not finite")
        optimiser = {name: value for name, value in tensors.items() if name.startswith("optimiser.")}
        if batch and not optimiser:
            raise ValueError("it has no state of the optimiser")
        load_weights(self.plain_net, {n.removeprefix("net."): v for n, v in tensors.items() if n.startswith("net.")})
        restore_optimiser(self.plain_optimiser, optimiser)
        self.tally = tally.to(self.fabric.device)
        self.batch_number = batch
        self.best = -math.inf if best is None else best
        for name, stream in self.streams.items():
            if not _same_keys(own := state["streams"][name], stream.batches.state()):
                raise ValueError(f"the state of its stream {name} is incomplete")
            stream.batches.load_state(own)


def _same_keys(state: Any, fresh: Any) -> bool:
    """Whether a state of a stream has the keys that a fresh one has, and lists of the same length."""
    if isinstance(fresh, dict):
        return isinstance(state, dict) and state.keys() == fresh.keys() and all(_same_keys(state[key], fresh[key]) for key in fresh)
    if isinstance(fresh, list):
        return isinstance(state, list) and len(state) == len(fresh)
    return type(state) is type(fresh)


def _vectors_to_learn_from(piece: Piece) -> np.ndarray[Any, Any]:
    """The vectors of all clips of a piece's streams, as the clips are, ``[N, D]``."""
    sets = [piece.training, *([piece.noisy] if piece.noisy else []), *([piece.soft.clips] if piece.soft else [])]
    rows = np.unique(np.concatenate([clips.row for clips in sets]))
    assert piece.training.vectors is not None
    return piece.training.vectors[rows, 0]


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
