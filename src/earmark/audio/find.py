"""Audio files below a folder, by the endings of their names."""

import os
from collections.abc import Iterator
from pathlib import Path

import soundfile

#: File name endings, in lower case, that are taken for audio when a folder is searched.
SUFFIXES = frozenset(
    {f".{name.lower()}" for name in soundfile.available_formats() if name not in ("RAW", "TXW", "MAT4", "MAT5", "HTK")}
    | {".aif", ".aifc", ".oga", ".opus", ".mp3", ".snd"}
)


def find_files(folder: Path) -> Iterator[Path]:
    """Audio files below a folder, by name ending, in sorted order; links to folders are followed, but never in a circle.

    Folders that cannot be opened are given as they are, so that reading them says why.
    """
    yield from _walk(folder, frozenset())


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:  # a link back to a folder that we are in
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if os.path.isdir(path):  # not entry.is_dir(), which fails on a link that leads to itself
            yield from _walk(path, above | {real})
        elif path.suffix.lower() in SUFFIXES:
            yield path
