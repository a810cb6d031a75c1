"""Decoding: an audio file of any sample rate, channel count and sample format → samples ``[channels, samples]``."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from earmark.audio.foreign import refuse_foreign
from earmark.audio.intact import refuse_cut_off
from earmark.errors import NO_SUCH_FILE, AudioError

Samples = NDArray[np.float32]
Steps = NDArray[np.int16]  # 16-bit samples, −32768..32767

IN_MEMORY = 1 << 24  # bytes; larger files are not read into memory as a whole
BLOCK = 1 << 20  # frames decoded at once
UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's number of frames for a stream whose header does not give its length


@dataclass(frozen=True)
class OpenFile:
    """An open audio file.

    Attributes:
        path: path of the file; libsndfile opens it again by this path.
        data: the bytes of the file, for checks and for the content hash.
    """

    path: Path | str
    data: BufferedIOBase


@contextmanager
def opened(path: Path | str, at_once: bool = True) -> Iterator[OpenFile]:
    """Opens an audio file.

    Args:
        path: path of the file.
        at_once: read a file that is not large into memory now, which is faster if all of its bytes are needed.

    Raises:
        AudioError: the file is missing, is no ordinary file, or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):  # opening a pipe would wait for a writer
            raise AudioError("is no ordinary file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            yield OpenFile(path, BytesIO(file.read()) if at_once and size <= IN_MEMORY else file)
    except OSError as error:
        raise AudioError(_plain(error)) from None
    except ValueError as error:  # a NUL in the name
        raise AudioError(f"not readable as audio ({error})") from None


def read(source: Path | str | OpenFile, start: float | None = None, end: float | None = None) -> tuple[Samples, int]:
    """Reads an audio file of any sample rate, channel count and sample format that libsndfile knows.

    Args:
        source: path of the file, or an open file.
        start: where to begin, in seconds; by default at the beginning of the file.
        end: where to stop, in seconds; by default at the end of the file.

    Returns:
        Samples float32 ``[channels, samples]``, full scale −1..1 (float files may go beyond), and the sample rate in Hz.

    Raises:
        AudioError: the file is missing, is no audio file, is cut off, is too short for ``start`` and ``end``, has no samples, or
            has NaN or infinite samples.
    """
    stored, rate = read_stored(source, start, end)
    return full_scale(stored), rate


def read_stored(source: Path | str | OpenFile, start: float | None = None, end: float | None = None) -> tuple[Samples | Steps, int]:
    """Like `read`, but the samples of 16-bit files are int16."""
    if not isinstance(source, OpenFile):
        with opened(source, at_once=False) as file:
            return read_stored(file, start, end)
    refuse_foreign(source.path)
    try:
        refuse_cut_off(source.data)
        # libsndfile opens the file by its path. Reading through a Python file object would take as long as decoding a WAV file, and
        # longer with several threads. The path is given as bytes, since it may not be UTF-8.
        with soundfile.SoundFile(os.fsencode(source.path)) as sound:
            rate, frames = int(sound.samplerate), int(sound.frames)
            seconds = frames / rate
            if frames and ((start or 0) >= seconds or (end or 0) > seconds + 1 / rate):
                until = "the end" if end is None else f"{end:g} s"
                raise AudioError(f"{start or 0:g} s to {until} asked for, but the file is {seconds:g} s long")
            first = 0 if start is None else round(start * rate)
            last = frames if end is None else min(round(end * rate), frames)
            if first:
                sound.seek(first)
            data = _read_blocks(sound, last - first)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not readable as audio ({error.error_string.rstrip('.')})") from None
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:  # a file of raw samples, or nonsense in a header
        raise AudioError(f"not readable as audio ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
    if len(data) < last - first and frames != UNKNOWN_LENGTH:
        raise AudioError(f"cut off: {len(data)} of {last - first} samples can be decoded")
    if not len(data):
        raise AudioError("no samples")
    if data.dtype != np.int16 and not np.isfinite(data).all():
        raise AudioError("holds NaN or infinite samples")
    return cast("Samples | Steps", np.ascontiguousarray(data.T)), rate


def _read_blocks(file: soundfile.SoundFile, frames: int) -> Samples | Steps:
    """Reads a number of frames, ``[frames, channels]``, or fewer if the file has fewer.

    It reads block by block, since a wrong header may name more frames than fit into memory.
    """
    # libsndfile's conversion of 16-bit samples to float32 takes longer than reading them.
    kind = "int16" if file.subtype == "PCM_16" else "float32"
    blocks = []
    while frames > 0 and len(block := file.read(min(frames, BLOCK), dtype=kind, always_2d=True)):
        blocks.append(block)
        frames -= len(block)
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.zeros((0, file.channels), kind)


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


def _plain(error: OSError) -> str:
    """A short reason for an error of the file system."""
    known = {
        errno.ENOENT: NO_SUCH_FILE,
        errno.EISDIR: "is a folder, not a file",
        errno.EACCES: "no permission to read it",
        errno.ELOOP: "a link that leads to itself",
    }
    return known.get(error.errno or 0) or (error.strerror or str(error))
