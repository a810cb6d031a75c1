"""``metrics.csv``: the progress of a training, with a row every few batches."""

import csv
import io
import time
from pathlib import Path
from typing import Any

import torch

from earmark import files
from earmark.assess.metrics import METRICS
from earmark.runs.run import read_metrics_log
from earmark.training.trainer import FoldTrainer

COLUMNS = ("batch", "rate", "loss", "masked", "noisy_loss", "soft_loss", "clips_per_second", "seconds", *METRICS)


class MetricsLog:
    """Writes ``metrics.csv`` and, if there is a logger, to TensorBoard.

    Args:
        path: the CSV file; rows after the trainer's batch are removed, since those batches are trained again.
        trainer: the trainer whose progress is written.
        logger: logger of TensorBoard; None if TensorBoard is not installed.
    """

    def __init__(self, path: Path, trainer: FoldTrainer, logger: Any | None) -> None:
        self.path, self.trainer, self.logger = path, trainer, logger
        self.examples_before = int(trainer.tally[2])  # in the sums of the next row, but trained before this start
        kept = [row for row in read_metrics_log(path) if int(row["batch"]) <= trainer.batch_number]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(kept)
        files.write_text(path, text.getvalue())
        self.seconds_before = float(kept[-1]["seconds"]) if kept else 0.0
        self.started = self.row_started = time.monotonic()
        self.row_seconds, self.sums = 0.0, [0.0] * len(trainer.tally)

    def stop_clock(self) -> None:
        """Ends the time and the sums of the next row here, so that a validation before `write` does not count as training."""
        self.sums = self.trainer.tally.tolist()  # this waits for the GPU, so that its work is in the time
        self.row_seconds = time.monotonic() - self.row_started

    def write(self, metrics: dict[str, float]) -> str:
        """Writes a row with the trainer's sums up to `stop_clock`, and sets the trainer's sums to zero.

        Args:
            metrics: metrics of the validation; empty if there was none.

        Returns:
            The row as a note for the progress bar.
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
            "clips_per_second": f"{(count - self.examples_before) / max(self.row_seconds, 1e-9):.1f}",
            "seconds": f"{self.seconds_before + now - self.started:.1f}",
            **{name: f"{value:.5f}" for name, value in metrics.items()},
        }
        for name, value in (("noisy", noisy), ("soft", soft)):
            if name in trainer.streams:
                row[f"{name}_loss"] = f"{value / max(count, 1):.5f}"
        self.row_started, self.examples_before = now, 0
        trainer.tally = torch.zeros_like(trainer.tally)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
        if self.logger is not None:
            self.logger.log_metrics({name: float(value) for name, value in row.items() if name != "batch"}, step=number)
        masked_note = f"masked {float(row['masked']):.1%} " if trainer.settings.loss.masking is not None else ""
        return f"loss {float(row['loss']):.3f} {masked_note}{float(row['clips_per_second']):.0f} clips/s"
