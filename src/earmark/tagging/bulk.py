"""Tagging many files, with a list of the files that could not be used."""

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

BASKET_FILES = 64  # files that are decoded and scored together, at most
BASKET_BYTES = 32_000_000  # the same, in bytes of the files


@dataclass(frozen=True)
class Tagged:
    """What `tag_files` did.

    Attributes:
        tagged: number of files with tags in the output.
        bad: ``(file, reason)`` of each file that could not be used.
        ledger: the CSV file that lists the bad files; None if it was not written.
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
    tagger: Tagger, files_and_folders: Sequence[Path], top_k: int, threshold: float, form: str, out: Path | None
) -> Tagged:
    """Tags files and all audio files below folders, each sound as a whole.

    Args:
        tagger: the model.
        files_and_folders: files, and folders to search for audio files.
        top_k: number of labels for a file, at most.
        threshold: lowest score of a label that is given.
        form: format of the output: ``table``, ``csv`` or ``jsonl``.
        out: the file to write, complete or not at all; None for stdout.

    Raises:
        EarmarkError: a path does not exist, a folder has no audio, or the output cannot be written.
    """
    paths = find_audio(files_and_folders)
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
            for indices in files.baskets([_size(path) for path in paths], BASKET_FILES, BASKET_BYTES):
                basket = paths[indices.start : indices.stop]
                decoded = list(decoders.map(partial(_decode, tagger), basket))
                usable = [file for file in decoded if isinstance(file, DecodedFile)]
                scores = iter(tagger.combined([file.sound for file in usable]) if usable else ())
                for path, file in zip(basket, decoded, strict=True):
                    if isinstance(file, AudioError):
                        bad.append((str(path), str(file)))
                        continue
                    tags = [Tag(*pair) for pair in tagger.labels.decode(next(scores), top_k, threshold)]
                    stream.write(render(TaggedFile(str(path), 0.0, file.seconds, tags), form))
                bar.update(indices.stop)
        ledger = _write_ledger(out, bad) if out is not None else None
    except OSError as error:
        if out is None:
            raise  # a closed pipe is not the user's mistake
        raise EarmarkError(f"cannot write {out}: {error.strerror or error}") from error
    return Tagged(len(paths) - len(bad), tuple(bad), ledger)


@dataclass(frozen=True)
class DecodedFile:
    """The sound of a file that could be read.

    Attributes:
        seconds: length of the file.
        sound: mono samples ``[samples]`` by sample rate in Hz, for each rate that the model takes.
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
    except (OSError, ValueError):  # reading the file will say why
        return 0


@contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")  # file names are written as they are, UTF-8 or not
        yield sys.stdout
        sys.stdout.flush()  # a closed pipe raises its error here, not when the interpreter ends
        return
    if out.exists() and not out.is_file():  # a pipe or a device cannot be replaced
        with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            yield stream
        return
    with files.replacing(out) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        yield stream


def _write_ledger(out: Path, bad: Sequence[tuple[str, str]]) -> Path | None:
    """Writes ``OUT.bad.csv`` if a file was bad; else removes the one that an earlier call left."""
    ledger = out.with_name(out.name + ".bad.csv")
    if not bad:
        ledger.unlink(missing_ok=True)
        return None
    with files.replacing(ledger) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        files.write_rows(file, [("file_name", "reason"), *bad])
    return ledger
