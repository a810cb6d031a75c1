"""A multi-label data set with known wrong labels, made of ESC-50, to try the 2019 system on without its own data.

    python benchmarks/esc50_pairs.py ESC-50 OUT --sample-rate 16000

Every ESC-50 clip is used once. Half of the new clips are one ESC-50 clip; half are two clips of different classes, added at equal
peak, the second from a random moment on, with both labels. Official folds 1 and 2 become fold 0, folds 3 and 4
fold 1, fold 5 the test split. In each, two fifths of the *recordings* make verified clips, the others unverified clips, so
that with `unverified: all` no net is trained on a recording that it is scored on. Two fifths of the unverified clips then get a wrong label
(`earmark data corrupt --kind class`: each class is always mistaken for the same other class). Writes OUT/*.wav, OUT/manifest.csv (with
the truth in the column `true_labels`), and OUT/clean.csv, whose labels are all right and all verified, for `earmark noise` to plant
wrong ones in: see pairs.yaml.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from earmark import audio
from earmark.data.corrupt import corrupt
from earmark.data.manifest import Clip, write_manifest

SIDES = (("train", 0, {"1", "2"}), ("train", 1, {"3", "4"}), ("test", None, {"5"}))  # split, fold, official folds
LEVEL = 0.5  # peak of each ESC-50 clip in the mix
VERIFIED, NOISE = 0.4, 0.4  # share of verified recordings, share of wrong labels


def read(path: Path, sample_rate: int) -> audio.Samples:
    """The samples of a file at a sample rate, mono, with the peak `LEVEL`."""
    samples, rate = audio.read(path)
    return audio.peak_normalised(audio.resample(audio.to_mono(samples), rate, sample_rate)) * LEVEL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("esc50", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sample-rate", type=int, default=16000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with (options.esc50 / "esc50.csv").open() as file:
        rows = list(csv.DictReader(file))
    options.out.mkdir(parents=True, exist_ok=True)
    clips = []
    for split, fold, official in SIDES:
        side_rows = [row for row in rows if row["fold"] in official]
        for verified in (True,) if split == "test" else (True, False):
            pool = {name: sources(rng, side_rows, name, verified, split) for name in sorted({row["category"] for row in side_rows})}
            while any(pool.values()):
                # The classes with the most sources left come first, so that all are used up together.
                first = pop(rng, pool, None)
                samples, labels = read(find(options.esc50, first), options.sample_rate), [first["category"]]
                if rng.random() < 0.5 and any(left for name, left in pool.items() if name != first["category"]):
                    second = pop(rng, pool, first["category"])
                    added = read(find(options.esc50, second), options.sample_rate)
                    moment = int(rng.integers(len(samples)))
                    samples = np.pad(samples, (0, max(moment + len(added) - len(samples), 0)))
                    samples[moment : moment + len(added)] += added
                    labels.append(second["category"])
                name = f"{split}-{len(clips):04}.wav"
                soundfile.write(options.out / name, samples, options.sample_rate)
                clips.append(Clip(name, tuple(sorted(labels)), verified, fold, first["src_file"], split))
    write_manifest(options.out / "clean.csv", [replace(clip, verified=True) for clip in clips])
    write_manifest(options.out / "manifest.csv", corrupt(clips, "class", NOISE, options.seed))


def sources(rng: np.random.Generator, rows: list[dict[str, str]], name: str, verified: bool, split: str) -> list[dict[str, str]]:
    """The sources of a class for verified or for unverified clips, in random order; clips of a recording stay together."""
    class_rows = [row for row in rows if row["category"] == name]
    recordings = sorted({row["src_file"] for row in class_rows})
    checked = set(recordings[: max(round(VERIFIED * len(recordings)), 1)]) if split == "train" else set(recordings)
    chosen = [row for row in class_rows if (row["src_file"] in checked) == verified]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def pop(rng: np.random.Generator, pool: dict[str, list[dict[str, str]]], excluded: str | None) -> dict[str, str]:
    """Takes a source of one of the classes that have the most left; never of the class ``excluded``."""
    most = max(len(left) for name, left in pool.items() if name != excluded)
    return pool[rng.choice([name for name, left in pool.items() if name != excluded and len(left) == most])].pop()


def find(root: Path, row: dict[str, str]) -> Path:
    """The file of a clip; ESC-50 is published as WAV and as Ogg, with class folders and without."""
    return next(
        path for path in (root / "audio" / row["filename"], root / row["filename"], *root.rglob(row["filename"])) if path.is_file()
    )


if __name__ == "__main__":
    main()
