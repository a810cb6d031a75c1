"""Planting known label noise in a manifest, to measure what it does and what finds it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from earmark.data.manifest import Clip
from earmark.errors import ManifestError

KINDS = ("symmetric", "class", "vocabulary")
TRUTH = "true_labels"  # the column that keeps what the labels were


def corrupt(clips: Sequence[Clip], kind: str, rate: float, seed: int, label_separator: str = ",") -> tuple[Clip, ...]:
    """Gives wrong labels to a share of the unverified, labelled training clips; verified ones are never touched.

    - ``symmetric``: one label of the clip becomes any other class, all equally likely.
    - ``class``: it becomes the class that its own class is always taken for (one fixed partner each, drawn once): the noise
      of annotators who cannot tell two sounds apart.
    - ``vocabulary``: the clip's true class is not in the vocabulary at all. Classes drawn at random leave it until their
      unverified clips suffice; the clips chosen of those get a class that is left, the others of those classes are dropped.

    Args:
        clips: of a manifest.
        kind: one of `KINDS`.
        rate: 0..1, the share of the unverified, labelled clips that are wrong in the end (rounded to whole clips).
        seed: the same seed plants the same noise.
        label_separator: between the labels in the column of the truth.

    Returns:
        Clips in the same order, each with the column ``true_labels``.

    Raises:
        ManifestError: nothing is unverified, there are too few classes, or the columns say that noise was planted before.
    """
    where = "corrupt"
    if kind not in KINDS:
        raise ManifestError(where, [f"no kind {kind!r}; there are {', '.join(KINDS)}"])
    if not 0 <= rate <= 1:
        raise ManifestError(where, [f"rate {rate:g} is not between 0 and 1"])
    if any(TRUTH in clip.extra for clip in clips):
        raise ManifestError(where, [f"there is a column {TRUTH!r} already: noise was planted in these labels before"])
    classes = sorted({label for clip in clips for label in clip.labels})
    if len(classes) < 2:
        raise ManifestError(where, ["two classes are needed"])
    open_to_it = [i for i, clip in enumerate(clips) if not clip.verified and clip.labels and clip.split == "train"]
    if not open_to_it:
        raise ManifestError(where, ["no unverified, labelled training clip to corrupt (column verified = 0)"])
    rng = np.random.default_rng(seed)
    marked = [replace(clip, extra={**clip.extra, TRUTH: label_separator.join(clip.labels)}) for clip in clips]
    wrong = round(rate * len(open_to_it))
    if kind == "vocabulary":
        return _out_of_vocabulary(marked, classes, open_to_it, rate, rng)
    partner = _partners(classes, rng)
    for i in rng.choice(open_to_it, size=wrong, replace=False):
        labels = list(marked[i].labels)
        place = int(rng.integers(len(labels)))
        others = [name for name in classes if name not in labels]
        if not others:
            raise ManifestError(where, [f"{marked[i].clip_id!r} has every class: no label of it can be made wrong"])
        takes = partner[labels[place]]
        labels[place] = takes if kind == "class" and takes in others else str(rng.choice(others))
        marked[i] = replace(marked[i], labels=tuple(labels))
    return tuple(marked)


def _partners(classes: Sequence[str], rng: np.random.Generator) -> dict[str, str]:
    """One other class for each: the next one around a random circle."""
    circle = [classes[i] for i in rng.permutation(len(classes))]
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))


def _out_of_vocabulary(
    clips: Sequence[Clip], classes: Sequence[str], open_to_it: Sequence[int], rate: float, rng: np.random.Generator
) -> tuple[Clip, ...]:
    gone: set[str] = set()
    outside: list[int] = []
    wrong = 0
    for name in rng.permutation(classes):
        kept = sum(gone.isdisjoint(clips[i].labels) for i in open_to_it)
        wrong = round(rate * kept / (1 - rate)) if rate < 1 else len(open_to_it)  # wrong / (kept + wrong) is the rate
        if len(outside) >= wrong:
            break
        gone.add(str(name))
        outside = [i for i in open_to_it if gone.issuperset(clips[i].labels)]
    left = [name for name in classes if name not in gone]
    if len(left) < 2:
        raise ManifestError("corrupt", ["the rate is too high: fewer than two classes would be left in the vocabulary"])
    taken = {int(i) for i in rng.choice(outside, size=wrong, replace=False)} if wrong else set()
    found = []
    for i, clip in enumerate(clips):
        if i in taken:
            found.append(replace(clip, labels=(str(rng.choice(left)),)))
        elif not gone.intersection(clip.labels):
            found.append(clip)
    return tuple(found)
