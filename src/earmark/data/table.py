"""The clips of a store as plain columns: labels, folds, recordings. No samples, no torch."""

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
        clip_id: the clips' names, str ``[N]``.
        positive: which classes are given labels of a clip, bool ``[N, K]``.
        verified: whether a person checked the labels, bool ``[N]``.
        fold: number of the fold, int64 ``[N]``; −1 for test clips.
        test: whether the clip belongs to the test split, bool ``[N]``.
        scored: False if the data set keeps the clip's labels back, bool ``[N]``.
        group: the recording that the clip is a part of, str ``[N]``.
        usage: the part of a published test split that a clip belongs to (``Public``, ``Private``), else empty; str ``[N]``.
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
        """The clips that a mask, bool ``[N]``, or an array of indices selects."""
        columns: dict[str, Any] = {name: column[choice] for name, column in self._columns().items()}
        return replace(self, **columns)

    def followed_by(self, other: Self) -> Self:
        """These clips, followed by other clips of the same store."""
        others = other._columns()
        columns: dict[str, Any] = {name: np.concatenate([column, others[name]]) for name, column in self._columns().items()}
        return replace(self, **columns)

    @property
    def labelled(self) -> Array:
        """Whether a clip has labels or is known to be *none of these*, bool ``[N]``; all other clips are unlabelled."""
        return self.positive.any(axis=1) | self.verified

    @property
    def none_of_these(self) -> Array:
        """Whether a clip was checked by a person and has no label, bool ``[N]``."""
        return ~self.positive.any(axis=1) & self.verified

    @property
    def several(self) -> bool:
        """Whether some clip has several labels."""
        return bool((self.positive.sum(axis=1) > 1).any())

    @property
    def judgeable(self) -> Array:
        """Whether a clip has labels that its scores can be compared with, bool ``[N]``."""
        return self.positive.any(axis=1) & self.scored

    @property
    def targets(self) -> Array:
        """Targets with the sum 1, float32 ``[N, K]``: equal for all labels of a clip; equal for all classes for *none of these*."""
        weight = self.positive | self.none_of_these[:, None]
        return (weight / np.maximum(weight.sum(axis=1, keepdims=True), 1)).astype(np.float32)

    def multi_hot(self, activation: str) -> Array:
        """Targets with 1 for each label of a clip (Akiyama & Sato), float32 ``[N, K]``.

        Args:
            activation: of the head: for *none of these* the targets are all 0 for ``sigmoid``, and 1/K for ``softmax``.
        """
        targets = self.positive.astype(np.float32)
        if activation == "softmax":
            targets[self.none_of_these] = 1 / len(self.labels)
        return targets


def load_table(store: Store) -> ClipTable:
    """All clips of a store.

    Raises:
        StoreError: the store's table is missing or damaged.
    """
    return ClipTable(labels=store.labels, **columns_of(store, store.rows(min(store.sample_rates))))


def columns_of(store: Store, rows: pyarrow.Table) -> dict[str, Array]:
    """The columns of a `ClipTable`, made from rows of a store's ``clips.parquet``."""
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
    """A column as a new array, which may be changed."""
    return np.array(rows[name].to_numpy())
