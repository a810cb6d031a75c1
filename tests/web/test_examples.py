import dataclasses
import shutil

import numpy as np
import pytest

from earmark.data.audit_info import GUESSES
from earmark.data.embeddings import load_vectors
from earmark.web.examples import Examples
from earmark.web.folder import Audit
from earmark.web.guesses import Guesses
from tests.web.conftest import KEY, LABELS, Place


def examples_of(audit: Audit) -> Examples:
    return Examples(audit, Guesses(audit.path / GUESSES, audit.info.labels, audit.suspects.clip_id))


def slow_nearest(audit: Audit, vectors: np.ndarray, row: int, label: str) -> list[tuple[int, float]]:
    """The slow, obvious way."""
    rows = audit.rows.to_pylist()
    verified = [other for other, cells in enumerate(rows) if cells["verified"] and cells["split"] == "train"]
    centre = vectors[verified].astype(float).mean(axis=0)

    def cosine(other: int) -> float:
        one, two = vectors[row] - centre, vectors[other] - centre
        return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))

    fitting = [other for other in verified if label in rows[other]["labels"] and rows[other]["group"] != rows[row]["group"]]
    return sorted(((other, cosine(other)) for other in fitting), key=lambda pair: -pair[1])[:3]


@pytest.mark.parametrize("label", LABELS)
def test_the_nearest_verified_clips_of_other_recordings(audit: Audit, label: str) -> None:
    vectors = np.asarray(load_vectors(audit.store, KEY, 0, 26)[:, 0])
    examples = examples_of(audit)
    for row in range(26):
        nearest = examples.nearest(row, label)
        expected = slow_nearest(audit, vectors, row, label)
        assert [example.row for example in nearest] == [other for other, _ in expected]
        assert [example.likeness for example in nearest] == pytest.approx([likeness for _, likeness in expected], abs=1e-5)
    assert examples.fault is None


def test_all_verified_clips_have_one_label(audit: Audit) -> None:
    """In the small data set every third clip is verified, and they all have the same label."""
    examples = examples_of(audit)
    assert [len(examples.nearest(0, label)) for label in LABELS] == [0, 3, 0]
    assert examples.nearest(0, "no such label") == []


def test_without_vectors_the_guesses_stand_for_them(place: Place) -> None:
    shutil.rmtree(place.store / "embeddings")
    audit = Audit.open(place.audit)
    guesses = Guesses(audit.path / GUESSES, audit.info.labels, audit.suspects.clip_id)
    vectors = np.zeros((26, 3))
    for clip, row in enumerate(audit.suspects.row):
        vectors[row] = guesses.of(clip)
    examples = Examples(audit, guesses)
    for row in range(25):
        expected = slow_nearest(audit, vectors, row, LABELS[1])
        assert [example.row for example in examples.nearest(row, LABELS[1])] == [other for other, _ in expected]
    assert str(examples.fault).startswith("examples are chosen by what nets think of them, since the vectors cannot be used: ")
    assert examples.nearest(25, LABELS[1]) == []  # a test clip has no guess
    info = dataclasses.replace(audit.info, vectors=None)
    without = examples_of(dataclasses.replace(audit, info=info))
    assert len(without.nearest(0, LABELS[1])) == 3
    assert without.fault is None


def test_with_neither_there_are_no_examples(place: Place) -> None:
    shutil.rmtree(place.store / "embeddings")
    (place.audit / GUESSES).unlink()
    assert examples_of(Audit.open(place.audit)).nearest(0, LABELS[1]) == []
