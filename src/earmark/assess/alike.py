"""Which clips are nearest to each other by their vectors: fast for hundreds of thousands of clips, in bounded memory. No torch.

Vectors with a small angle between them lie on the same side of most planes. The clips are sorted by the sides of 64 random planes on
which they lie, over and over with other planes; those next to each other in such an order are compared. So the work does not grow
with the square of the number of clips, nor where many are alike.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ORDERS = 24  # times that the clips are sorted
BESIDE = 8  # clips on either side in an order that a clip is compared with
KEPT = 6  # nearest clips of each clip that are looked at closely
PLANES = 64
PROJECTED = 128  # numbers that stand for a vector while clips are sorted and compared
SLACK = 0.15  # how far projecting may move a cosine
AT_ONCE = 4096  # rows of vectors in memory
NEAREST = 3  # places: of two clips that are copies, each is among the nearest of the other

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]


def mutual_neighbours(
    vectors: NDArray[np.float32], rows: Indices, kinds: Indices, least: float
) -> tuple[Indices, NDArray[np.float64]]:
    """Pairs of clips each of which is among the three nearest to the other, not counting clips of its own kind.

    Nearly all of these pairs are there, not all: the closer two clips are, the surer.

    Args:
        vectors: float32 ``[clips, D]``; may be memory-mapped.
        rows: the clips that count, int64 ``[N]``.
        kinds: a number for each of them; clips with the same number are not compared, int64 ``[N]``.
        least: the least cosine of the angle between two clips, with the mean of all as the origin.

    Returns:
        The pairs as clips, ``[M, 2]``, the closest first, and the cosines ``[M]``.
    """
    if len(rows) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    mean = np.sum([part.sum(axis=0, dtype=np.float64) for part in _parts(vectors, rows)], axis=0) / len(rows)
    near, cosines = _nearest(_projected(vectors, rows, mean), kinds)
    ends = np.stack([np.repeat(rows, near.shape[1]), rows[near.ravel()]], axis=1)[cosines.ravel() >= least - SLACK]
    pairs = np.unique(np.sort(ends, axis=1), axis=0)
    exact = _cosines(vectors, mean, pairs)
    return _mutual(pairs[exact >= least], exact[exact >= least])


def _parts(vectors: NDArray[np.float32], rows: Indices) -> Iterator[NDArray[np.float32]]:
    return (vectors[rows[start : start + AT_ONCE]] for start in range(0, len(rows), AT_ONCE))


def _projected(vectors: NDArray[np.float32], rows: Indices, mean: NDArray[np.float64]) -> Floats:
    """Vectors of length 1 with fewer numbers and nearly the same angles between them: ``[N, 128]``, or ``[N, D]`` if D is smaller."""
    size = vectors.shape[1]
    matrix = np.random.default_rng(0).standard_normal((size, PROJECTED)) if size > PROJECTED else np.eye(size)
    projected = np.concatenate([((part - mean) @ matrix).astype(np.float32) for part in _parts(vectors, rows)])
    return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), np.float32(1e-30))


def _nearest(points: Floats, kinds: Indices) -> tuple[Indices, Floats]:
    """The nearest clips that some order has brought beside a clip, and their cosines: ``[N, 6]``, −∞ where there are fewer."""
    count, rng = len(points), np.random.default_rng(1)
    near = np.zeros((count, KEPT), np.int64)
    best = np.full((count, KEPT), -np.inf, np.float32)
    for _ in range(ORDERS):
        planes = rng.standard_normal((points.shape[1], PLANES)).astype(np.float32)
        sides = np.packbits(points @ planes > 0, axis=1).view(">u8")[:, 0]
        order = np.argsort(sides, kind="stable")
        sorted_points, sorted_kinds = points[order], kinds[order]
        others = np.zeros((count, 2 * BESIDE), np.int64)
        cosines = np.full((count, 2 * BESIDE), -np.inf, np.float32)
        for step in range(1, min(BESIDE, count - 1) + 1):
            product = np.einsum("nd,nd->n", sorted_points[:-step], sorted_points[step:])
            product[sorted_kinds[:-step] == sorted_kinds[step:]] = -np.inf
            one, other = 2 * step - 2, 2 * step - 1
            others[order[:-step], one], cosines[order[:-step], one] = order[step:], product
            others[order[step:], other], cosines[order[step:], other] = order[:-step], product
        for place in range(KEPT):  # those that are there already
            cosines[others == near[:, place : place + 1]] = -np.inf
        all_near, all_best = np.concatenate([near, others], axis=1), np.concatenate([best, cosines], axis=1)
        chosen = np.argpartition(-all_best, KEPT - 1, axis=1)[:, :KEPT]
        near, best = np.take_along_axis(all_near, chosen, axis=1), np.take_along_axis(all_best, chosen, axis=1)
    return near, best


def _cosines(vectors: NDArray[np.float32], mean: NDArray[np.float64], pairs: Indices) -> NDArray[np.float64]:
    """The cosines of the angles between the vectors of pairs: ``[M]``."""
    cosines = np.empty(len(pairs))
    for start in range(0, len(pairs), AT_ONCE):
        one, other = ((vectors[pairs[start : start + AT_ONCE, side]] - mean).astype(np.float32) for side in (0, 1))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosines[start : start + AT_ONCE] = np.einsum("nd,nd->n", one, other) / np.maximum(lengths, 1e-30)
    return cosines


def _mutual(pairs: Indices, cosines: NDArray[np.float64]) -> tuple[Indices, NDArray[np.float64]]:
    """The pairs each of whose clips is among the three nearest of the other, the closest first."""
    order = np.argsort(-cosines, kind="stable")
    pairs, cosines = pairs[order], cosines[order]
    ends = pairs.T.ravel()  # the first ends, then the second, both with the closest pair first
    places = np.concatenate([np.arange(len(pairs))] * 2)
    by_clip = np.lexsort((places, ends))
    begins = np.flatnonzero(np.diff(ends[by_clip], prepend=-1))
    ranks = np.empty(len(ends), np.int64)
    ranks[by_clip] = np.arange(len(ends)) - np.repeat(begins, np.diff(np.append(begins, len(ends))))
    chosen = (ranks.reshape(2, -1) < NEAREST).all(axis=0)
    return pairs[chosen], cosines[chosen]
