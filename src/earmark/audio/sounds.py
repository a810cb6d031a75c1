"""Open sounds, which are read forward in blocks: single ones, MP3 and chained Ogg, all by libsndfile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import soundfile

from earmark.audio.chained import sounds_in
from earmark.audio.foreign import kind_of
from earmark.audio.intact import refuse_cut_off
from earmark.audio.limits import refuse_rate
from earmark.audio.mp3 import find_frames
from earmark.audio.opening import OpenFile, content_hash
from earmark.audio.part import PartOfFile
from earmark.audio.pyav import ForeignSound, undecoded_sound
from earmark.audio.sound import Block, Sound, between
from earmark.errors import AudioError

BLOCK = 1 << 20  # samples of each channel that are decoded at once, fewer if there are many channels
UNRECOGNISED, SYSTEM_ERROR, MALFORMED = 1, 2, 3  # libsndfile's codes
BAD_FILE = 7  # another, of MP3; it would say that the file does not exist
SPARE = 1 << 24  # bytes, more than libsndfile takes to open a file
UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's number of samples for a stream whose header does not give its length
RUN_UP = 11_520  # samples that are decoded before a part of an MP3 file, whose frames need those before them
ENDLESS = 1 << 50  # bytes: libsndfile stops where the length of an MP3 file makes it expect the end


class UndecodedError(AudioError):
    """A file that libsndfile knows, but cannot decode."""


@contextmanager
def open_sound(file: OpenFile) -> Iterator[Sound]:
    """Opens the sound of a file.

    Raises:
        AudioError: it is no audio file, is cut off, or has a rate that no recording has.
    """
    refuse_cut_off(file.data)
    if kind := kind_of(file):
        yield ForeignSound(file, kind)
        return
    begins = sounds_in(file.data)
    if len(begins) > 1:
        yield ChainedSound(file, begins)
        return
    # libsndfile reads the file that is open already: opening it a second time could fail, or open another file. Reading through
    # a Python file object would take as long as decoding a WAV file, and longer with several threads.
    try:
        sound = _opened(file, file.descriptor)
    except UndecodedError as error:
        yield undecoded_sound(file, error)
        return
    with sound:
        yield Mp3Sound(file, sound) if sound.format == "MP3" else SingleSound(file, sound)


def block_length(channels: int) -> int:
    """Samples of each channel that a block may have."""
    return max(BLOCK // max(channels, 8) * 8, 1)  # 8 channels of float32 are 32 MiB


class SingleSound:
    """A sound as libsndfile reads it: a `Sound`."""

    def __init__(self, file: OpenFile, sound: soundfile.SoundFile, part: PartOfFile | None = None) -> None:
        self._file, self._sound, self._part = file, sound, part
        self.rate, self.channels = int(sound.samplerate), int(sound.channels)
        counted = sound.frames != UNKNOWN_LENGTH and not sound.subtype.startswith("MPEG")  # MP3 in WAV is counted as badly
        self.length: int | None = int(sound.frames) if counted else None
        refuse_rate(self.rate)

    def blocks(self, first: int, last: int | None, most: int) -> Iterator[Block]:
        """See `Sound.blocks`."""
        wanted = (UNKNOWN_LENGTH if self.length is None else self.length) if last is None else last
        if first:
            with _explained(self._file, self._part):
                self._sound.seek(first)
        count = 0
        while count < wanted - first and len(
            block := _next(self._file, self._sound, self._part, min(wanted - first - count, most))
        ):
            yield block
            count += len(block)
        if count < wanted - first and self.length is not None:
            raise AudioError(f"cut off: {count} of {wanted - first} samples can be decoded")


class Mp3Sound:
    """An MP3 file, to its true end: a `Sound`.

    Headers of MP3 files are often wrong about the number of frames. So libsndfile never sees the header, and what encoder and decoder
    have added at both ends is left out here: at the end only where as many frames have come as the header says.
    """

    def __init__(self, file: OpenFile, sound: soundfile.SoundFile) -> None:
        self._file, self._frames = file, find_frames(file.data)
        self.rate, self.channels = int(sound.samplerate), int(sound.channels)
        self.length: int | None = None
        refuse_rate(self.rate)

    def blocks(self, first: int, last: int | None, most: int) -> Iterator[Block]:
        """See `Sound.blocks`."""
        frames = self._frames
        if frames.begin >= frames.end:
            return
        part = PartOfFile(self._file.data, frames.begin, frames.end, ENDLESS)
        begin = max(first + frames.lead - RUN_UP, 0)
        with _opened(self._file, part) as sound:
            if begin:
                with _explained(self._file, part):
                    sound.seek(begin)
            decoded = self._decoded(sound, part, begin, most)
            yield from between(
                self._without_added(decoded, begin), first + frames.lead - begin, None if last is None else last - first
            )

    def _decoded(self, sound: soundfile.SoundFile, part: PartOfFile, begin: int, most: int) -> Iterator[Block]:
        count = begin
        while True:
            expected = self._frames.counted - count
            try:
                block = _next(self._file, sound, part, min(most, expected) if expected > 0 else most)
            except AudioError:
                if 0 < self._frames.counted <= count:  # all frames were there, and what follows is none
                    return
                raise
            if not len(block):
                return
            count += len(block)
            yield block

    def _without_added(self, blocks: Iterator[Block], begin: int) -> Iterator[Block]:
        count, tail = begin, self._frames.tail
        held: Block = np.zeros((0, self.channels), np.float32)
        for block in blocks:
            count += len(block)
            rest = np.concatenate([held, block]) if tail else block
            if len(rest) > tail:
                yield rest[: len(rest) - tail]
            held = rest[max(len(rest) - tail, 0) :]
        if len(held) and count != self._frames.counted:
            yield held


class ChainedSound:
    """The sounds of a chained Ogg file one after the other: a `Sound`.

    Raises:
        AudioError: one of them cannot be used, or they differ in sample rate or channels.
    """

    def __init__(self, file: OpenFile, begins: list[int]) -> None:
        size = file.data.seek(0, os.SEEK_END)
        self._file = file
        self._parts = [PartOfFile(file.data, begin, end) for begin, end in pairwise([*begins, size])]
        shapes, self._lengths = [], []
        for number, part in enumerate(self._parts, start=1):
            with self._named(number):
                refuse_cut_off(part)
                with _opened(file, part) as opened:
                    sound = SingleSound(file, opened, part)
                    shapes.append((sound.rate, sound.channels))
                    self._lengths.append(sound.length or 0)
        if len(set(shapes)) > 1:
            shown = ", then ".join(dict.fromkeys(f"{rate} Hz with {channels} channels" for rate, channels in shapes))
            raise AudioError(f"chained Ogg whose sounds differ ({shown}): make a file of each")
        self.rate, self.channels = shapes[0]
        self.length: int | None = sum(self._lengths)

    def blocks(self, first: int, last: int | None, most: int) -> Iterator[Block]:
        """See `Sound.blocks`."""
        wanted = sum(self._lengths) if last is None else last
        begin = 0
        for number, (part, length) in enumerate(zip(self._parts, self._lengths, strict=True), start=1):
            inner_first, inner_last = max(first - begin, 0), min(wanted - begin, length)
            begin += length
            if inner_first >= inner_last:
                continue
            with self._named(number), _opened(self._file, part) as opened:
                yield from SingleSound(self._file, opened, part).blocks(inner_first, inner_last, most)

    @contextmanager
    def _named(self, number: int) -> Iterator[None]:
        try:
            yield
        except AudioError as error:
            raise AudioError(f"chained Ogg, sound {number} of {len(self._parts)}: {error}") from None


def _opened(file: OpenFile, source: int | PartOfFile) -> soundfile.SoundFile:
    """The sound of a file, or of a part of it, as libsndfile opens it."""
    part = source if isinstance(source, PartOfFile) else None
    if part is None:
        os.lseek(file.descriptor, 0, os.SEEK_SET)
    else:
        part.seek(0)
    with _explained(file, part):
        return soundfile.SoundFile(source, closefd=False)


def _next(file: OpenFile, sound: soundfile.SoundFile, part: PartOfFile | None, count: int) -> Block:
    """The next samples ``[samples, channels]``, at most ``count``; none at the end."""
    # libsndfile's conversion of 16-bit samples to float32 takes longer than reading them.
    kind = "int16" if sound.subtype == "PCM_16" else "float32"
    with _explained(file, part):
        block: Block = sound.read(count, dtype=kind, always_2d=True)
    if part is not None:
        part.check()
    return block


@contextmanager
def _explained(file: OpenFile, part: PartOfFile | None) -> Iterator[None]:
    """Says libsndfile's errors in plain words.

    Raises:
        AudioError: libsndfile cannot read the file.
        OSError, MemoryError: the system failed.
    """
    try:
        yield
    except soundfile.LibsndfileError as error:
        if part is not None:
            part.check()
        bytearray(SPARE)  # raises MemoryError where there is so little memory that libsndfile may mean that, in whatever words
        if error.code == SYSTEM_ERROR:
            content_hash(file)  # raises the system's own error if the bytes cannot be read; else the header leads nowhere
        reason = "no frame of sound in it" if error.code == BAD_FILE else error.error_string.rstrip(".")
        kind = AudioError if error.code in (UNRECOGNISED, SYSTEM_ERROR, MALFORMED, BAD_FILE) else UndecodedError
        raise kind(f"not readable as audio ({reason})") from None
    except (TypeError, ValueError, RuntimeError) as error:  # a file of raw samples, or nonsense in a header
        raise AudioError(f"not readable as audio ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
