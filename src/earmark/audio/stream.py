"""Reading a sound of any length forward, in blocks, in constant memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import soxr

from earmark.audio.decode import Samples, full_scale
from earmark.audio.faults import judged
from earmark.audio.shape import INFINITE, resampler, to_mono, too_short
from earmark.audio.sound import Sound
from earmark.audio.sounds import block_length, open_sound
from earmark.audio.spool import opened_or_spooled
from earmark.errors import AudioError

BLOCK_SECONDS = 10.0


class Stream:
    """An open sound, to be read once from its beginning to its end.

    Attributes:
        rate: the file's own sample rate in Hz.
        channels: number of channels.
    """

    def __init__(self, path: Path | str, sound: Sound) -> None:
        self._path, self._sound, self._count = path, sound, 0
        self.rate, self.channels = sound.rate, sound.channels

    @property
    def seconds(self) -> float:
        """Seconds of sound that have been decoded; after the last block, the true length of the sound."""
        return self._count / self.rate

    def mono(self, rates: Sequence[int]) -> Iterator[Mapping[int, Samples]]:
        """The sound as mono at each of the rates (Hz), as `audio.to_mono` and `audio.resample` would make it of the whole.

        Yields:
            The next samples float32 ``[samples]`` at each rate, of about ten seconds. Resampling holds some back for the last block,
            so at one rate the samples of a block may reach further than at another.

        Raises:
            AudioError: the sound is damaged or cut off, has no samples, has NaN or infinite ones, or is too short for a rate.
            MachineError: the system failed, for which the file is not to blame.
        """
        blocks = self._resampled(rates)
        while True:
            with judged(self._path):  # and not what the caller does with a block
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def _resampled(self, rates: Sequence[int]) -> Iterator[Mapping[int, Samples]]:
        streams = {rate: resampler(self.rate, rate) for rate in rates if rate != self.rate}
        counts = dict.fromkeys(rates, 0)
        most = min(block_length(self.channels), max(round(BLOCK_SECONDS * self.rate), 1))
        for stored in self._sound.blocks(0, None, most):
            samples = full_scale(stored).T
            if not np.isfinite(samples).all():
                raise AudioError("holds NaN or infinite samples")
            self._count += samples.shape[1]
            mono = to_mono(samples)
            block = {rate: _next(streams.get(rate), mono, False) for rate in rates}
            counts = {rate: count + len(block[rate]) for rate, count in counts.items()}
            yield block
        if not self._count:
            raise AudioError("no samples")
        nothing = np.zeros(0, np.float32)
        block = {rate: _next(streams.get(rate), nothing, True) for rate in rates}
        for rate, count in counts.items():
            if not count + len(block[rate]):
                raise too_short(self._count, self.rate, rate)
        yield block


def _next(stream: soxr.ResampleStream | None, samples: Samples, last: bool) -> Samples:
    if stream is None:
        return samples
    resampled: Samples = stream.resample_chunk(samples, last=last)
    if not np.isfinite(resampled).all():
        raise AudioError(INFINITE)
    return resampled


@contextmanager
def streamed(path: Path | str) -> Iterator[Stream]:
    """Opens a sound of any length to read it forward in blocks, in constant memory.

    Args:
        path: its file, or a pipe, or ``-``, which is stdin. What comes from these two is kept in a temporary file while the block runs.

    Raises:
        AudioError: the file is missing, is no audio file, or is cut off. What can be known only by reading, reading raises.
        MachineError: the system failed, for which the file is not to blame.
    """
    with ExitStack() as stack:
        with judged(path):
            file = stack.enter_context(opened_or_spooled(path))
            sound = stack.enter_context(open_sound(file))
        yield Stream(path, sound)
