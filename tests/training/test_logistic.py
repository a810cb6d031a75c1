"""Logistic regressions against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from earmark.training import logistic
from earmark.training.logistic import fit

RNG = np.random.default_rng(3)
CLASSES, SIZE = 7, 40
MEANS = RNG.normal(size=(CLASSES, SIZE))
MIXED = RNG.normal(size=(SIZE, SIZE))


@pytest.fixture(autouse=True)
def _to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes on until the numbers are scikit-learn's."""
    monkeypatch.setattr(logistic, "ENOUGH", 1e-6)


def sounds(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs that hang together, one of which never changes, and their classes."""
    label = RNG.integers(0, CLASSES, count)
    inputs = (MEANS[label] + RNG.normal(size=(count, SIZE))) @ MIXED * 10 + 5
    inputs[:, 3] = 2.5
    return inputs, label


@pytest.mark.parametrize("cost", [0.01, 1.0])
@pytest.mark.parametrize("count", [25, 300])  # fewer clips than inputs, and more
def test_probabilities_are_scikit_learns(count: int, cost: float) -> None:
    inputs, label = sounds(count)
    others, _ = sounds(50)
    scaler = StandardScaler().fit(inputs)
    known = np.unique(label)
    model = LogisticRegression(C=cost, tol=1e-8, max_iter=10000).fit(scaler.transform(inputs), label)
    own = fit(inputs, np.eye(CLASSES, dtype=bool)[label][:, known], exclusive=True, cost=cost, steps=200)
    np.testing.assert_allclose(own.probabilities(others), model.predict_proba(scaler.transform(others)), atol=1e-4)
    np.testing.assert_allclose(own.probabilities(others).sum(axis=1), 1)


@pytest.mark.parametrize("cost", [0.01, 1.0])
def test_several_labels_or_none_are_a_question_for_each_class(cost: float) -> None:
    inputs, label = sounds(200)
    others, _ = sounds(50)
    positive = np.eye(CLASSES, dtype=bool)[label] | (RNG.random((200, CLASSES)) < 0.1)
    positive[:20] = False  # none of these
    scaler = StandardScaler().fit(inputs)
    model = OneVsRestClassifier(LogisticRegression(C=cost, tol=1e-8, max_iter=10000)).fit(scaler.transform(inputs), positive)
    own = fit(inputs, positive, exclusive=False, cost=cost, steps=200)
    np.testing.assert_allclose(own.probabilities(others), model.predict_proba(scaler.transform(others)), atol=1e-4)


def test_clips_that_all_have_all_labels() -> None:
    for clips in (1, 10):
        model = fit(np.arange(2.0 * clips).reshape(clips, 2), np.ones((clips, 2), bool), exclusive=False, cost=1.0, steps=50)
        scores = model.probabilities(np.zeros((1, 2)))
        assert np.isfinite(scores).all() and (scores > 0.5).all()


def test_what_is_easily_told_apart_and_what_never_changes_give_finite_numbers() -> None:
    inputs = np.repeat(np.array([[1e6, 3.0], [-1e6, 3.0]]), 5, axis=0)
    positive = np.repeat(np.eye(2, dtype=bool), 5, axis=0)
    for exclusive in (True, False):
        model = fit(inputs, positive, exclusive, cost=1e6, steps=50)
        scores = model.probabilities(inputs * 1e6)
        assert np.isfinite(scores).all() and (scores.argmax(axis=1) == positive.argmax(axis=1)).all()
    same = fit(np.ones((10, 2)), positive, exclusive=True, cost=1.0, steps=50)
    np.testing.assert_allclose(same.probabilities(np.ones((1, 2))), 0.5, atol=1e-6)
