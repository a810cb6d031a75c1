"""Temperature and thresholds, held against scipy, scikit-learn and worlds in which the precision is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.metrics import f1_score, precision_score, recall_score

from earmark.assess import thresholds as module
from earmark.assess.joined import Joined
from earmark.assess.thresholds import FEWEST, PRECISIONS, choose_thresholds, fit_temperature, measured, trust_of
from earmark.data.table import ClipTable
from earmark.labels import LabelSet
from earmark.tagging.thresholds import class_thresholds, tempered

Array = np.ndarray[Any, Any]


def world(seed: int, clips: int, signal: Array, sure: float = 1.0) -> tuple[Array, Array]:
    """Scores of clips with one label each, and the labels: the label's log score is higher by the class's signal.

    Args:
        seed: of the clips.
        clips: number of clips.
        signal: of each class, ``[K]``.
        sure: what the log scores are multiplied by.
    """
    rng, classes = np.random.default_rng(seed), len(signal)
    label = rng.integers(classes, size=clips)
    logs = rng.normal(0, 1, (clips, classes))
    logs[np.arange(clips), label] += signal[label]
    return softmax(logs * sure, axis=1).astype(np.float32), np.eye(classes, dtype=bool)[label]


def joined(scores: Array, positive: Array, **columns: Array) -> Joined:
    count = len(scores)
    names = np.array([f"{number:05}.wav" for number in range(count)])
    yes, no = np.ones(count, bool), np.zeros(count, bool)
    table = ClipTable(
        LabelSet(tuple(f"label {k}" for k in range(scores.shape[1]))),
        names,
        positive,
        yes,
        np.zeros(count, np.int64),
        no,
        yes,
        names,
        names,
    )
    return Joined(replace(table, **columns), scores)


@pytest.mark.parametrize("sure", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_likeliest_one(sure: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRUST", 0.0)
    scores, positive = world(0, 600, np.full(8, 2.0), sure)
    scores = np.maximum(scores, 1e-12)

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(np.log(scores.astype(float)) / np.exp(log_temperature), axis=1)[positive].mean())

    expected = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}).x)
    assert fit_temperature(scores, positive, exclusive=True) == pytest.approx(expected, rel=1e-4)
    assert fit_temperature(scores, positive, exclusive=True) == pytest.approx(
        sure / 2, rel=0.15
    )  # 2: the true log odds in this world


def test_the_temperature_of_scores_that_do_not_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    odds = rng.normal(-1, 2, (800, 5))
    positive = rng.random(odds.shape) < expit(odds)
    scores = expit(2.5 * odds).astype(np.float32)
    assert fit_temperature(scores, positive, exclusive=False) == pytest.approx(2.5, rel=0.08)
    monkeypatch.setattr(module, "TRUST", 0.0)
    exact = logit(np.clip(scores.astype(float), 1e-20, 1 - 1e-16))

    def loss(log_temperature: float) -> float:
        divided = exact / np.exp(log_temperature)
        return float(np.logaddexp(0, np.where(positive, -divided, divided)).mean())

    expected = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}).x)
    assert fit_temperature(scores, positive, exclusive=False) == pytest.approx(expected, rel=1e-3)


def test_labels_that_are_all_right_do_not_make_the_scores_endlessly_sure() -> None:
    _, positive = world(0, 60, np.full(4, 1.0))
    scores = np.where(positive, 0.7, 0.1).astype(np.float32)
    assert 0.1 < fit_temperature(scores, positive, exclusive=True) < 0.7
    hopeless = np.where(positive, 0.1, 0.3).astype(np.float32)
    assert 1.5 < fit_temperature(hopeless, positive, exclusive=True) <= 20


def test_several_labels_of_a_clip_and_none_of_these_count_in_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRUST", 0.0)
    scores = np.array([[0.6, 0.3, 0.1]] * 100, np.float32)
    several = np.tile([[True, True, False]], (100, 1))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(np.log(scores[0].astype(float)) / np.exp(log_temperature))[:2].mean())

    expected = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    assert fit_temperature(scores, several, exclusive=True) == pytest.approx(expected, rel=1e-3)
    assert fit_temperature(scores, np.zeros((100, 3), bool), exclusive=True) == pytest.approx(20, rel=1e-3)  # all classes alike


def test_with_clips_enough_the_threshold_of_f1_is_the_best_there_is() -> None:
    scores, positive = world(3, 8_000, np.array([1.0, 2.0, 3.0, 4.0]))
    chosen = class_thresholds(choose_thresholds(scores, positive), None)
    for k in range(4):
        best = max(f1_score(positive[:, k], scores[:, k] >= t) for t in np.linspace(0.04, 0.96, 24))
        assert f1_score(positive[:, k], scores[:, k] >= chosen[k]) > best - 0.003


@pytest.mark.parametrize("per_class", [10, 40])
def test_a_wished_precision_is_reached_on_new_clips(per_class: int) -> None:
    """By all classes together always; by nearly every class nearly, though their scores mean different things."""
    reached: dict[float, list[float]] = {0.8: [], 0.9: []}
    short: list[bool] = []
    for seed in range(6):
        signal = np.random.default_rng(seed).normal(4, 1, 20).clip(1)
        scores, positive = world(seed, 20 * per_class, signal, 2.0)
        new, truth = world(1000 + seed, 10_000, signal, 2.0)
        chosen = choose_thresholds(scores, positive)
        for wish, values in reached.items():
            given = new >= class_thresholds(chosen, wish)
            values.append(float(truth[given].mean()))
            often = given.sum(axis=0) > 30
            short += ((given & truth).sum(axis=0) / given.sum(axis=0).clip(1) < wish - 0.08)[often].tolist()
    assert np.mean(reached[0.8]) > 0.8 and np.mean(reached[0.9]) > 0.9
    assert min(reached[0.8]) > 0.78 and min(reached[0.9]) > 0.88
    assert np.mean(reached[0.8]) < 0.9 and np.mean(reached[0.9]) < 0.96, "far too careful"
    assert np.mean(short) < 0.06


def test_a_wished_precision_is_reached_where_clips_have_several_labels() -> None:
    rng = np.random.default_rng(20)
    shift = rng.normal(-2, 0.7, 15)

    def clips(count: int) -> tuple[Array, Array]:
        odds = rng.normal(shift, 2.5, (count, 15))
        return expit(odds / 2).astype(np.float32), rng.random(odds.shape) < expit(odds)

    reached = []
    for _ in range(5):
        scores, positive = clips(400)
        temperature = fit_temperature(scores, positive, exclusive=False)
        chosen = choose_thresholds(tempered(scores, temperature, False), positive)
        new, truth = clips(5000)
        reached.append([truth[tempered(new, temperature, False) >= class_thresholds(chosen, wish)].mean() for wish in (0.7, 0.9)])
    assert (np.mean(reached, axis=0) > (0.7, 0.9)).all()
    assert (np.mean(reached, axis=0) < (0.78, 0.96)).all(), "far too careful"


def test_with_few_clips_a_class_has_the_thresholds_of_all_and_with_many_its_own() -> None:
    few, many = world(5, 60, np.full(10, 4.0)), world(5, 30_000, np.full(10, 4.0))
    for scores, _ in (few, many):
        scores[:, -1] **= 0.25  # the scores of the last class say more than they know
    of_few, of_many = (class_thresholds(choose_thresholds(*part), 0.9) for part in (few, many))
    assert of_many[-1] == pytest.approx(of_many[0] ** 0.25, abs=0.04)
    assert of_many[-1] - of_many[0] > 0.3
    assert of_few[-1] - of_few[0] < (of_many[-1] - of_many[0]) / 2
    assert np.ptp(of_many[:-1]) < np.ptp(of_few[:-1]) + 0.1


def test_a_class_that_cannot_be_as_precise_is_given_to_no_clip() -> None:
    rng = np.random.default_rng(7)
    scores, positive = world(7, 4000, np.array([6.0, 6.0, 6.0]))
    blind = np.concatenate([scores, rng.random((4000, 1)).astype(np.float32)], axis=1)  # a class whose scores mean nothing
    labels = np.concatenate([positive, rng.random((4000, 1)) < 0.3], axis=1)
    chosen = choose_thresholds(blind, labels)
    assert np.isinf(class_thresholds(chosen, 0.9)).tolist() == [False, False, False, True]
    assert chosen.scores[3][PRECISIONS.index(0.2)] is not None
    assert not np.isinf(class_thresholds(chosen, None)).any()


def test_a_higher_precision_never_has_a_lower_threshold_and_no_clip_is_needed_of_a_class() -> None:
    scores, positive = world(8, 200, np.full(6, 3.0))
    positive[:, 5] = False
    chosen = choose_thresholds(scores, positive)
    rows = [class_thresholds(chosen, precision) for precision in PRECISIONS]
    assert (np.diff(np.nan_to_num(rows, posinf=2.0), axis=0) >= 0).all()
    assert 0 < chosen.f1[5] < 1
    assert chosen.clips == 200


def test_counts_are_those_of_a_slow_count() -> None:
    scores, positive = world(9, 50, np.full(4, 2.0))
    scores = np.round(scores, 2)  # equal scores
    candidates = np.array([0.05, 0.2, 0.31, 0.9], np.float32)
    given, right = module._counts(scores, positive, candidates)
    for place, score in enumerate(candidates):
        assert given[place].tolist() == (scores >= score).sum(axis=0).tolist()
        assert right[place].tolist() == ((scores >= score) & positive).sum(axis=0).tolist()


def test_what_came_of_a_wish_is_what_scikit_learn_counts() -> None:
    scores, positive = world(10, 300, np.full(5, 2.0))
    given = scores >= 0.4
    kept = measured(0.9, given, positive, 2)
    assert kept.precision == pytest.approx(precision_score(positive, given, average="micro"))
    assert kept.recall == pytest.approx(recall_score(positive, given, average="micro"))
    assert kept.f1 == pytest.approx(f1_score(positive, given, average="micro"))
    assert kept.tagged == pytest.approx((given.sum(axis=1) > 0).mean())
    nothing = measured(None, np.zeros_like(given), positive)
    assert (nothing.precision, nothing.recall, nothing.tagged) == (None, 0.0, 0.0)


def test_only_verified_training_clips_whose_labels_are_known_count() -> None:
    scores, positive = world(11, 400, np.full(5, 3.0), 2.0)
    half = np.arange(400) < 200
    alone = trust_of(joined(scores[half], positive[half]), exclusive=True)
    wrong = np.where(half[:, None], positive, ~positive)
    for column in ({"verified": half}, {"scored": half}, {"test": ~half}):
        trust = trust_of(joined(scores, wrong, **column), exclusive=True)
        assert (trust.calibration, trust.thresholds, trust.kept) == (alone.calibration, alone.thresholds, alone.kept)
    assert alone.calibration is not None and alone.calibration.clips == 200


def test_too_few_verified_clips_say_nothing() -> None:
    scores, positive = world(12, FEWEST, np.full(3, 3.0))
    assert trust_of(joined(scores, positive), exclusive=True).thresholds is not None
    fewer = trust_of(joined(scores[1:], positive[1:]), exclusive=True)
    assert (fewer.calibration, fewer.thresholds, fewer.kept) == (None, None, ())
    assert trust_of(joined(scores, np.zeros_like(positive)), exclusive=True).thresholds is None


def test_what_is_kept_is_measured_on_recordings_that_thresholds_were_not_chosen_on() -> None:
    """Scores that know nothing of their recordings: on those that they were chosen on, thresholds look far better."""
    rng = np.random.default_rng(13)
    group = np.repeat([f"recording {number}" for number in range(30)], 10)
    scores = rng.random((300, 3)).astype(np.float32)
    positive = np.repeat(rng.random((30, 3)) < 0.2, 10, axis=0)
    positive[:, 0] |= ~positive.any(axis=1)
    trust = trust_of(joined(scores, positive, group=group), exclusive=False)
    assert trust.calibration is not None and trust.thresholds is not None
    auto = trust.kept[0]
    assert auto.wish is None and [kept.wish for kept in trust.kept[1:]] == [0.5, 0.7, 0.8, 0.9, 0.95]
    same = measured(
        None, tempered(scores, trust.calibration.temperature, False) >= class_thresholds(trust.thresholds, None), positive
    )
    assert auto.f1 <= same.f1
    assert [counts.clips for counts in trust.classes] == positive.sum(axis=0).tolist()
    assert auto.precision == pytest.approx(sum(row.right for row in trust.classes) / sum(row.given for row in trust.classes))
    few = trust_of(joined(scores, positive, group=np.repeat(["a", "b", "c"], 100)), exclusive=False)
    assert few.thresholds is not None and few.kept == () and few.classes == ()
