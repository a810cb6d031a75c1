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


def tag_files(tagger: Tagger, paths: Sequence[Path], top_k: int, threshold: float, form: str, out: Path | None) -> Tagged:
    """Tags files and folders of files, each sound as a whole.

    Args:
        tagger: the model.
        paths: files, and folders that are searched.
        top_k: labels a file at most.
        threshold: no label below it.
        form: one of ``table``, ``csv``, ``jsonl``.
        out: the file to write, whole or not at all; stdout where None.

    Raises:
        EarmarkError: a path does not exist, a folder has no audio, or the output cannot be written.
    """
    found = find_audio(paths)
    if out is not None and out.is_dir():
        raise EarmarkError(f"--out {out} is a folder; name a file")
    if out is not None and out.exists() and any(path.exists() and out.samefile(path) for path in found):
        raise EarmarkError(f"--out {out} is one of the sounds to tag; name another file")
    bad: list[tuple[str, str]] = []
    try:
        with (
            ThreadPoolExecutor(os.cpu_count() or 1) as decoders,
            _output(out) as stream,
            progress_bar("tag", len(found), hidden=out is None and sys.stdout.isatty()) as bar,
        ):
            stream.write(header(form))
            done = 0
            for basket in _baskets(found):
                heard = list(decoders.map(partial(_hear, tagger), basket))
                usable = [one for one in heard if isinstance(one, Heard)]
                scores = iter(tagger.combined([one.sound for one in usable]) if usable else ())
                for path, one in zip(basket, heard, strict=True):
                    if isinstance(one, AudioError):
                        bad.append((str(path), str(one)))
                        continue
                    tags = [Tag(*best) for best in tagger.labels.decode(next(scores), top_k, threshold)]
                    stream.write(render(TaggedFile(str(path), 0.0, one.seconds, tags), form))
                bar.update(done := done + len(basket))
        ledger = _write_ledger(out, bad) if out is not None else None
    except OSError as error:
        if out is None:
            raise  # a closed pipe is not the user's mistake
        raise EarmarkError(f"cannot write {out}: {error.strerror or error}") from error
    return Tagged(len(found) - len(bad), tuple(bad), ledger)


@dataclass(frozen=True)
class Heard:
    """A decoded file.

    Attributes:
        seconds: its length.
        sound: its samples, mono, at each rate that the model takes.
    """

    seconds: float
    sound: Mapping[int, audio.Samples]


def _hear(tagger: Tagger, path: Path) -> Heard | AudioError:
    try:
        samples, rate = audio.read(path)
        return Heard(samples.shape[1] / rate, tagger.resampled(audio.to_mono(samples), rate))
    except AudioError as error:
        return error


def _baskets(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Files that are decoded, and then scored, together: few enough for the memory, be they long."""
    basket: list[Path] = []
    size = 0
    for path in paths:
        try:
            own = path.stat().st_size
        except (OSError, ValueError):  # reading says why
            own = 0
        if basket and (len(basket) == BASKET_FILES or size + own > BASKET_BYTES):
            yield basket
            basket, size = [], 0
        basket.append(path)
        size += own
    if basket:
        yield basket


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
