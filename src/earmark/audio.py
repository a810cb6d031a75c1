"""Audio files → float32 samples: reading, mono, resampling, fitting to a length."""

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
import soxr
from numpy.typing import NDArray

from earmark.errors import AudioError

Samples = NDArray[np.float32]
Steps = NDArray[np.int16]  # samples as 16 bits hold them, −32768..32767

HALF_STEP = 0.5 / 32768  # samples below this round to zero at 16 bits: digital silence
IN_MEMORY = 1 << 24  # bytes; a larger file is looked at piece by piece
BLOCK = 1 << 20  # frames decoded at once
UNKNOWN_LENGTH = 2**63 - 1  # what libsndfile says of a stream whose header does not know its own length
OGG_TAIL = 65536 + 512  # bytes: an Ogg page is at most 65,307 long, so the last page begins within them

#: File name endings, in lower case, that are taken for audio when a folder is searched.
SUFFIXES = frozenset(
    {f".{name.lower()}" for name in soundfile.available_formats() if name not in ("RAW", "TXW", "MAT4", "MAT5", "HTK")}
    | {".aif", ".aifc", ".oga", ".opus", ".mp3", ".snd"}
)


@dataclass(frozen=True)
class OpenFile:
    """A file to read sound from.

    Attributes:
        path: for libsndfile, which reads the file itself.
        data: its bytes, for all else that looks at them.
    """

    path: Path | str
    data: BufferedIOBase


@contextmanager
def opened(path: Path | str, at_once: bool = True) -> Iterator[OpenFile]:
    """Opens a file to read sound from.

    Args:
        path: the file.
        at_once: read all of it now if it is not large, for whoever wants all of its bytes: every look at a disk costs time.

    Raises:
        AudioError: the file is missing, is none, or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):  # opening a pipe waits for its writer
            raise AudioError("is no ordinary file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            yield OpenFile(path, BytesIO(file.read()) if at_once and size <= IN_MEMORY else file)
    except OSError as error:
        raise AudioError(_plain(error)) from None
    except ValueError as error:  # a NUL in the name
        raise AudioError(f"not readable as audio ({error})") from None


def read(source: Path | str | OpenFile, start: float | None = None, end: float | None = None) -> tuple[Samples, int]:
    """Reads a file of any rate, channel count and sample format that libsndfile reads.

    Args:
        source: the file's path, or what `opened` gave.
        start: first second to read; the beginning by default.
        end: second to stop at; the end by default.

    Returns:
        Samples float32 ``[channels, samples]``, full scale −1..1 (float files may go beyond), and the sample rate in Hz.

    Raises:
        AudioError: the file is missing, is no audio, is cut off, holds no samples, or holds NaN or infinite samples.
    """
    stored, rate = read_stored(source, start, end)
    return full_scale(stored), rate


def read_stored(source: Path | str | OpenFile, start: float | None = None, end: float | None = None) -> tuple[Samples | Steps, int]:
    """As `read`, but samples that are stored in 16 bits stay as they are, int16."""
    if not isinstance(source, OpenFile):
        with opened(source, at_once=False) as file:
            return read_stored(file, start, end)
    try:
        _refuse_cut_off(source.data)
        # libsndfile reads the file itself: asking Python for each piece takes as long as decoding a WAV file, and more
        # where threads wait for one another. The name goes as bytes, since it need not be UTF-8.
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
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:  # raw samples, nonsense in a header
        raise AudioError(f"not readable as audio ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
    if len(data) < last - first and frames != UNKNOWN_LENGTH:
        raise AudioError(f"cut off: {len(data)} of {last - first} samples can be decoded")
    if not len(data):
        raise AudioError("no samples")
    if data.dtype != np.int16 and not np.isfinite(data).all():
        raise AudioError("holds NaN or infinite samples")
    return cast("Samples | Steps", np.ascontiguousarray(data.T)), rate


def _read_blocks(file: soundfile.SoundFile, frames: int) -> Samples | Steps:
    """Up to so many frames, as ``[frames, channels]``: what a header says may be far more than there is memory for."""
    # libsndfile's own conversion of 16 bits to float32 takes longer than all the rest of reading them.
    kind = "int16" if file.subtype == "PCM_16" else "float32"
    blocks = []
    while frames > 0 and len(block := file.read(min(frames, BLOCK), dtype=kind, always_2d=True)):
        blocks.append(block)
        frames -= len(block)
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.zeros((0, file.channels), kind)


def full_scale(samples: Samples | Steps) -> Samples:
    """Float32 samples as they are, and 16-bit ones as float32 in −1..1.

    >>> full_scale(np.array([-32768, 16384], np.int16)).tolist()
    [-1.0, 0.5]
    """
    if samples.dtype == np.float32:
        return cast(Samples, samples)
    return np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)


def content_hash(file: OpenFile) -> str:
    """The SHA-256 of a file's bytes, first 32 hex digits."""
    file.data.seek(0)
    return hashlib.file_digest(file.data, "sha256").hexdigest()[:32]


