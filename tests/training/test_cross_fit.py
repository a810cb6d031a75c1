"""Cross-fitting: no clip has a say in what is thought of it, and what is thought is right more often than not."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from earmark.data.table import ClipTable
from earmark.training import cross_fit
from earmark.training.cross_fit import Material, cross_fitted, leaning_classes
from tests.assess.worlds import World, table_of, world

pytestmark = pytest.mark.slow  # together they take seconds

PARTS = 4


def sounds(made: World, seed: int = 0, clear: float = 2.0) -> np.ndarray:
    """Vectors ``[N, 2, D]``: what the right labels sound like, with noise, and a variation."""
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=(made.truth.shape[1], 12))
    return (clear * made.truth @ shape + rng.normal(size=(2, len(made.truth), 12))).transpose(1, 0, 2).astype(np.float32)


def guessed(clips: ClipTable, vectors: np.ndarray, part: np.ndarray, exclusive: bool, leaning: np.ndarray) -> np.ndarray:
    """What `cross_fitted` does, with parts that are given."""
    material = Material(clips, vectors, part, exclusive, leaning, 10**9)
    first: dict[tuple[int, int], np.ndarray] = {}
    for pair in combinations(range(PARTS), 2):
        both = cross_fit._first_guesses(material, pair)
        for without, own in (pair, pair[::-1]):
            first[without, own] = both[part[np.isin(part, pair)] == own]
    guesses = np.zeros(clips.positive.shape, np.float32)
    for own in range(PARTS):
        others = {other: first[own, other] for other in range(PARTS) if other != own}
        guesses[part == own] = cross_fit._second_guesses(material, (own, others))
    return guesses


def other_labels(clips: ClipTable, mine: np.ndarray) -> ClipTable:
    positive = clips.positive.copy()
    positive[mine] = np.roll(positive[mine], 1, axis=1)
    return replace(clips, positive=positive)


def no_labels(clips: ClipTable, mine: np.ndarray) -> ClipTable:
    return replace(clips, positive=clips.positive & ~mine[:, None], verified=clips.verified & ~mine)


def all_verified(clips: ClipTable, mine: np.ndarray) -> ClipTable:
    return replace(clips, verified=clips.verified | mine)


def none_of_these(clips: ClipTable, mine: np.ndarray) -> ClipTable:
    return replace(clips, positive=clips.positive & ~mine[:, None], verified=clips.verified | mine)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("change", [other_labels, no_labels, all_verified, none_of_these])
def test_labels_of_a_part_have_no_say_in_the_guesses_at_it(
    change: Callable[[ClipTable, np.ndarray], ClipTable], several: bool
) -> None:
    made = world(120, 4, 0.4, 0.3, seed=1, several=several)
    vectors, part = sounds(made), np.random.default_rng(2).integers(0, PARTS, 120)
    clips = replace(made.clips, positive=made.clips.positive & (np.arange(120) != 5)[:, None])
    # A class that verified clips cannot teach, and one that lies in a single part.
    leaning = np.array([True, False, False, False])
    clips = replace(clips, verified=clips.verified & ~clips.positive[:, 0])
    clips.positive[part != 2, 3] = False
    before = guessed(clips, vectors, part, not several, leaning)
    for own in range(PARTS):
        mine = part == own
        after = guessed(change(clips, mine), vectors, part, not several, leaning)
        np.testing.assert_array_equal(after[mine], before[mine])
        assert (after[~mine] != before[~mine]).any()  # of the others they are taught


def test_recordings_are_guessed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of one recording are never taught together with a clip of it that is guessed."""
    made = world(200, 4, 0.5, 0.2, seed=3)
    clips = replace(made.clips, group=np.array([f"recording {i // 5}" for i in range(200)]))
    seen: list[tuple[set[str], set[str]]] = []
    real = cross_fit._guessed

    def watched(material: Material, teaching: np.ndarray, labels: np.ndarray, judged: np.ndarray) -> np.ndarray:
        seen.append((set(clips.group[teaching].tolist()), set(clips.group[judged].tolist())))
        return real(material, teaching, labels, judged)

    monkeypatch.setattr(cross_fit, "_guessed", watched)
    cross_fitted(clips, sounds(made))
    assert len(seen) == 45 + 10  # ten parts and their pairs
    assert all(taught and heard and not taught & heard for taught, heard in seen)
    assert set().union(*(heard for _, heard in seen[-10:])) == set(clips.group.tolist())


