"""``corrections.csv``: what reviewers have decided, as a table that `earmark apply-corrections` reads, written in the background."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from earmark import files
from earmark.data.corrections import NAME, Correction, write_corrections
from earmark.errors import EarmarkError
from earmark.web.decisions import read_decisions
from earmark.web.ledger import settled

PAUSE = 0.3  # seconds in which further decisions are waited for, so that one file has them all


def write_decided(path: Path, decisions: Path, content_hashes: Callable[[Sequence[str]], Sequence[str]], separator: str) -> int:
    """Writes the table: a row a clip, the latest decision on it that is not undone.

    Args:
        path: the table.
        decisions: the file of decisions.
        content_hashes: gives the hashes of clips' files, by the clips' names; empty where a hash is not known.
        separator: stands between labels.

    Returns:
        The number of clips.

    Raises:
        EarmarkError: another process is writing the table, or the file of decisions cannot be read.
        OSError: the table cannot be written.
    """

    def latest() -> Iterator[Correction]:  # runs when the table is held: another server may have written what is not known here yet
        standing = list(settled(read_decisions(decisions)))
        hashes = content_hashes([made.clip_id for made, _ in standing])
        for (made, others), content in zip(standing, hashes, strict=True):
            yield Correction(made.clip_id, made.labels, made.action, made.given, made.by, made.when, content, tuple(others))

    return write_corrections(path, latest(), separator)


def refuse_orphan(folder: Path, decisions: Path) -> None:
    """Refuses a folder with corrections whose file of decisions is gone or empty: they would be written over.

    Raises:
        EarmarkError: it is such a folder.
        OSError: the corrections cannot be read.
    """
    path = folder / NAME
    if (decisions.exists() and decisions.stat().st_size) or not path.exists():
        return
    files.refuse_special(path)
    with path.open("rb") as file:
        file.readline()
        if file.readline():
            raise EarmarkError(
                f"{path} is there without the {decisions.name} that it came from, and would be written over: move it away"
            )


class Exporter:
    """Writes the table again whenever something was decided, in a thread of its own, within a second.

    Args:
        write: writes the table.

    Attributes:
        fault: why it could not be written the last time; None if it was.
    """

    def __init__(self, write: Callable[[], object]) -> None:
        self.fault: str | None = None
        self._write = write
        self._due = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="corrections", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Says that something was decided."""
        self._due.set()

    def close(self) -> None:
        """Writes the table for the last time.

        Raises:
            EarmarkError: it could not be written.
        """
        self._ended.set()
        self._due.set()
        self._thread.join()
        for _ in range(20):  # another server may be writing the same
            if self._written():
                return
            time.sleep(0.1)
        raise EarmarkError(f"{self.fault}; the decisions are safe in the file beside it, and the next `earmark review` writes it")

    def _run(self) -> None:
        while not self._ended.is_set():
            self._due.wait()
            self._ended.wait(PAUSE)
            self._due.clear()
            if not self._ended.is_set() and not self._written():
                self._due.set()  # once more, after the pause

    def _written(self) -> bool:
        try:
            self._write()
        except (EarmarkError, OSError) as error:
            self.fault = f"{NAME} could not be written: {getattr(error, 'strerror', None) or error}"
            return False
        self.fault = None
        return True
