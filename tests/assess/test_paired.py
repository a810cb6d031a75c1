"""The difference of two scorers: against loops that draw clips and rank them anew, brute force, and pairs whose truth is known."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from earmark.assess import paired
from earmark.assess.metrics import clip_sums
from earmark.assess.paired import difference, holm, swapped

pytestmark = pytest.mark.slow  # together they take seconds


def drawn_interval(value: Callable[[np.ndarray], float], group: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 % of what ``value(rows)`` gives for the clips of recordings that are drawn one by one."""
    rng, names = np.random.default_rng(99), np.unique(group)
    rows_of = [np.flatnonzero(group == name) for name in names]
    found = [value(np.concatenate([rows_of[i] for i in rng.integers(0, len(names), len(names))])) for _ in range(4000)]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def test_lwlrap_and_accuracy_agree_with_scikit_learn_and_a_loop() -> None:
    rng = np.random.default_rng(4)
    positive = rng.random((60, 5)) < 0.35
    positive[np.arange(60), rng.integers(0, 5, 60)] = True
    first = rng.random((60, 5))
    second = first + 0.5 * positive * rng.random((60, 5))
    group = np.sort(rng.integers(0, 25, 60)).astype(str)
    counts = positive.sum(axis=1)

    def of_clips(scores: np.ndarray) -> np.ndarray:
        rank = sklearn.metrics.label_ranking_average_precision_score
        return np.array([rank(positive[row : row + 1], scores[row : row + 1]) for row in range(60)])

    precision, other_precision = of_clips(first), of_clips(second)

    def gain(rows: np.ndarray) -> float:  # scikit-learn's lwlrap is the mean of clips weighted by their number of labels
        return float(np.average(other_precision[rows], weights=counts[rows]) - np.average(precision[rows], weights=counts[rows]))

    sums, other_sums = clip_sums(first, positive), clip_sums(second, positive)
    found = difference(sums[:, 4], other_sums[:, 4], sums[:, 5], group)
    assert found.first == pytest.approx(np.average(precision, weights=counts))
    assert found.value == pytest.approx(gain(np.arange(60))) == pytest.approx(found.second - found.first)
    assert (found.clips, found.groups) == (60, len(np.unique(group)))
    assert (found.low, found.high) == pytest.approx(drawn_interval(gain, group), abs=0.004)
    assert found.high - found.low > 0.05  # so that the tolerance says something

    right = [positive[np.arange(60), scores.argmax(axis=1)].astype(float) for scores in (first, second)]
    accuracy = difference(sums[:, 2], other_sums[:, 2], sums[:, 3], group)
    assert (accuracy.first, accuracy.second) == pytest.approx((right[0].mean(), right[1].mean()))
    ends = drawn_interval(lambda rows: float(right[1][rows].mean() - right[0][rows].mean()), group)
    assert (accuracy.low, accuracy.high) == pytest.approx(ends, abs=0.012)  # in steps of about 1/60


