"""The clips of a store at one sample rate, with their samples: what training and scoring work on. No torch."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from earmark import audio
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable, column, columns_of

FULL_SCALE = 32768.0  # of 16-bit PCM


@dataclass(frozen=True)
class ClipSet(ClipTable):
    """Clips as columns of equal length N, with the PCM that has their samples.

    Attributes:
        pcm: samples of all clips of the store, one clip after the other, int16 ``[samples]``; never copied when clips are selected.
        sample_rate: sample rate of all clips, in Hz.
        offset: index of a clip's first sample in ``pcm``, int64 ``[N]``.
        length: length of a clip in samples, int64 ``[N]``.
        scale: sample = pcm / 32768 · scale; float64 ``[N]``.
        peak: the largest absolute sample of a clip, float64 ``[N]``.
        lead: samples of digital silence at the beginning of a clip, int64 ``[N]``.
        tail: samples of digital silence at the end of a clip, int64 ``[N]``.
        row: place of a clip among all clips of the store at this rate, int64 ``[N]``.
        vectors: embeddings of all clips of the store, float32 ``[clips, 1 + variations, D]``, the first one of the clip as it is;
            never copied when clips are selected; None if the member has no need of them.
    """

    pcm: Array
    sample_rate: int
    offset: Array
    length: Array
    scale: Array
    peak: Array
    lead: Array
    tail: Array
    row: Array
    vectors: Array | None = None

    NO_COLUMNS: ClassVar[tuple[str, ...]] = ("labels", "pcm", "sample_rate", "vectors")

    def samples(self, index: int) -> audio.Samples:
        """The samples of the clip with this index, with their original scale, float32 ``[samples]``."""
        first = int(self.offset[index])
        pcm = self.pcm[first : first + int(self.length[index])]
        return pcm.astype(np.float32) * np.float32(self.scale[index] / FULL_SCALE)

    def without_silent_ends(self) -> Self:
        """The same clips without the digital silence at both ends; a completely silent clip keeps one sample."""
        first, count = audio.sounding_part(self.length, self.lead, self.tail)
        zero = np.zeros_like(first)
        return replace(self, offset=self.offset + first, length=count, lead=zero, tail=zero)


def load_clips(store: Store, sample_rate: int) -> ClipSet:
    """All clips of a store at one sample rate (in Hz). The samples are memory-mapped, not read.

    Raises:
        StoreError: the store does not have that rate, or one of its files is missing or too short.
    """
    rows, pcm = store.rows_and_pcm(sample_rate)
    positions = {name: column(rows, name) for name in ("offset", "length", "scale", "peak", "lead", "tail")}
    return ClipSet(
        pcm=pcm, sample_rate=sample_rate, labels=store.labels, row=np.arange(len(rows)), **columns_of(store, rows), **positions
    )
