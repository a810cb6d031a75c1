"""Sounds that libsndfile cannot read, by PyAV (the extra ``formats``), which brings FFmpeg's decoders. Only this file imports it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from earmark.audio.foreign import UNDECODED, Kind, marked
from earmark.audio.limits import refuse_rate
from earmark.audio.opening import OpenFile
from earmark.audio.part import PartOfFile
from earmark.audio.sound import Block, between
from earmark.errors import AudioError

if TYPE_CHECKING:
    import av

MISSING = 0.02  # share of a sound that may be missing at its end, since headers are not exact
MISSING_SECONDS = 0.25  # the same for a short one
_HELP = "needs PyAV: pip install 'earmark[formats]'; or convert it, for example with ffmpeg -i FILE FILE.flac"


class MissingError(AudioError):
    """PyAV is not installed."""


class ForeignSound:
    """The first sound stream of a media file, at its own rate: a `Sound`.

    Raises:
        MissingError: PyAV is not there.
        AudioError: it finds no sound that it can decode.
    """

    def __init__(self, file: OpenFile, kind: Kind) -> None:
        self._file, self._kind = file, kind
        try:
            import av  # noqa: F401
        except ImportError:
            raise MissingError(f"{kind.name} {_HELP}") from None
        first = next(self._frames(), None)
        if first is None:
            raise AudioError("no samples")
        self.rate, self.channels = int(first.sample_rate), int(first.layout.nb_channels)
        self.length: int | None = None
        refuse_rate(self.rate)

    def blocks(self, first: int, last: int | None, most: int) -> Iterator[Block]:
        """See `Sound.blocks`."""
        return between(self._gathered(most), first, None if last is None else last - first)

    def _gathered(self, most: int) -> Iterator[Block]:
        parts: list[Block] = []
        count = 0
        for frame in self._frames():
            if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.channels):
                now = f"{frame.sample_rate} Hz with {frame.layout.nb_channels} channels"
                raise AudioError(f"its sound changes from {self.rate} Hz with {self.channels} channels to {now}")
            parts.append(samples_of(frame))
            count += len(parts[-1])
            if count >= most:
                yield cast(Block, np.concatenate(parts))
                parts, count = [], 0
        if parts:
            yield cast(Block, np.concatenate(parts))

    def _frames(self) -> Iterator[av.AudioFrame]:
        import av

        part = PartOfFile(self._file.data, 0, self._file.data.seek(0, os.SEEK_END))
        seconds = 0.0
        try:
            # The demuxer is named, since FFmpeg would take text for a list of files or addresses to open.
            with av.open(part, mode="r", format=self._kind.demuxer, metadata_errors="ignore") as container:
                stream = next(iter(container.streams.audio), None)
                if stream is None:
                    raise AudioError("no sound in it")
                if stream.codec_context is None:
                    raise AudioError(f"{self._kind.name} with a sound that FFmpeg cannot decode")
                promised = _seconds(container, stream) if self._kind.says_length else 0.0
                for frame in container.decode(stream):
                    if frame.samples:
                        seconds += frame.samples / frame.sample_rate
                        yield frame
        except av.error.FFmpegError as error:
            part.check()
            reason = str(error.strerror or error).splitlines()[0]
            if seconds:
                raise AudioError(f"cut off or damaged behind {seconds:.1f} s ({reason})") from None
            raise AudioError(f"not readable as audio ({self._kind.name}: {reason})") from None
        part.check()
        if promised - seconds > max(MISSING * promised, MISSING_SECONDS):
            raise AudioError(f"cut off: {seconds:.1f} of {promised:.1f} s can be decoded")


def undecoded_sound(file: OpenFile, error: AudioError) -> ForeignSound:
    """The sound of a file that libsndfile knows, but not with the codec that is in it.

    Raises:
        AudioError: ``error``, what libsndfile says, if PyAV cannot read it either; with a hint if PyAV is not there.
    """
    file.data.seek(0)
    kind = marked(file.data.read(64), UNDECODED)
    if kind is None:
        raise error
    try:
        return ForeignSound(file, kind)
    except MissingError:
        raise AudioError(f"{error}; PyAV may know its codec: pip install 'earmark[formats]'") from None
    except AudioError:
        raise error from None


def _seconds(container: av.container.InputContainer, stream: av.AudioStream) -> float:
    """How long the sound is by the header; 0 if it does not say so."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:  # else it is that of the pictures
        return container.duration / 1e6
    return 0.0


def samples_of(frame: av.AudioFrame) -> Block:
    """The samples of a frame ``[samples, channels]``: int16 where it has 16 bits, else float32."""
    array: Any = frame.to_ndarray()
    samples: Any = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i" and samples.dtype != np.int16:
        samples = samples / 2.0 ** (8 * samples.itemsize - 1)
    with np.errstate(over="ignore"):  # infinite samples are refused later
        return cast(Block, samples if samples.dtype == np.int16 else samples.astype(np.float32, copy=False))