def to_mono(samples: Samples) -> Samples:
    """The mean over channels: ``[channels, samples]`` → ``[samples]``."""
    return samples[0] if len(samples) == 1 else samples.mean(axis=0, dtype=np.float64).astype(np.float32)


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Resamples ``[samples]`` with soxr at high quality.

    Raises:
        AudioError: nothing is left, because the clip is shorter than one sample at the new rate; or samples near float32's limit.

    >>> len(resample(np.zeros(44100, np.float32), 44100, 16000))
    16000
    """
    if from_rate == to_rate:
        return samples
    resampled: Samples = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    if not len(resampled):
        raise AudioError(f"too short: {len(samples)} samples at {from_rate} Hz leave none at {to_rate} Hz")
    if not np.isfinite(resampled).all():
        raise AudioError("resampling makes infinite samples: they are near the limit of float32")
    return resampled


def pad_to(samples: Samples, length: int) -> Samples:
    """Zeros on both sides, so that a clip shorter than ``length`` lies in its middle; a longer one stays as it is.

    >>> pad_to(np.ones(2, np.float32), 5).tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    missing = max(length - len(samples), 0)
    return np.pad(samples, (missing // 2, missing - missing // 2))


def silent_ends(samples: Samples | Steps) -> tuple[int, int]:
    """How many samples at the beginning and at the end are digital silence (they round to zero at 16 bits).

    >>> silent_ends(np.array([0, 0, 0.5, 0, 0.1, 0], np.float32))
    (2, 1)
    """
    lead = _silent_start(samples)
    return (lead, _silent_start(samples[::-1])) if lead < len(samples) else (lead, 0)


def _silent_start(samples: Samples | Steps) -> int:
    for begin in range(0, len(samples), 4096):  # sounds rarely begin with more than that of nothing
        some = samples[begin : begin + 4096]
        loud = some != 0 if some.dtype == np.int16 else np.abs(some) >= HALF_STEP
        if loud.any():
            return begin + int(loud.argmax())
    return len(samples)


def peak_normalised(samples: Samples) -> Samples:
    """Scaled so that the largest absolute sample is 1; silence stays silence."""
    peak = np.abs(samples).max(initial=0.0)
    return samples / peak if peak > 0 else samples


def model_input(samples: Samples, window: int, *, trim_silence: bool = False, tile: bool = False, peak: bool = True) -> Samples:
    """A whole clip as a net takes it when scoring (Jeong & Lim §3.4): any silent ends off, filled to the window, peak 1.

    Args:
        samples: ``[samples]`` at the net's rate.
        window: samples; a shorter clip is filled to it, a longer one stays whole; 0 fills none.
        trim_silence: leave out digital silence at both ends first; an all-silent clip keeps one sample.
        tile: fill by repeating the clip, not with zeros.
        peak: scale to peak 1.
    """
    if trim_silence:
        lead, tail = silent_ends(samples)
        samples = samples[lead : len(samples) - tail] if lead < len(samples) else samples[:1]
    if tile and len(samples) < window:
        samples = np.resize(samples, window)
    samples = pad_to(samples, window)
    return peak_normalised(samples) if peak else samples


def find_files(folder: Path) -> Iterator[Path]:
    """Audio files below a folder, by name ending, in sorted order; links to folders are followed, but never in a circle.

    Folders that cannot be opened are given as they are, so that reading them says why.
    """
    yield from _walk(folder, frozenset())


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:  # a link back to a folder that we are in
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if os.path.isdir(path):  # not entry.is_dir(), which fails on a link that leads to itself
            yield from _walk(path, above | {real})
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _refuse_cut_off(raw: BufferedIOBase) -> None:
    """libsndfile reads a WAV or Ogg file that lost its end without a word; a file that lost its end is not the clip."""
    size = raw.seek(0, os.SEEK_END)
    raw.seek(0)
    head = raw.read(28)
    if size == 0:
        raise AudioError("the file is empty")
    if (promised := _promised_size(head)) > size:
        raise AudioError(f"cut off: {size} of {promised} bytes are there")
    raw.seek(12)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        position = 12
        while len(header := raw.read(8)) == 8:
            name, length = header[:4], int.from_bytes(header[4:], "little")
            position += 8
            if name == b"data":
                # 0 and −1 are what a recorder writes that does not know the length yet.
                if length < 0xFFFFFF00 and position + length > size:
                    raise AudioError(f"cut off: {size - position} of {length} bytes of samples are there")
                return
            position += length + length % 2
            raw.seek(position)
    elif head[:4] == b"OggS":
        raw.seek(max(size - OGG_TAIL, 0))
        tail = raw.read()
        page = tail.rfind(b"OggS")
        if page < 0 or len(tail) < page + 27 or not tail[page + 5] & 4:  # flag 4: last page of the stream
            raise AudioError("cut off: the Ogg stream has no last page")
        segments = tail[page + 27 : page + 27 + tail[page + 26]]
        if len(segments) < tail[page + 26] or len(tail) < page + 27 + len(segments) + sum(segments):
            raise AudioError("cut off within the last Ogg page")


def _promised_size(head: bytes) -> int:
    """The size of the whole file by its header, in the formats whose header says it and is believed; else 0."""
    if head[:4] == b"FORM":  # AIFF
        return 8 + int.from_bytes(head[4:8], "big")
    if head[:4] == b".snd" and (length := int.from_bytes(head[8:12], "big")) != 0xFFFFFFFF:  # AU
        return int.from_bytes(head[4:8], "big") + length
    if head[:4] == b"RF64" and head[12:16] == b"ds64":
        return 8 + int.from_bytes(head[20:28], "little")
    if head[:4] == b"riff":  # W64: a 16-byte name, then the size of all
        return int.from_bytes(head[16:24], "little")
    return 0


def _plain(error: OSError) -> str:
    known = {
        errno.ENOENT: "no such file",
        errno.EISDIR: "is a folder, not a file",
        errno.EACCES: "no permission to read it",
        errno.ELOOP: "a link that leads to itself",
    }
    return known.get(error.errno or 0) or (error.strerror or str(error))
