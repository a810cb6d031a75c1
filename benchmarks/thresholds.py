"""What calibration and thresholds are worth on new clips: F1 with `auto`, reached against wished precision, how sure scores are.

    earmark prepare esc50 ESC-50 --out STORE --sample-rate 32000
    python benchmarks/thresholds.py STORE --embedding MODEL.onnx --kin ESC-50/esc50.csv --out FOLDER

Wrong labels are planted among clips that are taken for unverified. One official fold at a time is left out altogether: nets learn from
the four others, and the temperature and the thresholds are chosen on the out-of-fold scores of their verified clips, as at the end of every
run. What comes of them is measured twice, on clips that they were not chosen on and whose right labels are known: on the fold that was left
out, scored as a bundle scores it, by all nets together; and on the unverified clips, scored out of fold. Side by side, they show
whether a bundle is surer than its nets are alone. Isotonic regression, of all classes together, is what a temperature is held against. FOLDER gets reliability.svg.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from label_noise import SMOKE, kin_of
from measure import RATE, options, show
from sklearn.isotonic import IsotonicRegression

from earmark.assess.evaluate import evaluate_test
from earmark.assess.joined import out_of_fold
from earmark.assess.metrics import values
from earmark.assess.reliability import calibration_error, draw_reliability, reliability
from earmark.assess.thresholds import WISHES, choose_thresholds, fit_temperature, measured
from earmark.data.manifest import read_manifest, write_manifest
from earmark.data.models import resolve_models
from earmark.data.plant import Protocol, plant, planted_store
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.synth import render_clips
from earmark.data.table import load_table
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import read_predictions
from earmark.tagging.thresholds import class_thresholds, tempered
from earmark.training.train import TrainRequest, train_nets

SURE = 0.05  # a class falls short whose precision is so much lower than wished
OFTEN = 10  # labels given, of a class that is asked whether it falls short


@dataclass(frozen=True)
class Part:
    """Clips that neither temperature nor thresholds were chosen on: raw ``scores`` ``[N, K]``, and the right labels ``[N, K]``."""

    scores: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Result:
    """What one fold gives: raw scores and labels of the clips to choose on, and the clips to measure on, by what they are."""

    known: Part
    parts: dict[str, Part]
    exclusive: bool


def learned(recipe: Recipe, store: Store, protocol: Protocol, kin: np.ndarray, fold: int, seed: int, scratch: Path) -> Result:
    """Trains on all folds but one, with planted labels."""
    truth = load_table(store)
    positive, verified = plant(truth, protocol.kind, protocol.rate, protocol.verified, seed, kin)
    away = truth.fold == fold
    positive[away], verified[away] = truth.positive[away], True
    noisy = planted_store(store, scratch / f"store-{fold}-{seed}", positive, verified, away)
    out = scratch / f"run-{fold}-{seed}"
    run = train_nets(TrainRequest(recipe, noisy, out, device="cpu"))
    joined = out_of_fold(run, load_table(noisy)).main
    evaluate_test(run, noisy)
    _, blocks = read_predictions(out / "test.parquet")
    row_of = {clip: row for row, clip in enumerate(truth.clip_id.tolist())}
    right = truth.positive[[row_of[clip] for clip in joined.clips.clip_id.tolist()]]
    new = truth.positive[[row_of[clip] for clip in blocks[0].clip_id.tolist()]]
    known = joined.clips.verified
    return Result(
        Part(joined.scores[known], joined.clips.positive[known]),
        {"left-out fold": Part(blocks[0].scores, new), "unverified clips": Part(joined.scores[~known], right[~known])},
        bool(np.allclose(joined.scores.sum(axis=1), 1, atol=1e-3)),
    )


def smoke_store(folder: Path) -> Store:
    """Rendered sounds in three folds."""
    sounds = folder / "sounds"
    sounds.mkdir()
    write_manifest(sounds / "manifest.csv", render_clips(sounds, 18, 1.0, 3, seed=0))
    return prepare(read_manifest(sounds / "manifest.csv"), "benchmark", folder / "store", [RATE]).store


def isotonic(known: Part, scores: np.ndarray) -> np.ndarray:
    """Scores that isotonic regression of all scores and labels of the clips to choose on makes of raw scores."""
    fitted = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(known.scores.ravel(), known.truth.ravel())
    return fitted.predict(scores.ravel()).reshape(scores.shape)


def log_loss(scores: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(np.maximum((scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-9))[truth], 1e-6)).mean())


def joint(parts: list[Part]) -> Part:
    return Part(np.concatenate([part.scores for part in parts]), np.concatenate([part.truth for part in parts]))


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--recipe", default="quick", help="whose nets learn")
    parser.add_argument("--embedding", type=Path)
    parser.add_argument("--kin", type=Path, help="esc50.csv, for the super-categories")
    parser.add_argument("--protocol", default="related:0.4:0.39", help="KIND:RATE:VERIFIED of the planted labels")
    parser.add_argument("--folds", default="1,2,3,4,5", help="left out one after the other")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--out", type=Path, help="a folder for the diagrams")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = smoke_store(Path(scratch)) if given.smoke else Store.open(given.root)
        recipe = resolve_models(load_recipe(given.recipe, [*given.set, *(SMOKE if given.smoke else [])]), given.embedding)
        kin, protocol = kin_of(store.labels, given.kin), Protocol.parse(given.protocol)
        folds = [0] if given.smoke else [int(fold) for fold in given.folds.split(",")]
        results = [
            learned(recipe, store, protocol, kin, fold, int(seed), Path(scratch))
            for fold in folds
            for seed in given.seeds.split(",")
        ]
        fitted = [fit_temperature(result.known.scores, result.known.truth, result.exclusive) for result in results]
        pictures = {}
        for name in ("left-out fold", "unverified clips"):
            ways: dict[str, list[Part]] = {"as the nets give them": [], "temperature": [], "isotonic regression": []}
            wished: dict[str, list[tuple[np.ndarray, np.ndarray, int]]] = {}
            best = []
            for result, temperature in zip(results, fitted, strict=True):
                raw, truth = result.parts[name].scores, result.parts[name].truth
                scores = tempered(raw, temperature, result.exclusive)
                best.append(fit_temperature(raw, truth, result.exclusive))
                ways["as the nets give them"].append(Part(raw, truth))
                ways["temperature"].append(Part(scores, truth))
                ways["isotonic regression"].append(Part(isotonic(result.known, raw), truth))
                wished.setdefault("0.5, as the nets give them", []).append((raw >= 0.5, truth, 0))
                wished.setdefault("0.5, calibrated", []).append((scores >= 0.5, truth, 0))
                known = tempered(result.known.scores, temperature, result.exclusive)
                chosen = choose_thresholds(known, result.known.truth)
                for wish in (None, *WISHES):
                    from_here = class_thresholds(chosen, wish)
                    row = (scores >= from_here, truth, int(np.isinf(from_here).sum()))
                    wished.setdefault("auto" if wish is None else f"precision:{wish}", []).append(row)
            rows = []
            for way, parts in ways.items():
                part = joint(parts)
                bins, figures = reliability(part.scores, part.truth), values(part.scores, part.truth)
                if way != "isotonic regression":
                    pictures[f"{name}: {'before' if way.startswith('as') else 'after'}"] = bins
                ties = float(
                    np.mean([len(np.unique(row[row > row.max() / 100])) < (row > row.max() / 100).sum() for row in part.scores])
                )
                rows.append(
                    (way, f"{calibration_error(bins):.4f}", f"{log_loss(part.scores, part.truth):.3f}", f"{figures['accuracy']:.4f}",
                     f"{figures['map@3']:.4f}", f"{ties:.0%}")
                )  # fmt: skip
            columns = ("scores", "expected calibration error", "log loss", "accuracy", "MAP@3", "clips with ties")
            title = f"How sure scores are: {name}; temperature {np.mean(fitted):.3f}, best here {np.mean(best):.3f}"
            show(title, columns, rows)
            rows = []
            for wish, tagged in wished.items():
                labels, truth = np.concatenate([row[0] for row in tagged]), np.concatenate([row[1] for row in tagged])
                came = measured(None, labels, truth)
                right, often = (labels & truth).sum(axis=0), labels.sum(axis=0)
                macro = float(np.mean(2 * right / np.maximum(often + truth.sum(axis=0), 1)))
                goal = float(wish.partition(":")[2]) if ":" in wish else 0.0
                asked = often >= OFTEN
                short = (right[asked] / often[asked] < goal - SURE).sum()
                rows.append(
                    (wish, f"{came.precision or 0:.3f}", f"{came.recall:.3f}", f"{came.f1:.4f}", f"{macro:.4f}", f"{came.tagged:.1%}",
                     f"{np.mean([row[2] for row in tagged]):.1f}", f"{short} of {asked.sum()}" if goal else "–")
                )  # fmt: skip
            columns = ("threshold", "labels right", "labels found", "F1", "F1, mean of the classes", "clips with a label",
                       "classes never given", f"classes more than {SURE} short")  # fmt: skip
            show(f"Labels given: {name}", columns, rows)
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / "reliability.svg").write_text(draw_reliability(pictures), encoding="utf-8")


if __name__ == "__main__":
    main()
