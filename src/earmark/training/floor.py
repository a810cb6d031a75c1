"""The floor under a run's figures: what a logistic regression makes of built-in statistics, taught by the verified clips alone.

A net that is not above it has not earned its hours, or has learned the wrong labels. The floor's scores of a clip never come from a
regression that saw a clip of the same recording. They are kept in the run (``floor.parquet``), fold by fold.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earmark.assess.joined import Joined, RunScores
from earmark.assess.metrics import METRICS, FloorFigures, FloorMetrics
from earmark.data.embeddings import load_verified
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable
from earmark.embedding.statistics import RATE, Statistics
from earmark.errors import EmbeddingError, RunError
from earmark.labels import LabelSet
from earmark.machine import compute_with, threads_kept
from earmark.parallel import in_order
from earmark.progress import progress_bar
from earmark.runs.data import check_store
from earmark.runs.predictions import NO_VIEW, Block, read_predictions, write_predictions
from earmark.runs.run import Run
from earmark.training.logistic import fit
from earmark.training.splits import drawn

TITLE = "logistic regression on built-in statistics, verified clips only"
NAME = "floor"
VERSION = 1  # of all that the scores depend on besides the data
COST = 0.03  # of mistakes; of 0.003, 0.01, 0.03 and 0.1 the best in a cross-validation inside four folds of ESC-50
STEPS = 50  # of a fit, at most
MOST_CLIPS = 5000  # that a regression learns from
MOST_WORK = 3e11  # multiplications and additions of all fits together: about 15 s on two cores
FEWEST_PER_CLASS = 4  # clips, on average: where the work allows no more, there is no floor


def floor_metrics(run: Run, store: Store, clips: ClipTable, scores: RunScores) -> FloorMetrics:
    """The floor of a run, on the verified clips on which the run's own ensemble is scored.

    Args:
        run: the run.
        store: its store.
        clips: all clips of the store.
        scores: the run's out-of-fold scores.

    Returns:
        ``floor`` with the figures, or ``no_floor`` with the reason why there are none.

    Raises:
        RunError: the store has other data than the run learns from.
        StoreError: the store is damaged.
    """
    judged = scores.main.judgeable
    judged = judged.chosen(judged.clips.verified)
    verified = clips[clips.verified & ~clips.test]
    folds = sorted(set(judged.clips.fold.tolist()))
    if (reason := _refusal(verified, folds)) is not None:
        return {"no_floor": reason}
    path, key = run.path / "floor.parquet", _fingerprint(store, verified)
    blocks = _kept_blocks(path, clips.labels, key)
    if missing := [fold for fold in folds if fold not in blocks]:
        try:
            verified, vectors = load_verified(store, Statistics(statistics_rate(store)))
        except EmbeddingError as error:
            return {"no_floor": str(error)}
        for fold, (clip_id, fold_scores) in zip(missing, _scores(verified, vectors, missing), strict=True):
            blocks[fold] = Block(clip_id, fold_scores, NAME, fold, key, NO_VIEW)
        check_store(run, store)
        write_predictions(path, clips.labels, [blocks[fold] for fold in sorted(blocks)])
    return {"floor": _figures(judged.clips, blocks.values())}


def _figures(judged: ClipTable, blocks: Iterable[Block]) -> FloorFigures:
    row_of = {clip: row for block in blocks for clip, row in zip(block.clip_id.tolist(), block.scores, strict=True)}
    found = Joined(judged, np.stack([row_of[clip] for clip in judged.clip_id.tolist()])).estimates()
    assert found is not None  # there is a clip to judge, else there would be no fold
    return {"title": TITLE, **{name: asdict(found[name]) for name in METRICS}}  # type: ignore[typeddict-item]


def _refusal(verified: ClipTable, folds: Sequence[int]) -> str | None:
    """Why there is no floor for these folds; None if there is one.

    Args:
        verified: the verified training clips of the store.
        folds: the folds that hold the clips to score.
    """
    if not folds:
        return "no verified clip is scored"
    for fold in folds:
        classes = int(verified.positive[_taught(verified, fold)].any(axis=0).sum())
        if classes < 2:
            return f"the verified clips outside fold {fold} have labels of fewer than two classes"
    most, classes = _most_clips(verified), len(verified.labels)
    if most < min(len(verified), FEWEST_PER_CLASS * classes):
        return f"a regression of {classes:,} classes on {len(verified):,} verified clips would take too long"
    return None


def _taught(verified: ClipTable, fold: int) -> Array:
    """The clips that a fold's regression may learn from, bool ``[N]``: none of a recording of which it scores a clip."""
    in_fold = verified.fold == fold
    mask: Array = ~np.isin(verified.group, verified.group[in_fold])
    return mask


