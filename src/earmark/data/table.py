"""What a store's table says of its clips, as plain columns: labels, folds, recordings. No samples, no torch."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow

from earmark.data.store import Store
from earmark.labels import LabelSet

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ClipTable:
    """Clips as columns of equal length N.

    Attributes:
        labels: the K classes.
        clip_id: str ``[N]``.
        positive: bool ``[N, K]``, the given labels.
        verified: bool ``[N]``.
        fold: int64 ``[N]``; −1 for test clips.
        test: bool ``[N]``, of the test split.
        scored: bool ``[N]``; False where the data set keeps the clip's labels back.
        group: str ``[N]``, the recording.
        usage: str ``[N]``, the part of a published test split that a clip belongs to (``Public``, ``Private``); else empty.
    """

    labels: LabelSet
    clip_id: Array
    positive: Array
    verified: Array
    fold: Array
    test: Array
    scored: Array
    group: Array
    usage: Array

    NO_COLUMNS: ClassVar[tuple[str, ...]] = ("labels",)

    def __len__(self) -> int:
        return len(self.clip_id)

    def _columns(self) -> dict[str, Array]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in self.NO_COLUMNS}

    def __getitem__(self, choice: Array) -> Self:
        """The clips that a boolean mask or an index array chooses."""
        columns: dict[str, Any] = {name: column[choice] for name, column in self._columns().items()}
        return replace(self, **columns)

    def followed_by(self, other: Self) -> Self:
        """These clips and then others of the same store."""
        others = other._columns()
        columns: dict[str, Any] = {name: np.concatenate([column, others[name]]) for name, column in self._columns().items()}
        return replace(self, **columns)

    @property
    def labelled(self) -> Array:
        """bool ``[N]``: has labels, or is known to be none of the classes. The others are unlabelled."""
        return self.positive.any(axis=1) | self.verified

    @property
    def none_of_these(self) -> Array:
        """bool ``[N]``: checked by a person, and none of the classes."""
        return ~self.positive.any(axis=1) & self.verified

    @property
    def judgeable(self) -> Array:
        """bool ``[N]``: has labels that scores can be held against."""
        return self.positive.any(axis=1) & self.scored

    @property
    def targets(self) -> Array:
        """float32 ``[N, K]``: the labels share 1 equally; *none of these* is uniform."""
        weight = self.positive | self.none_of_these[:, None]
        return (weight / np.maximum(weight.sum(axis=1, keepdims=True), 1)).astype(np.float32)

    def multi_hot(self, activation: str) -> Array:
        """float32 ``[N, K]``: 1 for each label (Akiyama & Sato). *None of these* is all zero for ``sigmoid``, uniform for ``softmax``."""
        targets = self.positive.astype(np.float32)
        if activation == "softmax":
            targets[self.none_of_these] = 1 / len(self.labels)
        return targets


def load_table(store: Store) -> ClipTable:
    """All clips of a store.

    Raises:
        StoreError: its table is missing or damaged.
    """
    return ClipTable(labels=store.labels, **columns_of(store, store.rows(min(store.sample_rates))))


def columns_of(store: Store, rows: pyarrow.Table) -> dict[str, Array]:
    """The columns of a `ClipTable` from rows of ``clips.parquet``."""
    usage = rows["usage"].to_pylist() if "usage" in rows.column_names else [""] * len(rows)
    return {
        "clip_id": column(rows, "clip_id").astype(np.str_),
        "positive": store.labels.encode(rows["labels"].to_pylist()),
        "verified": column(rows, "verified"),
        "fold": column(rows, "fold"),
        "test": column(rows, "split") == "test",
        "scored": column(rows, "scored"),
        "group": column(rows, "group").astype(np.str_),
        "usage": np.array([str(part or "") for part in usage]),
    }


def column(rows: pyarrow.Table, name: str) -> Array:
    """A column as an array of its own, which may be written to."""
    return np.array(rows[name].to_numpy())
