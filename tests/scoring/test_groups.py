"""Which clips are scored together, against the slow rules and by hand (Akiyama & Sato §3.6)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.errors import RecipeError
from earmark.recipe import ScoringSettings
from earmark.scoring.groups import check_padding, check_views, length_groups, padding_of
from tests.reference import grouping

LENGTHS = st.lists(st.integers(1, 400), max_size=90) | st.lists(st.integers(1000, 1300), min_size=60, max_size=150, unique=True)


def bounds(patience: float, samples: int, clips: int = 10**6) -> ScoringSettings:
    return ScoringSettings(patience=patience, samples=samples, clips=clips)


def test_a_group_has_no_more_clips_than_the_settings_allow() -> None:
    groups = length_groups(np.full(7, 100), bounds(0.2, 10**9, clips=3))
    assert [len(group) for group in groups] == [3, 3, 1]


@given(LENGTHS, st.sampled_from([0.0, 0.01, 0.05, 0.2]), st.sampled_from([500, 5000, 10**9]), st.sampled_from([0, 70]))
def test_groups_are_those_of_the_slow_rules(lengths: list[int], patience: float, most: int, extra: int) -> None:
    groups = [group.tolist() for group in length_groups(np.array(lengths, np.int64), bounds(patience, most), extra)]
    assert groups == grouping.groups(lengths, patience, most, extra)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))  # every clip once
    for group in groups:
        own = [lengths[i] for i in group]
        assert max(own) <= min(own) * (1 + patience)  # with patience 0: all of one length
        assert len(own) == 1 or len(own) * (max(own) + extra) <= most


def count(lengths: np.ndarray, patience: float = 0.2, most: int = 10**9) -> int:
    return len(length_groups(lengths, bounds(patience, most)))


def test_the_rate_grows_only_while_there_are_more_than_60_groups_and_a_55th_of_the_clips() -> None:
    ten_apart = 10_000 + 10 * np.arange(200)
    assert count(ten_apart[:61]) == 61  # 60 + 61 / 55: few enough as they are
    assert count(ten_apart[:62]) == 6  # one too many: 1 % of 10,000 is ten steps, so that 11 go together
    assert count(ten_apart[:62], patience=0) == 62
    assert count(np.repeat(ten_apart[:61], 3)) == 61  # 183 clips: 63 groups would be few enough, too
    assert count(np.repeat(ten_apart[:64], 3)) == 6  # … but not 64 of 192
    a_quarter_apart = np.round(1000 * 1.25 ** np.arange(70)).astype(np.int64)
    assert count(a_quarter_apart) == 70  # no patience of 0.2 helps here


def test_the_bound_counts_the_longest_clip_for_each_of_its_group() -> None:
    lengths = np.array([100] * 15 + [101] * 30 + list(range(1100, 1730, 10)))
    groups = length_groups(lengths, bounds(0.2, 2005))
    assert [len(group) for group in groups[:3]] == [19, 19, 7]  # 15 of 100 and 5 of 101 are 2,005 samples, but 2,020 filled up
    assert max(len(group) * lengths[group].max() for group in groups) <= 2005


def test_the_rate_grows_in_steps_of_the_recipe() -> None:
    """Ten apart from 1,000 on: a rate of 3 % puts four clips together, one of 5 % six, one of 8 % nine."""
    lengths = 1000 + 10 * np.arange(12)

    def sizes(step: float, groups: int, patience: float = 0.2) -> list[int]:
        settings = ScoringSettings(patience=patience, patience_step=step, groups=groups, clips_per_group=10**9, samples=10**9)
        return [len(group) for group in length_groups(lengths, settings)]

    assert sizes(0.01, 3) == [4, 4, 4]
    assert sizes(0.05, 3) == [6, 6]  # the first step is 5 % already
    assert sizes(0.08, 2) == [9, 3]
    assert sizes(0.03, 1) == [12]  # 3, 6, 9, then 12 %
    assert sizes(0.07, 1, patience=0.1) == [8, 4]  # a second step would be above the patience
    assert sizes(0.2, 1, patience=0.1) == [1] * 12  # so would the first


@pytest.mark.parametrize(
    ("groups", "clips_per_group", "few"),
    [(6, 10**9, True), (5, 10**9, False), (5, 12, True), (5, 13, False), (4, 6, True), (4, 6.5, False), (1, 2.4, True)],
)
def test_as_many_groups_are_few_enough_as_the_recipe_says(groups: int, clips_per_group: float, few: bool) -> None:
    """Twelve clips of six lengths: few enough is groups + 12 / clips_per_group."""
    lengths = np.repeat(1000 + np.arange(6), 2)
    settings = ScoringSettings(patience=0.2, groups=groups, clips_per_group=clips_per_group, samples=10**9)
    assert len(length_groups(lengths, settings)) == (6 if few else 1)


def test_groups_begin_with_the_shortest_and_equals_keep_their_order() -> None:
    groups = length_groups(np.array([30, 10, 20, 10, 30, 10]), ScoringSettings())
    assert [group.tolist() for group in groups] == [[1, 3, 5], [2], [0, 4]]
    assert length_groups(np.array([], np.int64), ScoringSettings()) == []


def test_a_views_padding() -> None:
    assert [padding_of(view) for view in ("whole", "pad0", "pad8", "pad66650")] == [0, 0, 8, 66_650]


@pytest.mark.parametrize(
    ("views", "takes_vectors", "message"),
    [
        (["whole", "varied1"], False, "views varied1: nets that take sounds have whole and padN"),
        (["pad0", "varied1"], True, "views pad0: the front end embedding has whole and varied1"),
    ],
)
def test_views_that_a_net_does_not_know_are_refused(views: list[str], takes_vectors: bool, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_views(views, takes_vectors)
    check_views(["whole"], takes_vectors)
    check_views(["varied1"] if takes_vectors else ["pad8"], takes_vectors)


def test_views_of_hours_are_refused() -> None:
    check_padding(10_000, 256, 16000)
    with pytest.raises(RecipeError, match="view pad20000 adds 640 s of zeros; 600 s are the most"):
        check_padding(20_000, 256, 16000)
