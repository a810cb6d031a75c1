"""What wrong labels do to a tagger, and what each way of training gets back.

    earmark prepare esc50 ESC-50 --out STORE --sample-rate 32000
    python benchmarks/label_noise.py STORE --embedding MODEL.onnx --kin ESC-50/esc50.csv

Wrong labels are planted among clips that are taken for unverified; the official folds; every clip is scored by nets that never heard its
recording, and held against its true label.
"""

import csv
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
from measure import RATE, options, rendered, show

from earmark.assess.metrics import estimates
from earmark.data.manifest import read_manifest
from earmark.data.models import resolve_models
from earmark.data.plant import plant, planted_store
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.table import ClipTable, load_table
from earmark.errors import EarmarkWarning
from earmark.recipe import load_recipe
from earmark.runs.run import Run
from earmark.training.train import TrainRequest, train

RECIPE = Path(__file__).with_name("label-noise.yaml")
ROWS = (("symmetric", 0.2, 0.39), ("related", 0.4, 0.39), ("symmetric", 0.6, 0.1), ("related", 0.6, 0.1))
METHODS = {
    "given": "all labels as given",
    "masking": "loss masking",
    "multitask": "multitask",
    "teacher": "verified only",
    "pseudo": "soft pseudo labels",
    "second": "agreement, one round",
    "third": "agreement, two rounds (quick)",
}
SMOKE = ["members.*.schedule=[{batches: 4, rate: 1.0e-3}]", "members.*.validation.every=4", "members.*.batch.size=8"]


def kin_of(truth: ClipTable, table: Path | None) -> np.ndarray:
    """The super-category of each class: tens of the targets in ``esc50.csv``; without a table, halves of the classes."""
    if table is None:
        return np.arange(len(truth.labels)) * 2 // len(truth.labels)
    with table.open(encoding="utf-8", newline="") as file:
        targets = {row["category"]: int(row["target"]) // 10 for row in csv.DictReader(file)}
    return np.array([targets[name] for name in truth.labels.names])


def scores_of(run: Run, member: str, clips: ClipTable) -> np.ndarray:
    """The out-of-fold scores of all clips, ``[N, K]``."""
    row_of = {clip: row for row, clip in enumerate(clips.clip_id.tolist())}
    scores = np.full(clips.positive.shape, np.nan, np.float32)
    for block in run.predictions()[1][member]:
        scores[[row_of[clip] for clip in block.clip_id.tolist()]] = block.scores
    return scores


def smoke_store(folder: Path) -> Store:
    return prepare(read_manifest(rendered(folder / "sounds", per_kind=12)), "benchmark", folder / "store", [RATE]).store


def main() -> None:
    warnings.simplefilter("ignore", EarmarkWarning)  # of ensembles that are not asked for here
    parser = options(__doc__, "a store")
    parser.add_argument("--embedding", type=Path)
    parser.add_argument("--kin", type=Path, help="esc50.csv, for the super-categories")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rows", default="0,1,2,3")
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = smoke_store(folder) if given.smoke else Store.open(given.root)
        truth = load_table(store)
        kin = kin_of(truth, given.kin)
        recipe = resolve_models(load_recipe(str(RECIPE), [*given.set, *(SMOKE if given.smoke else [])]), given.embedding)
        seeds = [1] if given.smoke else [int(seed) for seed in given.seeds.split(",")]
        clean = planted_store(store, folder / "clean", truth.positive, np.ones(len(truth), bool))
        train(TrainRequest(recipe, clean, folder / "run-clean", members=["given"], device="cpu"))
        best = estimates(scores_of(Run.open(folder / "run-clean"), "given", truth), truth.positive, truth.group)["accuracy"]
        for kind, rate, share in [ROWS[int(row)] for row in given.rows.split(",")][: 1 if given.smoke else None]:
            values: dict[str, list[float]] = {name: [] for name in METHODS}
            pooled: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
            for seed in seeds:
                positive, verified = plant(truth, kind, rate, share, seed, kin)
                noisy = planted_store(store, folder / "noisy", positive, verified)
                train(TrainRequest(recipe, noisy, folder / "run", device="cpu"))
                for name in METHODS:
                    scores = scores_of(Run.open(folder / "run"), name, truth)
                    values[name].append(estimates(scores, truth.positive, truth.group)["accuracy"].value)
                    pooled[name].append(scores)
                shutil.rmtree(folder / "noisy")
                shutil.rmtree(folder / "run")
            bottom = float(np.mean(values["given"]))
            rows = []
            for name, title in METHODS.items():
                mean = float(np.mean(values[name]))
                # The interval is of the clips: each seed's scores of a clip count as scores of the same recording.
                every = estimates(
                    np.concatenate(pooled[name]), np.tile(truth.positive, (len(seeds), 1)), np.tile(truth.group, len(seeds))
                )["accuracy"]
                gap = (mean - bottom) / (best.value - bottom) if best.value > bottom else float("nan")
                shown = ", ".join(f"{value:.4f}" for value in values[name])
                rows.append(
                    (title, f"{mean:.4f}", f"{every.low:.3f}–{every.high:.3f}", shown, "–" if name == "given" else f"{gap:.0%}")
                )
            rows.append(("no wrong labels", f"{best.value:.4f}", f"{best.low:.3f}–{best.high:.3f}", f"{best.value:.4f}", "100%"))
            columns = ("", "accuracy", "95 % interval", f"seeds {', '.join(map(str, seeds))}", "of the gap")
            show(f"{rate:.0%} {kind}, {share:.0%} verified", columns, rows)


if __name__ == "__main__":
    main()
