"""Clips that are the same sound, and recordings that lie in two folds or under two labels. No torch."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from earmark.assess.alike import Indices, mutual_neighbours
from earmark.assess.connected import Connected
from earmark.assess.copies import are_copies, compared_seconds
from earmark.data.clips import ClipSet
from earmark.data.table import Array
from earmark.parallel import in_order

Kind = Literal["same file", "same sound", "near-duplicate", "one recording"]
KINDS: tuple[Kind, ...] = ("same file", "same sound", "near-duplicate", "one recording")

LEAST_COSINE = 0.6  # of two clips that are compared; of ESC-50's copies, the least alike have 0.63
MOST_SECONDS = 20_000.0  # of sound that are compared; with more, the most alike pairs are
PROBED = 256  # samples that tell most clips apart


@dataclass(frozen=True)
class Duplicate:
    """Clips that belong together.

    Attributes:
        kind: ``same file`` (the same content), ``same sound`` (the same samples in different files), ``near-duplicate`` (parts of
            them are copies of each other: louder, shifted, filtered or encoded anew), or ``one recording`` (parts of a recording
            that lie in two folds or have different labels).
        clips: their names, two at least.
        folds: their folds, rising; −1 is the test split.
        labels: all labels that they have, in the order of the classes.
        two_folds: whether they lie in more than one fold: nets are then judged on what they have learned from.
        two_labels: whether their labels differ; clips without labels do not count.
    """

    kind: Kind
    clips: tuple[str, ...]
    folds: tuple[int, ...]
    labels: tuple[str, ...]
    two_folds: bool
    two_labels: bool


def find_duplicates(
    clips: ClipSet, content_hash: Array, vectors: Array | None = None, notes: list[str] | None = None
) -> list[Duplicate]:
    """Clips that are the same sound, and recordings that lie in two folds or, where a clip has one label, under two labels.

    Clips that are copies but not the same samples are looked for among those whose vectors are alike, in different recordings. Only
    what a comparison of their samples proves is called a duplicate. Without vectors there is no such search.

    Args:
        clips: the clips, with their samples.
        content_hash: of each clip's file, str ``[N]``; empty if unknown.
        vectors: embeddings of the clips, float32 ``[N, V, D]`` with the clip as it is first, or ``[N, D]``; may be memory-mapped.
        notes: gets a sentence if there is too much sound to compare all that is alike.

    Returns:
        What there is, the worst first: under two labels, then in two folds.
    """
    recording = _recordings(clips.group, content_hash)
    same = _same_samples(clips)
    made = [
        _duplicate("same file" if len(set(content_hash[rows])) == 1 and content_hash[rows[0]] else "same sound", clips, rows)
        for rows in same
    ]
    if vectors is not None:
        once = np.ones(len(clips), bool)
        for rows in same:
            once[rows[1:]] = False
        made += [
            _duplicate("near-duplicate", clips, rows) for rows in _copies(clips, vectors, recording, once & (clips.peak > 0), notes)
        ]
    for rows in _equal(recording):
        parts = _duplicate("one recording", clips, rows)
        if parts.two_folds or (parts.two_labels and not clips.several):
            made.append(parts)
    return sorted(made, key=lambda row: (not row.two_labels, not row.two_folds, KINDS.index(row.kind), row.clips))


def _duplicate(kind: Kind, clips: ClipSet, rows: Indices) -> Duplicate:
    folds = tuple(sorted({int(fold) for fold in clips.fold[rows]}))
    positive = clips.positive[rows]
    names = tuple(clips.labels.names[k] for k in np.flatnonzero(positive.any(axis=0)))
    labelled = positive[positive.any(axis=1) | clips.verified[rows]]
    two_labels = bool((labelled != labelled[:1]).any())
    return Duplicate(kind, tuple(map(str, clips.clip_id[rows])), folds, names, len(folds) > 1, two_labels)


def _equal(codes: Array) -> Iterator[Indices]:
    """The rows that share a value with others, as indices, for each such value."""
    order = np.argsort(codes, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(codes[order])) + 1, len(order))
    begins = np.append(0, ends[:-1])
    shared = ends - begins > 1  # of hundreds of thousands, few are; to cut all apart would take seconds
    for begin, end in zip(begins[shared].tolist(), ends[shared].tolist(), strict=True):
        yield order[begin:end]


def _recordings(group: Array, content_hash: Array) -> Indices:
    """A number for the recording of each clip: that of its group, and of all groups that have parts of equal files."""
    recording = np.unique(group, return_inverse=True)[1].astype(np.int64)
    joined = Connected(int(recording.max(initial=-1)) + 1)
    contents = np.unique(content_hash, return_inverse=True)[1]
    for rows in _equal(contents):
        if content_hash[rows[0]]:
            joined.join(np.unique(recording[rows]).tolist())
    return joined.lowest()[recording]


def _same_samples(clips: ClipSet) -> list[Indices]:
    """The clips that have the same samples, as sets of indices. Only what cannot be told apart otherwise is read."""
    columns = [clips.length, clips.peak, clips.lead, clips.tail, clips.scale]
    codes = np.zeros(len(clips), np.int64)
    for column in columns:
        _, codes = np.unique(np.stack([codes, np.unique(column, return_inverse=True)[1]]), axis=1, return_inverse=True)
        codes = codes.reshape(-1).astype(np.int64)
    return [rows for alike in _equal(codes) for probed in _split(clips, alike, PROBED) for rows in _split(clips, probed, None)]


def _split(clips: ClipSet, rows: Indices, most: int | None) -> list[Indices]:
    """Sets of those rows whose samples are equal; of each clip, samples from the middle, or all."""
    sets: dict[bytes, list[int]] = {}
    for row in rows.tolist():
        first, length = int(clips.offset[row]), int(clips.length[row])
        if most is not None and length > most:
            first, length = first + (length - most) // 2, most
        sets.setdefault(hashlib.blake2b(clips.pcm[first : first + length].tobytes(), digest_size=16).digest(), []).append(row)
    return [np.array(found, np.int64) for found in sets.values() if len(found) > 1]


def _copies(clips: ClipSet, vectors: Array, recording: Indices, chosen: Array, notes: list[str] | None) -> list[Indices]:
    """Sets of clips of different recordings that are copies of each other."""
    rows = np.flatnonzero(chosen)
    first_view = vectors[:, 0] if vectors.ndim == 3 else vectors
    pairs, _ = mutual_neighbours(first_view, rows, recording[rows], LEAST_COSINE)
    seconds = np.array([compared_seconds(clips, one) + compared_seconds(clips, other) for one, other in pairs.tolist()])
    compared = pairs[np.cumsum(seconds) <= MOST_SECONDS]
    if len(compared) < len(pairs) and notes is not None:
        notes.append(
            f"Of {len(pairs):,} pairs of clips that sound alike, the {len(compared):,} most alike were compared for copies."
        )
    joined = Connected(len(clips))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        proven = in_order(pool, lambda pair: are_copies(clips, *pair), compared.tolist(), ahead=64)
        for pair, copies in zip(compared.tolist(), proven, strict=True):
            if copies:
                joined.join(pair)
    return list(_equal(joined.lowest()))
