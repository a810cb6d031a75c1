"""What is to be tagged: files, folders, patterns, lists, tables and stdin, one sound after the other, whatever their number."""

import csv
import errno
import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import translate
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

from earmark import audio
from earmark.errors import EarmarkError, ManifestError

STDIN = "-"
BLOCK = 1 << 20  # bytes of a list that are read at once
ROWS = 1 << 16  # of a Parquet table that are read at once
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


class Sound(NamedTuple):
    """A sound to tag.

    Attributes:
        path: its path, as the output names it; ``-`` is stdin.
        name: its path below the folder that was given, or its file name if it was given itself.
        is_named: whether somebody has named it, so that it may be a pipe; one that a folder happens to have is not read.
    """

    path: str
    name: str
    is_named: bool


def find_sounds(inputs: Iterable[str]) -> Iterator[Sound]:
    """The sounds that are asked for, in order. Sounds that are asked for twice come twice.

    Args:
        inputs: files; folders, which are searched for audio files; patterns (``rec/**/*.wav``); lists of files and folders
            (``@files.txt``; ``@-`` reads the list from stdin), a path a line, or with a NUL after each path; tables with a column
            ``file_name`` (``@table.csv``, ``@table.parquet``), relative to the table's folder; ``-``, which is a sound on stdin.
            What exists under just this name is taken for a file or folder.

    Raises:
        EarmarkError: a file, folder or list does not exist or cannot be read, or holds or matches nothing. A path in a list or
            table that leads nowhere is no error here: reading it will say so.
    """
    for text in inputs:
        if text == STDIN:
            yield Sound(STDIN, "stdin", True)
        elif os.path.isdir(text):
            yield from _some(_in_folder(text), f"{text}: no audio files below it (endings {', '.join(sorted(audio.SUFFIXES))})")
        elif _exists(text):
            yield Sound(_plain(text), os.path.basename(text), True)
        elif text.startswith("@"):
            yield from _some(_in_list(text[1:]), f"{text[1:]}: names no files")
        elif URL.match(text):
            raise EarmarkError(f"{text}: nothing is fetched from the network; download it (curl -LO {text}), and give the file")
        elif glob.has_magic(text):
            yield from _some(_matching(text), f"{text}: no file matches this pattern")
        else:
            raise EarmarkError(f"{text}: no such file or folder")


def is_single(inputs: Sequence[str]) -> bool:
    """Whether what is asked for is a single file, given by its name, or stdin."""
    return len(inputs) == 1 and (inputs[0] == STDIN or (_exists(inputs[0]) and not os.path.isdir(inputs[0])))


def _exists(text: str) -> bool:
    try:
        os.lstat(text)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise EarmarkError(f"{text}: {error.strerror or error}") from None
    return True


def _some(sounds: Iterator[Sound], otherwise: str) -> Iterator[Sound]:
    """The sounds, of which there must be one."""
    first = next(sounds, None)
    if first is None:
        raise EarmarkError(otherwise)
    yield first
    yield from sounds


def _in_folder(folder: str) -> Iterator[Sound]:
    for path in audio.find_files(Path(folder)):
        yield Sound(str(path), _below(path, folder), False)


def _plain(path: Path | str) -> str:
    """The shortest spelling of a path that does not mean stdin."""
    plain = str(Path(path))
    return os.path.abspath(plain) if plain == STDIN else plain


def _below(path: PurePath, folder: str) -> str:
    try:
        return str(path.relative_to(folder)) if path != PurePath(folder) else path.name
    except ValueError:
        return path.name


def _named(text: str, folder: str = "") -> Iterator[Sound]:
    """The sound or the folder of sounds that a list names, relative to a folder."""
    path = Path(folder, text)
    if os.path.isdir(path):
        yield from _some_or(_in_folder(str(path)), Sound(str(path), path.name, False))
    else:
        inside = not os.path.isabs(text) and ".." not in PurePath(text).parts
        yield Sound(_plain(path), str(PurePath(text)) if inside else path.name, True)


def _some_or(sounds: Iterator[Sound], otherwise: Sound) -> Iterator[Sound]:
    """The sounds; without any, the folder itself, which reading refuses, so that it is listed among the bad files."""
    yield next(sounds, otherwise)
    yield from sounds


