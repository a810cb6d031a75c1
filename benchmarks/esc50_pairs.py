"""A multi-label data set with known wrong labels, made of ESC-50: what the 2019 system is tried on where its own data is not.

    python benchmarks/esc50_pairs.py ESC-50 OUT --clips 1000 --sample-rate 16000

Half of the clips are one ESC-50 clip, half are two of different classes added up at equal peak, the second from a random
moment on; a mixed clip has both labels. A clip's sources are of one side only (official folds 1, 2 against 3, 4, 5), so its
fold (0 or 1) never shares a recording with the other. A part of the clips is verified; of the others, a part gets wrong labels
by `earmark data corrupt --kind class` (each class is always taken for the same other one). Writes OUT/*.wav,
OUT/clean.csv and OUT/manifest.csv (with the truth in the column `true_labels`).
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import soundfile

from earmark import audio
from earmark.data.corrupt import corrupt
from earmark.data.manifest import Clip, write_manifest

SIDES = ({"1", "2"}, {"3", "4", "5"})
LEVEL = 0.5  # peak of a source in the mix
VERIFIED, NOISE = 0.4, 0.4


def read(path: Path, sample_rate: int) -> audio.Samples:
    samples, rate = audio.read(path)
    return audio.peak_normalised(audio.resample(audio.to_mono(samples), rate, sample_rate)) * LEVEL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("esc50", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--sample-rate", type=int, default=16000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with (options.esc50 / "esc50.csv").open() as file:
        rows = list(csv.DictReader(file))
    options.out.mkdir(parents=True, exist_ok=True)
    clips = []
    for fold, side in enumerate(SIDES):
        own = [row for row in rows if row["fold"] in side]
        classes = sorted({row["category"] for row in own})
        for number in range(options.clips // 2):
            # The first source goes round the classes, so that each has clips in both folds, verified ones and others.
            first = rng.choice([row for row in own if row["category"] == classes[number % len(classes)]])
            samples, labels = read(find(options.esc50, first), options.sample_rate), [first["category"]]
            if rng.random() < 0.5:
                second = rng.choice([row for row in own if row["category"] != first["category"]])
                other = read(find(options.esc50, second), options.sample_rate)
                moment = int(rng.integers(len(samples)))
                samples = np.pad(samples, (0, max(moment + len(other) - len(samples), 0)))
                samples[moment : moment + len(other)] += other
                labels.append(second["category"])
            name = f"{fold}-{number:04}.wav"
            soundfile.write(options.out / name, samples, options.sample_rate)
            verified = (number // len(classes)) % 5 < 5 * VERIFIED
            clips.append(Clip(name, tuple(sorted(labels)), verified=verified, fold=fold))
    write_manifest(options.out / "clean.csv", clips)
    write_manifest(options.out / "manifest.csv", corrupt(clips, "class", NOISE, options.seed))


def find(root: Path, row: dict[str, str]) -> Path:
    """The clip's file; ESC-50 is published as WAV and as Ogg, with the class folders or without."""
    return next(path for path in (root / "audio" / row["filename"], root / row["filename"], *root.rglob(row["filename"])) if path.is_file())


if __name__ == "__main__":
    main()
