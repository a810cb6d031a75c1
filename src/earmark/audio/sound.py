"""What an open sound is, whatever reads it."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32] | NDArray[np.int16]  # [samples, channels]


class Sound(Protocol):
    """An open sound.

    Attributes:
        rate: sample rate in Hz.
        channels: number of channels.
        length: samples of each channel, by the header; None if only reading tells.
    """

    rate: int
    channels: int
    length: int | None

    def blocks(self, first: int, last: int | None, most: int) -> Iterator[Block]:
        """The samples in order, int16 where the file has 16 bits, else float32: blocks ``[samples, channels]``.

        Args:
            first: index of the first sample.
            last: index behind the last one; None: to the end. The sound may end before, where its length is None.
            most: samples of a block.

        Raises:
            AudioError: the sound is damaged or cut off.
        """


def between(blocks: Iterator[Block], skipped: int, wanted: int | None) -> Iterator[Block]:
    """The samples of the blocks without the first ``skipped`` ones, and no more than ``wanted``."""
    for block in blocks:
        kept = block[skipped:][:wanted]
        skipped = max(skipped - len(block), 0)
        wanted = None if wanted is None else wanted - len(kept)
        if len(kept):
            yield kept
        if wanted == 0:
            return
