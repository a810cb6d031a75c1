"""What hearing the first clips of an audit's list brings: wrong labels met, and the accuracy after training again.

    earmark prepare esc50 ESC-50 --out STORE --sample-rate 16000,32000
    python benchmarks/audit_loop.py STORE --embedding MODEL.onnx --kin ESC-50/esc50.csv

Wrong labels are planted as in audit.py. A listener who is never mistaken hears the first clips of the list, or as many in random order; what
is heard gets its right label and counts as verified. Then the recipe learns again. All clips are scored by nets that never heard their
recording, and held against their right labels; differences are paired.
"""

import tempfile
from pathlib import Path

import numpy as np
from audit import ROWS, planted
from label_noise import SMOKE, kin_of, smoke_store
from measure import options, show

from earmark.assess.audit import judge
from earmark.assess.joined import out_of_fold
from earmark.assess.paired import difference
from earmark.data.models import resolve_models
from earmark.data.plant import planted_store
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.recipe import Recipe, load_recipe
from earmark.runs.run import Run
from earmark.training.judges import gather_judges
from earmark.training.train import TrainRequest, train_nets

HEARD = (100, 200, 400)
SMOKE_HEARD = (4,)


def learned(recipe: Recipe, store: Store, out: Path, truth: np.ndarray) -> tuple[Run, np.ndarray]:
    """A run, and whether its ensemble's best guess at each clip of the store is right, ``[N]``."""
    run = train_nets(TrainRequest(recipe, store, out, device="cpu"))
    clips = load_table(store)
    joined = out_of_fold(run, clips).main
    row_of = {clip: row for row, clip in enumerate(clips.clip_id.tolist())}
    right = np.zeros(len(clips))
    rows = [row_of[clip] for clip in joined.clips.clip_id.tolist()]
    right[rows] = truth[rows, joined.scores.argmax(axis=1)]
    return run, right


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--embedding", type=Path)
    parser.add_argument("--kin", type=Path, help="esc50.csv, for the super-categories")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rows", default="0,1,2")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = smoke_store(folder) if given.smoke else Store.open(given.root)
        kin = kin_of(store.labels, given.kin)
        recipe = resolve_models(load_recipe(given.recipe, SMOKE if given.smoke else []), given.embedding)
        seeds = [1] if given.smoke else [int(seed) for seed in given.seeds.split(",")]
        truth = load_table(store)
        for row in [1] if given.smoke else map(int, given.rows.split(",")):
            before, after = [], {}
            for seed in seeds:
                planting = planted(store, folder / "planted", *ROWS[row], kin, seed)
                run, right = learned(recipe, planting.store, folder / f"run-{row}-{seed}", truth.positive)
                before.append(right)
                judges = gather_judges(run, planting.store)
                clips = load_table(planting.store)
                listed = clips.clip_id.searchsorted(judges.clips.clip_id, sorter=np.argsort(clips.clip_id))
                listed = np.argsort(clips.clip_id)[listed][judge(judges.clips, judges.guesses).order]
                orders = {"the audit's order": listed, "random order": np.random.default_rng(seed).permutation(listed)}
                for count in SMOKE_HEARD if given.smoke else HEARD:
                    for name, order in orders.items():
                        heard, positive, verified = order[:count], clips.positive.copy(), clips.verified.copy()
                        positive[heard], verified[heard] = truth.positive[heard], True
                        corrected = planted_store(planting.store, folder / "corrected", positive, verified)
                        out = folder / f"again-{row}-{seed}-{count}-{name[:3]}"
                        met = planting.wrong[heard].mean()
                        after.setdefault((count, name), []).append((met, learned(recipe, corrected, out, truth.positive)[1]))
            show_table(ROWS[row][0].title, seeds, before, after, np.tile(truth.group, len(seeds)))


def show_table(title: str, seeds: list[int], before: list, after: dict, group: np.ndarray) -> None:
    """Prints the table of one row: pooled over the seeds, and intervals over recordings."""
    start, ones = np.concatenate(before), np.ones(len(group))
    rows = [("before", "–", f"{start.mean():.4f}", "–", "–")]
    for (count, name), parts in after.items():
        end = np.concatenate([right for _, right in parts])
        gain = difference(start, end, ones, group)
        gained = f"{100 * gain.value:+.2f} ({100 * gain.low:+.2f} to {100 * gain.high:+.2f})"
        against = "–"
        if name == "the audit's order":
            other = np.concatenate([right for _, right in after[count, "random order"]])
            better = difference(other, end, ones, group)
            against = f"{100 * better.value:+.2f} ({100 * better.low:+.2f} to {100 * better.high:+.2f})"
        met = np.mean([share for share, _ in parts])
        rows.append((f"{count} heard, {name}", f"{met:.2f}", f"{end.mean():.4f}", gained, against))
    columns = ("", "wrong labels a clip heard", "accuracy", "points above before", "points above random order")
    show(f"{title}; seeds {', '.join(map(str, seeds))}", columns, rows)


if __name__ == "__main__":
    main()
