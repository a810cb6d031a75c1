"""Training one net: one member of a recipe on one fold. The loop is ours; Lightning Fabric brings devices and precision."""

import csv
import io
import logging
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from earmark import files
from earmark.assess.evaluate import score_clips
from earmark.assess.metrics import METRICS, values
from earmark.assess.run import read_metrics_log, weights_name
from earmark.data.batching import BalancedBatches
from earmark.data.clips import Array, ClipSet
from earmark.data.shuffled import ShuffledBatches, check_augmentations
from earmark.errors import RecipeError
from earmark.nets.member import load_tensors, new_net, save_tensors
from earmark.nets.tagnet import TagNet
from earmark.progress import progress_bar
from earmark.recipe import MemberSettings, Recipe
from earmark.training.checkpoint import optimiser_tensors, restore_optimiser
from earmark.training.losses import (
    binary_cross_entropy,
    cross_entropy,
    kl_divergence,
    loss_mask,
    masked_mean,
    squared_error,
)
from earmark.training.schedule import plan_schedule

LOG_EVERY = 25  # batches between two rows of metrics.csv; validation rows come besides
CHECKPOINT_SECONDS = 60  # at most this much is trained again after a kill
CHECKPOINT_SHARE = 0.1  # of the time goes into the checkpoints that validations make besides
STORE_SHARE = 0.5  # of a GPU's free memory, at most, for the store: the rest is the net's
COLUMNS = ("batch", "rate", "loss", "masked", "noisy_loss", "soft_loss", "clips_per_second", "seconds", *METRICS)


@dataclass(frozen=True)
class SoftClips:
    """What a soft stream draws from: verified clips with their own labels, unverified ones with guessed labels.

    Attributes:
        clips: both, N of them.
        guesses: float32 ``[N, K]``, the labels of the unverified ones; the other rows are not looked at.
        guessed: bool ``[N]``, which are the unverified ones.
    """

    clips: ClipSet
    guesses: Array
    guessed: Array


@dataclass(frozen=True)
class Piece:
    """One member on one fold: what is trained, on what, and where it goes.

    Attributes:
        title: for the progress bar.
        path: the piece's folder.
        settings: of the member.
        training: clips that the first task is taught by, at the member's rate.
        validation: verified clips of the fold; may be empty.
        seed: of this piece alone.
        noisy: clips of the noisy task, where the member has one.
        soft: clips of the soft stream, where the member has one.
        start: weights to begin with, where the member says so.
    """

    title: str
    path: Path
    settings: MemberSettings
    training: ClipSet
    validation: ClipSet
    seed: np.random.SeedSequence
    noisy: ClipSet | None = None
    soft: SoftClips | None = None
    start: Path | None = None


