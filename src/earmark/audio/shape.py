"""Preparing samples for a net: mono, another sample rate, a length, a peak."""

from typing import TypeVar, cast

import numpy as np
import soxr
from numpy.typing import NDArray

from earmark.audio.decode import Samples, Steps
from earmark.audio.limits import refuse_size
from earmark.errors import AudioError

HALF_STEP = 0.5 / 32768  # samples below this become zero with 16 bits: digital silence
QUALITY = "HQ"  # of soxr
INFINITE = "resampling makes infinite samples: they are near the limit of float32"
LEAST_SCALE = 2.0**-96  # of samples of 16 bits; a sound below that is silent, and float32 could not hold the factor


def to_mono(samples: Samples) -> Samples:
    """The mean over channels: ``[channels, samples]`` → ``[samples]``."""
    return samples[0] if len(samples) == 1 else samples.mean(axis=0, dtype=np.float64).astype(np.float32)


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Resamples ``[samples]`` with soxr at high quality; the rates are in Hz.

    Raises:
        AudioError: the clip is too short to have a sample at the new rate, or too long, or its samples are too large for float32
            to resample.

    >>> len(resample(np.zeros(44100, np.float32), 44100, 16000))
    16000
    """
    if from_rate == to_rate:
        return samples
    refuse_size(len(samples) * to_rate / from_rate, 1, to_rate)
    resampled: Samples = soxr.resample(samples, from_rate, to_rate, quality=QUALITY)
    if not len(resampled):
        raise too_short(len(samples), from_rate, to_rate)
    if not np.isfinite(resampled).all():
        raise AudioError(INFINITE)
    return resampled


def resampler(from_rate: int, to_rate: int) -> soxr.ResampleStream:
    """Resamples a mono sound block by block as `resample` does it as a whole."""
    return soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=QUALITY)


def too_short(length: int, from_rate: int, to_rate: int) -> AudioError:
    """What is said of a sound that leaves no sample at another rate."""
    return AudioError(f"too short: {length} samples at {from_rate} Hz leave none at {to_rate} Hz")


def to_16_bits(samples: Samples | Steps) -> tuple[Steps, float]:
    """Samples ``[samples]`` as a store keeps them: whole steps, and what 32768 steps are worth.

    The scale is the smallest power of two with which all samples fit into 16 bits. So audio beyond full scale is not clipped, quiet
    audio keeps its precision, and audio that was 16-bit before stays exactly the same.

    >>> to_16_bits(np.array([0.25, -0.5], np.float32))
    (array([ 16384, -32768], dtype=int16), 0.5)
    """
    whole = samples.dtype == np.int16
    high, low = (float(extreme) / (32768 if whole else 1) for extreme in (samples.max(), samples.min()))
    reach = max(high * 32768 / 32767, -low)
    scale = max(float(2.0 ** np.ceil(np.log2(reach))), LEAST_SCALE) if reach > 0 else 1.0
    if whole:
        whole_steps = cast("Steps", samples)
        return (np.left_shift(whole_steps, round(-np.log2(scale))) if scale < 1 else whole_steps), scale
    steps = samples * np.float32(32768 / scale)
    return np.rint(steps, out=steps).clip(-32768, 32767, out=steps).astype(np.int16), scale


def of_16_bits(samples: Samples) -> Samples:
    """What a store keeps of samples ``[samples]``: a sound that is tagged is heard as those that were learned from."""
    steps, scale = to_16_bits(samples)
    return steps.astype(np.float32) * np.float32(scale / 32768)


def pad_to(samples: Samples, length: int) -> Samples:
    """Adds zeros on both sides of a clip that is shorter than ``length`` (in samples); a longer clip stays as it is.

    >>> pad_to(np.ones(2, np.float32), 5).tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    missing = max(length - len(samples), 0)
    return np.pad(samples, (missing // 2, missing - missing // 2))


def silent_ends(samples: Samples | Steps) -> tuple[int, int]:
    """The numbers of samples at the beginning and at the end that are digital silence: they become zero with 16 bits.

    >>> silent_ends(np.array([0, 0, 0.5, 0, 0.1, 0], np.float32))
    (2, 1)
    """
    lead = _silent_start(samples)
    return (lead, _silent_start(samples[::-1])) if lead < len(samples) else (lead, 0)


def _silent_start(samples: Samples | Steps) -> int:
    for begin in range(0, len(samples), 4096):  # in blocks, since few sounds begin with more silence than that
        block = samples[begin : begin + 4096]
        loud = block != 0 if block.dtype == np.int16 else np.abs(block) >= HALF_STEP
        if loud.any():
            return begin + int(loud.argmax())
    return len(samples)


Lengths = TypeVar("Lengths", int, NDArray[np.int64])


def sounding_part(length: Lengths, lead: Lengths, tail: Lengths) -> tuple[Lengths, Lengths]:
    """The index of the first sample and the number of samples without the silence at both ends, at least one sample.

    Args:
        length: length in samples of a clip, or of each of many clips.
        lead: number of silent samples at the beginning.
        tail: number of silent samples at the end.

    >>> sounding_part(np.array([10, 4]), np.array([2, 4]), np.array([3, 0]))
    (array([2, 3]), array([5, 1]))
    """
    first, count = np.minimum(lead, length - 1), np.maximum(length - lead - tail, 1)
    return cast("tuple[Lengths, Lengths]", (first, count))


def peak_normalised(samples: Samples) -> Samples:
    """Samples scaled so that the largest absolute sample is 1; silence stays silence."""
    peak = np.abs(samples).max(initial=0.0)
    return samples / peak if peak > 0 else samples


def model_input(samples: Samples, window: int, *, trim_silence: bool = False, tile: bool = False, peak: bool = True) -> Samples:
    """The input of a net for scoring a whole clip (Jeong & Lim §3.4).

    Args:
        samples: the clip ``[samples]`` at the net's sample rate.
        window: length in samples to which a shorter clip is filled; a longer clip stays as it is; 0 fills no clip.
        trim_silence: first leave out the digital silence at both ends; a completely silent clip keeps one sample.
        tile: fill by repeating the clip instead of with zeros.
        peak: scale the clip to peak 1.
    """
    if trim_silence:
        first, count = sounding_part(len(samples), *silent_ends(samples))
        samples = samples[first : first + count]
    if tile and len(samples) < window:
        samples = np.resize(samples, window)
    samples = pad_to(samples, window)
    return peak_normalised(samples) if peak else samples
