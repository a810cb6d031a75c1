import numpy as np
import pytest

from earmark.assess.alike import NEAREST, mutual_neighbours


def cosines_of(vectors: np.ndarray) -> np.ndarray:
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    return centred @ centred.T


def clustered(count: int, size: int) -> np.ndarray:
    """Vectors in 20 clusters, which vary in 20 ways."""
    rng = np.random.default_rng(0)
    inner = rng.standard_normal((20, 20))[rng.integers(0, 20, count)] + 0.7 * rng.standard_normal((count, 20))
    return (inner @ rng.standard_normal((20, size))).astype(np.float32)


@pytest.mark.parametrize("size", [40, 300])
def test_nearly_all_mutual_neighbours_are_there_and_their_cosines_are_right(size: int) -> None:
    vectors = clustered(1000, size)
    truth = cosines_of(vectors.astype(np.float64))
    np.fill_diagonal(truth, -1)
    near = np.zeros(truth.shape, bool)
    np.put_along_axis(near, np.argsort(-truth, axis=1)[:, :NEAREST], True, axis=1)
    expected = {tuple(pair) for pair in np.argwhere(np.triu(near & near.T & (truth >= 0.5))).tolist()}
    pairs, cosines = mutual_neighbours(vectors, np.arange(1000), np.arange(1000), 0.5)
    assert len(expected) > 300
    assert len(expected & {tuple(pair) for pair in pairs.tolist()}) > 0.85 * len(expected)
    assert np.abs(cosines - truth[tuple(pairs.T)]).max() < 1e-5
    assert (np.diff(cosines) <= 0).all()
    assert cosines.min() >= 0.5


def test_planted_copies_are_all_there() -> None:
    vectors = clustered(2000, 200)
    rng = np.random.default_rng(1)
    vectors[1000:1100] = vectors[:100] + 0.2 * rng.standard_normal((100, 200))
    pairs, _ = mutual_neighbours(vectors, np.arange(2000), np.arange(2000), 0.8)
    assert {(i, 1000 + i) for i in range(100)} <= {tuple(pair) for pair in pairs.tolist()}


def test_clips_of_a_kind_are_not_compared_and_do_not_stand_in_the_way() -> None:
    vectors = clustered(300, 50)
    vectors[:20] = vectors[0]  # a recording of 20 clips, all the same
    vectors[200] = vectors[0] + 0.01
    kinds = np.arange(300)
    kinds[:20] = 0
    pairs, _ = mutual_neighbours(vectors, np.arange(300), kinds, 0.9)
    assert not [pair for pair in pairs.tolist() if max(pair) < 20]
    assert any(pair[0] < 20 and pair[1] == 200 for pair in pairs.tolist())


def test_only_the_chosen_clips_count() -> None:
    vectors = clustered(400, 50)
    chosen = np.arange(0, 400, 2)
    pairs, _ = mutual_neighbours(vectors, chosen, chosen, 0.5)
    alone, _ = mutual_neighbours(vectors[::2], np.arange(200), np.arange(200), 0.5)
    assert (pairs == 2 * alone).all()
    assert len(pairs)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_few_clips_are_no_problem(count: int) -> None:
    pairs, cosines = mutual_neighbours(clustered(count, 5), np.arange(count), np.arange(count), -1)
    assert pairs.shape == (len(cosines), 2)
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs) == count * (count - 1) // 2


def test_many_equal_vectors_take_no_more() -> None:
    vectors = np.ones((5000, 8), np.float32)
    vectors[0] = 2
    pairs, _ = mutual_neighbours(vectors, np.arange(5000), np.arange(5000), 0.9)
    assert len(pairs) <= 5000 * NEAREST
