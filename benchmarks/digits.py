"""Spoken digits with wrong labels, without a pre-trained model: `quick` on the built-in statistics, `tiny`, and a logistic regression.

    python benchmarks/digits.py [--root DIR] [--folds 0,1]

Ten words in 20 voices of espeak-ng, 2,000 clips; 35 % of the clips are verified, 30 % of the others have a wrong label. A voice is
whole in a fold: every clip is scored by nets that never heard its speaker, and held against its true label. Needs the command
espeak-ng, or its library: `pip install espeakng-loader`.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
from label_noise import smoke_store
from measure import RATE, show
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spoken import render_words, speaker

from earmark.assess.joined import Joined, out_of_fold
from earmark.data.clips import load_clips
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

TAKES = 10
VERIFIED, WRONG = 0.35, 0.3
COEFFICIENTS = 20
SMOKE = {
    "quick": ["members.*.schedule=[{batches: 4, rate: 1.0e-3}]", "members.*.validation.every=4", "members.*.batch.size=8"],
    "tiny": [
        "members.*.schedule=[{batches: 2, rate: 1.0e-3}]",
        "members.*.validation.every=2",
        "members.*.batch.clips_per_class=1",
        "members.*.backbone.growth=[4, 4, 4, 4, 4]",
    ],
}


def digits_store(root: Path, seed: int) -> Store:
    """The store of the spoken digits of a seed, in a folder of its own; what is there already stays."""
    root /= f"seed-{seed}"
    if not (root / "manifest.csv").exists():
        speak = speaker()
        if speak is None:
            sys.exit("digits: needs the command espeak-ng, or its library: pip install espeakng-loader")
        render_words(speak, root, TAKES, seed)
    return prepare(read_manifest(root / "manifest.csv"), "benchmark", root / "store", [RATE]).store


def by_recipe(name: str, store: Store, truth: ClipTable, out: Path, folds: Sequence[int], sets: Sequence[str]) -> Joined:
    """The out-of-fold scores of a built-in recipe, with the right labels."""
    train(TrainRequest(resolve_models(load_recipe(name, sets)), store, out, folds=folds, device="cpu"))
    return out_of_fold(Run.open(out), truth).main


def by_regression(store: Store, truth: ClipTable, folds: Sequence[int]) -> Joined:
    """Those of a logistic regression on the mean and deviation of MFCC, taught by the verified clips."""
    clips = load_clips(store, RATE)
    features = []
    for number in range(len(clips)):
        mfcc = librosa.feature.mfcc(y=clips.samples(number), sr=RATE, n_mfcc=COEFFICIENTS)
        features.append(np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)]))
    vectors, given = np.stack(features), clips.positive.argmax(axis=1)
    scores = np.zeros(clips.positive.shape, np.float32)
    for fold in folds:
        learned, scored = (clips.fold != fold) & clips.verified, clips.fold == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(vectors[learned], given[learned])
        scores[np.ix_(scored, model.classes_)] = model.predict_proba(vectors[scored])
    return Joined(truth, scores).chosen(np.isin(clips.fold, folds))


def main() -> None:
    warnings.simplefilter("ignore", EarmarkWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="keeps the rendered clips in this folder")
    parser.add_argument("--folds", help="numbers with commas between them; all five by default")
    parser.add_argument("--seed", type=int, default=2, help="of the clips and of the wrong labels")
    parser.add_argument("--smoke", action="store_true", help="a few sounds: shows that it runs, measures nothing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = smoke_store(folder) if given.smoke else digits_store(given.root or folder / "digits", given.seed)
        truth = load_table(store)
        noisy = planted_store(store, folder / "noisy", *plant(truth, "symmetric", WRONG, VERIFIED, given.seed))
        folds = sorted(set(truth.fold.tolist())) if given.folds is None else [int(fold) for fold in given.folds.split(",")]

        def recipe(name: str) -> Callable[[], Joined]:
            return lambda: by_recipe(name, noisy, truth, folder / name, folds, SMOKE[name] if given.smoke else [])

        methods = {
            "`quick` on the built-in statistics": recipe("quick"),
            "`tiny`": recipe("tiny"),
            "logistic regression on MFCC, verified clips only": lambda: by_regression(noisy, truth, folds),
        }
        rows = []
        for title, method in methods.items():
            begun = time.perf_counter()
            scored = method()
            seconds = time.perf_counter() - begun
            figures = scored.estimates()
            assert figures is not None
            figure = figures["accuracy"]
            rows.append((title, f"{figure.value:.4f}", f"{figure.low:.3f}–{figure.high:.3f}", f"{seconds:.0f}"))
        of = f"{figure.clips:,} clips, {len(set(scored.clips.group))} voices, seed {given.seed}"
        title = f"Spoken digits: {of}; {VERIFIED:.0%} verified, {WRONG:.0%} of the others wrong"
        show(title, ("", "accuracy", "95 % interval", "seconds"), rows)


if __name__ == "__main__":
    main()
