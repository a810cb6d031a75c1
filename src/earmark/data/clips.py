"""The clips of one store at one rate, with their samples: what training and scoring work on. No torch."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from earmark import audio
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable, column, columns_of

FULL_SCALE = 32768.0  # of 16-bit PCM


@dataclass(frozen=True)
class ClipSet(ClipTable):
    """Clips as columns of equal length N, and the PCM that their samples lie in.

    Attributes:
        pcm: int16 ``[samples]``, every clip of the store one after the other; not copied when clips are chosen.
        sample_rate: in Hz.
        offset: int64 ``[N]``, a clip's first sample in ``pcm``.
        length: int64 ``[N]``, in samples.
        scale: float64 ``[N]``; sample = pcm / 32768 · scale.
        peak: float64 ``[N]``, the largest absolute sample.
        lead: int64 ``[N]``, samples of digital silence at the beginning.
        tail: int64 ``[N]``, the same at the end.
    """

    pcm: Array
    sample_rate: int
    offset: Array
    length: Array
    scale: Array
    peak: Array
    lead: Array
    tail: Array

    NO_COLUMNS: ClassVar[tuple[str, ...]] = ("labels", "pcm", "sample_rate")

    def samples(self, index: int) -> audio.Samples:
        """One clip's samples as they were before they were stored, float32 ``[samples]``."""
        first = int(self.offset[index])
        pcm = self.pcm[first : first + int(self.length[index])]
        return pcm.astype(np.float32) * np.float32(self.scale[index] / FULL_SCALE)

    def without_silent_ends(self) -> Self:
        """The same clips without the digital silence at both ends; an all-silent clip keeps one sample."""
        first, count = audio.sounding_part(self.length, self.lead, self.tail)
        zero = np.zeros_like(first)
        return replace(self, offset=self.offset + first, length=count, lead=zero, tail=zero)


def load_clips(store: Store, sample_rate: int) -> ClipSet:
    """All clips of a store at one rate; their samples are memory-mapped, not read.

    Raises:
        StoreError: the store has not that rate, or a file of it is missing or too short.
    """
    rows, pcm = store.rows_and_pcm(sample_rate)
    numbers = {name: column(rows, name) for name in ("offset", "length", "scale", "peak", "lead", "tail")}
    return ClipSet(pcm=pcm, sample_rate=sample_rate, labels=store.labels, **columns_of(store, rows), **numbers)
