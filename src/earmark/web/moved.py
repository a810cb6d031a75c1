"""Files that are no longer where a store says: looked for by their content, in the background."""

import os
import queue
import threading
import time
from pathlib import Path

from earmark import audio
from earmark.errors import AudioError, MachineError

PATIENCE = 0.25  # seconds that a page waits for an answer; in a small folder it is there by then
LOOK_AGAIN = 60.0  # seconds after which a file that was nowhere is looked for again


class MovedFiles:
    """Finds files below a folder by the hash of their content. It begins when the first file is missed.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._changed = threading.Condition()
        self._places: dict[str, Path] = {}  # by content
        self._nowhere: dict[str, float] = {}  # by content: when it was last looked for in vain
        self._wanted: set[str] = set()
        self._tasks: queue.SimpleQueue[tuple[str, int | None, str]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._by_size: dict[int, list[Path]] = {}
        self._hashed: set[Path] = set()
        self._walked = float("-inf")

    def find(self, content: str, size: int | None, suffix: str, patience: float = PATIENCE) -> Path | None:
        """Where a file is now, as far as that is known yet.

        Args:
            content: hash of its content, as in `earmark.audio.content_hash`.
            size: its size in bytes; None if that is not known.
            suffix: the ending of its name; files with the same ending are looked at first.
            patience: seconds to wait for the answer.

        Returns:
            A file that had this content when it was looked at; None if there is none, or none is known yet.
        """
        with self._changed:
            looked = self._nowhere.get(content)
            if content not in self._places and content not in self._wanted and (looked is None or self._is_old(looked)):
                self._wanted.add(content)
                self._tasks.put((content, size, suffix))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="moved files", daemon=True)
                    self._thread.start()
            self._changed.wait_for(lambda: content not in self._wanted, patience)
            return self._places.get(content)

    def forget(self, content: str) -> None:
        """Says that the file with this content is not where `find` said, any more."""
        with self._changed:
            place = self._places.pop(content, None)
            if place is not None:
                self._hashed.discard(place)

    @staticmethod
    def _is_old(moment: float) -> bool:
        return time.monotonic() - moment > LOOK_AGAIN

    def _run(self) -> None:
        while True:
            content, size, suffix = self._tasks.get()
            if self._is_old(self._walked):
                self._walk()
            for path in self._candidates(size, suffix):
                if content in self._places:
                    break
                self._look_at(path)
            with self._changed:
                if content not in self._places:
                    self._nowhere[content] = time.monotonic()
                self._wanted.discard(content)
                self._changed.notify_all()

    def _walk(self) -> None:
        """Notes all audio files below the folder by their sizes."""
        by_size: dict[int, list[Path]] = {}
        try:
            for path in audio.find_files(self._root):
                try:
                    by_size.setdefault(os.stat(path).st_size, []).append(path)
                except OSError:  # gone a moment ago, or a link to nothing
                    continue
        except (MachineError, OSError):  # what has been seen will have to do
            pass
        self._by_size = by_size
        self._hashed.clear()
        self._walked = time.monotonic()

    def _candidates(self, size: int | None, suffix: str) -> list[Path]:
        """The files that may be the one, the likeliest first."""
        paths = self._by_size.get(size, []) if size is not None else [path for some in self._by_size.values() for path in some]
        return sorted((path for path in paths if path not in self._hashed), key=lambda path: path.suffix.lower() != suffix.lower())

    def _look_at(self, path: Path) -> None:
        try:
            with audio.opened(path, at_once=False) as file:
                content = audio.content_hash(file)
        except (AudioError, MachineError, OSError):
            return
        finally:
            self._hashed.add(path)
        with self._changed:
            self._places.setdefault(content, path)
            self._changed.notify_all()
