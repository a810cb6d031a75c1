"""Precision: whether a net trained in bfloat16 is as accurate as a net trained in float32.

    python benchmarks/precision.py STORE --batches 400         ESC-50 at 16,000 Hz

Trains `esc50-cpu`, shortened, on fold 1 with several seeds, in both precisions, and compares the accuracy of the last weights. The
running statistics of the batch normalisations change ten times as fast as in the recipe, since the training is so short.
"""

import statistics
import tempfile
import time
from pathlib import Path

from measure import SMALL, options, show, store_for

from earmark.recipe import load_recipe
from earmark.training.train import TrainRequest, train


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--batches", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fold", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = store_for(given, folder)
        batches, seeds, more = (2, 2, SMALL) if given.smoke else (given.batches, given.seeds, [])
        statistics_of = [f"members.*.{part}.momentum=0.1" for part in ("frontend", "backbone", "head")]
        schedule = f"members.*.schedule=[{{batches: {batches}, rate: 1.5e-3, final_rate: 1.0e-6}}]"
        accuracies: dict[str, list[float]] = {"float32": [], "bfloat16": []}
        seconds = dict.fromkeys(accuracies, 0.0)
        for seed in range(1, seeds + 1):  # in turn, so that a slow minute of the machine affects both precisions
            for precision in accuracies:
                sets = [
                    f"precision={precision}",
                    f"seed={seed}",
                    schedule,
                    f"members.*.validation.every={batches}",
                    *statistics_of,
                    *more,
                ]
                begun = time.perf_counter()
                request = TrainRequest(
                    load_recipe("esc50-cpu", sets), store, folder / f"{precision}-{seed}", folds=[given.fold], device="cpu"
                )
                accuracies[precision].append(train(request)["accuracy"]["value"])
                seconds[precision] += time.perf_counter() - begun
        rows = [
            (
                name,
                ", ".join(f"{value:.4f}" for value in values),
                f"{statistics.mean(values):.4f}",
                f"{statistics.stdev(values):.4f}",
                seconds[name] / seeds,
            )
            for name, values in accuracies.items()
        ]
        columns = ("precision", f"accuracy of seeds 1–{seeds}", "mean", "standard deviation", "seconds a run, scoring included")
        show(f"esc50-cpu, {batches:,} batches, fold {given.fold}, last weights", columns, rows)


if __name__ == "__main__":
    main()
