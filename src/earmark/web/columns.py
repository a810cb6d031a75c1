"""Columns of many clips that can be asked quickly: lists of numbers, and the order in which clips are heard."""

from dataclasses import dataclass

import numpy as np
import pyarrow
import pyarrow.compute
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

BLOCK = 50  # clips of the list within which recordings take turns


class UnknownNameError(LookupError):
    """A text is none of the names that it is looked for in.

    Attributes:
        row: where it stands, from 0.
        text: the text.
    """

    def __init__(self, row: int, text: str) -> None:
        super().__init__(f"row {row}: {text!r} is not known")
        self.row = row
        self.text = text


@dataclass(frozen=True)
class Lists:
    """A list of numbers of each of N clips, such as the numbers of its labels.

    Attributes:
        starts: the list of clip i is ``numbers[starts[i] : starts[i + 1]]``; int64 ``[N + 1]``.
        numbers: all lists, one after the other.
        owner: the clip of each number.
    """

    starts: Numbers
    numbers: Numbers
    owner: Numbers

    @classmethod
    def of_pairs(cls, owner: Numbers, numbers: Numbers, count: int) -> "Lists":
        """Lists of ``count`` clips, from pairs of a clip and a number; the clips ascend."""
        starts = np.searchsorted(owner, np.arange(count + 1))
        return cls(starts, numbers, owner)

    def of(self, clip: int) -> list[int]:
        """The list of a clip."""
        numbers: list[int] = self.numbers[self.starts[clip] : self.starts[clip + 1]].tolist()
        return numbers

    def have(self, number: int) -> Mask:
        """Whether a number is in the list of each clip, bool ``[N]``."""
        mask = np.zeros(len(self.starts) - 1, np.bool_)
        mask[self.owner[self.numbers == number]] = True
        return mask

    def counts(self, chosen: Mask, kinds: int) -> list[int]:
        """How many of the chosen clips have each of the numbers from 0 to ``kinds`` − 1."""
        counted: list[int] = np.bincount(self.numbers[chosen[self.owner]], minlength=kinds).tolist()
        return counted

    def joined(self, other: "Lists", kinds: int) -> "Lists":
        """What is in the lists or in those of ``other``, every number once; the numbers lie below ``kinds``."""
        keys = np.concatenate([self.owner * kinds + self.numbers, other.owner * kinds + other.numbers])
        keys.sort(kind="stable")  # which is quick where much is in order
        keys = keys[np.diff(keys, prepend=-1) > 0]
        return Lists.of_pairs(keys // kinds, keys % kinds, len(self.starts) - 1)


def lists_of(column: pyarrow.Array, names: pyarrow.Array) -> Lists:
    """Lists of texts as lists of the places that the texts have in ``names``; empty texts are left out.

    Raises:
        UnknownNameError: a text is none of the names.
    """
    owner = pyarrow.compute.list_parent_indices(column).to_numpy()
    texts = pyarrow.compute.list_flatten(column)
    places = pyarrow.compute.index_in(texts, value_set=names).fill_null(-1).to_numpy()
    kept = pyarrow.compute.not_equal(texts, "").to_numpy(zero_copy_only=False)
    unknown = np.flatnonzero((places < 0) & kept)
    if len(unknown):
        raise UnknownNameError(int(owner[unknown[0]]), texts[int(unknown[0])].as_py())
    return Lists.of_pairs(owner[kept].astype(np.int64), places[kept].astype(np.int64), len(column))


def split_column(column: pyarrow.Array, separator: str, names: pyarrow.Array) -> Lists:
    """Like `lists_of`, of texts with a separator between their parts."""
    return lists_of(pyarrow.compute.split_pattern(column, separator), names)


def whole_column(table: pyarrow.Table, name: str) -> pyarrow.Array:
    """A column of a table in one piece."""
    column = table[name]
    if column.num_chunks == 1:
        return column.chunk(0)  # `combine_chunks` would copy it
    column = column.combine_chunks()
    return column.chunk(0) if isinstance(column, pyarrow.ChunkedArray) else column


def order_of(chosen: Numbers, recording: Numbers) -> Numbers:
    """The order in which clips of a list are heard: block by block, and in a block first those of recordings that have not come yet.

    So nobody hears ten parts of one recording on end, and whoever has heard 50 clips has still heard the first 50 of the list.

    Args:
        chosen: places of the clips, in the order of the list.
        recording: number of the recording of every clip, whether it is chosen or not.

    >>> order_of(np.array([0, 1, 2, 3]), np.array([7, 7, 8, 9])).tolist()
    [0, 2, 3, 1]
    """
    own = recording[chosen]
    by_recording = np.argsort(own, kind="stable")
    ascending = own[by_recording]
    first_of = np.searchsorted(ascending, ascending)  # where the run of a recording begins
    times = np.empty(len(own), np.int64)  # how often the recording has come before
    times[by_recording] = np.arange(len(own)) - first_of
    place = np.arange(len(own))
    return chosen[np.lexsort((place, times, place // BLOCK))]
