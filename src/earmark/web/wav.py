"""A sound as a WAV file of 16 bits, of which any part can be asked for without making the rest."""

import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from earmark import audio

HEADER = 44  # bytes
STEP = 2  # bytes of a sample
LOWEST_RATE, HIGHEST_RATE = 3_000, 384_000  # Hz, what browsers play


@dataclass(frozen=True)
class Sound:
    """A decoded sound.

    Attributes:
        stored: samples ``[channels, samples]``, int16 or float32; one or two channels.
        sample_rate: in Hz.
        origin: where it comes from: ``file``, ``moved`` (the same file at another place) or ``store``.
        why: why it is not the file itself, in a sentence; else empty.
    """

    stored: audio.Samples | audio.Steps
    sample_rate: int
    origin: str
    why: str = ""

    @property
    def size(self) -> int:
        """Bytes of the WAV file."""
        return HEADER + self.stored.size * STEP

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.stored.shape[1] / self.sample_rate

    def mono(self) -> audio.Samples:
        """The samples of the mean over channels, float32 ``[samples]``."""
        return audio.to_mono(audio.full_scale(self.stored))

    def part(self, first: int, last: int) -> bytes:
        """The bytes of the WAV file from ``first`` up to, but not including, ``last``."""
        head = self._header()[first:last] if first < HEADER else b""
        if last <= HEADER:
            return head
        begin, end = max(first - HEADER, 0), last - HEADER
        width = STEP * len(self.stored)
        frame, end_frame = begin // width, -(-end // width)
        steps = self._steps(frame, end_frame)
        body = np.ascontiguousarray(steps.T).tobytes()
        return head + body[begin - frame * width : end - frame * width]

    def _steps(self, frame: int, end_frame: int) -> audio.Steps:
        part = self.stored[:, frame:end_frame]
        if part.dtype == np.int16:
            return part.astype("<i2", copy=False)
        return np.rint(part * np.float32(self._gain * 32767)).clip(-32768, 32767).astype("<i2")

    @cached_property
    def _gain(self) -> float:
        """Makes samples fit that go beyond full scale; all others keep their loudness."""
        peak = float(np.abs(self.stored).max(initial=0.0))
        return 1.0 if peak <= 1.0 else 1.0 / peak

    def _header(self) -> bytes:
        channels, data = len(self.stored), self.stored.size * STEP
        rate, width = self.sample_rate, STEP * channels
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * width, width, 8 * STEP)
        return struct.pack("<4sI4s", b"RIFF", HEADER - 8 + data, b"WAVE") + form + struct.pack("<4sI", b"data", data)


def playable(stored: audio.Samples | audio.Steps, sample_rate: int, origin: str, why: str = "") -> Sound:
    """A sound as browsers can play it: more than two channels are mixed, and a rate that they refuse is changed.

    Args:
        stored: samples ``[channels, samples]``.
        sample_rate: in Hz.
        origin: as in `Sound`.
        why: as in `Sound`.

    Raises:
        AudioError: it cannot be brought to another rate.
    """
    if len(stored) > 2:
        stored = audio.to_mono(audio.full_scale(stored))[None]
    rate = min(max(sample_rate, LOWEST_RATE), HIGHEST_RATE)
    if rate != sample_rate:
        stored = np.stack([audio.resample(channel, sample_rate, rate) for channel in audio.full_scale(stored)])
    return Sound(stored, rate, origin, why)


def asked_part(header: str | None, size: int) -> tuple[int, int] | None:
    """The part of a file that the header ``Range`` asks for, as first byte and the one behind the last.

    Args:
        header: the header; None if there is none.
        size: bytes of the file, at least 1.

    Returns:
        None for the whole file: nothing is asked for, or several parts, or in units that are no bytes.

    Raises:
        ValueError: the part does not lie in the file.

    >>> asked_part("bytes=10-19", 100), asked_part("bytes=-5", 100), asked_part("bytes=90-", 100), asked_part(None, 100)
    ((10, 20), (95, 100), (90, 100), None)
    """
    unit, _, parts = (header or "").partition("=")
    if unit.strip() != "bytes" or "," in parts:
        return None
    begin, dash, end = (text.strip() for text in parts.partition("-"))
    if not dash or not (begin or end) or not all(text == "" or (text.isascii() and text.isdigit()) for text in (begin, end)):
        return None  # not understood: as if it were not there
    if not begin:
        first, last = max(size - int(end), 0), size
    else:
        first, last = int(begin), min(int(end) + 1, size) if end else size
        if end and int(end) < int(begin):
            return None
    if first >= last:
        raise ValueError(f"a file of {size} bytes has no part {header!r}")
    return first, last
