"""Cross-fitting: what regressions think of clips that have taught them nothing, neither by their sound nor by their labels.

The clips are dealt into parts by recordings. A first regression learns from the verified clips of all parts but two, and guesses those
two. The guesses and the given labels of unverified clips are weighed together, see `earmark.assess.label_noise`. The regression that
judges a part learns from the verified clips of the other parts, and from their unverified clips with the labels that these probably
have; in the guesses which that rests on, the judged part had no say either.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from earmark.assess.label_noise import agreed_classes, agreed_labels
from earmark.data.table import Array, ClipTable
from earmark.machine import compute_with, threads_kept
from earmark.parallel import in_order
from earmark.progress import progress_bar
from earmark.training.logistic import fit
from earmark.training.splits import deal, drawn

PARTS = (10, 6, 4)  # the most that take no more than `QUICK_WORK`, else the fewest
COST = 0.1  # of mistakes; of 0.03, 0.1 and 0.3 the best on planted labels of seeds 101 to 103
STEPS = 50  # of a fit, at most
QUICK_WORK = 4e11  # multiplications and additions of all fits together: about 20 s on two cores
MOST_WORK = 1e13  # with more, the fits learn from some of the clips
STRENGTH = 10.0  # see `earmark.assess.label_noise.confusion`
LIKELY = 0.5  # probability from which a label is taught

Task = TypeVar("Task")


@dataclass(frozen=True)
class Material:
    """What the regressions learn from.

    Attributes:
        clips: N training clips.
        vectors: of each clip as it is and of its variations, ``[N, V, D]``.
        part: the part of each clip, int64 ``[N]``.
        exclusive: whether every clip has one label at most.
        leaning: classes whose unverified labels the first regressions must learn, bool ``[K]``.
        most: clips that a regression learns from, at most.
    """

    clips: ClipTable
    vectors: Array
    part: Array
    exclusive: bool
    leaning: Array
    most: int


def leaning_classes(clips: ClipTable) -> Array:
    """The classes that verified clips alone cannot teach, bool ``[K]``: fewer than three recordings of theirs are verified.

    A regression leaves out two parts, and each may hold such a recording.
    """
    verified = clips.verified & clips.labelled
    counts = [len(np.unique(clips.group[verified & clips.positive[:, k]])) for k in range(len(clips.labels))]
    mask: Array = np.array(counts) < 3
    return mask


def cross_fitted(clips: ClipTable, vectors: Array) -> NDArray[np.float32]:
    """Guesses at the labels of clips by regressions that the clips have taught nothing.

    Args:
        clips: N training clips, some of them labelled.
        vectors: of each clip as it is and of its variations, ``[N, V, D]``.

    Returns:
        ``[N, K]``: for clips with one label each probabilities with the sum 1, else an independent probability of each label.
    """
    leaning = leaning_classes(clips)
    parts, most = _parts_and_clips(clips, _teaching(clips, leaning), vectors.shape[1] * vectors.shape[2])
    material = Material(clips, vectors, deal(clips, parts, clips.verified), not clips.several, leaning, most)
    guesses = np.zeros(clips.positive.shape, np.float32)
    first: dict[tuple[int, int], NDArray[np.float32]] = {}
    pairs = list(combinations(range(parts), 2))
    with progress_bar("audit", len(pairs) + parts, unit="regressions") as bar:
        for done, (pair, guessed) in enumerate(zip(pairs, _worked(_first_guesses, material, pairs), strict=True), start=1):
            for without, part in (pair, pair[::-1]):
                first[without, part] = guessed[material.part[np.isin(material.part, pair)] == part]
            bar.update(done)
        tasks = ((part, {other: first[part, other] for other in range(parts) if other != part}) for part in range(parts))
        for part, guessed in enumerate(_worked(_second_guesses, material, tasks)):
            guesses[material.part == part] = guessed
            bar.update(len(pairs) + part + 1)
    return guesses


def _parts_and_clips(clips: ClipTable, teaching: Array, numbers: int) -> tuple[int, int]:
    """The number of parts, and how many clips a fit learns from at most.

    Args:
        clips: all clips.
        teaching: those that a first regression may learn from, bool ``[N]``.
        numbers: that stand for a clip: of all views.
    """
    a_clip = 4.0 * numbers * len(clips.labels) * STEPS
    for parts in PARTS:
        first, second = parts * (parts - 1) / 2 * (1 - 2 / parts), parts * (1 - 1 / parts)
        work = a_clip * (first * teaching.sum() + second * clips.labelled.sum())
        if work <= QUICK_WORK:
            break
    return parts, max(int(MOST_WORK / (a_clip * (first + second))), len(clips.labels))


def _teaching(clips: ClipTable, leaning: Array) -> Array:
    """The clips that a first regression may learn from, bool ``[N]``."""
    mask: Array = clips.labelled & (clips.verified | clips.positive[:, leaning].any(axis=1))
    return mask


def _worked(
    work: Callable[[Material, Task], NDArray[np.float32]], material: Material, tasks: Iterable[Task]
) -> Iterator[NDArray[np.float32]]:
    """What a function makes of each task, in the order of the tasks, which are worked on in threads."""
    cores = os.cpu_count() or 1
    # A fit a thread, which computes alone: so the results do not depend on the number of cores.
    with threads_kept(), ThreadPoolExecutor(cores, initializer=compute_with, initargs=(1,)) as pool:
        yield from in_order(pool, lambda task: work(material, task), tasks, ahead=2 * cores)


def _first_guesses(material: Material, pair: tuple[int, int]) -> NDArray[np.float32]:
    """Guesses at the clips of two parts, in their order, by what the verified clips of the others teach."""
    clips = material.clips
    teaching = _teaching(clips, material.leaning)
    judged = np.isin(material.part, pair)
    return _guessed(material, np.flatnonzero(teaching & ~judged), clips.positive, np.flatnonzero(judged))


def _second_guesses(material: Material, task: tuple[int, dict[int, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Guesses at the clips of a part by what the others teach, given what regressions think of those that knew nothing of the part."""
    (part, first), clips = task, material.clips
    guesses = np.zeros(clips.positive.shape, np.float32)
    for other, guessed in first.items():
        guesses[material.part == other] = guessed
    labels = clips.positive.copy()
    unverified = np.flatnonzero((material.part != part) & clips.labelled & ~clips.verified)
    if len(unverified):
        agree = agreed_classes if material.exclusive else agreed_labels
        labels[unverified] = agree(guesses[unverified], clips.positive[unverified], STRENGTH) > LIKELY
    teaching = (material.part != part) & clips.labelled
    return _guessed(material, np.flatnonzero(teaching), labels, np.flatnonzero(material.part == part))


