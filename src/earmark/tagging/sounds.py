"""Tagging sounds of any length, whole or as a timeline, in constant memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from earmark.errors import AudioError
from earmark.interrupts import interrupted
from earmark.machine import compute_with, threads_kept
from earmark.parallel import in_order, made_ahead
from earmark.tagging.merge import merged
from earmark.tagging.model import GROUP_SAMPLES, Model
from earmark.tagging.parts import Part, TaggedSound
from earmark.tagging.streams import Opener, Stream, file_opener, opener_of
from earmark.tagging.windows import Cut, check_windows, in_one_piece, in_windows

__all__ = ["GROUP_SAMPLES", "Part", "Request", "TaggedSound", "tag_sounds", "timeline", "whole_scores"]

WAITING_SAMPLES = 2_000_000  # of the parts, at all rates, that are handed on to be scored: 8 MB

Scores = NDArray[np.float32]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """What is asked of every sound.

    Attributes:
        top_k: number of labels of a part, at most.
        threshold: lowest score of a label that is given; a number, or a number for every class ``[K]``.
        window: length of the parts of a timeline, in seconds; None for every sound as a whole.
        hop: from the beginning of a part to that of the next, in seconds; None for the window.
        merge: whether neighbouring parts with the same label become one.

    Raises:
        WindowError: see `check_windows`.
    """

    top_k: int = 3
    threshold: float | NDArray[np.float32] = 0.0
    window: float | None = None
    hop: float | None = None
    merge: bool = False

    def __post_init__(self) -> None:
        check_windows(self.window, self.hop, self.merge)


def tag_sounds(
    model: Model, paths: Sequence[Path], request: Request, threads: int = 1, group_samples: int = GROUP_SAMPLES
) -> list[TaggedSound | AudioError]:
    """Tags files, each as a whole or as a timeline.

    A whole sound that is longer than a minute is scored in pieces of half a minute; its scores are the mean of theirs, weighted by their
    lengths. So the memory does not grow with the length, and nets that learned from clips of seconds never hear hours at once. Parts and
    sounds of equal length are scored together, and files are read while others are scored.

    Args:
        model: the model.
        paths: audio files; ``-`` is stdin.
        request: what is asked of them.
        threads: groups of parts that are scored at once; with 1, they are scored in the calling thread.
        group_samples: samples that go through the nets at once, at most, in all threads together; but a longer part goes alone. With
            fewer of them fewer wait, too.

    Returns:
        For each file, in the order of the paths, its tags, or why it cannot be used. A file that is damaged has no tags at all, wherever
        the damage is.

    Raises:
        MachineError: the system failed, for which no file is to blame.
        BundleError: the nets' scores are not finite, whatever the sound.
    """
    openers = list(map(file_opener, paths))
    highest = model.sample_rates[-1]
    return [
        sound
        if isinstance(sound, AudioError)
        else TaggedSound(str(path), sound.seconds, min(sound.rate, highest) / 2, sound.result)
        for path, sound in zip(paths, timelines(model, openers, request, threads, group_samples), strict=True)
    ]


def timeline(model: Model, source: Path | str | NDArray[np.floating], sample_rate: int | None, request: Request) -> list[Part]:
    """The parts of one file, or of samples with their sample rate (Hz).

    Raises:
        AudioError: the sound cannot be used.
        ValueError: see `opener_of`.
    """
    (sound,) = timelines(model, [opener_of(source, sample_rate)], request)
    if isinstance(sound, AudioError):
        raise sound
    return sound.result


@dataclass(frozen=True)
class Heard(Generic[Result]):
    """A sound that was read to its end.

    Attributes:
        seconds: its length.
        rate: its own sample rate, in Hz.
        result: what came out.
    """

    seconds: float
    rate: int
    result: Result


class ScoredPart(NamedTuple):
    """Where a part of a sound begins and ends, in seconds, and its scores, float32 ``[K]``."""

    start: float
    end: float
    scores: Scores


def timelines(
    model: Model, openers: Iterable[Opener], request: Request, threads: int = 1, group_samples: int = GROUP_SAMPLES
) -> Iterator[Heard[list[Part]] | AudioError]:
    """The parts, with tags, of sounds that functions open; see `tag_sounds`."""

    def tagged(part: ScoredPart) -> Part:
        return Part(part.start, part.end, model.labels.decode(part.scores, request.top_k, request.threshold))

    if request.window is None:
        for whole in whole_scores(model, openers, threads, group_samples):
            if isinstance(whole, AudioError):
                yield whole
            else:
                yield Heard(whole.seconds, whole.rate, [tagged(ScoredPart(0.0, whole.seconds, whole.result))])
        return
    cuts = partial(in_windows, window=request.window, hop=request.hop or request.window)
    for sound in _scored(model, openers, cuts, tagged, threads, group_samples):
        if isinstance(sound, AudioError) or not request.merge:
            yield sound
        else:
            yield Heard(sound.seconds, sound.rate, merged(sound.result))


def whole_scores(
    model: Model, openers: Iterable[Opener], threads: int = 1, group_samples: int = GROUP_SAMPLES
) -> Iterator[Heard[Scores] | AudioError]:
    """The scores, float32 ``[K]``, of whole sounds that functions open; see `tag_sounds`."""
    for sound in _scored(model, openers, in_one_piece, lambda part: part, threads, group_samples):
        if isinstance(sound, AudioError):
            yield sound
        else:
            scores = np.average(
                [part.scores for part in sound.result], axis=0, weights=[part.end - part.start for part in sound.result]
            )
            yield Heard(sound.seconds, sound.rate, scores.astype(np.float32))


def _scored(
    model: Model,
    openers: Iterable[Opener],
    cuts: Callable[[Stream, Sequence[int]], Iterator[Cut]],
    keep: Callable[[ScoredPart], Result],
    threads: int,
    group_samples: int,
) -> Iterator[Heard[list[Result]] | AudioError]:
    """What is kept of the parts of each sound."""
    most = WAITING_SAMPLES * group_samples // GROUP_SAMPLES // threads
    batches = made_ahead(_batches(_read(openers, model.sample_rates, cuts), most), ahead=2)
    score = partial(_score_batch, model, group_samples // threads)
    for _, items in groupby(_in_threads(score, batches, threads), itemgetter(0)):
        kept: list[Result] = []
        error: AudioError | None = None
        for _, item in items:
            if isinstance(item, ScoredPart):
                kept.append(keep(item))
            elif isinstance(item, AudioError):
                error = item
            else:
                end = item
        yield error or Heard(end.seconds, end.rate, kept)


Read = tuple[int, Cut | Heard[None] | AudioError]  # the number of a sound, and a part of it, its end, or what is wrong with it
Scored = tuple[int, ScoredPart | Heard[None] | AudioError]


def _read(
    openers: Iterable[Opener], rates: Sequence[int], cuts: Callable[[Stream, Sequence[int]], Iterator[Cut]]
) -> Iterator[Read]:
    for number, opener in enumerate(openers):
        try:
            with opener() as stream:
                for cut in cuts(stream, rates):
                    if interrupted():  # else the main thread, which has had the signal, would wait for the end of a sound of hours
                        raise KeyboardInterrupt
                    yield number, cut
                yield number, Heard(stream.seconds, stream.rate, None)
        except AudioError as error:
            yield number, error


def _batches(items: Iterator[Read], most: int) -> Iterator[list[Read]]:
    batch: list[Read] = []
    waiting = 0
    for item in items:
        batch.append(item)
        if isinstance(item[1], Cut):
            waiting += sum(map(len, item[1].sound.values()))
            if waiting >= most:
                yield batch
                batch, waiting = [], 0
    if batch:
        yield batch


def _in_threads(score: Callable[[list[Read]], list[Scored]], batches: Iterator[list[Read]], threads: int) -> Iterator[Scored]:
    if threads == 1:
        for batch in batches:
            yield from score(batch)
        return
    with threads_kept(), ThreadPoolExecutor(threads, initializer=compute_with, initargs=(1,)) as pool:
        for scored in in_order(pool, score, batches, ahead=threads + 1):
            yield from scored


def _score_batch(model: Model, group_samples: int, batch: list[Read]) -> list[Scored]:
    cuts = [item for _, item in batch if isinstance(item, Cut)]
    scores: Iterator[Scores] = iter(model.combined([cut.sound for cut in cuts], group_samples) if cuts else ())
    scored: list[Scored] = []
    for number, item in batch:
        if isinstance(item, Cut):
            of_part = next(scores)
            scored.append((number, model.fault(of_part, item.sound) or ScoredPart(item.start, item.end, of_part)))
        else:
            scored.append((number, item))
    return scored
