"""Cutting a sound into the parts that are scored, while it is read: only a part or two are in memory, however long it is."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from earmark import audio
from earmark.errors import AudioError, WindowError
from earmark.recipe.schema import MOST_SECONDS
from earmark.tagging.streams import Stream

WHOLE_SECONDS = 60  # a sound up to this length is scored in one piece
PIECE_SECONDS = 30  # a longer one in pieces of this length: nets learn from clips that are not longer, and a piece needs memory
SHORTEST_WINDOW = 0.01  # seconds: less is no sound to a net
MOST_PARTS = 1_000_000  # of an hour of sound
LONGEST_HOP = 86_400  # seconds: a day


@dataclass(frozen=True)
class Cut:
    """A part of a sound.

    Attributes:
        start: where it begins, in seconds.
        end: where it ends, in seconds.
        sound: its samples ``[samples]`` at every rate (Hz), with 16 bits, as the sounds that the nets learned from.
    """

    start: float
    end: float
    sound: Mapping[int, audio.Samples]


def check_windows(window: float | None, hop: float | None, merge: bool) -> None:
    """Refuses windows that make no timeline.

    Raises:
        WindowError: the window or the hop is out of bounds, or there is a hop, or something to merge, without a window.
    """
    if window is None:
        if hop is not None or merge:
            raise WindowError(f"{'a hop' if hop is not None else 'merge'} needs a window: the seconds of each part of the timeline")
        return
    if not SHORTEST_WINDOW <= window <= MOST_SECONDS:
        raise WindowError(f"a window of {window:g} s; {SHORTEST_WINDOW:g} to {MOST_SECONDS} s can be used")
    if hop is not None and not 3600 / MOST_PARTS <= hop <= LONGEST_HOP:
        raise WindowError(f"a hop of {hop:g} s; {3600 / MOST_PARTS:g} to {LONGEST_HOP:,} s can be used")


def in_windows(stream: Stream, rates: Sequence[int], window: float, hop: float) -> Iterator[Cut]:
    """Parts of one length, at equal distances from the beginning on. The last one ends where the sound ends, and may be shorter.

    The last one is left out if it has no sample at some rate. No part lies wholly within the one before it.

    Args:
        stream: the sound.
        rates: the rates of the samples that are wanted, in Hz.
        window: length of a part, in seconds.
        hop: from the beginning of a part to that of the next, in seconds.

    Raises:
        AudioError: the sound cannot be read, or is too short to have a sample at every rate.
    """
    tapes = _Tapes(stream, rates)
    number = 0  # of the next part
    covered = -1  # where the part before it ends, in samples of the file; not its beginning and a hop, which are rounded

    def begin(rate: int) -> int:
        return round(number * hop * rate)

    def end(rate: int) -> int:
        return begin(rate) + round(window * rate)  # equally many samples in all parts, so that they can be scored together

    def cut() -> Cut:
        return tapes.cut(begin, end, number * hop, min(number * hop + window, stream.seconds))

    for blocks in stream.mono(rates):
        tapes.append(blocks)
        while tapes.reach(end):
            yield cut()
            covered = end(stream.rate)
            number += 1
            tapes.forget(begin)
        tapes.forget(begin)  # what lies between two parts, where the hop is longer than the window
    while max(covered, begin(stream.rate)) < tapes.frames:
        last = cut()
        if all(len(samples) for samples in last.sound.values()):
            yield last
        elif number == 0:
            break
        covered = end(stream.rate)
        number += 1
    if number == 0:
        raise tapes.too_short()


def in_one_piece(stream: Stream, rates: Sequence[int]) -> Iterator[Cut]:
    """A sound of up to `WHOLE_SECONDS` in one piece; a longer one in pieces of `PIECE_SECONDS`, and the rest in two of equal length.

    So no piece of a longer sound is shorter than half of `PIECE_SECONDS`.

    Args:
        stream: the sound.
        rates: the rates of the samples that are wanted, in Hz.

    Raises:
        AudioError: the sound cannot be read, or is too short to have a sample at every rate.
    """
    tapes = _Tapes(stream, rates)
    start = 0  # of the next piece, in seconds

    def begin(rate: int) -> int:
        return start * rate

    def end(rate: int) -> int:
        return (start + PIECE_SECONDS) * rate

    def middle(rate: int) -> int:
        return (begin(rate) + tapes.end(rate)) // 2

    def enough(rate: int) -> int:
        # A sound that reaches this place is a long one, and more than a piece of it is left behind the next piece.
        return max(start + 2 * PIECE_SECONDS, WHOLE_SECONDS) * rate + 1

    for blocks in stream.mono(rates):
        tapes.append(blocks)
        while tapes.reach(enough):
            yield tapes.cut(begin, end, start, start + PIECE_SECONDS)
            start += PIECE_SECONDS
            tapes.forget(begin)
    if tapes.empty():
        raise tapes.too_short()
    if tapes.frames <= WHOLE_SECONDS * stream.rate:
        yield tapes.cut(begin, tapes.end, start, stream.seconds)
        return
    half = (start + stream.seconds) / 2
    yield tapes.cut(begin, middle, start, half)
    yield tapes.cut(middle, tapes.end, half, stream.seconds)


class _Tapes:
    """What has been read of a stream and is still needed, at some rates. Places in it are numbers of samples, by the rate."""

    def __init__(self, stream: Stream, rates: Sequence[int]) -> None:
        self.stream, self.tapes = stream, {rate: _Tape() for rate in rates}

    @property
    def frames(self) -> int:
        """Samples at the file's own rate that have been read."""
        return round(self.stream.seconds * self.stream.rate)

    def append(self, blocks: Mapping[int, audio.Samples]) -> None:
        for rate, tape in self.tapes.items():
            tape.append(blocks[rate])

    def end(self, rate: int) -> int:
        return self.tapes[rate].end

    def empty(self) -> bool:
        return not all(tape.end for tape in self.tapes.values())

    def reach(self, place: Callable[[int], int]) -> bool:
        """Whether the sound has been read up to a place, at all rates and at its own."""
        return place(self.stream.rate) <= self.frames and all(place(rate) <= tape.end for rate, tape in self.tapes.items())

    def forget(self, before: Callable[[int], int]) -> None:
        for rate, tape in self.tapes.items():
            tape.forget(before(rate))

    def cut(self, begin: Callable[[int], int], end: Callable[[int], int], start: float, stop: float) -> Cut:
        """The part from one place to another, or to the end of the sound; they are the seconds `start` and `stop`."""
        sound = {rate: tape.between(begin(rate), end(rate)) for rate, tape in self.tapes.items()}
        return Cut(start, stop, {rate: audio.of_16_bits(samples) if len(samples) else samples for rate, samples in sound.items()})

    def too_short(self) -> AudioError:
        if not self.frames:
            return AudioError("no samples")
        none_at = min(self.tapes)  # the lowest rate has the fewest samples
        return AudioError(f"too short: {self.frames} samples at {self.stream.rate} Hz leave none at {none_at} Hz")


class _Tape:
    """The samples of a sound at one rate, from the first that is still needed on."""

    def __init__(self) -> None:
        self.blocks: deque[audio.Samples] = deque()
        self.first = self.end = 0  # numbers of the first sample, and of the one behind the last

    def append(self, block: audio.Samples) -> None:
        self.blocks.append(block)
        self.end += len(block)

    def between(self, first: int, last: int) -> audio.Samples:
        """The samples from `first` to the one before `last`, as far as there are any: a copy."""
        samples, position = [], self.first
        for block in self.blocks:
            if first < position + len(block) and position < last:
                samples.append(block[max(first - position, 0) : last - position])
            position += len(block)
        return np.concatenate(samples) if samples else np.zeros(0, np.float32)

    def forget(self, before: int) -> None:
        """Drops the blocks that lie before a sample."""
        while self.blocks and self.first + len(self.blocks[0]) <= before:
            self.first += len(self.blocks.popleft())
