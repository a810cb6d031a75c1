"""Promises of how many labels are wrong, on clips with known truth."""

from collections import Counter

import numpy as np
import pytest

from earmark.assess import promise as module
from earmark.assess.audit import judge
from earmark.assess.doubt import ClassNoiseModel, LabelNoiseModel
from earmark.assess.promise import DRAWS, Calibration, WrongDraws, calibrate, draw_wrong
from tests.assess.worlds import World, world

pytestmark = pytest.mark.slow  # together they take seconds

FIRSTS = (50, 100, 200)
TABLE = np.array([[0.8, 0.2], [0.3, 0.7]])
NOTHING = np.zeros((0, 2)), np.zeros((0, 2), bool), np.zeros(0, str)


def kept(worlds: list[World]) -> Counter[int]:
    """In how many worlds the interval of the first clips holds the true number."""
    hits: Counter[int] = Counter()
    for made in worlds:
        judged = judge(made.clips, [made.guesses])
        wrong = made.wrong[judged.order]
        for promise in judged.draws.promises(FIRSTS):
            hits[promise.first] += promise.low <= wrong[: promise.first].sum() <= promise.high
    return hits


@pytest.fixture
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less exact, and fast."""
    monkeypatch.setattr(module, "DRAWS", 100)
    monkeypatch.setattr(module, "PLANTED", 4000)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [0.2, 0.5])
@pytest.mark.usefixtures("fewer_draws")
def test_nine_of_ten_intervals_hold_the_true_number(wrong: float) -> None:
    """A judge that is surer of itself than it should be; two clips of five are verified."""
    hits = kept([world(800, 6, 0.4, wrong, seed, sure=1.5) for seed in range(30)])
    assert sum(hits.values()) >= 0.9 * 30 * len(FIRSTS), hits


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_draws")
def test_with_few_or_no_verified_clips_intervals_are_wide_and_hold_it_too() -> None:
    for verified in (0.02, 0.0):
        worlds = [world(600, 6, verified, 0.4, seed) for seed in range(15)]
        assert sum(kept(worlds).values()) >= 0.85 * 15 * len(FIRSTS)
    checked, unchecked = (judge(made.clips, [made.guesses]).draws for made in (world(600, 6, 0.4, 0.4, 0), worlds[0]))
    (narrow,), (wide,) = checked.promises([100]), unchecked.promises([100])
    assert wide.high - wide.low > narrow.high - narrow.low


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_draws")
def test_with_several_labels_a_swapped_label_is_one_wrong_clip() -> None:
    hits = kept([world(800, 6, 0.4, 0.4, seed, several=True) for seed in range(15)])
    assert sum(hits.values()) >= 0.85 * 15 * len(FIRSTS), hits


def test_probabilities_are_as_often_right_as_they_say() -> None:
    made = world(6000, 5, 0.4, 0.3, seed=1, sure=2.0)
    judged = judge(made.clips, [made.guesses])
    probability, wrong = judged.draws.probability, made.wrong[judged.order]
    for low, high in ((0.05, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.95)):
        chosen = (probability >= low) & (probability < high)
        deviation = np.sqrt(chosen.sum() * 0.25)
        assert chosen.sum() > 50 and abs(wrong[chosen].sum() - probability[chosen].sum()) < 3 * deviation
    assert abs(wrong.sum() - probability.sum()) < 0.1 * wrong.sum()


def test_without_verified_clips_doubt_is_taken_as_it_is() -> None:
    probability = np.random.default_rng(0).random(500)
    made = calibrate(*NOTHING, ClassNoiseModel(TABLE), exclusive=True, probability=probability)
    assert (made.shift, made.slope) == (0.0, 1.0) and len(made.shifts) == len(made.slopes) == DRAWS
    assert 0.4 < made.shifts.std() < 0.6 and 0.35 < made.slopes.std() < 0.6  # four clips' trust: a deviation of a half
    assert (made.slopes > 0).all()


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_scores_that_tell_all_apart_or_mislead_do_not_explode(exclusive: bool, right: bool) -> None:
    """Three verified clips or three hundred, of which the judge is quite sure, rightly or wrongly."""
    noise = ClassNoiseModel(TABLE) if exclusive else LabelNoiseModel(np.array([0.8, 0.7]), np.array([0.1, 0.2]))
    for clips in (1, 3, 300):
        truth = np.eye(2, dtype=bool)[np.arange(clips) % 2]
        guesses = (truth if right else ~truth).astype(np.float32)
        group = np.array([f"g{i}" for i in range(clips)])
        made = calibrate(guesses, truth, group, noise, exclusive, np.full(50, 0.3))
        assert np.isfinite([made.shift, made.slope]).all() and abs(made.shift) < 20 and 0 < made.slope < 5
        assert np.isfinite(made.shifts).all() and (np.abs(made.slopes) < 5).all()


def test_calibration_finds_the_logistic_curve_that_scikit_learn_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(module, "TRUST", 1e-6)
    rng = np.random.default_rng(4)
    doubts = rng.normal(size=(1, 3000)) * 3
    wrong = (rng.random(doubts.shape) < 1 / (1 + np.exp(-(0.7 + 0.4 * doubts)))).astype(float)
    weight = rng.integers(0, 3, 3000).astype(float)[None]
    shift, slope = module._fitted(doubts, wrong, weight, (0.0, 1.0))
    other = LogisticRegression(C=np.inf, tol=1e-10).fit(doubts.T, wrong[0], sample_weight=weight[0])
    assert shift == pytest.approx(float(other.intercept_[0]), abs=1e-3)
    assert slope == pytest.approx(float(other.coef_[0, 0]), abs=1e-3)


def test_recordings_are_drawn_whole() -> None:
    """Ten copies of each clip say no more than the clips: the intervals stay as wide."""
    made = world(60, 2, 1.0, 0.0, seed=5, clear=1.0)
    again = np.repeat(np.arange(60), 10)
    noise, probability = ClassNoiseModel(TABLE), np.full(10_000, 0.3) + np.tile([0.3, -0.3], 5000)
    group = np.array([f"g{i}" for i in range(60)])
    few = calibrate(made.guesses, made.truth, group, noise, True, probability)
    copies = calibrate(made.guesses[again], made.truth[again], group[again], noise, True, probability)
    alone = calibrate(made.guesses[again], made.truth[again], np.arange(600).astype(str), noise, True, probability)
    assert copies.shifts.std() > 1.5 * alone.shifts.std()
    assert copies.shifts.std() > 0.5 * few.shifts.std()


def test_many_verified_clips_are_not_all_planted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(400, 2, 1.0, 0.0, seed=6)
    group, probability, noise = made.clips.group, np.full(50, 0.3), ClassNoiseModel(TABLE)
    monkeypatch.setattr(module, "MOST_CLIPS", 200)
    some = calibrate(made.guesses, made.truth, group, noise, True, probability)
    half = calibrate(made.guesses[::2], made.truth[::2], group[::2], noise, True, probability)
    assert (some.shift, some.slope) == (half.shift, half.slope)


def test_promises_count_draws_and_add_up_probabilities() -> None:
    wrong = np.array([[True, True, False, False], [True, False, False, True], [True, False, True, True]])
    draws = WrongDraws(wrong, np.array([0.9, 0.5, 0.4, 0.3]))
    made = draws.promises([4, 1, 3])
    assert [(promise.first, promise.low, promise.high) for promise in made] == [(1, 1, 1), (3, 1, 2), (4, 2, 3)]
    np.testing.assert_allclose([promise.wrong for promise in made], [0.9, 1.8, 2.1])
    assert draws.share(np.array([0, 1])) == (pytest.approx(0.7), 0.5, 1.0)
    assert np.isnan(draws.share(np.zeros(0, np.int64))).all()
    assert draws.promises([]) == []


def test_draws_are_the_same_each_time_and_as_often_wrong_as_probable() -> None:
    doubts = np.array([3.0, 0.5, 0.0, -2.0])
    calibration = Calibration(0.5, 1.0, np.full(DRAWS, 0.5), np.ones(DRAWS))
    draws = draw_wrong(doubts, calibration)
    np.testing.assert_allclose(draws.probability, 1 / (1 + np.exp(-0.5 - doubts)))
    np.testing.assert_allclose(draws.wrong.mean(axis=0), draws.probability, atol=0.075)  # three deviations of 400 draws
    np.testing.assert_array_equal(draw_wrong(doubts, calibration).wrong, draws.wrong)
    assert draw_wrong(np.zeros(0), calibration).wrong.shape == (DRAWS, 0)