def _guessed(material: Material, teaching: Array, labels: Array, judged: Array) -> NDArray[np.float32]:
    """What a regression makes of some clips.

    Args:
        material: all clips.
        teaching: indices of those to learn from.
        labels: what to learn, bool ``[N, K]``.
        judged: indices of the clips to guess.

    Returns:
        ``[judged, K]``: for classes that nothing taught, the share of the other clips that are given the label, and a clip more.
    """
    if material.exclusive:
        teaching = teaching[labels[teaching].any(axis=1)]
    teaching = drawn(teaching, material.clips, material.most)
    known = np.flatnonzero(labels[teaching].any(axis=0))
    others = np.ones(len(material.clips), bool)
    others[judged] = False  # their labels have no say in what is guessed of them
    shares = (material.clips.positive[others].sum(axis=0) + 1) / (int(material.clips.labelled[others].sum()) + labels.shape[1])
    if material.exclusive:
        shares /= shares.sum()
    guesses = np.tile(shares.astype(np.float32), (len(judged), 1))
    if len(known) < 2:
        return guesses
    guesses[:, known] = 0
    views = material.vectors.shape[1]
    inputs = np.concatenate([material.vectors[teaching, view] for view in range(views)])
    wanted = np.concatenate([labels[np.ix_(teaching, known)]] * views)
    model = fit(inputs, wanted, material.exclusive, COST / views, STEPS)
    for view in range(views):
        guesses[:, known] += (model.probabilities(material.vectors[judged, view]) / views).astype(np.float32)
    return guesses / guesses.sum(axis=1, keepdims=True) if material.exclusive else guesses
