from collections import Counter, defaultdict

import numpy as np
import pytest

from earmark.data.folds import assign_folds, split_groups
from earmark.data.manifest import NO_FOLD, Clip
from tests.reference.folds import assign


def random_clips(seed: int, count: int = 90, groups: int = 30) -> list[Clip]:
    rng = np.random.default_rng(seed)
    names = ["bark", "bell", "drum", "rain"]
    return [
        Clip(
            f"{i}.wav",
            tuple(sorted(rng.choice(names, rng.integers(0, 3), replace=False).tolist())),
            verified=bool(rng.random() < 0.4),
            group=f"g{rng.integers(groups)}",
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_folds_agree_with_the_slow_assignment(seed: int) -> None:
    clips = random_clips(seed)
    names = sorted({clip.group for clip in clips})
    size = Counter(clip.group for clip in clips)
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    order = sorted(shuffled, key=lambda name: -size[name])
    expected = assign(clips, [0, 1, 2], order)
    assert [clip.fold for clip in assign_folds(clips, 3, seed)] == [expected[clip.group] for clip in clips]


def test_groups_stay_together_and_labels_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    clips = [Clip(f"{i}.wav", (f"c{i % 8}",), verified=i % 3 == 0, group=f"g{rng.integers(400)}") for i in range(800)]
    assigned = assign_folds(clips, 5, seed=0)
    assert split_groups(assigned) == []
    table: dict[tuple[str, bool], Counter[int | None]] = defaultdict(Counter)
    for clip in assigned:
        table[clip.labels[0], clip.verified][clip.fold] += 1
    for counts in table.values():  # 33 or 67 clips a stratum: 7 or 13 a fold
        assert max(counts.values()) - min(counts[f] for f in range(5)) <= 4


def test_published_folds_win_and_the_rest_joins_its_group() -> None:
    clips = [Clip("a", ("x",), fold=3, group="g"), Clip("b", ("x",), group="g"), Clip("c", ("x",), fold=4, group="h")]
    assert [clip.fold for clip in assign_folds(clips, 5, seed=0)] == [3, 3, 4]


def test_test_clips_have_no_fold_and_split_groups_are_named() -> None:
    clips = [Clip("a", ("x",), fold=1, group="g"), Clip("b", ("x",), fold=2, group="g"), Clip("t", ("x",), split="test")]
    assigned = assign_folds(clips, 5, seed=0)
    assert assigned[2].fold == NO_FOLD
    assert split_groups(assigned) == ["g"]


def test_the_same_seed_gives_the_same_folds() -> None:
    clips = random_clips(9)
    assert assign_folds(clips, 5, 1) == assign_folds(clips, 5, 1)
