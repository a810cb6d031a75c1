"""What wrong labels do to a tagger, and what each method gets back: `earmark noise` in four rows.

    earmark prepare esc50 ESC-50 --out STORE --sample-rate 32000
    python benchmarks/label_noise.py STORE --embedding MODEL.onnx --kin ESC-50/esc50.csv

Wrong labels are planted among clips that are taken for unverified; the official folds; every clip is scored by nets that never heard its
recording, and held against its true label. With --recipe the net is another one, such as benchmarks/label-noise-scratch.yaml. With
--without-fold 1 --seeds 101, settings can be compared on what no reported figure is measured on.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np
from measure import RATE, options, rendered, show

from earmark.console import tell
from earmark.data.manifest import read_manifest
from earmark.data.models import resolve_models
from earmark.data.plant import Protocol, planted_store
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.labels import LabelSet
from earmark.recipe import load_recipe
from earmark.training.noise import NoiseRequest, NoiseTable, measure_noise

ROWS = (
    Protocol("symmetric", 0.2, 0.39),
    Protocol("related", 0.4, 0.39),
    Protocol("symmetric", 0.6, 0.1),
    Protocol("related", 0.6, 0.1),
)
SMOKE = ["members.*.schedule=[{batches: 4, rate: 1.0e-3}]", "members.*.validation.every=4", "members.*.batch.size=8"]


def kin_of(labels: LabelSet, table: Path | None) -> np.ndarray:
    """The super-category of each class: tens of the targets in ``esc50.csv``; without a table, halves of the classes."""
    if table is None:
        return np.arange(len(labels)) * 2 // len(labels)
    with table.open(encoding="utf-8", newline="") as file:
        targets = {row["category"]: int(row["target"]) // 10 for row in csv.DictReader(file)}
    return np.array([targets[name] for name in labels.names])


def show_table(result: NoiseTable, seeds: list[int]) -> None:
    """Prints the table of one row."""
    table, rows = result.table, []
    for row in table.rows:
        figure, share = table.figure(row), table.recovered(row)
        assert figure is not None
        interval = f"{figure['low']:.3f}–{figure['high']:.3f}"
        by_seed = ", ".join(f"{value:.4f}" for value in result.by_seed[row.name])
        rows.append((row.name, f"{figure['value']:.4f}", interval, by_seed, "–" if share is None else f"{share:.0%}"))
    columns = ("", table.metric, "95 % interval", f"seeds {', '.join(map(str, seeds))}", "of the gap")
    show(table.title, columns, rows)


def smoke_store(folder: Path) -> Store:
    return prepare(read_manifest(rendered(folder / "sounds", per_kind=12)), "benchmark", folder / "store", [RATE]).store


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--recipe", default="quick", help="whose net learns")
    parser.add_argument("--embedding", type=Path)
    parser.add_argument("--kin", type=Path, help="esc50.csv, for the super-categories")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rows", default="0,1,2,3")
    parser.add_argument("--without-fold", type=int, help="a fold to leave out altogether, where settings are to be chosen")
    parser.add_argument("--methods", help="names with commas between them")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--out", type=Path, help="a folder to go on in after a stop; by default a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = smoke_store(Path(scratch)) if given.smoke else Store.open(given.root)
        if given.without_fold is not None:
            truth = load_table(store)
            store = planted_store(
                store, Path(scratch) / "inner", truth.positive, truth.verified, truth.test | (truth.fold == given.without_fold)
            )
        recipe = resolve_models(load_recipe(given.recipe, [*given.set, *(SMOKE if given.smoke else [])]), given.embedding)
        seeds = [1] if given.smoke else [int(seed) for seed in given.seeds.split(",")]
        request = NoiseRequest(
            recipe,
            store,
            given.out or Path(scratch) / "noise",
            (Protocol("related", 0.5, 0.5),) if given.smoke else tuple(ROWS[int(row)] for row in given.rows.split(",")),
            seeds,
            given.methods.split(",") if given.methods else None,
            kin=kin_of(store.labels, given.kin),
            device="cpu",
        )
        for result in measure_noise(request, tell):
            show_table(result, seeds)


if __name__ == "__main__":
    main()
