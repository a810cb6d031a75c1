"""Tagging many files, with a list of the files that could not be used."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earmark import audio, console, files
from earmark.errors import AudioError, EarmarkError
from earmark.machine import compute_with, threads_kept
from earmark.parallel import in_order
from earmark.progress import progress_bar
from earmark.tagging.formats import TaggedFile, header, render
from earmark.tagging.tagger import GROUP_SAMPLES, MAX_SECONDS, Tag, Tagger

BASKET_FILES = 64  # files that are decoded and scored together, at most
BASKET_BYTES = 32_000_000  # the same, in bytes of the files


@dataclass(frozen=True)
class Tagged:
    """What `tag_files` did.

    Attributes:
        tagged: number of files with tags in the output.
        bad: ``(file, reason)`` of each file that could not be used.
        ledger: the CSV file that lists the bad files; None if there is none: no file was bad, or the output is no ordinary file.
    """

    tagged: int
    bad: tuple[tuple[str, str], ...]
    ledger: Path | None


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """The files to tag: the given files, and the audio files below the given folders; in order, each file once.

    Raises:
        EarmarkError: a path does not exist, or a folder has no audio below it.
    """
    unique: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            below = list(audio.find_files(path))
            if not below:
                raise EarmarkError(f"{path}: no audio files below it (endings {', '.join(sorted(audio.SUFFIXES))})")
            unique.update(dict.fromkeys(below))
        elif path.exists() or path.is_symlink():
            unique[path] = None
        else:
            raise EarmarkError(f"{path}: no such file or folder")
    return list(unique)


def tag_files(
    tagger: Tagger,
    files_and_folders: Sequence[Path],
    top_k: int,
    threshold: float,
    form: str,
    out: Path | None,
    threads: int | None = None,
) -> Tagged:
    """Tags files and all audio files below folders, each sound as a whole.

    Args:
        tagger: the model.
        files_and_folders: files, and folders to search for audio files.
        top_k: number of labels for a file, at most.
        threshold: lowest score of a label that is given.
        form: format of the output: ``table``, ``csv`` or ``jsonl``.
        out: the file to write, complete or not at all; None for stdout.
        threads: files in work at once; by default as many as there are cores.

    Raises:
        EarmarkError: a path does not exist, a folder has no audio, or the output cannot be written.
        MachineError: the system failed, for which no file is to blame.
    """
    if out is not None:
        _refuse_output(out)
    paths = find_audio(files_and_folders)
    if out is not None and out.exists() and any(path.exists() and out.samefile(path) for path in paths):
        raise EarmarkError(f"--out {out} is one of the sounds to tag; name another file")
    bad: list[tuple[str, str]] = []
    hidden = out is None and sys.stdout.isatty()
    with _errors_named(out), _output(out, form) as write, progress_bar("tag", len(paths), hidden=hidden, unit="files") as bar:
        write(header(form))
        done = 0
        for basket in _scored(tagger, paths, threads or os.cpu_count() or 1):
            lines = []
            for path, scored in basket:
                if isinstance(scored, AudioError):
                    bad.append((str(path), str(scored)))
                    continue
                tags = [Tag(*pair) for pair in tagger.labels.decode(scored.scores, top_k, threshold)]
                lines.append(render(TaggedFile(str(path), 0.0, scored.seconds, tags), form))
            write("".join(lines))
            bar.update(done := done + len(basket))
    ledger = None if out is None or _is_stream(out) else _write_ledger(_ledger(out), bad)
    return Tagged(len(paths) - len(bad), tuple(bad), ledger)


@dataclass(frozen=True)
class ScoredFile:
    """The scores of a file that could be read.

    Attributes:
        seconds: length of the file.
        scores: float32 ``[K]``.
    """

    seconds: float
    scores: NDArray[np.float32]


Basket = list[tuple[Path, ScoredFile | AudioError]]


def _scored(tagger: Tagger, paths: Sequence[Path], threads: int) -> Iterator[Basket]:
    """Baskets of files with their scores, or why a file is bad, in the order of the paths.

    Threads take a basket each, and compute alone: threads that share the steps of a small net spend their time on waiting
    for each other. Where there are fewer files than threads, they do share the steps.
    """
    workers = min(threads, len(paths))
    few = -(-len(paths) // workers)  # so that every thread has files
    # What is in work at once shares the memory, however many threads there are.
    indices = files.baskets([_size(path) for path in paths], min(BASKET_FILES, few), BASKET_BYTES // workers)
    baskets = (paths[basket.start : basket.stop] for basket in indices)
    score = partial(_score_basket, tagger, GROUP_SAMPLES // workers)
    with threads_kept(), ThreadPoolExecutor(workers, initializer=compute_with, initargs=(threads // workers,)) as pool:
        yield from in_order(pool, score, baskets, ahead=workers + 1)


def _score_basket(tagger: Tagger, group_samples: int, paths: Sequence[Path]) -> Basket:
    seconds: list[float] = []
    sounds: list[Mapping[int, audio.Samples]] = []
    errors: dict[Path, AudioError] = {}
    for path in paths:
        try:
            with audio.judged(path):
                samples, rate = audio.read(path, longest=MAX_SECONDS)
                sounds.append(tagger.resampled(audio.to_mono(samples), rate))
                seconds.append(samples.shape[1] / rate)
        except AudioError as error:
            errors[path] = error
    scores = tagger.combined(sounds, group_samples) if sounds else ()
    scored: list[ScoredFile | AudioError] = []
    for sound, length, of_file in zip(sounds, seconds, scores, strict=True):
        fault = tagger.fault(of_file, sound)
        scored.append(fault or ScoredFile(length, of_file))
    remaining = iter(scored)
    return [(path, errors[path] if path in errors else next(remaining)) for path in paths]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # reading the file will say why
        return 0


def _refuse_output(out: Path) -> None:
    """Refuses, before hours of work, a file to write that cannot be written for its name, or has no room for its ledger beside it.

    Raises:
        EarmarkError: it is a folder, its name is too long, or the ledger's name is taken by a folder.
    """
    if out.is_dir():
        raise EarmarkError(f"--out {out} is a folder; name a file")
    if _is_stream(out):
        return
    ledger = _ledger(out)
    if ledger.is_dir():
        raise EarmarkError(
            f"--out {out}: files that cannot be used are listed in {ledger}, and that is a folder; name another file"
        )
    longest = f".{ledger.name}.partial"
    if len(os.fsencode(longest)) > 255:  # bytes of a name that file systems allow
        raise EarmarkError(f"--out {out}: the name is too long: {longest} must fit into 255 bytes")


def _is_stream(out: Path) -> bool:
    """Whether ``out`` is a pipe, a device or an open file (``/dev/stdout``): nothing replaces it, and nothing is put beside it."""
    if out.exists() and not out.is_file():
        return True
    places = (os.path.realpath(out.parent), os.path.dirname(os.readlink(out)) if out.is_symlink() else "")
    return any(f"{place}/".startswith("/proc/") for place in places)


def _ledger(out: Path) -> Path:
    return out.with_name(f"{out.name}.bad.csv")


@contextmanager
def _errors_named(path: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if path is None:  # stdout names itself
            raise
        raise EarmarkError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _output(out: Path | None, form: str) -> Iterator[Callable[[str], object]]:
    """Gives the function that writes text to ``out``. If that is a stream and nobody reads it any more, the work goes on."""
    if out is None:
        if form != "table" and isinstance(sys.stdout, io.TextIOWrapper):
            # What programs read (csv, jsonl) is UTF-8 there too, with names of files as they are.
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        yield console.write
        return
    if _is_stream(out):
        with out.open("a", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            yield partial(console.write_to, stream)
        return
    with files.replacing(out) as half, half.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        yield stream.write


def _write_ledger(ledger: Path, bad: Sequence[tuple[str, str]]) -> Path | None:
    """Writes ``OUT.bad.csv`` if a file was bad; else removes the one that an earlier call left."""
    with _errors_named(ledger):
        if not bad:
            ledger.unlink(missing_ok=True)
            return None
        with files.replacing(ledger) as half, half.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            files.write_rows(file, [("file_name", "reason"), *bad])
    return ledger
