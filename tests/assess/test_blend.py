"""Weights of judges, held against scikit-learn and a general optimiser of SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from earmark.assess import blend
from earmark.assess.blend import blended

CLASSES = 4


def world(clips: int, sharp: list[float], seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Guesses of judges that hear the right class so clearly, as probabilities, and the labels, one a clip."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, clips)
    positive = np.eye(CLASSES, dtype=bool)[truth]
    guesses = []
    for clear in sharp:
        logits = rng.normal(size=(clips, CLASSES)) * 1.5 + clear * positive
        guesses.append((np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32))
    return guesses, positive


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def optimum(guesses: list[np.ndarray], positive: np.ndarray) -> np.ndarray:
    """The weights by SciPy: the likeliest, none below 0, with four clips' trust in equal ones."""
    logs, equal = np.log(np.maximum(np.stack(guesses).astype(float), 1e-7)), 1 / len(guesses)

    def unlikely(weights: np.ndarray) -> float:
        shares = softmax(np.tensordot(weights, logs, 1))
        return float(-np.log(np.maximum(shares[positive], 1e-300)).sum() + 2.0 * ((weights - equal) ** 2).sum())

    found = minimize(unlikely, np.full(len(guesses), equal), method="L-BFGS-B", bounds=[(0, None)] * len(guesses), tol=1e-12)
    return np.asarray(found.x)


@pytest.mark.parametrize("sharp", [[2.0], [1.0, 3.0], [2.0, 0.0], [1.0, -1.0], [2.0, -0.5, 1.0]])
def test_exclusive_weights_are_those_of_a_general_optimiser(sharp: list[float]) -> None:
    guesses, positive = world(400, sharp)
    made = blended(guesses, positive, np.ones(400, bool), exclusive=True)
    weights = optimum(guesses, positive)
    expected = softmax(np.tensordot(weights, np.log(np.maximum(np.stack(guesses).astype(float), 1e-7)), 1))
    np.testing.assert_allclose(made, expected, atol=2e-4)
    np.testing.assert_allclose(made.sum(axis=1), 1, atol=1e-5)


def test_a_judge_that_is_worse_than_none_has_no_say_and_leaves_the_other_its_own_best_weight() -> None:
    guesses, positive = world(2000, [1.5, -1.0])
    everywhere = np.ones(2000, bool)
    both, alone = (blended(judges, positive, everywhere, exclusive=True) for judges in (guesses, guesses[:1]))
    np.testing.assert_allclose(both, alone, atol=2e-3)  # the trust in equal weights is all that differs


def test_a_useless_judge_gets_hardly_any_weight() -> None:
    guesses, positive = world(4000, [2.0, 0.0])
    useless, other = world(4000, [0.0, 0.0], seed=9)[0]
    everywhere = np.ones(4000, bool)
    one = blended([guesses[0], useless], positive, everywhere, exclusive=True)
    two = blended([guesses[0], other], positive, everywhere, exclusive=True)
    assert np.abs(one - two).mean() < 0.01
    nowhere = np.zeros(4000, bool)
    assert np.abs(blended([guesses[0], other], positive, nowhere, exclusive=True) - two).mean() > 0.03  # with equal weights


def test_independent_labels_are_weighed_as_scikit_learn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend, "TRUST", 1e-6)
    rng = np.random.default_rng(3)
    positive = rng.random((1500, 3)) < 0.3
    guesses = []
    for clear in (1.0, 2.5):
        odds = rng.normal(size=positive.shape) * 1.2 + clear * positive - 2
        guesses.append((1 / (1 + np.exp(-odds))).astype(np.float32))
    known = np.arange(1500) % 3 > 0
    made = blended(guesses, positive, known, exclusive=False)
    inputs = np.stack([np.log(part / (1 - part)).astype(float) for part in guesses], axis=-1)
    regression = LogisticRegression(C=np.inf, tol=1e-10).fit(inputs[known].reshape(-1, 2), positive[known].reshape(-1))
    expected = regression.predict_proba(inputs.reshape(-1, 2))[:, 1].reshape(positive.shape)
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_without_verified_clips_all_judges_weigh_the_same() -> None:
    guesses, positive = world(50, [2.0, 1.0])
    nowhere = np.zeros(50, bool)
    product = np.sqrt(guesses[0] * guesses[1])
    np.testing.assert_allclose(
        blended(guesses, positive, nowhere, exclusive=True), product / product.sum(axis=1, keepdims=True), atol=1e-5
    )
    odds = np.sqrt(guesses[0] / (1 - guesses[0]) * guesses[1] / (1 - guesses[1]))
    np.testing.assert_allclose(blended(guesses, positive, nowhere, exclusive=False), odds / (1 + odds), atol=1e-5)
    np.testing.assert_allclose(blended(guesses[:1], positive, nowhere, exclusive=True), guesses[0], atol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("right", [1.0, 0.5, 0.0])
def test_judges_that_are_quite_sure_break_nothing(exclusive: bool, right: float) -> None:
    """Guesses of exactly 0 and 1: always right, right as often as not, never right."""
    clips = 300
    truth = np.arange(clips) % 2
    best = np.where(np.random.default_rng(1).random(clips) < right, truth, 1 - truth)
    sure = np.eye(2, dtype=np.float32)[best]
    made = blended([sure, sure], np.eye(2, dtype=bool)[truth], np.arange(clips) < 200, exclusive)
    assert np.isfinite(made).all() and made.min() >= 0 and made.max() <= 1
    assert abs(made[np.arange(clips), truth].mean() - max(right, 0.5)) < 0.05  # no weight is below 0


def test_many_clips_are_weighed_by_some_and_blended_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses, positive = world(3000, [2.0, 1.0])
    everywhere = np.ones(3000, bool)
    whole = blended(guesses, positive, everywhere, exclusive=True)
    monkeypatch.setattr(blend, "AT_ONCE", 70 * CLASSES)
    np.testing.assert_array_equal(blended(guesses, positive, everywhere, exclusive=True), whole)
    monkeypatch.setattr(blend, "MOST_GUESSES", 1000 * CLASSES)
    fewer = blended(guesses, positive, everywhere, exclusive=True)
    np.testing.assert_array_equal(fewer, blended(guesses, positive, np.arange(3000) % 3 == 0, exclusive=True))
    assert 0 < np.abs(fewer - whole).max() < 0.1
