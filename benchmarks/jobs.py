"""Several nets at once: the folds of a recipe trained in parallel processes, compared with one after the other.

    python benchmarks/jobs.py STORE --jobs 5 --device cuda

Clips a second are the sum over the nets that train at the same time, without start and end. Seconds are those of the whole command.
"""

import statistics
import tempfile
import time
from pathlib import Path

from measure import SMALL, options, show, store_for

from earmark.recipe import load_recipe
from earmark.runs.run import read_metrics_log
from earmark.training.train import TrainRequest, train


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--recipe", default="esc50-cpu")
    parser.add_argument("--member", default="logmel-16k")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--batches", type=int, default=150)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = store_for(given, folder)
        batches, runs, more = (25, 1, SMALL) if given.smoke else (given.batches, given.runs, [])
        schedule = f"members.*.schedule=[{{batches: {batches}, rate: 1.0e-3}}]"
        recipe = load_recipe(given.recipe, [schedule, f"members.*.validation.every={batches}", "precision=bfloat16", *more])
        folds = sorted({int(fold) for fold in store.rows(store.sample_rates[0])["fold"].to_pylist() if fold >= 0})[: given.jobs]
        speed: dict[int, list[float]] = {1: [], given.jobs: []}
        whole: dict[int, list[float]] = {1: [], given.jobs: []}
        for turn in range(runs):
            for jobs in speed:
                out = folder / f"{jobs}-{turn}"
                begun = time.perf_counter()
                train(TrainRequest(recipe, store, out, [given.member], folds, given.device, jobs=jobs))
                whole[jobs].append(time.perf_counter() - begun)
                logs = [read_metrics_log(out / "members" / given.member / f"fold{fold}" / "metrics.csv") for fold in folds]
                net_speeds = [statistics.median(float(row["clips_per_second"]) for row in log) for log in logs]
                speed[jobs].append(sum(net_speeds) if jobs > 1 else statistics.mean(net_speeds))
        rows = [
            (
                jobs,
                statistics.median(speed[jobs]),
                statistics.median(speed[jobs]) / statistics.median(speed[1]),
                statistics.median(whole[jobs]),
            )
            for jobs in speed
        ]
        title = f"{given.recipe} {given.member}: {len(folds)} folds of {batches} batches on {given.device}"
        show(title, ("nets at once", "clips/s in all", "times one after the other", "seconds of the command"), rows)


if __name__ == "__main__":
    main()
