"""Training one net: one member of a recipe on one fold. The loop is ours; Lightning Fabric brings devices and precision."""

import csv
import ctypes
import io
import logging
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from earmark.assess.run import read_metrics_log
from earmark.data.batching import BalancedBatches, Batch
from earmark.data.clips import ClipSet
from earmark.nets.tagnet import TagNet, build_net
from earmark.progress import progress_bar
from earmark.recipe import MemberSettings, Phase
from earmark.training.checkpoint import load_tensors, optimiser_tensors, restore_optimiser, save_tensors
from earmark.training.losses import cross_entropy, loss_mask, masked_mean

LOG_EVERY = 25  # batches between two rows of metrics.csv; validation rows come besides
CHECKPOINT_SECONDS = 60  # at most this much is trained again after a kill; validation checkpoints besides
COLUMNS = ("batch", "rate", "loss", "masked", "clips_per_second", "seconds", *METRICS)


@dataclass(frozen=True)
class Piece:
    """One member on one fold: what is trained, on what, and where it goes.

    Attributes:
        title: for the progress bar.
        path: the piece's folder.
        settings: of the member.
        training: clips to train on, at the member's rate.
        validation: verified clips of the fold; may be empty.
        seed: of this piece alone.
    """

    title: str
    path: Path
    settings: MemberSettings
    training: ClipSet
    validation: ClipSet
    seed: np.random.SeedSequence


def rate_at(schedule: Sequence[Phase], batch: int) -> float:
    """The learning rate of batch ``batch`` (from 0). A cosine takes its first value at a phase's first batch, its last at its last.

    >>> rate_at([Phase(batches=3, rate=1.0, final_rate=0.5)], 2)
    0.5
    """
    for phase in schedule:
        if batch < phase.batches:
            way = batch / max(phase.batches - 1, 1)
            return phase.last_rate + (phase.rate - phase.last_rate) * 0.5 * (1 + math.cos(math.pi * way))
        batch -= phase.batches
    raise ValueError(f"the schedule ends {batch + 1} batches before")


def make_fabric(device: str, precision: str) -> Fabric:
    """Fabric for one device, ``cpu`` or ``cuda``, in ``float32`` or ``bfloat16`` (autocast)."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else it says its precision anew for every net
    return Fabric(accelerator=device, devices=1, precision="bf16-mixed" if precision == "bfloat16" else "32-true")


def keep_freed_memory() -> None:
    """Makes glibc keep the memory that tensors give back.

    By default it returns large blocks to the system at once, and every step pays for the same pages again: a third of the
    time of a small net's step on a CPU.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        m_mmap_max, m_trim_threshold = -4, -1
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