def _in_list(text: str) -> Iterator[Sound]:
    path = Path(text)
    if path.suffix.lower() == ".csv":
        yield from _in_table(path, _names_in_csv(path))
    elif path.suffix.lower() == ".parquet":
        yield from _in_table(path, _names_in_parquet(path))
    elif text == STDIN:
        for line in _lines(sys.stdin.buffer):
            yield from _named(os.fsdecode(line))
    else:
        with _errors_named(path), path.open("rb") as file:
            for line in _lines(file):
                yield from _named(os.fsdecode(line))


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EarmarkError(f"cannot read {path}: {error.strerror or error}") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The names in a list: its lines, or what stands before each NUL if it holds any."""
    block = file.read(BLOCK).removeprefix(b"\xef\xbb\xbf")  # a byte order mark, which some editors write
    end, rest = (b"\0" if b"\0" in block else b"\n"), b""
    while block:
        *names, rest = (rest + block).split(end)
        for name in names:
            if name := name if end == b"\0" else name.removesuffix(b"\r"):
                yield name
        block = file.read(BLOCK)
    if rest := rest if end == b"\0" else rest.removesuffix(b"\r"):
        yield rest


def _in_table(path: Path, names: Iterable[str]) -> Iterator[Sound]:
    for number, name in enumerate(names, start=1):
        if not name or "\0" in name:
            raise ManifestError(str(path), [f"row {number}: file_name is {name!r}, which no file can have"])
        yield from _named(name, str(path.parent))


def _names_in_csv(path: Path) -> Iterator[str]:
    with _errors_named(path), path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            column = _column(path, header)
            for number, line in enumerate((line for line in reader if line), start=1):
                if len(line) != len(header):
                    raise ManifestError(str(path), [f"row {number}: {len(line)} cells under {len(header)} columns"])
                yield line[column]
        except csv.Error as error:
            raise ManifestError(str(path), [f"is not CSV (line {reader.line_num}: {error})"]) from None


def _names_in_parquet(path: Path) -> Iterator[str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise EarmarkError(
            f"{path}: a Parquet table needs pyarrow, which is not installed; pip install pyarrow brings it"
        ) from None
    with _errors_named(path), path.open("rb") as file:
        try:
            table = pyarrow.parquet.ParquetFile(file)
            _column(path, table.schema_arrow.names)
            for batch in table.iter_batches(ROWS, columns=["file_name"], use_threads=False):
                yield from ("" if name is None else str(name) for name in batch.column(0).to_pylist())
        except (pyarrow.ArrowException, ValueError) as error:
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise ManifestError(str(path), [f"not readable as Parquet: {reason}"]) from None


def _column(path: Path, header: Sequence[str]) -> int:
    if "file_name" not in header:
        raise ManifestError(str(path), [f"no column 'file_name'; it has {', '.join(map(repr, header)) or 'none'}"])
    return list(header).index("file_name")


def _matching(pattern: str) -> Iterator[Sound]:
    """The files that match a pattern, in sorted order, and the audio files below the folders that match it.

    ``**`` stands for folders at any depth; it follows no links. Names that begin with a dot match patterns that do.
    """
    parts = PurePath(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    folder = str(PurePath(*parts[:fixed]))
    for path in _expanded(PurePath(folder), parts[fixed:]):
        if os.path.isdir(path):
            yield from (Sound(sound.path, _below(PurePath(sound.path), folder), False) for sound in _in_folder(str(path)))
        else:
            yield Sound(str(path), _below(path, folder), False)


def _expanded(folder: PurePath, parts: Sequence[str]) -> Iterator[PurePath]:
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _expanded(folder, rest)
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _expanded(folder / entry.name, parts)
    elif not glob.has_magic(part):
        if os.path.lexists(folder / part):
            yield from _expanded(folder / part, rest)
    else:
        matches = re.compile(translate(part)).match
        for entry in _entries(folder):
            if matches(entry.name) and entry.name.startswith(".") <= part.startswith("."):
                yield from _expanded(folder / entry.name, rest)


def _entries(folder: PurePath) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # no folder, or one that may not be read
        return []
