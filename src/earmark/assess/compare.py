"""Two runs on the same clips: is the second better, worse, or can they not be told apart?

Compared are the out-of-fold scores of the runs' own ensembles, on the clips that are verified in both stores with the same labels and that
both runs held out. Where the stores do not agree which clips are one recording, all that either says is one recording is drawn as one:
an interval that comes out too wide misleads nobody.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.assess.comparison import ClassDifference, Comparison, LeftOut, Metric, Side
from earmark.assess.connected import Connected
from earmark.assess.joined import Joined, out_of_fold
from earmark.assess.metrics import METRICS, Positive, Scores, Values, clip_sums, hits, label_ranking_precision
from earmark.assess.paired import Difference, difference, holm
from earmark.data.table import Array, ClipTable
from earmark.errors import RunError, listed, one_line, shortened
from earmark.runs.data import load_unchanged_table, open_store
from earmark.runs.run import Run


def metric_of(clips: ClipTable) -> Metric:
    """The metric to compare by: accuracy where every clip has one label, else lwlrap."""
    return "accuracy" if not clips.several else "lwlrap"


def compare_runs(first: Run, second: Run, first_store: Path | None = None, second_store: Path | None = None) -> Comparison:
    """Compares two runs.

    Args:
        first: a run with a finished net, at least.
        second: likewise.
        first_store: the first run's store, if it has been moved.
        second_store: likewise.

    Raises:
        RunError: a run cannot be read, its store has changed, the runs have other classes, or no clip in common.
        StoreError: a store is missing or damaged.
    """
    (side, scores, hashes), (other_side, other_scores, other_hashes) = _load(first, first_store), _load(second, second_store)
    other_scores = _in_order(other_scores, scores, (side, other_side))
    mine, others, left_out = _shared(scores.clips, other_scores.clips, hashes, other_hashes)
    if not len(mine):
        reasons = "".join(f"; {line}" for line in left_out.lines) or "; neither holds out any verified clip that has labels"
        raise RunError(f"{first.path} and {second.path} have no clip to compare{reasons}")
    clips, other_clips = scores.clips[mine], other_scores.clips[others]
    group = join_groups(clips.group, other_clips.group)
    differences, classes = compare_scores(scores.scores[mine], other_scores.scores[others], clips, group)
    unseen = len(clips.labels) - len(classes)
    return Comparison(side, other_side, metric_of(clips), differences, classes, unseen, left_out)


def _load(run: Run, store_path: Path | None) -> tuple[Side, Joined, Array]:
    """A run, the scores of its verified clips that may be scored, labelled or not, and the hashes of these clips' files."""
    store = open_store(run, store_path)
    rows = store.rows(min(store.sample_rates))
    # A store of an earlier version has no hashes.
    hash_of = (
        dict(zip(*(rows[name].to_pylist() for name in ("clip_id", "content_hash")), strict=True))
        if "content_hash" in rows.column_names
        else {}
    )
    clips = load_unchanged_table(store)
    scores = out_of_fold(run, clips)
    name, votes = next(iter(scores.votes.items()))
    voting = {vote.member for vote in votes}
    if missing := set(run.recipe.voters(name)) - voting:
        raise RunError(f"{run.path} is not finished: its ensemble lacks {listed(missing)}; `earmark train` goes on with it")
    side = Side(
        run.path,
        run.recipe.name,
        store.path,
        any(run.recipe.leaks(member) for member in voting),
        any(vote.weights == "best" for vote in votes),
    )
    own = scores.main.chosen(scores.main.clips.verified & scores.main.clips.scored & ~scores.main.clips.test)
    return side, own, np.array([hash_of.get(clip) or "" for clip in own.clips.clip_id.tolist()], np.str_)


