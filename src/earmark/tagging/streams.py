"""Sounds that are read forward, block by block: files, and samples in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.errors import AudioError


class Stream(Protocol):
    """A sound that is read forward, as `audio.streamed` gives it."""

    @property
    def rate(self) -> int:
        """The sample rate of the file itself, in Hz."""

    @property
    def seconds(self) -> float:
        """How much has been read so far: the true length, at the end."""

    def mono(self, rates: Sequence[int]) -> Iterator[Mapping[int, audio.Samples]]:
        """The next mono samples ``[samples]`` at all rates (Hz), in order, to the end."""


class ArraySound:
    """Samples in memory, read as a file would be.

    Args:
        samples: mono, float32 ``[samples]``, −1..1.
        rate: their sample rate, in Hz.
    """

    def __init__(self, samples: audio.Samples, rate: int) -> None:
        self.samples, self.rate, self.seconds = samples, rate, len(samples) / rate

    def mono(self, rates: Sequence[int]) -> Iterator[Mapping[int, audio.Samples]]:
        """See `Stream.mono`.

        Raises:
            AudioError: the samples are not finite, or cannot be resampled.
        """
        if not np.isfinite(self.samples).all():
            raise AudioError("holds NaN or infinite samples")
        if len(self.samples):
            yield {rate: audio.resample(self.samples, self.rate, rate) for rate in rates}


Opener = Callable[[], AbstractContextManager[Stream]]


def file_opener(path: Path | str) -> Opener:
    """A function that opens a file as a stream; that and reading it raise AudioError or MachineError."""

    @contextmanager
    def opened() -> Iterator[Stream]:
        with audio.judged(path), audio.streamed(path) as stream:
            yield stream

    return opened


def opener_of(source: Path | str | NDArray[np.floating], sample_rate: int | None) -> Opener:
    """A function that opens what a user gives: an audio file, or samples and their sample rate (Hz).

    Raises:
        ValueError: samples without a sample rate, a file with one, or samples of another shape.
    """
    if not isinstance(source, np.ndarray):
        if sample_rate is not None:
            raise ValueError("a file brings its own sample rate")
        return file_opener(source)
    if sample_rate is None:
        raise ValueError("samples need their sample_rate")
    channels = np.atleast_2d(source).astype(np.float32)
    if channels.ndim > 2 or len(channels) > max(channels.shape[1], 1):
        raise ValueError(f"samples of shape {source.shape}: [samples] or [channels, samples] is needed")
    return lambda: nullcontext(ArraySound(audio.to_mono(channels), sample_rate))
