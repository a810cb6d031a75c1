"""Who judges the labels of a run's clips: judges that no clip they judge has taught anything."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earmark.assess.joined import out_of_fold
from earmark.data.clips import ClipSet
from earmark.data.embeddings import embed_store, load_vectors
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable
from earmark.embedding.opened import open_embedder
from earmark.embedding.statistics import Statistics
from earmark.errors import EarmarkError, RunError
from earmark.runs.data import load_run_clips, load_run_inputs
from earmark.runs.run import Run
from earmark.training.cross_fit import cross_fitted
from earmark.training.floor import statistics_rate

MOST_STATISTICS = 20_000  # clips whose built-in statistics are computed for an audit, at most


@dataclass(frozen=True)
class Judges:
    """The judges of some clips.

    Attributes:
        clips: the N training clips to judge, with their samples.
        content_hash: of each clip's file, str ``[N]``.
        guesses: of each judge, float32 ``[N, K]``.
        titles: who they are, in words.
        vectors: of each clip, ``[N, V, D]``; None if there are none.
        key: of the folder with these vectors in the store; None likewise.
        notes: what the reader should know, a sentence each.
    """

    clips: ClipSet
    content_hash: Array
    guesses: list[NDArray[np.float32]]
    titles: list[str]
    vectors: Array | None
    key: str | None
    notes: list[str]


def gather_judges(run: Run, store: Store) -> Judges:
    """The judges of a run's training clips.

    Regressions judge by the run's embedding, if it has one. Else they judge by built-in statistics, together with the run's own nets.

    Raises:
        RunError: the store has other data, there are no labels to judge, or nothing can judge them.
        StoreError: the store is damaged.
        EmbeddingError: the run's embedding cannot be used.
    """
    sounds = load_run_clips(run, store, min(store.sample_rates))
    training = ~sounds.test
    if len(sounds.labels) < 2 or not sounds.positive[training].any():
        raise RunError(f"{run.path}: an audit needs labels of two classes at least")
    clips = sounds[training]
    content_hash = store.rows(min(store.sample_rates))["content_hash"].to_numpy()[training].astype(np.str_)
    notes: list[str] = []
    if (member := _embedding_member(run)) is not None:
        inputs = load_run_inputs(run, store, member)
        settings = run.recipe.members[member]
        key = open_embedder(settings.frontend.arguments, settings.input.sample_rate).key
        assert inputs.vectors is not None
        vectors = inputs.vectors[training]
        titles = ["regressions on the run's embedding"]
        return Judges(clips, content_hash, [cross_fitted(clips, vectors)], titles, vectors, key, notes)
    own, has_own = _own_scores(run, clips, notes)
    statistics = _statistics(store, sounds, notes)
    if statistics is None:
        if not has_own.any():
            raise RunError(
                f"{run.path}: its nets have heard every clip, so that none of them can judge the labels: train again, into another --out, "
                "with --set unverified=other_folds"
            )
        if not has_own.all():
            notes.append(f"{int((~has_own).sum()):,} clips have been heard by all nets of the run; their labels are not judged.")
            clips, content_hash, own = clips[has_own], content_hash[has_own], own[has_own]
        return Judges(clips, content_hash, [own], ["the run's own nets, of other folds"], None, None, notes)
    key, all_vectors = statistics
    vectors = all_vectors[training]
    guesses, titles = [cross_fitted(clips, vectors)], ["regressions on built-in statistics"]
    if has_own.any():
        # Clips that the run's nets have heard are judged by the regressions alone.
        guesses.append(np.where(has_own[:, None], own, guesses[0]))
        titles.append("the run's own nets, of other folds")
    return Judges(clips, content_hash, guesses, titles, vectors, key, notes)


def _embedding_member(run: Run) -> str | None:
    """A finished member that stands on an embedding, of the run's own ensemble if it can be; None if there is none."""
    finished = list(run.finished())
    voting = [vote.member for votes in run.votes().values() for vote in votes]
    for name in [*voting, *finished]:
        if name in finished and run.recipe.members[name].frontend.name == "embedding":
            return name
    return None


def _own_scores(run: Run, clips: ClipTable, notes: list[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The out-of-fold scores of the run's own ensemble, ``[N, K]``, and for which clips they are there.

    Clips of a recording that lies in two folds have none: nets of each fold have heard the recording in the other.
    """
    scores, there = np.zeros(clips.positive.shape, np.float32), np.zeros(len(clips), np.bool_)
    if any(run.recipe.leaks(vote.member) for vote in next(iter(run.votes().values()))):
        notes.append(
            "The run's own nets have learned from pseudo labels of nets that heard these clips, so that they do not judge."
        )
        return scores, there
    joined = out_of_fold(run, clips).main
    row_of = {clip: row for row, clip in enumerate(clips.clip_id.tolist())}
    rows = np.array([row_of[clip] for clip in joined.clips.clip_id.tolist()], np.int64)
    scores[rows], there[rows] = joined.scores, True
    _, recording = np.unique(clips.group, return_inverse=True)
    lowest, highest = np.full(recording.max() + 1, 2**31), np.full(recording.max() + 1, -(2**31))
    np.minimum.at(lowest, recording, clips.fold)
    np.maximum.at(highest, recording, clips.fold)
    there &= (lowest == highest)[recording]
    return scores, there


def _statistics(store: Store, sounds: ClipSet, notes: list[str]) -> tuple[str, Array] | None:
    """The key and the built-in statistics ``[clips, 1, D]`` of all clips of a store; None where they cannot be had."""
    if len(sounds) > MOST_STATISTICS:
        notes.append(
            f"With more than {MOST_STATISTICS:,} clips there are no regressions on built-in statistics; a run on an embedding judges better."
        )
        return None
    embedder = Statistics(statistics_rate(store))
    try:
        embed_store(store, embedder, 0)
        return embedder.key, load_vectors(store, embedder.key, 0, len(sounds))
    except EarmarkError as error:  # such as a store that may only be read, no room, or another process that computes the same
        notes.append(f"There are no regressions on built-in statistics: {error}.")
        return None
