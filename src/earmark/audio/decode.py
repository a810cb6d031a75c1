"""Decoding: an audio file of any sample rate, channel count and sample format → samples ``[channels, samples]``."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from earmark.audio.chained import sounds_in
from earmark.audio.faults import judged
from earmark.audio.foreign import refuse_foreign
from earmark.audio.intact import RawBytes, refuse_cut_off
from earmark.audio.limits import MAX_SAMPLES, refuse_rate, refuse_size
from earmark.errors import AudioError

Samples = NDArray[np.float32]
Steps = NDArray[np.int16]  # 16-bit samples, −32768..32767

IN_MEMORY = 1 << 24  # bytes; larger files are not read into memory as a whole
BLOCK = 1 << 20  # frames decoded at once, fewer if there are many channels
SYSTEM_ERROR = 2  # libsndfile's code
SPARE = 1 << 24  # bytes, more than libsndfile takes to open a file
UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's number of frames for a stream whose header does not give its length


@dataclass(frozen=True)
class OpenFile:
    """An open audio file.

    Attributes:
        path: path of the file.
        data: the bytes of the file, for checks and for the content hash.
        descriptor: the system's number of the open file, which libsndfile reads; None if the bytes lie in memory only.
    """

    path: Path | str
    data: RawBytes
    descriptor: int | None


@contextmanager
def opened(path: Path | str, at_once: bool = True) -> Iterator[OpenFile]:
    """Opens an audio file.

    Args:
        path: path of the file.
        at_once: read a file that is not large into memory now, which is faster if all of its bytes are needed.

    Raises:
        AudioError: the file is missing, is no ordinary file, or cannot be read.
        MachineError: the system failed, for which the file is not to blame.
    """
    with judged(path):
        try:
            status = os.stat(path)
        except ValueError as error:  # a NUL in the name
            raise AudioError(f"not readable as audio ({error})") from None
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # opening a pipe would wait for a writer
            raise AudioError("is no ordinary file")
        # Without a buffer of Python's, which would not know that libsndfile moves on in the same open file.
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            data = BytesIO(file.readall()) if at_once and size <= IN_MEMORY else file
            yield OpenFile(path, data, file.fileno())


def read(
    source: Path | str | OpenFile, start: float | None = None, end: float | None = None, longest: float | None = None
) -> tuple[Samples, int]:
    """Reads an audio file of any sample rate, channel count and sample format that libsndfile knows.

    Args:
        source: path of the file, or an open file.
        start: where to begin, in seconds; by default at the beginning of the file.
        end: where to stop, in seconds; by default at the end of the file.
        longest: how long the sound may be, in seconds; by default the memory that it takes decides, see `limits`.

    Returns:
        Samples float32 ``[channels, samples]``, full scale −1..1 (float files may go beyond), and the sample rate in Hz.

    Raises:
        AudioError: the file is missing, is no audio file, is cut off, is too short for ``start`` and ``end``, is too long, has no
            samples, or has NaN or infinite samples.
        MachineError: the system failed, for which the file is not to blame.
    """
    stored, rate = read_stored(source, start, end, longest)
    return full_scale(stored), rate


def read_stored(
    source: Path | str | OpenFile, start: float | None = None, end: float | None = None, longest: float | None = None
) -> tuple[Samples | Steps, int]:
    """Like `read`, but the samples of 16-bit files are int16."""
    if not isinstance(source, OpenFile):
        with opened(source, at_once=False) as file:
            return read_stored(file, start, end, longest)
    refuse_foreign(source.path)
    refuse_cut_off(source.data)
    begins = sounds_in(source.data)
    if len(begins) == 1:
        data, rate = _read_sound(source, start, end, longest)
    else:
        data, rate = _read_chained(source, begins, start, end, longest)
    if not len(data):
        raise AudioError("no samples")
    if data.dtype != np.int16 and not np.isfinite(data).all():
        raise AudioError("holds NaN or infinite samples")
    return cast("Samples | Steps", np.ascontiguousarray(data.T)), rate


def _read_sound(
    source: OpenFile, start: float | None, end: float | None, longest: float | None
) -> tuple[NDArray[np.float32] | NDArray[np.int16], int]:
    """The samples ``[samples, channels]`` of a file with a single sound, and its rate."""
    try:
        # libsndfile reads the file that is open already: opening it a second time could fail, or open another file. Reading through
        # a Python file object would take as long as decoding a WAV file, and longer with several threads.
        if source.descriptor is not None:
            os.lseek(source.descriptor, 0, os.SEEK_SET)
        else:
            source.data.seek(0)
        with soundfile.SoundFile(source.data if source.descriptor is None else source.descriptor, closefd=False) as sound:
            rate, frames = int(sound.samplerate), int(sound.frames)
            refuse_rate(rate)
            first, last = _part(frames, rate, start, end)
            if frames != UNKNOWN_LENGTH:
                refuse_size(last - first, sound.channels, rate, longest)
            if first:
                sound.seek(first)
            data = _read_blocks(sound, last - first)
    except soundfile.LibsndfileError as error:
        bytearray(SPARE)  # raises MemoryError where there is so little memory that libsndfile may mean that, in whatever words
        if error.code == SYSTEM_ERROR:
            content_hash(source)  # raises the system's own error if the bytes cannot be read; else the header leads nowhere
        raise AudioError(f"not readable as audio ({error.error_string.rstrip('.')})") from None
    except (TypeError, ValueError, RuntimeError) as error:  # a file of raw samples, or nonsense in a header
        raise AudioError(f"not readable as audio ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
    if len(data) < last - first and frames != UNKNOWN_LENGTH:
        raise AudioError(f"cut off: {len(data)} of {last - first} samples can be decoded")
    return data, rate


def _part(frames: int, rate: int, start: float | None, end: float | None) -> tuple[int, int]:
    """The first sample of a part of a sound, and the one behind its last.

    Raises:
        AudioError: the sound is shorter.
    """
    seconds = frames / rate
    if frames and ((start or 0) >= seconds or (end or 0) > seconds + 1 / rate):
        until = "the end" if end is None else f"{end:g} s"
        raise AudioError(f"{start or 0:g} s to {until} asked for, but the file is {seconds:g} s long")
    return 0 if start is None else round(start * rate), frames if end is None else min(round(end * rate), frames)


def _read_blocks(file: soundfile.SoundFile, frames: int) -> NDArray[np.float32] | NDArray[np.int16]:
    """Reads a number of frames, ``[frames, channels]``, or fewer if the file has fewer.

    It reads block by block, since a wrong header may name more frames than fit into memory.
    """
    # libsndfile's conversion of 16-bit samples to float32 takes longer than reading them.
    kind = "int16" if file.subtype == "PCM_16" else "float32"
    block_frames = max(BLOCK // max(file.channels, 8) * 8, 1)  # 8 channels of float32 are 32 MiB
    blocks, count = [], 0
    while count < frames and len(block := file.read(min(frames - count, block_frames), dtype=kind, always_2d=True)):
        blocks.append(block)
        count += len(block)
        refuse_size(count, file.channels, file.samplerate)  # its header did not say how long it is
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.zeros((0, file.channels), kind)


def _read_chained(
    source: OpenFile, begins: list[int], start: float | None, end: float | None, longest: float | None
) -> tuple[NDArray[np.float32] | NDArray[np.int16], int]:
    """The sounds of a chained Ogg file one after the other, like `_read_sound`.

    Raises:
        AudioError: one of them cannot be used, or they differ in sample rate or channels.
    """
    size = source.data.seek(0, os.SEEK_END)
    sounds, frames = [], 0
    for number, (begin, stop) in enumerate(pairwise([*begins, size]), start=1):
        try:
            if stop - begin > MAX_SAMPLES:
                raise AudioError("too long: cut it into parts")
            source.data.seek(begin)
            sound = OpenFile(source.path, BytesIO(source.data.read(stop - begin)), None)
            refuse_cut_off(sound.data)
            data, rate = _read_sound(sound, None, None, longest)
            frames += len(data)
            refuse_size(frames, data.shape[1], rate, longest)
        except AudioError as error:
            raise AudioError(f"chained Ogg, sound {number} of {len(begins)}: {error}") from None
        sounds.append((data, rate))
    if len({(rate, data.shape[1]) for data, rate in sounds}) > 1:
        shown = ", then ".join(dict.fromkeys(f"{rate} Hz with {data.shape[1]} channels" for data, rate in sounds))
        raise AudioError(f"chained Ogg whose sounds differ ({shown}): make a file of each")
    same_kind = len({data.dtype for data, _ in sounds}) == 1
    first, last = _part(frames, rate, start, end)
    return np.concatenate([data if same_kind else full_scale(data) for data, _ in sounds])[first:last], rate


def full_scale(samples: Samples | Steps) -> Samples:
    """Samples as float32: 16-bit samples are scaled to −1..1, float32 samples stay as they are.

    >>> full_scale(np.array([-32768, 16384], np.int16)).tolist()
    [-1.0, 0.5]
    """
    if samples.dtype == np.float32:
        return cast(Samples, samples)
    return np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)


def content_hash(file: OpenFile) -> str:
    """The first 32 hex digits of the SHA-256 of a file's bytes."""
    file.data.seek(0)
    return hashlib.file_digest(file.data, "sha256").hexdigest()[:32]