def test_the_result_does_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(150, 4, 0.4, 0.3, seed=4)
    vectors, results = sounds(made), []
    for cores in (1, 2, 5):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        results.append(cross_fitted(made.clips, vectors))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


@pytest.mark.parametrize("several", [False, True])
def test_guesses_tell_wrong_labels_from_right_ones(several: bool) -> None:
    made = world(400, 5, 0.4, 0.3, seed=5, several=several)
    guesses = cross_fitted(made.clips, sounds(made))
    assert guesses.shape == made.truth.shape and guesses.dtype == np.float32 and np.isfinite(guesses).all()
    assert guesses.min() >= 0 and guesses.max() <= 1
    if not several:
        np.testing.assert_allclose(guesses.sum(axis=1), 1, atol=1e-5)
        assert (guesses.argmax(axis=1) == made.truth.argmax(axis=1)).mean() > 0.9
    assert roc_auc_score(made.truth.reshape(-1), guesses.reshape(-1)) > 0.97


def test_unverified_clips_teach_what_they_probably_are() -> None:
    """With few verified clips, guesses are better than what these teach alone."""
    made = world(600, 4, 0.06, 0.3, seed=6)
    vectors = sounds(made, clear=0.8)
    alone = replace(made.clips, positive=made.clips.positive & made.clips.verified[:, None])
    both, few = (cross_fitted(clips, vectors).argmax(axis=1) for clips in (made.clips, alone))
    right = made.truth.argmax(axis=1)
    assert (both == right).mean() > (few == right).mean() + 0.02


def test_classes_lean_on_unverified_labels_with_fewer_than_three_verified_recordings() -> None:
    given = np.eye(4, dtype=bool)[[0, 0, 0, 1, 1, 1, 2, 2, 2, 2]]
    clips = table_of(given, np.arange(10) != 4)
    group = clips.clip_id.copy()
    group[7:9] = group[6]  # four clips of class 2, of two recordings
    assert leaning_classes(replace(clips, group=group)).tolist() == [False, True, True, True]
    none = replace(clips, positive=np.zeros_like(given))
    assert leaning_classes(none).all()


def test_a_class_without_verified_clips_is_learned_from_its_given_labels() -> None:
    made = world(300, 4, 0.5, 0.2, seed=7)
    clips = replace(made.clips, verified=made.clips.verified & ~made.truth[:, 2])
    assert leaning_classes(clips).tolist() == [False, False, True, False]
    guesses = cross_fitted(clips, sounds(made))
    assert (guesses.argmax(axis=1) == 2)[made.truth[:, 2]].mean() > 0.8


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("clips", [2, 5])
def test_hardly_a_clip_no_verified_one_and_a_class_that_nobody_has_are_no_fault(clips: int, several: bool) -> None:
    given = np.zeros((clips, 4), bool)
    given[:, 0], given[0] = True, [False, True, several, False]
    for verified in (np.zeros(clips, bool), np.ones(clips, bool)):
        guesses = cross_fitted(table_of(given, verified), np.random.default_rng(0).normal(size=(clips, 1, 3)))
        assert np.isfinite(guesses).all() and guesses.min() >= 0
        if not several:
            np.testing.assert_allclose(guesses.sum(axis=1), 1, atol=1e-5)


def test_with_much_to_do_there_are_fewer_parts_and_some_of_the_clips_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(300, 4, 0.5, 0.2, seed=8)
    vectors = sounds(made)
    seen: list[int] = []
    real = cross_fit.fit

    def watched(inputs: np.ndarray, *rest: object) -> object:
        seen.append(len(inputs) // 2)  # two views
        return real(inputs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cross_fit, "fit", watched)
    monkeypatch.setattr(cross_fit, "QUICK_WORK", 0.0)
    cross_fitted(made.clips, vectors)
    assert len(seen) == 6 + 4
    seen.clear()
    monkeypatch.setattr(cross_fit, "MOST_WORK", 4.0 * 24 * 4 * cross_fit.STEPS * (6 * 0.5 + 3) * 40)
    guesses = cross_fitted(made.clips, vectors)
    assert max(seen) <= 40 and len(seen) == 10
    assert (guesses.argmax(axis=1) == made.truth.argmax(axis=1)).mean() > 0.8