@pytest.mark.parametrize("alike", [0, 1 << 30])
def test_recordings_that_are_alike_may_be_drawn_together(alike: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to draw have the interval of the textbook: the standard error of a ratio, of many recordings of one to five clips."""
    monkeypatch.setattr(paired, "ALIKE", alike)  # 0: always together; so many: never
    rng = np.random.default_rng(9)
    group = np.repeat(np.arange(3000), rng.integers(1, 6, 3000))
    first, second = (rng.random(len(group)) < 0.1).astype(float), (rng.random(len(group)) < 0.9).astype(float)
    found = difference(first, second, np.ones(len(group)), group)
    gained, clips = np.bincount(group, second - first), np.bincount(group)
    error = np.sqrt(((gained - found.value * clips) ** 2).sum()) / clips.sum()
    assert (found.low, found.high) == pytest.approx((found.value - 1.96 * error, found.value + 1.96 * error), abs=0.25 * error)


@pytest.mark.parametrize("draws", [1, 50, 1 << 21])
def test_how_many_resamples_are_drawn_at_once_changes_nothing(draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    columns = rng.random(30), rng.random(30), np.ones(30), rng.integers(0, 9, 30)
    whole = difference(*columns)
    monkeypatch.setattr(paired, "BLOCK_DRAWS", draws)
    again = difference(*columns)
    assert (again.low, again.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_the_other_way_round_the_interval_is_turned_over() -> None:
    rng = np.random.default_rng(8)
    first, second = (rng.random(40) < 0.5).astype(float), (rng.random(40) < 0.7).astype(float)
    group = rng.integers(0, 30, 40)
    there, back = (difference(*pair, np.ones(40), group) for pair in ((first, second), (second, first)))
    assert (there.value, there.low, there.high, there.p) == (-back.value, -back.high, -back.low, back.p)
    assert there.value > 0 and (there.first, there.second) == (back.second, back.first)


def simulated(rng: np.random.Generator, groups: int, size: int, gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right and wrong guesses of two scorers, whose chances go with the recording; the second is right more often by ``gain``."""
    chance = rng.uniform(0.35, 0.55, groups).repeat(size)
    luck = rng.random(groups * size)
    first = (luck < chance).astype(float)
    # Recordings differ in which scorer does well on them, so that clips of one are no independent evidence.
    shift = rng.choice([-0.3, 0.3], groups).repeat(size) + gain
    second = (np.where(rng.random(groups * size) < 0.5, luck, rng.random(groups * size)) < chance + shift).astype(float)
    return first, second, np.arange(groups).repeat(size)


@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_19_of_20_intervals_hold_the_truth(gain: float) -> None:
    rng = np.random.default_rng(7)
    trials = 300
    within = alone = 0
    for _ in range(trials):
        first, second, group = simulated(rng, 80, 6, gain)
        ones = np.ones(len(first))
        found = difference(first, second, ones, group)
        within += found.low <= gain <= found.high
        blind = difference(first, second, ones, np.arange(len(first)))
        alone += blind.low <= gain <= blind.high
    assert 0.92 <= within / trials <= 0.98
    assert alone / trials < 0.9  # clips drawn one by one, as if they were independent


def test_equal_scorers_are_told_apart_in_5_of_100_cases_at_most() -> None:
    rng = np.random.default_rng(3)
    for groups in (8, 40, 200):
        alarms = 0
        for _ in range(300):
            first, second, group = simulated(rng, groups, 2, 0.0)
            found = difference(first, second, np.ones(len(first)), group)
            alarms += found.stands_out
        assert alarms / 300 < 0.09  # 5 %, and three standard errors of 300 trials


def test_all_swaps_of_few_recordings_are_counted() -> None:
    rng = np.random.default_rng(2)
    for count in (1, 2, 5, 9):
        gained = rng.normal(0.3, 1, count)
        sums = [abs(sum(s * g for s, g in zip(signs, gained, strict=True))) for signs in itertools.product((1, -1), repeat=count)]
        assert swapped(np.append(gained, np.zeros(4))) == pytest.approx(np.mean(np.array(sums) >= abs(gained.sum()) - 1e-9))
    assert swapped(np.ones(5)) == 2 / 32  # not even five that agree are enough
    assert swapped(np.zeros(0)) == 1


@pytest.mark.parametrize("count", [12, 17, 25, 60, 400])
def test_many_recordings_that_differ_by_one_clip_are_a_sign_test(count: int) -> None:
    for better in range(count // 2 + 1, count + 1):
        exact = scipy.stats.binomtest(better, count).pvalue
        ours = swapped(np.append(np.ones(better), -np.ones(count - better)))
        if count <= 16:
            assert ours == pytest.approx(exact)
        elif exact > 1e-3:
            assert exact * 0.99 <= ours <= exact * 1.6  # never surer than the exact test
        else:
            assert ours >= exact * 0.99


def test_uneven_recordings_agree_with_scipys_permutations() -> None:
    gained = np.random.default_rng(5).normal(0.15, 1, 80) ** 3
    theirs = scipy.stats.permutation_test(
        (gained,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    ).pvalue
    assert swapped(gained) == pytest.approx(theirs, abs=0.04)


def test_holm_rejects_what_stepping_down_rejects() -> None:
    rng = np.random.default_rng(6)
    for count in (1, 2, 7, 30):
        p = rng.random(count) ** 3
        corrected = holm(p.tolist())
        for level in (0.01, 0.05, 0.2):
            rejected = set()
            for place, test in enumerate(np.argsort(p)):  # the definition: stop at the first that is too large
                if p[test] > level / (count - place):
                    break
                rejected.add(int(test))
            assert {test for test, value in enumerate(corrected) if value <= level} == rejected
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_recordings_that_agree_are_no_evidence_if_they_are_few() -> None:
    """All resamples of three recordings that gain as much are alike; the interval alone would be sure."""
    found = difference(np.zeros(3), np.ones(3), np.ones(3), np.arange(3))
    assert (found.low, found.high, found.leaves_out_zero) == (1, 1, True)
    assert (found.p, found.differing, found.stands_out) == (0.25, 3, False)
    assert not difference(np.zeros(5), np.ones(5), np.ones(5), np.arange(5)).stands_out
    assert difference(np.zeros(6), np.ones(6), np.ones(6), np.arange(6)).stands_out
    # Twelve clips, but of the same three recordings.
    assert not difference(np.zeros(12), np.ones(12), np.ones(12), np.arange(12) % 3).stands_out
