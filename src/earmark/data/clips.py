"""The clips of one store at one rate as plain arrays: what training and scoring work on."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch

from earmark.data.store import Store
from earmark.labels import LabelSet

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ClipSet:
    """Clips as columns of equal length N, and the PCM they lie in.

    Attributes:
        pcm: int16 ``[samples]``, every clip of the store one after the other; not copied when clips are chosen.
        sample_rate: in Hz.
        labels: the K classes.
        clip_id: str ``[N]``.
        offset: int64 ``[N]``, a clip's first sample in ``pcm``.
        length: int64 ``[N]``, in samples.
        scale: float64 ``[N]``; sample = pcm / 32768 · scale.
        peak: float64 ``[N]``, the largest absolute sample.
        lead: int64 ``[N]``, samples of digital silence at the beginning.
        tail: int64 ``[N]``, the same at the end.
        positive: bool ``[N, K]``, the given labels.
        verified: bool ``[N]``.
        fold: int64 ``[N]``; −1 for test clips.
        test: bool ``[N]``, of the test split.
        scored: bool ``[N]``, whether the clip's labels may be scored against.
        group: str ``[N]``, one a recording.
        usage: str ``[N]``, the part of a published test split that a clip belongs to (``Public``, ``Private``); else empty.
    """

    pcm: torch.Tensor
    sample_rate: int
    labels: LabelSet
    clip_id: Array
    offset: Array
    length: Array
    scale: Array
    peak: Array
    lead: Array
    tail: Array
    positive: Array
    verified: Array
    fold: Array
    test: Array
    scored: Array
    group: Array
    usage: Array

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, choice: Array) -> Self:
        """The clips that a boolean mask or an index array chooses."""
        columns = {f.name: getattr(self, f.name)[choice] for f in fields(self) if f.name not in ("pcm", "sample_rate", "labels")}
        return replace(self, **columns)

    def followed_by(self, other: Self) -> Self:
        """These clips and then others of the same store and rate."""
        columns: dict[str, Any] = {
            f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
            for f in fields(self)
            if f.name not in ("pcm", "sample_rate", "labels")
        }
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

    def without_silent_ends(self) -> Self:
        """The same clips without the digital silence at both ends; an all-silent clip keeps one sample."""
        lead = np.minimum(self.lead, self.length - 1)
        length = np.maximum(self.length - lead - self.tail, 1)
        zero = np.zeros_like(lead)
        return replace(self, offset=self.offset + lead, length=length, lead=zero, tail=zero)


def load_clips(store: Store, sample_rate: int) -> ClipSet:
    """All clips of a store at one rate; their samples are memory-mapped, not read.

    Raises:
        StoreError: the store has not that rate, or a file of it is missing or too short.
    """
    table, pcm = store.table(sample_rate)

    def column(name: str) -> Array:
        return np.array(table[name].to_numpy())  # a copy that is its own: torch warns of arrays that cannot be written to

    return ClipSet(
        pcm=torch.from_numpy(pcm),
        sample_rate=sample_rate,
        labels=store.labels,
        clip_id=column("clip_id").astype(np.str_),
        offset=column("offset"),
        length=column("length"),
        scale=column("scale"),
        peak=column("peak"),
        lead=column("lead"),
        tail=column("tail"),
        positive=store.labels.encode(table["labels"].to_pylist()),
        verified=column("verified"),
        fold=column("fold"),
        test=column("split") == "test",
        scored=column("scored"),
        group=column("group").astype(np.str_),
        usage=np.array(
            [str(usage or "") for usage in table["usage"].to_pylist()] if "usage" in table.column_names else [""] * len(table)
        ),
    )
