"""Doubt about labels: by hand, and how often drawn labels go wrong."""

import numpy as np
import pytest

from earmark.assess import doubt as module
from earmark.assess.doubt import SURE, ClassNoiseModel, LabelNoiseModel, doubt, estimate_noise


def test_posterior_and_doubt_of_one_label_are_bayes_by_hand() -> None:
    table = np.array([[0.8, 0.2, 0.0001], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]])
    guesses, given = np.array([[0.5, 0.3, 0.2]], np.float32), np.array([[False, True, False]])
    probable = ClassNoiseModel(table).probable(guesses, given)
    by_hand = np.array([0.5 * 0.2, 0.3 * 0.8, 0.2 * 0.1]) / (0.5 * 0.2 + 0.3 * 0.8 + 0.2 * 0.1)
    np.testing.assert_allclose(probable, [by_hand], rtol=1e-6)
    np.testing.assert_allclose(doubt(probable, given, exclusive=True), [np.log((by_hand[0] + by_hand[2]) / by_hand[1])], rtol=1e-5)


def test_posterior_and_doubt_of_several_labels_are_bayes_by_hand() -> None:
    model = LabelNoiseModel(where=np.array([0.9, 0.6, 0.8]), elsewhere=np.array([0.05, 0.1, 0.01]))
    guesses, given = np.array([[0.7, 0.2, 0.4]], np.float32), np.array([[True, True, False]])
    by_hand = [
        0.7 * 0.9 / (0.7 * 0.9 + 0.3 * 0.05),
        0.2 * 0.6 / (0.2 * 0.6 + 0.8 * 0.1),
        0.4 * 0.2 / (0.4 * 0.2 + 0.6 * 0.99),
    ]
    probable = model.probable(guesses, given)
    np.testing.assert_allclose(probable, [by_hand], rtol=1e-6)
    # The most doubtful of three statements is that the second label belongs.
    np.testing.assert_allclose(doubt(probable, given, exclusive=False), [np.log((1 - by_hand[1]) / by_hand[1])], rtol=1e-5)
    missing = np.array([[0.99, 0.01, 0.9]])
    np.testing.assert_allclose(doubt(missing, np.array([[True, False, False]]), exclusive=False), [np.log(9)], rtol=1e-6)


@pytest.mark.parametrize("exclusive", [True, False])
def test_doubt_of_what_is_sure_is_finite_and_bounded(exclusive: bool) -> None:
    given = np.array([[True, False], [True, False]])
    odds = doubt(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), given, exclusive)
    assert (np.abs(odds) <= SURE).all() and odds[0] < -20 and odds[1] > 20


def test_one_label_is_drawn_as_often_as_the_table_says() -> None:
    table = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    truth = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], 20_000)]
    drawn = ClassNoiseModel(table).draw(truth, np.random.default_rng(0))
    assert (drawn.sum(axis=1) == 1).all()
    np.testing.assert_allclose(drawn.reshape(3, 20_000, 3).mean(axis=1), table, atol=0.012)  # over three deviations
    short = ClassNoiseModel(np.array([[0.0, 1 - 1e-9], [0.0, 1 - 1e-9]]))  # rows whose sum is rounded
    assert short.draw(np.eye(2, dtype=bool)[[0] * 1000], np.random.default_rng(0))[:, 1].all()


def test_several_labels_are_drawn_as_often_as_the_rates_say() -> None:
    where, elsewhere = np.array([0.9, 0.5]), np.array([0.0, 0.2])
    truth = np.array([[True, False]] * 20_000 + [[False, True]] * 20_000)
    drawn = LabelNoiseModel(where, elsewhere).draw(truth, np.random.default_rng(0)).reshape(2, 20_000, 2).mean(axis=1)
    np.testing.assert_allclose(drawn, [[0.9, 0.2], [0.0, 0.5]], atol=0.012)


def test_the_estimate_finds_how_one_label_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    table = np.array([[0.6, 0.4, 0.0], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7]])
    truth = rng.integers(0, 3, 20_000)
    logits = rng.normal(size=(20_000, 3)) + 3 * np.eye(3)[truth]
    guesses = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True)  # 3: as sure as it is right
    given = np.eye(3, dtype=bool)[[rng.choice(3, p=table[k]) for k in truth]]
    found = estimate_noise(guesses, given, exclusive=True)
    assert isinstance(found, ClassNoiseModel)
    np.testing.assert_allclose(found.table, table, atol=0.03)
    monkeypatch.setattr(module, "MOST_CLIPS", 10_000)
    half = estimate_noise(guesses, given, exclusive=True)
    assert isinstance(half, ClassNoiseModel)
    np.testing.assert_array_equal(half.table, estimate_noise(guesses[::2], given[::2], exclusive=True).table)


def test_the_estimate_finds_how_often_each_of_several_labels_is_given() -> None:
    rng = np.random.default_rng(2)
    guesses = rng.beta(0.3, 0.6, (20_000, 3))
    truth = rng.random(guesses.shape) < guesses
    where, elsewhere = np.array([0.95, 0.6, 0.8]), np.array([0.02, 0.1, 0.3])
    given = rng.random(truth.shape) < np.where(truth, where, elsewhere)
    found = estimate_noise(guesses, given, exclusive=False)
    assert isinstance(found, LabelNoiseModel)
    np.testing.assert_allclose(found.where, where, atol=0.03)
    np.testing.assert_allclose(found.elsewhere, elsewhere, atol=0.03)


def test_classes_that_nobody_has_and_more_classes_than_clips_are_no_fault() -> None:
    given = np.eye(50, dtype=bool)[[0, 1, 1]]
    guesses = np.full((3, 50), 0.02, np.float32)
    for exclusive in (True, False):
        model = estimate_noise(guesses, given, exclusive)
        odds = doubt(model.probable(guesses, given), given, exclusive)
        assert np.isfinite(odds).all()
        drawn = model.draw(given, np.random.default_rng(0))
        assert drawn.shape == given.shape and drawn.dtype == bool
