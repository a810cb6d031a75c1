"""Making cross-validation folds: the clips of a recording stay in one fold, and every label is spread evenly."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from earmark.data.manifest import NO_FOLD, Clip


def assign_folds(clips: Sequence[Clip], count: int, seed: int) -> tuple[Clip, ...]:
    """Gives a fold to every training clip that has none; published folds stay.

    Whole groups are assigned, the largest first (groups of equal size in a seeded order), each to the fold in which its labels are
    rarest. That is the fold with the smallest Σ, over the strata of the group's clips, of (clips of the stratum in the fold ÷ clips
    of the stratum in all folds). A stratum is a label together with the verified flag. Of equal folds, the one with the fewest
    clips gets the group, then the one with the lowest number. A group that has a clip with a published fold goes to that fold.

    Args:
        clips: all clips, of both splits.
        count: number of folds to make, numbered from 0; if clips have published folds, those are used instead.
        seed: seed of the order of groups of equal size.

    Returns:
        The clips in the same order; test clips have the fold `NO_FOLD`.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    published = sorted({clip.fold for clip in clips if clip.split == "train" and clip.fold is not None})
    folds = published or list(range(count))
    total: Counter[tuple[str, bool]] = Counter()
    in_fold: dict[int, Counter[tuple[str, bool]]] = {fold: Counter() for fold in folds}
    size = dict.fromkeys(folds, 0)
    published_fold: dict[str, int] = {}  # by group
    for i, clip in enumerate(clips):
        if clip.split != "train":
            continue
        total.update(_strata(clip))
        if clip.fold is None:
            groups[clip.group].append(i)
        else:
            in_fold[clip.fold].update(_strata(clip))
            size[clip.fold] += 1
            published_fold.setdefault(clip.group, clip.fold)
    fold_of: dict[int, int] = {}
    names = sorted(groups)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    for name in sorted((names[i] for i in shuffled), key=lambda name: -len(groups[name])):
        strata = Counter(stratum for i in groups[name] for stratum in _strata(clips[i]))
        chosen = published_fold.get(name)
        if chosen is None:
            crowding = {f: sum(n * in_fold[f][s] / total[s] for s, n in strata.items()) for f in folds}
            chosen = min(folds, key=lambda f: (round(crowding[f], 9), size[f], f))
        in_fold[chosen].update(strata)
        size[chosen] += len(groups[name])
        fold_of.update(dict.fromkeys(groups[name], chosen))
    return tuple(
        replace(clip, fold=NO_FOLD if clip.split != "train" else fold_of.get(i, clip.fold)) for i, clip in enumerate(clips)
    )


def split_groups(clips: Sequence[Clip]) -> list[str]:
    """The names of the groups whose training clips are in more than one fold."""
    folds: dict[str, set[int | None]] = defaultdict(set)
    for clip in clips:
        if clip.split == "train":
            folds[clip.group].add(clip.fold)
    return sorted(name for name, group_folds in folds.items() if len(group_folds) > 1)


def _strata(clip: Clip) -> list[tuple[str, bool]]:
    return [(label, clip.verified) for label in clip.labels or ("",)]
