"""Cross-validation folds that keep a recording together and spread every label evenly."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from earmark.data.manifest import NO_FOLD, Clip


def assign_folds(clips: Sequence[Clip], count: int, seed: int) -> tuple[Clip, ...]:
    """Gives every training clip a fold; those that have one keep it.

    Whole groups go, the largest first (equal sizes in a seeded order), each to the fold where its labels are scarcest:
    the one with the least Σ over its strata of (clips there already ÷ clips in all), a stratum being a label together with
    the verified flag. Of equal folds the one with the fewest clips takes it, then the lowest.

    Args:
        clips: of both splits.
        count: folds to make, numbered from 0; where the clips name folds already, those are the folds.
        seed: of the order of groups of equal size.

    Returns:
        The clips in the same order; test clips have `NO_FOLD`.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    published = sorted({clip.fold for clip in clips if clip.split == "train" and clip.fold is not None})
    folds = published or list(range(count))
    total: Counter[tuple[str, bool]] = Counter()
    there: dict[int, Counter[tuple[str, bool]]] = {fold: Counter() for fold in folds}
    size = dict.fromkeys(folds, 0)
    home: dict[str, int] = {}  # of groups that have a clip with a published fold
    for i, clip in enumerate(clips):
        if clip.split != "train":
            continue
        total.update(_strata(clip))
        if clip.fold is None:
            groups[clip.group].append(i)
        else:
            there[clip.fold].update(_strata(clip))
            size[clip.fold] += 1
            home.setdefault(clip.group, clip.fold)
    fold_of: dict[int, int] = {}
    names = sorted(groups)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    for name in sorted((names[i] for i in shuffled), key=lambda name: -len(groups[name])):
        strata = Counter(stratum for i in groups[name] for stratum in _strata(clips[i]))
        chosen = home.get(name)
        if chosen is None:
            crowding = {f: sum(n * there[f][s] / total[s] for s, n in strata.items()) for f in folds}
            chosen = min(folds, key=lambda f: (round(crowding[f], 9), size[f], f))
        there[chosen].update(strata)
        size[chosen] += len(groups[name])
        fold_of.update(dict.fromkeys(groups[name], chosen))
    return tuple(
        replace(clip, fold=NO_FOLD if clip.split != "train" else fold_of.get(i, clip.fold)) for i, clip in enumerate(clips)
    )


def split_groups(clips: Sequence[Clip]) -> list[str]:
    """The groups whose training clips lie in more than one fold."""
    folds: dict[str, set[int | None]] = defaultdict(set)
    for clip in clips:
        if clip.split == "train":
            folds[clip.group].add(clip.fold)
    return sorted(name for name, there in folds.items() if len(there) > 1)


def _strata(clip: Clip) -> list[tuple[str, bool]]:
    return [(label, clip.verified) for label in clip.labels or ("",)]