def _most_clips(verified: ClipTable) -> int:
    """How many clips each fold's regression learns from, at most, so that all take no more work than `MOST_WORK`."""
    folds, classes = len(set(verified.fold.tolist())), len(verified.labels)
    return min(MOST_CLIPS, int(MOST_WORK / (4 * Statistics.size * classes * STEPS * max(folds, 1))))


def statistics_rate(store: Store) -> int:
    """The sample rate whose sounds the statistics are of: their own, else the lowest one with all that they look at, in Hz."""
    return min((rate for rate in store.sample_rates if rate >= RATE), default=max(store.sample_rates))


def _fingerprint(store: Store, verified: ClipTable) -> str:
    """Changes with all that the floor's scores depend on."""
    parts = [str(VERSION), str(statistics_rate(store)), store.fingerprint, *verified.clip_id.tolist()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _kept_blocks(path: Path, labels: LabelSet, key: str) -> dict[int, Block]:
    """The scores that an earlier call has kept in a file, by fold; none where they are damaged or of something else."""
    try:
        kept_labels, blocks = read_predictions(path)
    except RunError:  # no such file among others
        return {}
    return {block.fold: block for block in blocks if kept_labels == labels and block.weights == key}


def _scores(verified: ClipTable, vectors: Array, folds: Sequence[int]) -> Iterator[tuple[Array, NDArray[np.float32]]]:
    """What `_fold_scores` gives for some folds, in their order."""
    work = partial(_fold_scores, verified, vectors, most=_most_clips(verified))
    cores = os.cpu_count() or 1
    # A fold a thread, which computes alone: threads that share small products would wait for each other on a busy machine.
    with (
        progress_bar("floor", len(folds), unit="folds") as bar,
        threads_kept(),
        ThreadPoolExecutor(min(cores, len(folds)), initializer=compute_with, initargs=(1,)) as pool,
    ):
        for done, scores in enumerate(in_order(pool, work, folds, ahead=2 * cores), start=1):
            yield scores
            bar.update(done)


def _fold_scores(verified: ClipTable, vectors: Array, fold: int, most: int) -> tuple[Array, NDArray[np.float32]]:
    """The verified clips of a fold that have labels, str ``[N]``, and their scores, ``[N, K]``; 0 for classes that nothing taught.

    Args:
        verified: the verified training clips of the store.
        vectors: their statistics.
        fold: number of the fold.
        most: number of clips to learn from, at most.
    """
    exclusive = bool((verified.positive.sum(axis=1) == 1).all())
    taught = drawn(np.flatnonzero(_taught(verified, fold)), verified, most)
    known = np.flatnonzero(verified.positive[taught].any(axis=0))
    model = fit(vectors[taught], verified.positive[np.ix_(taught, known)], exclusive, COST, STEPS)
    scored = np.flatnonzero((verified.fold == fold) & verified.judgeable)
    scores = np.zeros((len(scored), len(verified.labels)), np.float32)
    scores[:, known] = model.probabilities(vectors[scored])
    return verified.clip_id[scored], scores