def _in_order(other: Joined, scores: Joined, sides: tuple[Side, Side]) -> Joined:
    """The second run's clips and scores with the classes in the order of the first."""
    mine, others = scores.clips.labels.names, other.clips.labels.names
    if set(mine) != set(others):
        apart = [
            f"only in {side.path}: {shortened(one_line(listed(names)))}"
            for side, names in zip(sides, (set(mine) - set(others), set(others) - set(mine)), strict=True)
            if names
        ]
        raise RunError(
            f"{sides[0].path} and {sides[1].path} have other classes ({'; '.join(apart)}); runs of the same classes are needed"
        )
    place = {name: k for k, name in enumerate(others)}
    order = [place[name] for name in mine]
    clips = replace(other.clips, labels=scores.clips.labels, positive=other.clips.positive[:, order])
    return Joined(clips, other.scores[:, order])


def _shared(clips: ClipTable, others: ClipTable, hashes: Array, other_hashes: Array) -> tuple[Array, Array, LeftOut]:
    """The rows of the clips to compare in the first and in the second table, and what is left out."""
    _, mine, theirs = np.intersect1d(clips.clip_id, others.clip_id, assume_unique=True, return_indices=True)
    known = (hashes[mine] != "") & (other_hashes[theirs] != "")
    same_sound = ~known | (hashes[mine] == other_hashes[theirs])
    same_labels = (clips.positive[mine] == others.positive[theirs]).all(axis=1)
    left_out = LeftOut(
        int((same_sound & ~same_labels).sum()), int((~same_sound).sum()), len(clips) - len(mine), len(others) - len(theirs)
    )
    kept = same_sound & same_labels & clips.positive[mine].any(axis=1)  # the metrics say nothing of *none of these*
    return mine[kept], theirs[kept], left_out


def join_groups(first: Sequence[str] | Array, second: Sequence[str] | Array) -> Array:
    """Numbers of recordings, int64 ``[N]``: equal for clips that either says are of one recording, directly or by way of others.

    Args:
        first: the recording of each clip as the first store has it, ``[N]``.
        second: as the second store has it, ``[N]``.
    """
    names, mine = np.unique(first, return_inverse=True)
    other_names, others = np.unique(second, return_inverse=True)
    joined = Connected(len(names) + len(other_names))
    for pair in np.unique(np.stack([mine, others + len(names)], axis=1), axis=0).tolist():
        joined.join(pair)
    return joined.lowest()[mine]


def compare_scores(
    first: Scores, second: Scores, clips: ClipTable, group: Array
) -> tuple[dict[str, Difference], tuple[ClassDifference, ...]]:
    """The differences of all metrics, and of the classes that some clip has, the largest gain first.

    Args:
        first: the first scores of the clips, ``[N, K]``.
        second: the second scores of the clips, ``[N, K]``.
        clips: N clips, at least 1, that have at least one label each.
        group: the recording of each clip, ``[N]``.
    """
    positive = clips.positive
    sums, other_sums = clip_sums(first, positive), clip_sums(second, positive)
    differences = {
        name: difference(sums[:, 2 * i], other_sums[:, 2 * i], sums[:, 2 * i + 1], group) for i, name in enumerate(METRICS)
    }
    metric = metric_of(clips)
    rows, classes = np.nonzero(positive)
    order = np.argsort(classes, kind="stable")
    own, other = _of_labels(metric, first, positive)[order], _of_labels(metric, second, positive)[order]
    own_group = group[rows[order]]
    ends = np.cumsum(np.bincount(classes, minlength=positive.shape[1])).tolist()
    parts = {k: slice(begin, end) for k, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)) if end > begin}
    found = {k: difference(own[part], other[part], np.ones(len(own[part])), own_group[part]) for k, part in parts.items()}
    corrected = holm([each.p for each in found.values()])
    named = [ClassDifference(clips.labels.names[k], each, p) for (k, each), p in zip(found.items(), corrected, strict=True)]
    return differences, tuple(sorted(named, key=lambda row: -row.difference.value))


def _of_labels(metric: Metric, scores: Scores, positive: Positive) -> Values:
    """What each label of each clip adds to its class's figure, in the order of ``np.nonzero(positive)``: a class's figure is the mean."""
    return (
        hits(scores, positive)[np.nonzero(positive)[0]]
        if metric == "accuracy"
        else label_ranking_precision(scores, positive)[positive]
    )
