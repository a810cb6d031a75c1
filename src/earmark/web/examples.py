"""Verified clips that sound like a doubtful one, to compare by ear: the nearest of each label, from other recordings."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
from numpy.typing import NDArray

from earmark.data.embeddings import FOLDER, INFO, load_vectors
from earmark.errors import EarmarkError, StoreError
from earmark.web.columns import Numbers, lists_of, whole_column
from earmark.web.folder import Audit
from earmark.web.guesses import Guesses

NEAREST = 3
MOST = 4000  # verified clips of a label that are compared, at most; of more, every n-th
OF_CENTRE = 2000  # verified clips that the centre is the mean of, at most
LABELS_KEPT = 100  # labels whose vectors stay in memory

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """A verified clip.

    Attributes:
        row: its place in `Audit.rows`.
        likeness: cosine between its vector and that of the doubtful clip, both seen from the mean of the verified clips.
    """

    row: int
    likeness: float


@dataclass(frozen=True)
class _Vectors:
    """The vectors of clips: those of a pre-trained model, or else the scores that nets gave them.

    Attributes:
        place: which vector a row of the store's table has, int64 ``[rows]``; −1 for none.
        take: the vectors at some places, float32 ``[places, D]``.
    """

    place: Numbers
    take: Callable[[Numbers], Vectors]


@dataclass(frozen=True)
class _OfLabel:
    """The verified clips of a label: rows ``[n]``, and vectors of length 1 ``[n, D]``."""

    rows: Numbers
    vectors: Vectors


class Examples:
    """Finds examples. Nothing is read before the first is asked for. Its methods may be called from several threads.

    Args:
        audit: the audit.
        guesses: its scores, which stand for vectors where it has none.

    Attributes:
        fault: why the vectors that the audit names are not used; None if they are, or nothing was asked yet.
    """

    def __init__(self, audit: Audit, guesses: Guesses) -> None:
        self.fault: str | None = None
        self._audit = audit
        self._guesses = guesses
        self._lock = threading.Lock()
        self._opened: tuple[_Vectors, Vectors] | None = None
        self._of_label: OrderedDict[str, _OfLabel] = OrderedDict()
        self._verified: tuple[Numbers, Any] | None = None
        self._group = whole_column(audit.rows, "group")

    def nearest(self, row: int, label: str) -> list[Example]:
        """The verified clips of a label, of other recordings, that sound most like a clip; the nearest comes first.

        Args:
            row: the clip's place in the store's table.
            label: the label.
        """
        with self._lock:
            vectors, centre = self._open()
            candidates = self._candidates(label, vectors, centre)
        if vectors.place[row] < 0 or not len(candidates.rows):
            return []
        own = _of_length_one(vectors.take(vectors.place[row : row + 1]) - centre)[0]
        likeness = np.einsum("nd,d->n", candidates.vectors, own)  # `@` would wake threads, which takes longer than this
        other = self._group.take(pyarrow.array(candidates.rows))
        elsewhere = pyarrow.compute.not_equal(other, self._group[row]).to_numpy(zero_copy_only=False)
        likeness = np.where(elsewhere, likeness, -np.inf)
        best = np.argsort(-likeness, kind="stable")[:NEAREST]
        return [Example(int(candidates.rows[place]), float(likeness[place])) for place in best if elsewhere[place]]

    def _open(self) -> tuple[_Vectors, Vectors]:
        """The vectors, and the mean of those of verified clips, float32 ``[D]``."""
        if self._opened is None:
            vectors = self._from_store() or self._from_guesses()
            places = vectors.place[self._all_verified()[0]]
            places = _thinned(places[places >= 0], OF_CENTRE)
            centre = vectors.take(places).mean(axis=0, dtype=np.float64).astype(np.float32) if len(places) else np.float32(0)
            self._opened = vectors, np.asarray(centre, np.float32)
        return self._opened

    def _from_store(self) -> _Vectors | None:
        audit, key = self._audit, self._audit.info.vectors
        if key is None:
            return None
        try:
            rate = _rate_of(audit, key)
            same = rate == max(audit.store.sample_rates)
            rows = audit.rows if same else audit.store.rows(rate).combine_chunks()
            vectors = load_vectors(audit.store, key, 0, len(rows))
        except EarmarkError as error:
            self.fault = f"examples are chosen by what nets think of them, since the vectors cannot be used: {error}"
            return None
        places = pyarrow.compute.index_in(whole_column(audit.rows, "clip_id"), value_set=whole_column(rows, "clip_id"))
        return _Vectors(places.fill_null(-1).to_numpy().astype(np.int64), lambda chosen: np.asarray(vectors[chosen, 0], np.float32))

    def _from_guesses(self) -> _Vectors:
        place = np.full(len(self._audit.rows), -1, np.int64)
        if self._guesses.any():
            place[self._audit.suspects.row] = np.arange(len(self._audit.suspects))
        return _Vectors(place, self._guesses.some)

    def _all_verified(self) -> tuple[Numbers, Any]:
        """The rows of verified training clips, and the labels of all rows."""
        if self._verified is None:
            rows = self._audit.rows
            verified = whole_column(rows, "verified").to_numpy(zero_copy_only=False)
            trains = pyarrow.compute.equal(whole_column(rows, "split"), "train").to_numpy(zero_copy_only=False)
            names = pyarrow.array(self._audit.store.labels.names, pyarrow.string())
            self._verified = np.flatnonzero(verified & trains), lists_of(whole_column(rows, "labels"), names)
        return self._verified

    def _candidates(self, label: str, vectors: _Vectors, centre: Vectors) -> _OfLabel:
        if label not in self._of_label:
            verified, labels = self._all_verified()
            names = self._audit.store.labels.names
            has = labels.have(names.index(label))[verified] if label in names else np.zeros(len(verified), np.bool_)
            rows = verified[has]
            rows = _thinned(rows[vectors.place[rows] >= 0], MOST)
            made = _of_length_one(vectors.take(vectors.place[rows]) - centre) if len(rows) else np.zeros((0, 0), np.float32)
            self._of_label[label] = _OfLabel(rows, made)
            if len(self._of_label) > LABELS_KEPT:
                self._of_label.popitem(last=False)
        self._of_label.move_to_end(label)
        return self._of_label[label]


def _rate_of(audit: Audit, key: str) -> int:
    """The sample rate of the vectors with a key, in Hz."""
    path = audit.store.path / FOLDER / key / INFO
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["sample_rate"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(f"{path} is not there, or damaged") from None


def _thinned(numbers: Numbers, most: int) -> Numbers:
    """At most so many of the numbers, evenly spread."""
    return numbers if len(numbers) <= most else numbers[np.linspace(0, len(numbers) - 1, most).astype(np.int64)]


def _of_length_one(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, np.float32(1e-12))
