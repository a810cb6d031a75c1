"""The loop over batches: validations, snapshots, checkpoints, Ctrl-C."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric

from earmark.nets.member import save_tensors
from earmark.progress import progress_bar
from earmark.runs.run import weights_name
from earmark.training.log import MetricsLog
from earmark.training.piece import Piece
from earmark.training.trainer import FoldTrainer

LOG_EVERY = 25  # batches between two rows of metrics.csv; each validation writes a row, too
CHECKPOINT_SECONDS = 60  # between two checkpoints: after a kill, at most this much is trained again
CHECKPOINT_SHARE = 0.1  # a validation writes a checkpoint if that takes less than this share of the time since the last one


def train_piece(piece: Piece, fabric: Fabric, logger: Any | None = None) -> None:
    """Trains a net to the end of its schedule; a training that was stopped goes on from its checkpoint.

    Writes ``last.safetensors``, ``best.safetensors`` (best on the fold's validation clips), the schedule's snapshots and
    ``metrics.csv``. On Ctrl-C the state is saved first.

    Args:
        piece: what to train.
        fabric: Lightning Fabric with the device and the precision.
        logger: logger of TensorBoard; None if TensorBoard is not installed.

    Raises:
        RunError: the training diverged, a file that it goes on from is damaged, or a validation's scores are not finite.
    """
    settings = piece.settings
    piece.path.mkdir(parents=True, exist_ok=True)
    checkpoint = piece.path / "checkpoint.safetensors"
    if all((piece.path / weights_name(name)).is_file() for name in ("last", *settings.kept_weights)):
        checkpoint.unlink(missing_ok=True)
        return
    trainer = FoldTrainer(piece, fabric)
    if checkpoint.is_file():
        trainer.load(checkpoint)
    schedule = trainer.schedule
    log = MetricsLog(piece.path / "metrics.csv", trainer, logger)
    saved_at, saving = time.monotonic(), 0.0
    gpus = [fabric.device] if fabric.device.type == "cuda" else []  # each step seeds torch's generators: others must not notice
    with (
        torch.random.fork_rng(gpus),
        progress_bar(piece.title, schedule.batches, trainer.batch_number, unit="batches") as bar,
        _interrupt_noted() as interrupted,
    ):
        while trainer.batch_number < schedule.batches:
            trainer.step()
            number = trainer.batch_number
            bar.update(number)
            snapshot = schedule.snapshot_after(number)
            validate = number == schedule.batches or number % schedule.validate_every == 0
            kept = validate or snapshot is not None
            if kept or number % LOG_EVERY == 0 or not gpus:  # a GPU would have to be waited for
                trainer.refuse_divergence(weights=kept)
            if snapshot is not None:
                save_tensors(piece.path / weights_name(str(snapshot)), trainer.plain_net.state_dict())
            if validate or number % LOG_EVERY == 0:
                log.stop_clock()
                metrics = trainer.validate() if validate else {}
                bar.update(number, log.write(metrics))
                score = metrics.get(settings.validation.metric, float(number))  # without validation clips, the newest is the best
                if validate and score > trainer.best:
                    trainer.best = score
                    save_tensors(piece.path / "best.safetensors", trainer.plain_net.state_dict())
            unsaved = time.monotonic() - saved_at
            if interrupted or unsaved > CHECKPOINT_SECONDS or (validate and saving < CHECKPOINT_SHARE * unsaved):
                trainer.refuse_divergence(weights=True)
                trainer.save(checkpoint)
                saving = time.monotonic() - saved_at - unsaved
                saved_at = time.monotonic()
            if interrupted:
                raise KeyboardInterrupt
    save_tensors(piece.path / "last.safetensors", trainer.plain_net.state_dict())
    checkpoint.unlink(missing_ok=True)


@contextmanager
def _interrupt_noted() -> Iterator[list[int]]:
    """A list that gets an entry on Ctrl-C, so that the training can save its state after the batch and stop then.

    A second Ctrl-C stops at once; then only the last checkpoint is left.
    """
    signals: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if signals:
            signal.default_int_handler(number, frame)
        signals.append(number)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGINT, previous)
