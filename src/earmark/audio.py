"""Audio files → float32 samples: reading, mono, resampling, fitting to a length."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from earmark.errors import AudioError

Samples = NDArray[np.float32]

HALF_STEP = 0.5 / 32768  # samples below this round to zero at 16 bits: digital silence
BLOCK = 1 << 20  # frames decoded at once
UNKNOWN_LENGTH = 2**63 - 1  # what libsndfile says of a stream whose header does not know its own length
OGG_TAIL = 65536 + 512  # bytes: an Ogg page is at most 65,307 long, so the last page begins within them

#: File name endings, in lower case, that are taken for audio when a folder is searched.
SUFFIXES = frozenset(
    {f".{name.lower()}" for name in soundfile.available_formats() if name not in ("RAW", "TXW", "MAT4", "MAT5", "HTK")}
    | {".aif", ".aifc", ".oga", ".opus", ".mp3", ".snd"}
)


def read(path: Path | str, start: float | None = None, end: float | None = None) -> tuple[Samples, int]:
    """Reads a file of any rate, channel count and sample format that libsndfile reads.

    Args:
        path: the file.
        start: first second to read; the beginning by default.
        end: second to stop at; the end by default.

    Returns:
        Samples float32 ``[channels, samples]``, full scale −1..1 (float files may go beyond), and the sample rate in Hz.

    Raises:
        AudioError: the file is missing, is no audio, is cut off, holds no samples, or holds NaN or infinite samples.
    """
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):  # opening one waits for its writer
            raise AudioError("is no ordinary file")
        with open(path, "rb") as raw:
            _refuse_cut_off(raw)
        with soundfile.SoundFile(os.fsencode(path)) as file:  # as bytes: a name need not be UTF-8
            rate, frames = int(file.samplerate), int(file.frames)
            seconds = frames / rate
            if frames and ((start or 0) >= seconds or (end or 0) > seconds + 1 / rate):
                until = "the end" if end is None else f"{end:g} s"
                raise AudioError(f"{start or 0:g} s to {until} asked for, but the file is {seconds:g} s long")
            first = 0 if start is None else round(start * rate)
            last = frames if end is None else min(round(end * rate), frames)
            file.seek(first)
            data = _read_blocks(file, last - first)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not readable as audio ({error.error_string.rstrip('.')})") from None
    except OSError as error:
        raise AudioError(_plain(error)) from None
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:  # raw samples, a NUL in the name, nonsense in a header
        raise AudioError(f"not readable as audio ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
    if len(data) < last - first and frames != UNKNOWN_LENGTH:
        raise AudioError(f"cut off: {len(data)} of {last - first} samples can be decoded")
    if not len(data):
        raise AudioError("no samples")
    if not np.isfinite(data).all():
        raise AudioError("holds NaN or infinite samples")
    return np.ascontiguousarray(data.T), rate


def _read_blocks(file: soundfile.SoundFile, frames: int) -> Samples:
    """Up to so many frames, as ``[frames, channels]``: what a header says may be far more than there is memory for."""
    blocks = []
    while frames > 0 and len(block := file.read(min(frames, BLOCK), dtype="float32", always_2d=True)):
        blocks.append(block)
        frames -= len(block)
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.zeros((0, file.channels), np.float32)


def content_hash(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, first 32 hex digits.

    Raises:
        AudioError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise AudioError(_plain(error)) from None


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


def silent_ends(samples: Samples) -> tuple[int, int]:
    """How many samples at the beginning and at the end are digital silence (they round to zero at 16 bits).

    >>> silent_ends(np.array([0, 0, 0.5, 0, 0.1, 0], np.float32))
    (2, 1)
    """
    loud = np.abs(samples) >= HALF_STEP
    if not loud.any():
        return len(samples), 0
    return int(loud.argmax()), int(loud[::-1].argmax())


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


def _refuse_cut_off(raw: Any) -> None:
    """libsndfile reads a WAV or Ogg file that lost its end without a word; a file that lost its end is not the clip."""
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        raise AudioError("is no ordinary file")
    head = raw.read(28)
    size = os.fstat(raw.fileno()).st_size
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