class FoldTrainer:
    """The net, its optimiser and its batches, as one state that can be saved and taken up again.

    Args:
        piece: what to train.
        fabric: where.
    """

    def __init__(self, piece: Piece, fabric: Fabric) -> None:
        self.piece, self.fabric, self.settings = piece, fabric, piece.settings
        # A copy: spawning changes the sequence, and a piece stays what it is.
        net_seed, batch_seed = np.random.SeedSequence(piece.seed.entropy, spawn_key=piece.seed.spawn_key).spawn(2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(net_seed.generate_state(1)[0]))
            self.plain_net = new_net(self.settings, len(piece.training.labels))
        parameters = self.plain_net.to(fabric.device).parameters()
        self.plain_optimiser = torch.optim.Adam(parameters, eps=self.settings.optimiser.epsilon, fused=True)
        self.net, self.optimiser = fabric.setup(self.plain_net, self.plain_optimiser)
        clips = piece.training.without_silent_ends() if self.settings.input.trim_silence else piece.training
        self.batches = BalancedBatches(clips.on(fabric.device), self.settings.input.window, self.settings.batch, batch_seed)
        self.batch_number = 0
        self.best = -math.inf
        self.tally = torch.zeros(3, dtype=torch.float64)  # loss, masked examples, examples since the last row of metrics.csv

    def step(self) -> None:
        """Trains on the next batch."""
        for group in self.plain_optimiser.param_groups:
            group["lr"] = rate_at(self.settings.schedule, self.batch_number)
        batch = self.batches.next()
        loss, masked = self.loss(batch)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        self.batch_number += 1
        count = len(batch.targets)
        self.tally += torch.stack([loss.detach() * count, masked.sum(), masked.new_tensor(count)]).double().cpu()

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The batch's loss, and which examples were masked: float32 ``[B]``, 0 or 1."""
        losses = cross_entropy(self.net(batch.waveform), batch.targets)
        alpha = self.settings.loss.masking
        mask = loss_mask(losses, batch.verified, alpha) if alpha is not None else torch.ones_like(batch.verified)
        return masked_mean(losses, mask), 1.0 - mask.float()

    def validate(self) -> dict[str, float]:
        """The metrics on the fold's verified clips; nothing where it has none."""
        if not len(self.piece.validation):
            return {}
        scores = score_clips(self.plain_net, self.piece.validation, self.settings.input, self.fabric.device)
        return values(scores, self.piece.validation.positive)

    def save(self, path: Path) -> None:
        """Writes the whole state."""
        tensors = {f"net.{name}": value for name, value in self.plain_net.state_dict().items()}
        tensors |= optimiser_tensors(self.plain_optimiser)
        tensors["tally"] = self.tally
        state = {
            "batch": self.batch_number,
            "best": self.best if math.isfinite(self.best) else None,
            "batches": self.batches.state(),
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
        self.tally = tensors["tally"]
        self.batch_number = state["batch"]
        self.best = -math.inf if state["best"] is None else state["best"]
        self.batches.load_state(state["batches"])


def new_net(settings: MemberSettings, classes: int) -> TagNet:
    """The untrained net of a member."""
    return build_net(settings.frontend, settings.backbone, settings.head, settings.input.sample_rate, classes)


def train_piece(piece: Piece, fabric: Fabric, logger: Any | None = None) -> None:
    """Trains a piece to its end, from where it stopped if it was begun before.

    Leaves ``last.safetensors``, ``best.safetensors`` (the best on the fold itself) and ``metrics.csv``. On Ctrl-C the state is saved first.

    Args:
        piece: what to train.
        fabric: where.
        logger: TensorBoard's, where it is installed.
    """
    settings = piece.settings
    piece.path.mkdir(parents=True, exist_ok=True)
    checkpoint = piece.path / "checkpoint.safetensors"
    if all((piece.path / f"{name}.safetensors").is_file() for name in {"last", settings.validation.keep}):
        checkpoint.unlink(missing_ok=True)
        return
    trainer = FoldTrainer(piece, fabric)
    if checkpoint.is_file():
        trainer.load(checkpoint)
    log = MetricsLog(piece.path / "metrics.csv", trainer.batch_number, int(trainer.tally[2]), logger)
    saved_at = time.monotonic()
    with progress_bar(piece.title, settings.batches, trainer.batch_number) as bar, _interrupt_noted() as interrupted:
        while trainer.batch_number < settings.batches:
            trainer.step()
            number = trainer.batch_number
            bar.update(number)
            validate = number == settings.batches or number % settings.validation.every == 0
            if validate or number % LOG_EVERY == 0:
                log.stop_clock()
                metrics = trainer.validate() if validate else {}
                bar.update(number, log.write(number, rate_at(settings.schedule, number - 1), trainer.tally, metrics))
                trainer.tally = torch.zeros_like(trainer.tally)
                score = metrics.get(settings.validation.metric, float(number))  # nothing to choose by: the newest
                if validate and score > trainer.best:
                    trainer.best = score
                    save_tensors(piece.path / "best.safetensors", trainer.plain_net.state_dict())
            if validate or interrupted or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                trainer.save(checkpoint)
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
        path: the CSV file; rows of batches after ``batch`` are dropped, since those batches are trained again.
        batch: where training goes on.
        already: examples that the next row's sums hold from before this start.
        logger: TensorBoard's.
    """

    def __init__(self, path: Path, batch: int, already: int, logger: Any | None) -> None:
        self.path, self.already, self.logger = path, already, logger
        kept = [row for row in read_metrics_log(path) if int(row["batch"]) <= batch]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        files.write_text(path, text.getvalue())
        self.seconds_before = float(kept[-1]["seconds"]) if kept else 0.0
        self.started = self.row_started = time.monotonic()
        self.row_seconds = 0.0

    def stop_clock(self) -> None:
        """The next row's speed is up to here: validation is not training."""
        self.row_seconds = time.monotonic() - self.row_started

    def write(self, batch: int, rate: float, tally: Tensor, metrics: dict[str, float]) -> str:
        """Adds a row; returns it as a note for the progress bar.

        Args:
            batch: batches done.
            rate: learning rate of the last of them.
            tally: sums of loss and of masked examples, and how many examples.
            metrics: of the validation, if there was one.
        """
        loss, masked, count = tally.tolist()
        now = time.monotonic()
        row: dict[str, Any] = {
            "batch": batch,
            "rate": f"{rate:.4g}",
            "loss": f"{loss / max(count, 1):.5f}",
            "masked": f"{masked / max(count, 1):.4f}",
            "clips_per_second": f"{(count - self.already) / max(self.row_seconds, 1e-9):.1f}",
            "seconds": f"{self.seconds_before + now - self.started:.1f}",
            **{name: f"{value:.5f}" for name, value in metrics.items()},
        }
        self.row_started, self.already = now, 0
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
        if self.logger is not None:
            self.logger.log_metrics({name: float(value) for name, value in row.items() if name != "batch"}, step=batch)
        return f"loss {float(row['loss']):.3f} masked {float(row['masked']):.1%} {float(row['clips_per_second']):.0f} clips/s"
