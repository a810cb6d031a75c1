"""Where the sound of a clip comes from: its file, the same file at another place, or the samples of the store."""

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute

from earmark import audio
from earmark.data.contents import NAME as STATES
from earmark.data.contents import state_of
from earmark.data.parquet import read_parquet
from earmark.data.store import PCM, Store, pcm_name
from earmark.errors import NO_SUCH_FILE, AudioError, EarmarkError, MachineError
from earmark.runs.data import check_unchanged
from earmark.web.moved import MovedFiles
from earmark.web.wav import Sound, playable

ROOM = 1 << 27  # bytes of decoded sounds that are kept, more if a single sound is larger
LARGE = 1 << 24  # bytes of a file that takes a while to read
FULL_SCALE = 32768.0  # of 16-bit PCM
CHANGED = "the file has changed since the store was made"


class Sounds:
    """The sounds of a store's clips. Its methods may be called from several threads.

    Args:
        store: the store.
        rows: its clips at its highest rate.
    """

    def __init__(self, store: Store, rows: pyarrow.Table) -> None:
        self._store = store
        self._rows = rows
        self.root = store.sounds
        self._moved = MovedFiles(self.root)
        self._hashes: dict[tuple[int, str], str] = {}  # content by the state of a file
        self._states: pyarrow.Table | None = None
        self._kept: OrderedDict[int, Sound] = OrderedDict()
        self._room_lock = threading.Lock()
        self._busy: dict[int, threading.Lock] = {}

    def get(self, row: int) -> Sound:
        """The sound of a clip. A file that is gone, has changed or is broken is looked for; meanwhile the store's samples stand for it.

        Args:
            row: place of the clip in the store's table.

        Raises:
            KeyError: there is no such clip, or it belongs to the test split.
            AudioError: there is nothing to play.
        """
        if not 0 <= row < len(self._rows) or self._cell("split", row) != "train":
            raise KeyError(row)
        with self._room_lock:
            busy = self._busy.setdefault(row, threading.Lock())
        with busy:  # a player and a spectrogram ask at the same time
            with self._room_lock:
                if row in self._kept:
                    self._kept.move_to_end(row)
                    return self._kept[row]
            sound = self._made(row)
            if sound.origin != "store":  # else the file may come back
                self._keep(row, sound)
        return sound

    def _keep(self, row: int, sound: Sound) -> None:
        with self._room_lock:
            self._kept[row] = sound
            while len(self._kept) > 1 and sum(kept.stored.nbytes for kept in self._kept.values()) > ROOM:
                gone, _ = self._kept.popitem(last=False)
                self._busy.pop(gone, None)

    def _cell(self, name: str, row: int) -> Any:
        return self._rows[name][row].as_py()

    def _made(self, row: int) -> Sound:
        name, content = str(self._cell("file_name", row)), str(self._cell("content_hash", row))
        try:
            return self._decoded(row, self.root / name, content, "file")
        except (AudioError, MachineError) as error:
            why = _sentence(error)
        moved = self._moved.find(content, self._size(name), Path(name).suffix)
        if moved is not None:
            try:
                return self._decoded(row, moved, content, "moved", why)
            except (AudioError, MachineError):
                self._moved.forget(content)
        return self._from_store(row, why)

    def _decoded(self, row: int, path: Path, content: str, origin: str, why: str = "") -> Sound:
        """A clip from a file that must have this content."""
        name, start, end = (self._cell(column, row) for column in ("file_name", "start", "end"))
        whole = start is None and end is None
        with audio.judged(path), audio.opened(path, at_once=whole) as file:
            if self._content(file, name, content) != content:
                raise AudioError(CHANGED)
            stored, rate = audio.read_stored(file, start, end)
            return playable(stored, rate, origin, why)

    def _content(self, file: audio.OpenFile, name: str, content: str) -> str:
        """The hash of an open file. A file in the same state as before, or a large one as the store remembers it, is not read for it."""
        if file.descriptor is None:
            return audio.content_hash(file)
        status = os.fstat(file.descriptor)
        state = status.st_dev, state_of(status)
        if state not in self._hashes:
            remembered = status.st_size > LARGE and self._state(name) == state[1]
            self._hashes[state] = content if remembered else audio.content_hash(file)
        return self._hashes[state]

    def _size(self, name: str) -> int | None:
        """The size of a file when the store was made; None if the store does not say."""
        size = self._state(name).split(" ", 1)[0]
        return int(size) if size.isdigit() else None

    def _state(self, name: str) -> str:
        """The state of a file when the store was made; empty if the store does not say."""
        if self._states is None:
            try:
                self._states = read_parquet(self._store.path / STATES, ["file_name", "state"])
            except (OSError, ValueError, pyarrow.ArrowException):  # a store of an earlier version has none
                self._states = pyarrow.table({"file_name": [""], "state": [""]})
        place = pyarrow.compute.index(self._states["file_name"], name).as_py()
        return "" if place < 0 else str(self._states["state"][place].as_py())

    def _from_store(self, row: int, why: str) -> Sound:
        rate = max(self._store.sample_rates)
        first, length, scale = (self._cell(name, row) for name in ("offset", "length", "scale"))
        path = self._store.path / pcm_name(rate)
        try:
            pcm = np.memmap(path, dtype=PCM, mode="r")[first : first + length]
            check_unchanged(self._store)  # afterwards, since the file is opened by its name
        except (OSError, ValueError, EarmarkError) as error:
            raise AudioError(f"{why}, and {path} cannot be read: {error}") from None
        if len(pcm) < length or not length:
            raise AudioError(f"{why}, and {path} is shorter than it should be")
        if scale == 1:
            return playable(np.array(pcm[None], np.int16), rate, "store", why)
        samples = pcm.astype(np.float32) * np.float32(scale / FULL_SCALE)
        return playable(samples[None], rate, "store", why)


def _sentence(error: EarmarkError) -> str:
    text = str(error)
    return "the file is not there" if text == NO_SUCH_FILE else text if text == CHANGED else f"the file cannot be played: {text}"
