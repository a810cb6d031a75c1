"""Finding audio files below a folder by the endings of their names."""

import os
from collections.abc import Iterator
from pathlib import Path

import soundfile

from earmark.audio.faults import judged
from earmark.audio.foreign import FOREIGN
from earmark.errors import AudioError

#: Endings of file names, in lower case, by which files are recognised that libsndfile reads.
SUFFIXES = frozenset(
    {f".{name.lower()}" for name in soundfile.available_formats() if name not in ("RAW", "TXW", "MAT4", "MAT5", "HTK")}
    | {".8svx", ".aif", ".aifc", ".bwf", ".mp1", ".mp2", ".mp3", ".mpga", ".oga", ".opus", ".snd", ".sph", ".wave"}
)


def find_files(folder: Path) -> Iterator[Path]:
    """The audio files below a folder, in sorted order; links to folders are followed, but never in a circle.

    Media files that only PyAV can read are yielded, too, pipes that are named like sounds, and a folder that cannot be opened. Where
    one of these cannot be read, reading it raises an error that says why; who wants no pipe from a folder has to refuse it.

    Raises:
        MachineError: the system failed, for which the folder is not to blame.
    """
    yield from _walk(folder, frozenset())


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:  # a link to a folder that contains it
        return
    try:
        with judged(folder):
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except AudioError:
        yield folder
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if os.path.isdir(path):  # not entry.is_dir(), which fails on a link that leads to itself
            yield from _walk(path, above | {real})
        elif path.suffix.lower() in SUFFIXES or path.suffix.lower() in FOREIGN:
            yield path
