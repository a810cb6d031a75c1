"""Precision: is a net trained in bfloat16 as accurate as one trained in float32.

    python benchmarks/precision.py STORE --batches 400         ESC-50 at 16,000 Hz

Trains `esc50-cpu`, shortened, on fold 1 with several seeds, in both precisions, and compares the last weights' accuracy. The running
statistics of the batch normalisations follow ten times as fast as in the recipe: they would still be on their way.
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
        found: dict[str, list[float]] = {"float32": [], "bfloat16": []}
        seconds = dict.fromkeys(found, 0.0)
        for seed in range(1, seeds + 1):  # in turn: a slow minute of the machine is both precisions'
            for precision, accuracies in found.items():
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
                accuracies.append(train(request)["accuracy"]["value"])
                seconds[precision] += time.perf_counter() - begun
        rows = [
            (
                name,
                ", ".join(f"{value:.4f}" for value in each),
                f"{statistics.mean(each):.4f}",
                f"{statistics.stdev(each):.4f}",
                seconds[name] / seeds,
            )
            for name, each in found.items()
        ]
        columns = ("precision", f"accuracy of seeds 1–{seeds}", "mean", "standard deviation", "seconds a run, scoring included")
        show(f"esc50-cpu, {batches:,} batches, fold {given.fold}, last weights", columns, rows)


if __name__ == "__main__":
    main()