def make_fabric(device: str, precision: str) -> Fabric:
    """Fabric for one device, ``cpu`` or ``cuda``, in ``float32`` or ``bfloat16`` (autocast)."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else it says its precision anew for every net
    return Fabric(accelerator=device, devices=1, precision="bf16-mixed" if precision == "bfloat16" else "32-true")


@dataclass(frozen=True)
class Stream:
    """Batches and what their loss is.

    Attributes:
        batches: where they come from.
        task: the head's, ``curated`` or ``noisy``.
        losses: the net's outputs and the targets, ``[B, K]`` each → ``[B]``.
        activate: whether those outputs are scores, not logits.
        weight: of the loss in the sum of all streams.
    """

    batches: BalancedBatches | ShuffledBatches
    task: str
    losses: Callable[[Tensor, Tensor], Tensor]
    activate: bool
    weight: float = 1.0


def check_buildable(settings: MemberSettings, classes: int) -> None:
    """Whether a member's net can be built, and its losses and augmentations go with it.

    Raises:
        RecipeError: they do not.
    """
    net, head = new_net(settings, classes), settings.head.name
    check_augmentations(settings.batch, net.frontend)
    kinds = {settings.loss.kind} | ({settings.soft.loss} if settings.soft else set())
    if net.activation != "softmax" and (wrong := kinds & {"cross_entropy", "kl"}):
        raise RecipeError(f"loss {', '.join(sorted(wrong))}: needs a softmax; the head {head} has a {net.activation} here")
    if net.activation != "sigmoid" and "bce" in kinds:
        raise RecipeError(f"loss bce: needs a sigmoid; the head {head} has a {net.activation} here")
    if net.head.outputs != "logits" and (settings.loss.kind != "cross_entropy" or settings.soft):
        raise RecipeError(f"loss {settings.loss.kind}: needs a head with logits, which {head} has not")
    if settings.noisy and "noisy" not in net.head.tasks:
        raise RecipeError(f"noisy: the head {head} has no noisy task here; curated_noisy with noisy: true has one")
    if not settings.noisy and "noisy" in net.head.tasks:
        raise RecipeError("head: it has a noisy task that nothing would teach; say noisy: false in it, or give the member one")


def check_start(recipe: Recipe, member: str, classes: int) -> None:
    """Whether a member can start from the weights that it is to start from.

    Raises:
        RecipeError: they are of another net.
    """
    if (other := recipe.members[member].start_from) is not None:
        weights = new_net(recipe.members[other], classes).state_dict()
        take_weights(new_net(recipe.members[member], classes), weights, f"member {other}")


def check_members(recipe: Recipe, names: Iterable[str], classes: int) -> None:
    """Whether members can be built and trained as their settings say.

    Raises:
        RecipeError: one cannot.
    """
    for name in names:
        try:
            check_buildable(recipe.members[name], classes)
            check_start(recipe, name, classes)
        except RecipeError as error:
            raise RecipeError(f"members.{name}: {error}") from None


class FoldTrainer:
    """The net, its optimiser and its streams of batches, as one state that can be saved and taken up again.

    Args:
        piece: what to train.
        fabric: where.
    """

    def __init__(self, piece: Piece, fabric: Fabric) -> None:
        self.piece, self.fabric, self.settings = piece, fabric, piece.settings
        classes = len(piece.training.labels)
        # A copy: spawning changes the sequence, and a piece stays what it is.
        own_seed = np.random.SeedSequence(piece.seed.entropy, spawn_key=piece.seed.spawn_key)
        net_seed, batch_seed, noisy_seed, soft_seed, dropout_seed = own_seed.spawn(5)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(net_seed.generate_state(1)[0]))
            self.plain_net = new_net(self.settings, classes)
        if piece.start is not None:
            take_weights(self.plain_net, load_tensors(piece.start)[0], piece.start)
        self.schedule = plan_schedule(self.settings, len(piece.training), classes)
        parameters = self.plain_net.to(fabric.device).parameters()
        self.plain_optimiser = _new_optimiser(self.settings, parameters)
        self.net, self.optimiser = fabric.setup(self.plain_net, self.plain_optimiser)
        self.streams = self._streams(batch_seed, noisy_seed, soft_seed)
        self.dropout_seed = int(dropout_seed.generate_state(1, np.uint64)[0] >> 1)
        self.batch_number = 0
        self.best = -math.inf
        # Sums since the last row of metrics.csv, see `step`; on the device, which nothing in the loop waits for.
        self.tally = torch.zeros(5, dtype=torch.float64, device=fabric.device)

    def _streams(self, *seeds: np.random.SeedSequence) -> dict[str, Stream]:
        settings, piece = self.settings, self.piece
        batch_seed, noisy_seed, soft_seed = seeds
        activation = self.plain_net.activation
        kind = settings.loss.kind
        pcm = _near(piece.training.pcm, self.fabric.device)  # once: all streams cut from the same store
        training = self._heard(piece.training, pcm)
        targets = training.targets if kind == "cross_entropy" else training.multi_hot(activation)
        batches: BalancedBatches | ShuffledBatches
        if settings.batch.sampling == "balanced":
            batches = BalancedBatches(
                training,
                settings.input.window,
                settings.batch,
                batch_seed,
                targets,
                self.plain_net.frontend.bands,
                self.fabric.device,
            )
        else:
            batches = self._shuffled(training, targets, [np.arange(len(training))], batch_seed)
        first = Stream(batches, "curated", _losses(kind, settings.loss.double_sigmoid), kind == "cross_entropy")
        streams = {"curated": first}
        if settings.noisy is not None and piece.noisy is not None:
            noisy = self._heard(piece.noisy, pcm)
            of_noisy = self._shuffled(noisy, noisy.multi_hot(activation), [np.arange(len(noisy))], noisy_seed)
            losses = _losses(kind, settings.noisy.double_sigmoid)
            streams["noisy"] = Stream(of_noisy, "noisy", losses, False, settings.noisy.weight)
        if settings.soft is not None and piece.soft is not None:
            soft, pools = (
                self._heard(piece.soft.clips, pcm),
                [np.flatnonzero(~piece.soft.guessed), np.flatnonzero(piece.soft.guessed)],
            )
            known = np.where(piece.soft.guessed[:, None], piece.soft.guesses, soft.multi_hot(activation))
            of_soft = self._shuffled(soft, known, pools, soft_seed)
            losses, of_scores = _losses(settings.soft.loss), settings.soft.loss == "mse"
            streams["soft"] = Stream(of_soft, "curated", losses, of_scores, settings.soft.weight)
        return streams

    def _heard(self, clips: ClipSet, pcm: Tensor) -> ClipSet:
        return replace(clips.without_silent_ends() if self.settings.input.trim_silence else clips, pcm=pcm)

    def _shuffled(self, clips: ClipSet, targets: Array, pools: list[Array], seed: np.random.SeedSequence) -> ShuffledBatches:
        own, batch = self.settings.input, self.settings.batch
        assert batch.sampling == "shuffled"  # the recipe's schema holds it for noisy and soft tasks
        tile, frontend = own.fill == "tile", self.plain_net.frontend
        return ShuffledBatches(clips, targets, pools, own.window, tile, batch, frontend, seed, self.fabric.device)

    def step(self) -> None:
        """Trains on the next batch of each stream.

        Each goes through the net by itself, so that batch normalisation takes each stream's own statistics (Akiyama & Sato's
        released code); their gradients add up.
        """
        for group in self.plain_optimiser.param_groups:
            group["lr"] = self.schedule.rate_at(self.batch_number)
        # Dropout draws from torch's generator: seeded by the batch's number, there is nothing of it to save.
        torch.manual_seed((self.dropout_seed + self.batch_number) % 2**63)
        self.optimiser.zero_grad()
        sums = {}
        for name, stream in self.streams.items():
            batch = stream.batches.next()
            outputs = self.net(batch.sound, batch.stage, stream.task, stream.activate, batch.masked)
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
        each = [sums["curated"], masked / count, zero + 1, sums.get("noisy", zero), sums.get("soft", zero)]
        self.tally += torch.stack([value.double() * count for value in each])

    def validate(self) -> dict[str, float]:
        """The metrics on the fold's verified clips; nothing where it has none."""
        if not len(self.piece.validation):
            return {}
        scores = score_clips(self.plain_net, self.piece.validation, self.settings, self.fabric.device)[0]
        return values(scores, self.piece.validation.positive)

    def save(self, path: Path) -> None:
        """Writes the whole state."""
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
        """Takes up the state that `save` wrote.

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


def _near(pcm: Tensor, device: torch.device) -> Tensor:
    """A store's samples on the device where they fit; else where they are, in files that are read as they are needed."""
    if device.type == "cuda" and pcm.nbytes > STORE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return pcm
    return pcm.to(device)


