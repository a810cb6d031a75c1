"""How well an audit finds wrong and missing labels where clips have several.

    python benchmarks/esc50_pairs.py ESC-50 PAIRS --sample-rate 32000
    earmark prepare manifest PAIRS/clean.csv --out STORE --sample-rate 32000
    python benchmarks/audit_pairs.py STORE --embedding MODEL.onnx

Two fifths of the training clips stay verified. Of the others, a share has a label that does not belong, in the place of its own or besides
it, and of those with two labels the same share lacks one. What is ranked is single statements: given labels (is it wrong?) and labels that
are not given (does it belong?). Beside the audit stand the guesses that it rests on, and those of regressions that learned from all labels
as they are given, by folds.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure import RATE, options, rendered, show
from sklearn.metrics import average_precision_score

from earmark.assess.audit import judge
from earmark.data.embeddings import load_inputs
from earmark.data.manifest import read_manifest, write_manifest
from earmark.data.models import resolve_models
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.recipe import load_recipe
from earmark.training.cross_fit import cross_fitted

VERIFIED = 0.4  # share of the clips
RATE_OF_EACH = 0.2  # of the unverified clips: replaced, added, and of those with two labels dropped
SEEDS = (1, 2, 3)


def planted(truth: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels with faults, bool ``[N, K]``, and whether each clip is verified."""
    rng = np.random.default_rng(seed)
    verified = np.zeros(len(truth), bool)
    verified[rng.permutation(len(truth))[: round(VERIFIED * len(truth))]] = True
    positive = truth.copy()
    for row in np.flatnonzero(~verified):
        chance = rng.random()
        own, others = np.flatnonzero(truth[row]), np.flatnonzero(~truth[row])
        if chance < 2 * RATE_OF_EACH:
            positive[row, rng.choice(others)] = True
            if chance < RATE_OF_EACH:
                positive[row, rng.choice(own)] = False
        elif chance < 3 * RATE_OF_EACH and len(own) > 1:
            positive[row, rng.choice(own)] = False
    return positive, verified


def main() -> None:
    parser = options(__doc__, "a store")
    parser.add_argument("--embedding", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if given.smoke:
            manifest = rendered(Path(scratch) / "sounds", per_kind=8)
            clips = list(read_manifest(manifest).clips)
            names = sorted({label for clip in clips for label in clip.labels})
            paired = [
                replace(clip, labels=tuple(sorted({*clip.labels, names[number % len(names)]}))) for number, clip in enumerate(clips)
            ]
            write_manifest(manifest, paired)
            store = prepare(read_manifest(manifest), "benchmark", Path(scratch) / "store", [RATE]).store
        else:
            store = Store.open(given.root)
        recipe = resolve_models(load_recipe("quick"), given.embedding)
        inputs = load_inputs(store, next(iter(recipe.members.values())))
        assert inputs.vectors is not None
        training = ~inputs.test
        clips_there, vectors, truth = inputs[training], inputs.vectors[training], inputs.positive[training]
        found: dict[str, list[list[float]]] = {}
        for seed in SEEDS[:1] if given.smoke else SEEDS:
            positive, verified = planted(truth, seed)
            noisy = replace(clips_there, positive=positive, verified=verified)
            guesses = cross_fitted(noisy, vectors)
            as_given = cross_fitted(replace(noisy, verified=np.ones(len(noisy), bool)), vectors)
            for name, probable in (
                ("audit", judge(noisy, [guesses]).probable),
                ("the audit's guesses", guesses),
                ("all labels as given", as_given),
            ):
                wrong, missing = positive & ~truth, truth & ~positive
                given_labels, other_labels = positive & ~verified[:, None], ~positive & ~verified[:, None]
                found.setdefault(name, []).append(
                    [
                        average_precision_score(wrong[given_labels], 1 - probable[given_labels]),
                        average_precision_score(missing[other_labels], probable[other_labels]),
                    ]
                )
        rows = [
            (name, *(f"{value:.3f}" for value in np.mean(values, axis=0)), "; ".join(f"{a:.3f}, {b:.3f}" for a, b in values))
            for name, values in found.items()
        ]
        show("Wrong and missing labels", ("", "average precision, wrong", "average precision, missing", "seeds"), rows)


if __name__ == "__main__":
    main()
