"""Whether two clips are copies of the same sound: louder, shifted, cut, filtered or encoded anew. No torch.

Both are made white first, so that a hum or a tone counts no more than what goes with it, and shifted to where they agree best. Copies
then agree in piece after piece; two sounds that are only alike agree nowhere, or in a single click.
"""

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.data.clips import ClipSet

RATE = 8000  # Hz; what encoders keep
LONGEST = 30.0  # seconds of a clip that are compared
LOWEST = 50.0  # Hz; hum below it says nothing
WHITENED = 20.0  # Hz; how finely the spectrum is made level
FLOOR = 1e-3  # of the mean power of the spectrum, below which nothing is raised: encoders leave it out
PIECE = 0.05  # seconds
SHORTEST_PIECE = 0.01
PIECES_IN_A_CLIP = 16  # at least: the pieces of a short clip are shorter
SOUNDING = 1e-3  # of the power of the loudest piece
AGREE = 0.5  # correlation of two pieces
LEAST_PIECES = 8  # that agree
LEAST_SHARE = 0.3  # of those that sound in both clips
TINY = 1e-30

White = NDArray[np.float32]


def compared_seconds(clips: ClipSet, index: int) -> float:
    """How much of a clip `are_copies` compares; the time that it takes grows with it."""
    return min(float(clips.length[index]) / clips.sample_rate, LONGEST)


def are_copies(clips: ClipSet, first: int, second: int) -> bool:
    """Whether two clips, given by their indices, have a part that is the same sound."""
    rate = min(clips.sample_rate, RATE)
    sounds = [clips.samples(index)[: int(LONGEST * clips.sample_rate)] for index in (first, second)]
    one, other = (white(audio.resample(sound, clips.sample_rate, rate), rate) for sound in sounds)
    return same_sound(one, other, rate)


def white(samples: NDArray[np.float32], rate: int) -> White:
    """A sound with the same power at all frequencies that it has: ``[samples]``, of length 1 as a vector; zeros for silence."""
    loudest = float(np.abs(samples).max(initial=0))
    if not loudest > 0:
        return np.zeros(len(samples), np.float32)
    size = _power_of_two(len(samples))
    spectrum = np.fft.rfft(samples / np.float32(loudest), size)
    power = np.abs(spectrum).astype(np.float64) ** 2
    width = max(int(WHITENED * size / rate), 1)
    sums = np.cumsum(np.pad(power, (width // 2 + 1, width - width // 2), mode="edge"))
    level = ((sums[width:] - sums[:-width]) / width)[: len(power)]
    spectrum = spectrum / np.sqrt(level + FLOOR * power.mean() + TINY)
    spectrum[: int(LOWEST * size / rate)] = 0
    sound = np.fft.irfft(spectrum, size)[: len(samples)]
    return (sound / max(float(np.sqrt((sound * sound).sum())), TINY)).astype(np.float32)


def same_sound(first: White, second: White, rate: int) -> bool:
    """Whether two white sounds have a part that is the same.

    Args:
        first: of `white`, ``[samples]``.
        second: likewise; it may have another length.
        rate: of both, in Hz.
    """
    if not first.any() or not second.any():
        return False
    size = _power_of_two(len(first) + len(second))
    agreement = np.fft.irfft(np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size)), size)
    shift = int(np.abs(agreement).argmax())
    sign = np.sign(agreement[shift])
    shift = shift if shift < len(first) else shift - size
    shorter = min(len(first), len(second))
    piece = min(int(PIECE * rate), max(shorter // PIECES_IN_A_CLIP, int(SHORTEST_PIECE * rate), 1))
    first, second = first[max(shift, 0) :], second[max(-shift, 0) :]
    pieces = min(len(first), len(second)) // piece
    if pieces < LEAST_PIECES:
        return False
    ones, others = (side[: pieces * piece].reshape(pieces, piece) for side in (first, second))
    powers, other_powers = (ones**2).sum(axis=1), (others**2).sum(axis=1)
    sounding = (powers > SOUNDING * powers.max()) & (other_powers > SOUNDING * other_powers.max())
    agree = sounding & (sign * (ones * others).sum(axis=1) > AGREE * np.sqrt(powers * other_powers))
    return bool(agree.sum() >= max(LEAST_PIECES, LEAST_SHARE * sounding.sum()))


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 1).bit_length()
