"""Planting known label noise in a manifest, to measure how much it harms and what finds it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from earmark.data.manifest import Clip
from earmark.errors import ManifestError

KINDS = ("symmetric", "class", "vocabulary")
TRUTH = "true_labels"  # the column with the labels before noise was planted


def corrupt(clips: Sequence[Clip], kind: str, rate: float, seed: int) -> tuple[Clip, ...]:
    """Gives wrong labels to a share of the unverified, labelled training clips; the labels of verified clips never change.

    - ``symmetric``: one label of the clip becomes another class; all are equally likely.
    - ``class``: it becomes the partner of its class. Each class has one fixed partner, drawn once: the noise of annotators who
      cannot tell two sounds apart.
    - ``vocabulary``: the true class of the clip is not among the classes. Randomly drawn classes are removed until they have enough
      unverified clips. Some of these clips get the label of a remaining class; all other clips of the removed classes are dropped.

    Args:
        clips: the clips of a manifest.
        kind: one of `KINDS`.
        rate: share of the unverified, labelled clips whose label is wrong in the end, 0..1; rounded to whole clips.
        seed: the same seed plants the same noise.

    Returns:
        The clips in the same order, each with the column ``true_labels``, a tuple of labels.

    Raises:
        ManifestError: an argument is wrong, no clip is unverified, there are too few classes, or noise was planted before.
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
    unverified = [i for i, clip in enumerate(clips) if not clip.verified and clip.labels and clip.split == "train"]
    if not unverified:
        raise ManifestError(where, ["no unverified, labelled training clip to corrupt (column verified = 0)"])
    rng = np.random.default_rng(seed)
    marked = [replace(clip, extra={**clip.extra, TRUTH: clip.labels}) for clip in clips]
    wrong_count = round(rate * len(unverified))
    if kind == "vocabulary":
        return _out_of_vocabulary(marked, classes, unverified, rate, rng)
    partner = _partners(classes, rng)
    for i in rng.choice(unverified, size=wrong_count, replace=False):
        labels = list(marked[i].labels)
        place = int(rng.integers(len(labels)))
        others = [name for name in classes if name not in labels]
        if not others:
            raise ManifestError(where, [f"{marked[i].clip_id!r} has every class: no label of it can be made wrong"])
        wrong_label = partner[labels[place]]
        labels[place] = wrong_label if kind == "class" and wrong_label in others else str(rng.choice(others))
        marked[i] = replace(marked[i], labels=tuple(labels))
    return tuple(marked)


def _partners(classes: Sequence[str], rng: np.random.Generator) -> dict[str, str]:
    """A partner for each class: the next class on a circle of all classes in random order."""
    circle = [classes[i] for i in rng.permutation(len(classes))]
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))


def _out_of_vocabulary(
    clips: Sequence[Clip], classes: Sequence[str], unverified: Sequence[int], rate: float, rng: np.random.Generator
) -> tuple[Clip, ...]:
    removed: set[str] = set()
    candidates: list[int] = []  # clips of removed classes only
    wrong_count = 0
    for name in rng.permutation(classes):
        kept_count = sum(removed.isdisjoint(clips[i].labels) for i in unverified)
        # wrong_count / (kept_count + wrong_count) is the rate
        wrong_count = round(rate * kept_count / (1 - rate)) if rate < 1 else len(unverified)
        if len(candidates) >= wrong_count:
            break
        removed.add(str(name))
        candidates = [i for i in unverified if removed.issuperset(clips[i].labels)]
    remaining = [name for name in classes if name not in removed]
    if len(remaining) < 2:
        raise ManifestError("corrupt", ["the rate is too high: fewer than two classes would be left in the vocabulary"])
    mislabelled = {int(i) for i in rng.choice(candidates, size=wrong_count, replace=False)} if wrong_count else set()
    result = []
    for i, clip in enumerate(clips):
        if i in mislabelled:
            result.append(replace(clip, labels=(str(rng.choice(remaining)),)))
        elif not removed.intersection(clip.labels):
            result.append(clip)
    return tuple(result)
