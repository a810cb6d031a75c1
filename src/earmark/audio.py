"""Audio files → float32 samples: reading, mono, resampling, fitting to a length."""

import errno
import hashlib
import os
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
    path = Path(path)
    try:
        with path.open("rb") as raw:
            _refuse_cut_off(raw)
        with soundfile.SoundFile(path) as file:
            rate, frames = int(file.samplerate), int(file.frames)
            first = 0 if start is None else round(start * rate)
            last = frames if end is None else round(end * rate)
            if frames and (first >= frames or last > frames + 1):
                raise AudioError(f"{start or 0:g}–{last / rate:g} s asked for, but the file is {frames / rate:g} s long")
            last = min(last, frames)
            file.seek(first)
            data = file.read(last - first, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not readable as audio ({error.error_string.rstrip('.')})") from None
    except OSError as error:
        raise AudioError(_plain(error)) from None
    if len(data) < last - first:
        raise AudioError(f"cut off: {len(data)} of {last - first} samples can be decoded")
    if not len(data):
        raise AudioError("no samples")
    if not np.isfinite(data).all():
        raise AudioError("holds NaN or infinite samples")
    return np.ascontiguousarray(data.T), rate


def read_mono(path: Path | str, sample_rate: int, start: float | None = None, end: float | None = None) -> Samples:
    """Reads a file, mixes it to mono and resamples it: float32 ``[samples]``.

    Raises:
        AudioError: see `read` and `resample`.
    """
    samples, rate = read(path, start, end)
    return resample(to_mono(samples), rate, sample_rate)


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
    return samples[0] if len(samples) == 1 else samples.mean(axis=0, dtype=np.float32)


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Resamples ``[samples]`` with soxr at high quality.

    Raises:
        AudioError: nothing is left, because the clip is shorter than one sample at the new rate.

    >>> len(resample(np.zeros(44100, np.float32), 44100, 16000))
    16000
    """
    if from_rate == to_rate:
        return samples
    resampled: Samples = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    if not len(resampled):
        raise AudioError(f"too short: {len(samples)} samples at {from_rate} Hz leave none at {to_rate} Hz")
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


def model_input(samples: Samples, window: int, trim_silence: bool) -> Samples:
    """A whole clip as a net takes it when scoring (Jeong & Lim §3.4): any silent ends off, padded to the window, peak 1.

    Args:
        samples: ``[samples]`` at the net's rate.
        window: samples; a shorter clip is padded to it, a longer one stays whole.
        trim_silence: leave out digital silence at both ends first; an all-silent clip keeps one sample.
    """
    if trim_silence:
        lead, tail = silent_ends(samples)
        samples = samples[lead : len(samples) - tail] if lead < len(samples) else samples[:1]
    return peak_normalised(pad_to(samples, window))


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
    head = raw.read(12)
    size = os.fstat(raw.fileno()).st_size
    if size == 0:
        raise AudioError("the file is empty")
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


def _plain(error: OSError) -> str:
    known = {
        errno.ENOENT: "no such file",
        errno.EISDIR: "is a folder, not a file",
        errno.EACCES: "no permission to read it",
        errno.ELOOP: "a link that leads to itself",
    }
    return known.get(error.errno or 0) or (error.strerror or str(error))
