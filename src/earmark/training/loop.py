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

LOG_EVERY = 25  # batches between two rows of metrics.csv; validation rows come besides
CHECKPOINT_SECONDS = 60  # at most this much is trained again after a kill
CHECKPOINT_SHARE = 0.1  # of the time goes into the checkpoints that validations make besides


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
    if all((piece.path / weights_name(name)).is_file() for name in ("last", *settings.kept_weights)):
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
