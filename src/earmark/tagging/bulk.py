"""Tagging many files, with a ledger of those that could not be used."""

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from earmark import audio, files
from earmark.errors import AudioError, EarmarkError
from earmark.progress import progress_bar
from earmark.tagging.formats import TaggedFile, header, render
from earmark.tagging.tagger import Tag, Tagger

BASKET_FILES = 64
BASKET_BYTES = 32_000_000


@dataclass(frozen=True)
class Tagged:
    """What `tag_files` did.

    Attributes:
        tagged: files with tags in the output.
        bad: ``(file, reason)`` of each file that could not be used.
        ledger: the CSV file that lists those; None where there was none to write.
    """

    tagged: int
    bad: tuple[tuple[str, str], ...]
    ledger: Path | None


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """The files named, and the audio files below the folders named; each once, in that order.

    Raises:
        EarmarkError: there is nothing at one of the paths, or no audio below a folder.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            below = list(audio.find_files(path))
            if not below:
                raise EarmarkError(f"{path}: no audio files below it (endings {', '.join(sorted(audio.SUFFIXES))})")
            found.update(dict.fromkeys(below))
        elif path.exists() or path.is_symlink():
            found[path] = None
        else:
            raise EarmarkError(f"{path}: no such file or folder")
    return list(found)


def tag_files(tagger: Tagger, places: Sequence[Path], top_k: int, threshold: float, form: str, out: Path | None) -> Tagged:
    """Tags files and folders of files, each sound as a whole.

    Args:
        tagger: the model.
        places: files, and folders that are searched.
        top_k: labels a file at most.
        threshold: no label below it.
        form: one of ``table``, ``csv``, ``jsonl``.
        out: the file to write, whole or not at all; stdout where None.

    Raises:
        EarmarkError: a path does not exist, a folder has no audio, or the output cannot be written.
    """
    paths = find_audio(places)
    if out is not None and out.is_dir():
        raise EarmarkError(f"--out {out} is a folder; name a file")
    if out is not None and out.exists() and any(path.exists() and out.samefile(path) for path in paths):
        raise EarmarkError(f"--out {out} is one of the sounds to tag; name another file")
    bad: list[tuple[str, str]] = []
    try:
        with (
            ThreadPoolExecutor(os.cpu_count() or 1) as decoders,
            _output(out) as stream,
            progress_bar("tag", len(paths), hidden=out is None and sys.stdout.isatty()) as bar,
        ):
            stream.write(header(form))
            for numbers in files.baskets([_size(path) for path in paths], BASKET_FILES, BASKET_BYTES):
                basket = paths[numbers.start : numbers.stop]
                decoded = list(decoders.map(partial(_decode, tagger), basket))
                usable = [file for file in decoded if isinstance(file, DecodedFile)]
                scores = iter(tagger.combined([file.sound for file in usable]) if usable else ())
                for path, file in zip(basket, decoded, strict=True):
                    if isinstance(file, AudioError):
                        bad.append((str(path), str(file)))
                        continue
                    tags = [Tag(*best) for best in tagger.labels.decode(next(scores), top_k, threshold)]
                    stream.write(render(TaggedFile(str(path), 0.0, file.seconds, tags), form))
                bar.update(numbers.stop)
        ledger = _write_ledger(out, bad) if out is not None else None
    except OSError as error:
        if out is None:
            raise  # a closed pipe is not the user's mistake
        raise EarmarkError(f"cannot write {out}: {error.strerror or error}") from error
    return Tagged(len(paths) - len(bad), tuple(bad), ledger)


@dataclass(frozen=True)
class DecodedFile:
    """A file that could be read.

    Attributes:
        seconds: its length.
        sound: its samples, mono, at each rate that the model takes.
    """

    seconds: float
    sound: Mapping[int, audio.Samples]


def _decode(tagger: Tagger, path: Path) -> DecodedFile | AudioError:
    try:
        samples, rate = audio.read(path)
        return DecodedFile(samples.shape[1] / rate, tagger.resampled(audio.to_mono(samples), rate))
    except AudioError as error:
        return error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # reading says why
        return 0


@contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")  # a name is written as it is, UTF-8 or not
        yield sys.stdout
        sys.stdout.flush()  # a reader that has gone is noticed here, not when the interpreter ends
        return
    if out.exists() and not out.is_file():  # a pipe or a device is written to, not replaced
        with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            yield stream
        return
    with files.replacing(out) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        yield stream


def _write_ledger(out: Path, bad: Sequence[tuple[str, str]]) -> Path | None:
    """``OUT.bad.csv``; one of an earlier call goes where nothing was bad this time."""
    ledger = out.with_name(out.name + ".bad.csv")
    if not bad:
        ledger.unlink(missing_ok=True)
        return None
    with files.replacing(ledger) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        files.write_rows(file, [("file_name", "reason"), *bad])
    return ledger