def _losses(kind: str, double_sigmoid: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    if kind == "bce":
        return lambda logits, targets: binary_cross_entropy(logits, targets, double_sigmoid)
    return {"cross_entropy": cross_entropy, "kl": kl_divergence, "mse": squared_error}[kind]


def _new_optimiser(settings: MemberSettings, parameters: Iterator[torch.nn.Parameter]) -> torch.optim.Optimizer:
    own = settings.optimiser
    if own.name == "adam":
        return torch.optim.Adam(parameters, eps=own.epsilon, fused=True)
    return torch.optim.SGD(parameters, lr=1e-3, momentum=own.momentum, nesterov=own.nesterov, fused=True)


def take_weights(net: TagNet, weights: Mapping[str, Tensor], where: Path | str) -> None:
    """Starts a net from another member's weights; what only this one has (a second task's head) stays as it was drawn.

    Raises:
        RecipeError: the other net has not the same front end and backbone.
    """
    own = net.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    second_task = ("head.noisy.", "noisy_stages.")
    missing = [name for name in own if name not in fitting and not name.startswith(second_task)]
    if missing:
        raise RecipeError(f"start_from: {where} is of another net: it has no fitting {missing[0]}")
    net.load_state_dict(fitting, strict=False)


def train_piece(piece: Piece, fabric: Fabric, logger: Any | None = None) -> None:
    """Trains a piece to its end, from where it stopped if it was begun before.

    Leaves ``last.safetensors``, ``best.safetensors`` (the best on the fold itself), the schedule's snapshots, and
    ``metrics.csv``. On Ctrl-C the state is saved first.

    Args:
        piece: what to train.
        fabric: where.
        logger: TensorBoard's, where it is installed.
    """
    settings = piece.settings
    piece.path.mkdir(parents=True, exist_ok=True)
    checkpoint = piece.path / "checkpoint.safetensors"
    if all((piece.path / weights_name(name)).is_file() for name in ("last", *settings.counted)):
        checkpoint.unlink(missing_ok=True)
        return
    trainer = FoldTrainer(piece, fabric)
    if checkpoint.is_file():
        trainer.load(checkpoint)
    schedule = trainer.schedule
    log = MetricsLog(piece.path / "metrics.csv", trainer, logger)
    saved_at, saving = time.monotonic(), 0.0
    seeded = [fabric.device] if fabric.device.type == "cuda" else []  # besides the CPU's generator, by each step; not for others
    with (
        torch.random.fork_rng(seeded),
        progress_bar(piece.title, schedule.batches, trainer.batch_number) as bar,
        _interrupt_noted() as interrupted,
    ):
        while trainer.batch_number < schedule.batches:
            trainer.step()
            number = trainer.batch_number
            bar.update(number)
            if (snapshot := schedule.snapshot_after(number)) is not None:
                save_tensors(piece.path / weights_name(str(snapshot)), trainer.plain_net.state_dict())
            validate = number == schedule.batches or number % schedule.validate_every == 0
            if validate or number % LOG_EVERY == 0:
                log.stop_clock()
                metrics = trainer.validate() if validate else {}
                bar.update(number, log.write(metrics))
                score = metrics.get(settings.validation.metric, float(number))  # nothing to choose by: the newest
                if validate and score > trainer.best:
                    trainer.best = score
                    save_tensors(piece.path / "best.safetensors", trainer.plain_net.state_dict())
            since = time.monotonic() - saved_at
            if interrupted or since > CHECKPOINT_SECONDS or (validate and saving < CHECKPOINT_SHARE * since):
                trainer.save(checkpoint)
                saving = time.monotonic() - saved_at - since
                saved_at = time.monotonic()
            if interrupted:
                raise KeyboardInterrupt
    save_tensors(piece.path / "last.safetensors", trainer.plain_net.state_dict())
    checkpoint.unlink(missing_ok=True)


@contextmanager
def _interrupt_noted() -> Iterator[list[int]]:
    """Ctrl-C fills the list instead of stopping at once, so that what is saved is the state between two batches.

    A second Ctrl-C does stop at once; then the last checkpoint is what remains.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            signal.default_int_handler(number, frame)
        noted.append(number)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, previous)


class MetricsLog:
    """``metrics.csv`` and, where there is one, TensorBoard.

    Args:
        path: the CSV file; rows of batches after the trainer's are dropped, since those batches are trained again.
        trainer: whose progress it is.
        logger: TensorBoard's.
    """

    def __init__(self, path: Path, trainer: FoldTrainer, logger: Any | None) -> None:
        self.path, self.trainer, self.logger = path, trainer, logger
        self.already = int(trainer.tally[2])  # examples that the next row's sums hold from before this start
        kept = [row for row in read_metrics_log(path) if int(row["batch"]) <= trainer.batch_number]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        files.write_text(path, text.getvalue())
        self.seconds_before = float(kept[-1]["seconds"]) if kept else 0.0
        self.started = self.row_started = time.monotonic()
        self.row_seconds, self.sums = 0.0, [0.0] * len(trainer.tally)

    def stop_clock(self) -> None:
        """The next row is of what was trained up to here: validation is not training."""
        self.sums = self.trainer.tally.tolist()  # waits for a GPU, so that the clock counts its work
        self.row_seconds = time.monotonic() - self.row_started

    def write(self, metrics: dict[str, float]) -> str:
        """Adds a row of what the trainer had tallied at `stop_clock`, and empties the tally.

        Returns the row as a note for the progress bar.

        Args:
            metrics: of the validation, if there was one.
        """
        trainer = self.trainer
        loss, masked, count, noisy, soft = self.sums
        now = time.monotonic()
        number = trainer.batch_number
        row: dict[str, Any] = {
            "batch": number,
            "rate": f"{trainer.schedule.rate_at(number - 1):.4g}",
            "loss": f"{loss / max(count, 1):.5f}",
            "masked": f"{masked / max(count, 1):.4f}",
            "clips_per_second": f"{(count - self.already) / max(self.row_seconds, 1e-9):.1f}",
            "seconds": f"{self.seconds_before + now - self.started:.1f}",
            **{name: f"{value:.5f}" for name, value in metrics.items()},
        }
        for name, value in (("noisy", noisy), ("soft", soft)):
            if name in trainer.streams:
                row[f"{name}_loss"] = f"{value / max(count, 1):.5f}"
        self.row_started, self.already = now, 0
        trainer.tally = torch.zeros_like(trainer.tally)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
        if self.logger is not None:
            self.logger.log_metrics({name: float(value) for name, value in row.items() if name != "batch"}, step=number)
        masked_note = f"masked {float(row['masked']):.1%} " if trainer.settings.loss.masking is not None else ""
        return f"loss {float(row['loss']):.3f} {masked_note}{float(row['clips_per_second']):.0f} clips/s"
