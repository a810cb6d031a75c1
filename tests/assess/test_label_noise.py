import numpy as np
import pytest

from earmark.assess.label_noise import agreed_classes, agreed_labels, confusion, sharpened, support

CLASSES = 5


def noisy_world(clips: int, sure: float, table: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True classes, nets' guesses that are right in a share of ``sure``, and labels given by a confusion table."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, clips)
    best = np.where(rng.random(clips) < sure, truth, rng.integers(0, CLASSES, clips))
    right = sure + (1 - sure) / CLASSES  # as sure as it is right
    guesses = np.full((clips, CLASSES), (1 - right) / (CLASSES - 1))
    guesses[np.arange(clips), best] = right
    given = np.array([rng.choice(CLASSES, p=table[k]) for k in truth])
    return truth, guesses, np.eye(CLASSES, dtype=bool)[given]


def table_of(right: float, partner: float = 0.0) -> np.ndarray:
    """A share of right labels, and of the rest a share that goes to the next class, the other to all."""
    table = np.full((CLASSES, CLASSES), (1 - right) * (1 - partner) / (CLASSES - 1))
    np.fill_diagonal(table, right)
    table[np.arange(CLASSES), (np.arange(CLASSES) + 1) % CLASSES] += (1 - right) * partner
    return table


def test_confusion_of_known_classes_is_what_was_counted() -> None:
    guesses = np.eye(2)[[0, 0, 0, 1]]
    given = np.eye(2)[[0, 0, 1, 1]]
    np.testing.assert_allclose(confusion(guesses, given, 1e-9), [[2 / 3, 1 / 3], [0, 1]], atol=1e-6)
    leaning = confusion(guesses, given, 1e9)  # three of four right, and one before that; of six with the two before
    np.testing.assert_allclose(leaning, [[4 / 6, 2 / 6], [2 / 6, 4 / 6]], atol=1e-6)


def test_posterior_is_bayes_by_hand() -> None:
    """With a table that is known, given by thousands of clips, a clip's posterior is guess × chance, normalised."""
    table = table_of(0.6, partner=1.0)
    _, guesses, positive = noisy_world(20_000, 0.9, table)
    agreed = agreed_classes(guesses, positive, 2.0)
    by_hand = guesses * table[:, positive.argmax(axis=1)].T
    by_hand /= by_hand.sum(axis=1, keepdims=True)
    assert np.abs(agreed - by_hand).mean() < 0.02


@pytest.mark.parametrize(("right", "partner"), [(0.8, 0.0), (0.5, 0.9), (0.3, 0.0)])
def test_both_together_are_right_at_least_as_often_as_either(right: float, partner: float) -> None:
    truth, guesses, positive = noisy_world(2000, 0.8, table_of(right, partner))
    agreed = agreed_classes(guesses, positive, 2.0)
    share = (agreed.argmax(axis=1) == truth).mean()
    assert share > (guesses.argmax(axis=1) == truth).mean() - 0.01
    if partner:  # what wrong labels are is known then
        assert share > (guesses.argmax(axis=1) == truth).mean() + 0.02
    assert share > (positive.argmax(axis=1) == truth).mean()
    np.testing.assert_allclose(agreed.sum(axis=1), 1)
    wrong = positive.argmax(axis=1) != truth
    assert support(agreed, positive)[wrong].mean() < support(agreed, positive)[~wrong].mean()


def test_unlabelled_clips_keep_the_guess_and_no_clips_are_no_fault() -> None:
    _, guesses, positive = noisy_world(50, 0.8, table_of(0.7))
    positive[:10] = False
    np.testing.assert_allclose(agreed_classes(guesses, positive, 2.0)[:10], guesses[:10])
    np.testing.assert_allclose(agreed_labels(guesses, positive, 2.0)[:10], guesses[:10])
    assert np.isnan(support(guesses, positive)[:10]).all()
    assert agreed_classes(guesses[:0], positive[:0], 2.0).shape == (0, CLASSES)
    assert agreed_labels(guesses[:0], positive[:0], 2.0).shape == (0, CLASSES)


def test_sure_wrong_zeros_do_not_break_it() -> None:
    guesses, positive = np.eye(CLASSES)[[0, 1]], np.eye(CLASSES, dtype=bool)[[1, 1]]
    assert np.isfinite(agreed_classes(guesses, positive, 2.0)).all()
    assert np.isfinite(agreed_labels(guesses, positive, 2.0)).all()


def test_independent_labels_are_bayes_by_hand() -> None:
    rng = np.random.default_rng(1)
    guesses = rng.beta(0.4, 0.8, (20_000, 3))
    truth = rng.random(guesses.shape) < guesses  # as probable as guessed
    keeps, adds = np.array([0.9, 0.6, 0.8]), np.array([0.02, 0.1, 0.2])
    positive = rng.random(truth.shape) < np.where(truth, keeps, adds)
    agreed = agreed_labels(guesses, positive, 2.0)
    shown = positive.any(axis=1)
    yes = guesses * np.where(positive, keeps, 1 - keeps)
    no = (1 - guesses) * np.where(positive, adds, 1 - adds)
    # Clips without any given label are left out of the estimation, which changes the rates a little.
    assert np.abs(agreed - yes / (yes + no))[shown].mean() < 0.05
    assert ((agreed > 0.5) == truth)[shown].mean() > (positive == truth)[shown].mean()


def test_nets_that_are_not_sure_enough_are_taken_for_as_sure_as_the_given_labels_say() -> None:
    rng = np.random.default_rng(2)
    odds = rng.normal(-2, 3, (4000, 6))
    truth = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))  # as probable as that
    positive = rng.random(truth.shape) < np.where(truth, 0.7, 0.05)
    sure, unsure = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-odds / 2 - 0.5))
    shown = positive.any(axis=1)
    agreed = agreed_labels(unsure, positive, 2.0)[shown]
    assert np.abs(agreed - agreed_labels(sure, positive, 2.0)[shown]).mean() < 0.01
    assert np.abs(agreed - truth[shown]).mean() < 0.6 * np.abs(unsure - truth)[shown].mean()


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_guesses_become_as_sure_as_the_given_labels_say(power: float) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, CLASSES, 4000)
    logits = rng.normal(0, 1, (4000, CLASSES)) + 2.5 * np.eye(CLASSES)[truth]
    sure = np.exp(2.5 * logits)  # of two normal densities that lie 2.5 apart, so many log odds
    sure /= sure.sum(axis=1, keepdims=True)
    given = np.eye(CLASSES, dtype=bool)[np.where(rng.random(4000) < 0.3, rng.integers(0, CLASSES, 4000), truth)]
    guesses = sure**power
    guesses = np.maximum(guesses / guesses.sum(axis=1, keepdims=True), 1e-6)
    again = sharpened(guesses / guesses.sum(axis=1, keepdims=True), given, 10)
    assert again.sum(axis=1) == pytest.approx(1)
    assert np.abs(again - sure).mean() < 0.02
