"""What makes a vector of a sound: the common part of pre-trained models and built-in statistics."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.embedding.variations import varied
from earmark.errors import AudioError

Vector = NDArray[np.float32]


class Embedder(ABC):
    """A frozen part of a tagger that makes a vector of D numbers of a sound of any length.

    It never changes while a tagger learns, so the vectors of a store's clips are computed once.

    Attributes:
        key: names the embedder and all that its vectors depend on: the first 12 hex digits of a SHA-256, or a name with a version.
        title: what it is, for people.
        licence: licence of the model as its file gives it; empty if the file says nothing.
        sample_rate: of the sounds that it takes, in Hz.
        window: samples of a sound that it looks at together; 0 if it takes sounds of any length.
        shortest: samples; a shorter sound is `filled` to this length.
        size: D.
    """

    key: str
    title: str
    licence: str = ""
    sample_rate: int
    window: int
    shortest: int = 1
    size: int

    @abstractmethod
    def of_window(self, samples: audio.Samples) -> Vector:
        """The vector ``[D]`` of a sound that is not shorter than `shortest` and, if there is a window, not longer than that."""

    def filled(self, samples: audio.Samples) -> audio.Samples:
        """A sound that is too short, filled to `shortest` samples: with zeros after it."""
        return np.pad(samples, (0, self.shortest - len(samples)))

    def vector(self, samples: audio.Samples, variation: int = 0) -> Vector:
        """The vector of a whole sound: the mean over its windows, which overlap by half.

        Args:
            samples: mono, float32 ``[samples]`` at `sample_rate`, −1..1.
            variation: the number of the variation of the sound to take, see `variations`; 0 for the sound as it is.

        Returns:
            float32 ``[D]``.

        Raises:
            AudioError: the sound has no samples, or its vector is not finite.
        """
        if not len(samples):
            raise AudioError("no samples")
        if variation:
            samples = varied(samples, variation)
        if len(samples) < self.shortest:
            samples = self.filled(samples)
        total, count = np.zeros(self.size), 0
        for part in windows(samples, self.window):
            total += self.of_window(np.ascontiguousarray(part, np.float32))
            count += 1
        mean = (total / count).astype(np.float32)
        if not np.isfinite(mean).all():
            raise AudioError(f"{self.title} gives numbers for it that are not finite")
        return mean

    def vector_or_nan(self, samples: audio.Samples, variation: int = 0) -> Vector:
        """The vector of a sound as `vector` makes it; NaNs if it cannot be made."""
        try:
            return self.vector(samples, variation)
        except AudioError:
            return np.full(self.size, np.nan, np.float32)


def windows(samples: audio.Samples, window: int) -> Iterator[audio.Samples]:
    """Parts of a sound that overlap by half; the last one ends where the sound ends.

    Args:
        samples: ``[samples]``.
        window: length of a part, in samples; 0 gives the whole sound.

    >>> [part.tolist() for part in windows(np.arange(5), 4)]
    [[0, 1, 2, 3], [1, 2, 3, 4]]
    """
    if not window or len(samples) <= window:
        yield samples
        return
    hop, last = max(window // 2, 1), len(samples) - window
    for start in [*range(0, last, hop), last]:
        yield samples[start : start + window]
