"""``metrics.csv``: how a training goes, a row every few batches."""

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
