"""What the files of a data set hold. Content decides whether a store is up to date; the state of a file only saves reading it.

A store keeps both of every file in ``files.parquet``. While the state of a file stays the same, so does its content: every change
of content changes the time of the last change (ctime), which nobody can put back as they can the time of writing (mtime). A new
state alone means little, since copying a data set or touching it changes every state, so then the content is looked at.
"""

import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow

from earmark import audio
from earmark.data.manifest import Clip, Manifest
from earmark.data.parquet import read_parquet, write_parquet
from earmark.errors import AudioError
from earmark.progress import progress_bar

NAME = "files.parquet"
TICK = 0.02  # seconds, at least as long as a tick of the clock that file systems take their times from
LARGE = 1 << 32  # bytes


@dataclass(frozen=True)
class FileState:
    """What the system says of a file, without reading it.

    Attributes:
        text: equal texts mean that nothing has happened to the file; for a file that is not there it is the reason.
        size: in bytes; 0 if the file is not there.
    """

    text: str
    size: int


@dataclass(frozen=True)
class Kept:
    """What a store keeps of a file.

    Attributes:
        state: the text of its `FileState`.
        content: see `content_of`.
    """

    state: str
    content: str


def take_states(manifest: Manifest, clips: Iterable[Clip]) -> dict[str, FileState]:
    """The states of all files of the clips, by file name.

    Raises:
        MachineError: the system failed.
    """
    paths = {clip.file_name: manifest.path(clip) for clip in clips}
    states = {name: _take_state(path) for name, path in paths.items()}
    # A file that changes twice within a tick of the clock may keep its times: the second change could not be seen later.
    if time.time() - max(changed for _, changed in states.values()) < TICK:
        time.sleep(TICK)
        states = {name: _take_state(path) for name, path in paths.items()}
    return {name: state for name, (state, _) in states.items()}


def _take_state(path: Path) -> tuple[FileState, float]:
    """The state of a file, and the time of its last change."""
    try:
        with audio.judged(path):
            status = path.stat()
            # The rights of the folders above it change nothing in the file's status.
            readable = "" if os.access(path, os.R_OK, effective_ids=True) else " not readable"
    except AudioError as error:
        return FileState(str(error), 0), 0.0
    return FileState(f"{state_of(status)}{readable}", status.st_size), status.st_ctime


def state_of(status: os.stat_result) -> str:
    """The text of the state of a file that may be read."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def content_of(file: audio.OpenFile, bad: bool) -> str:
    """What the fingerprint of a store knows a file by: the hash of its bytes.

    Args:
        file: the file.
        bad: no clip can be made of it. Then a very large file is known by its size and time, since reading all of it for nothing
            would take minutes, or in a file with holes for ever.
    """
    if bad and (status := os.stat(file.path)).st_size > LARGE:
        return f"{status.st_size} {status.st_mtime_ns}"
    return audio.content_hash(file)


def is_hash(content: str) -> bool:
    """Whether a content is the hash of all bytes of a file."""
    return " " not in content


def same_content(path: Path, content: str) -> bool:
    """Reads a file, and says whether it still has a content.

    Raises:
        MachineError: the system failed.
    """
    try:
        with audio.opened(path, at_once=False) as file:
            return content_of(file, bad=not is_hash(content)) == content
    except AudioError as error:
        return str(error) == content


def all_same(manifest: Manifest, states: Mapping[str, FileState], kept: Mapping[str, Kept], verify: bool, threads: int) -> bool:
    """Whether the files have the content that a store keeps. Files in another state are read.

    Args:
        manifest: the manifest, which knows where the files are.
        states: states of the files.
        kept: what the store keeps of the same files.
        verify: read all files, whatever their state.
        threads: number of reading threads.

    Raises:
        MachineError: the system failed.
    """
    to_read = [name for name, state in states.items() if verify or kept[name].state != state.text]
    if not to_read:
        return True
    with progress_bar("compare", len(to_read), unit="files") as bar, ThreadPoolExecutor(threads) as pool:
        results = pool.map(lambda name: same_content(manifest.root / name, kept[name].content), to_read)
        for number, same in enumerate(results, start=1):
            if not same:
                pool.shutdown(cancel_futures=True)
                return False
            bar.update(number)
    return True


def write_kept(path: Path, states: Mapping[str, FileState], contents: Mapping[str, str]) -> None:
    """Writes states and contents of files as a Parquet table."""
    columns = {
        "file_name": list(states),
        "state": [state.text for state in states.values()],
        "content": [contents[name] for name in states],
    }
    write_parquet(pyarrow.table({name: pyarrow.array(of, pyarrow.string()) for name, of in columns.items()}), path)


def read_kept(store: Path) -> dict[str, Kept]:
    """What a store keeps of its files, by file name; nothing if it was made by an earlier version, or the table is damaged."""
    try:
        rows = read_parquet(store / NAME, columns=["file_name", "state", "content"]).to_pydict()
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return {}
    return {name: Kept(state, content) for name, state, content in zip(*rows.values(), strict=True)}
