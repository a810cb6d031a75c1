"""Decoding: an audio file of any sample rate, channel count and sample format → samples ``[channels, samples]``."""

from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from earmark.audio.limits import refuse_size
from earmark.audio.opening import OpenFile, opened
from earmark.audio.sound import Block, Sound
from earmark.audio.sounds import block_length, open_sound
from earmark.errors import AudioError

Samples = NDArray[np.float32]
Steps = NDArray[np.int16]  # 16-bit samples, −32768..32767


def read(source: Path | str | OpenFile, start: float | None = None, end: float | None = None) -> tuple[Samples, int]:
    """Reads an audio file of any sample rate, channel count and sample format into memory; `audio.streamed` is for long ones.

    Args:
        source: path of the file, or an open file.
        start: where to begin, in seconds; by default at the beginning of the file.
        end: where to stop, in seconds; by default at the end of the file.

    Returns:
        Samples float32 ``[channels, samples]``, full scale −1..1 (float files may go beyond), and the sample rate in Hz.

    Raises:
        AudioError: the file is missing, is no audio file, is cut off, is too short for ``start`` and ``end``, is too long, has no
            samples, or has NaN or infinite samples.
        MachineError: the system failed, for which the file is not to blame.
    """
    stored, rate = read_stored(source, start, end)
    return full_scale(stored), rate


def read_stored(source: Path | str | OpenFile, start: float | None = None, end: float | None = None) -> tuple[Samples | Steps, int]:
    """Like `read`, but the samples of 16-bit files are int16."""
    if not isinstance(source, OpenFile):
        with opened(source, at_once=False) as file:
            return read_stored(file, start, end)
    with open_sound(source) as sound:
        blocks = _blocks(sound, start, end)
        if not blocks:
            raise AudioError("no samples")
        if len({block.dtype for block in blocks}) > 1:  # of a chain
            blocks = [full_scale(block) for block in blocks]
        data = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        if data.dtype != np.int16 and not np.isfinite(data).all():
            raise AudioError("holds NaN or infinite samples")
        return cast("Samples | Steps", np.ascontiguousarray(data.T)), sound.rate


def _blocks(sound: Sound, start: float | None, end: float | None) -> list[Block]:
    """The samples of a part of a sound, block by block, since a wrong header may name more than fit into memory."""
    rate, length = sound.rate, sound.length
    if length is not None:
        _refuse_beyond(length, rate, start, end)
    first = 0 if start is None else round(start * rate)
    last = None if end is None else round(end * rate)
    if length is not None:
        last = length if last is None else min(last, length)
        refuse_size(last - first, sound.channels, rate)
    blocks, count = [], 0
    for block in sound.blocks(first, last, block_length(sound.channels)):
        blocks.append(block)
        count += len(block)
        refuse_size(count, sound.channels, rate)  # its header did not say how long it is
    if length is None and (start is not None or end is not None):
        end_of_sound = first + count if count else sum(map(len, sound.blocks(0, None, block_length(sound.channels))))
        _refuse_beyond(end_of_sound, rate, start, end)
    return blocks


def _refuse_beyond(length: int, rate: int, start: float | None, end: float | None) -> None:
    """Refuses a part of a sound of ``length`` samples that it does not have.

    Raises:
        AudioError: the sound is shorter.
    """
    seconds = length / rate
    if length and ((start or 0) >= seconds or (end or 0) > seconds + 1 / rate):
        until = "the end" if end is None else f"{end:g} s"
        raise AudioError(f"{start or 0:g} s to {until} asked for, but the file is {seconds:g} s long")


def full_scale(samples: Samples | Steps) -> Samples:
    """Samples as float32: 16-bit samples are scaled to −1..1, float32 samples stay as they are.

    >>> full_scale(np.array([-32768, 16384], np.int16)).tolist()
    [-1.0, 0.5]
    """
    if samples.dtype == np.float32:
        return cast(Samples, samples)
    return np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)
