"""What reviewers decide, in a SQLite file: every decision is on the disk before it is answered, and none is ever changed.

Decisions are only ever added. An undo is a row of its own that names the decision it undoes. So several servers can work on one
file: each reads what has been added since it last looked. Clips are known by their names, so that the file outlives a new audit.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from earmark.data.corrections import UNUSABLE
from earmark.errors import EarmarkError, MachineError, one_line

NAME = "review.sqlite"
UNDO = "undo"
KIND, VERSION = 0x6561726D, 1  # the file's application id ("earm"), and the version of its table
PATIENCE = 10.0  # seconds to wait for another process that writes
SCHEMA = """
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    clip_id TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    decided TEXT NOT NULL,
    action TEXT NOT NULL,
    given TEXT NOT NULL,
    labels TEXT NOT NULL,
    undoes INTEGER UNIQUE REFERENCES decisions (id),
    key TEXT UNIQUE
) STRICT;
CREATE INDEX decisions_of_a_reviewer ON decisions (reviewer, id);
CREATE TRIGGER nothing_changes BEFORE UPDATE ON decisions BEGIN SELECT RAISE (ABORT, 'decisions are never changed'); END;
CREATE TRIGGER nothing_goes BEFORE DELETE ON decisions BEGIN SELECT RAISE (ABORT, 'decisions are never removed'); END;
CREATE TABLE about (store_fingerprint TEXT NOT NULL) STRICT;
"""
OF_THE_SYSTEM = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
}
COLUMNS = "id, clip_id, reviewer, decided, action, given, labels, undoes"


@dataclass(frozen=True)
class Decision:
    """A row of the file.

    Attributes:
        id: number of the row; later rows have higher numbers.
        clip_id: the clip.
        by: who decided.
        when: ISO 8601, UTC, in seconds.
        action: one of `earmark.data.corrections.ACTIONS`, or `UNDO`.
        given: the labels that the clip had when it was heard.
        labels: its labels after that; empty for none of these, for what is unusable, and for an undo.
        undoes: number of the decision that this row undoes; else None.
    """

    id: int
    clip_id: str
    by: str
    when: str
    action: str
    given: tuple[str, ...]
    labels: tuple[str, ...]
    undoes: int | None

    @property
    def outcome(self) -> frozenset[str] | None:
        """What the clip is after this: its labels, or None if it is unusable. Two decisions agree if this is equal."""
        return None if self.action == UNUSABLE else frozenset(self.labels)

    @property
    def changed(self) -> bool:
        """Whether the clip is something else after this than before."""
        return self.outcome != frozenset(self.given)


class Decisions:
    """The file of decisions, opened. Its methods may be called from several threads.

    Args:
        path: the file; made if it is not there.
        store_fingerprint: of the store whose clips are decided on.

    Raises:
        EarmarkError: the file is damaged, is no such file, has decisions about another store, or cannot be written.
    """

    def __init__(self, path: Path, store_fingerprint: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: os.stat_result | None = None
        with _explained(path):
            self._connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(store_fingerprint)
                self._opened = os.stat(path)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def add(self, clip_id: str, by: str, action: str, given: Sequence[str], labels: Sequence[str], key: str | None = None) -> int:
        """Adds a decision; it is on the disk when this returns.

        Args:
            clip_id: the clip.
            by: who decided.
            action: one of `earmark.data.corrections.ACTIONS`.
            given: the labels that the clip had.
            labels: the labels that it has now.
            key: a text that names this decision: the same key once more adds nothing.

        Returns:
            The number of the row.

        Raises:
            MachineError: it could not be written.
        """
        with self._writing() as connection:
            if key is not None:
                for (row,) in connection.execute("SELECT id FROM decisions WHERE key = ?", (key,)):
                    return int(row)
            return self._insert(connection, clip_id, by, action, _packed(given), _packed(labels), None, key)

    def undo(self, by: str) -> str | None:
        """Undoes the last decision of a reviewer that is not undone yet; it is on the disk when this returns.

        Returns:
            The clip that it was about; None if there is no such decision.

        Raises:
            MachineError: it could not be written.
        """
        with self._writing() as connection:
            last = connection.execute(
                "SELECT id, clip_id, given FROM decisions AS made WHERE reviewer = ? AND undoes IS NULL "
                "AND NOT EXISTS (SELECT 1 FROM decisions AS undone WHERE undone.undoes = made.id) ORDER BY id DESC LIMIT 1",
                (by,),
            ).fetchone()
            if last is None:
                return None
            number, clip_id, given = last
            self._insert(connection, clip_id, by, UNDO, given, _packed(()), number, None)
            return str(clip_id)

    def since(self, number: int) -> list[Decision]:
        """The rows that were added after the row with this number, undos among them.

        Raises:
            EarmarkError: the file cannot be read.
        """
        with self._lock, _explained(self.path):
            return _rows(self._connection, number)

    def _prepare(self, store_fingerprint: str) -> None:
        connection = self._connection
        # FULL: a commit returns when the disk has it, so that not even a power cut loses what was answered.
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchall())
        connection.execute("PRAGMA synchronous = FULL")
        if (found := connection.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        with self._writing():
            kind, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
            if (kind, version) == (0, 0) and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _statements(SCHEMA):
                    connection.execute(statement)
                connection.execute("INSERT INTO about VALUES (?)", (store_fingerprint,))
                connection.execute(f"PRAGMA application_id = {KIND}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            elif (kind, version) != (KIND, VERSION):
                what = f"of version {version}" if kind == KIND else "no file of decisions"
                raise EarmarkError(f"{self.path} is {what}; this earmark reads version {VERSION}: move it away")
            (of_store,) = connection.execute("SELECT store_fingerprint FROM about").fetchone()
        if of_store != store_fingerprint:
            raise EarmarkError(
                f"{self.path} has decisions about another store; move it and corrections.csv away, or audit into another folder"
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other process can come between; it is on the disk when the block has ended."""
        with self._lock, _explained(self.path):
            self._refuse_lost()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _refuse_lost(self) -> None:
        """Refuses to write where nobody would find it: the file was moved, removed or replaced while it was open."""
        try:
            same = self._opened is None or os.path.samestat(self._opened, os.stat(self.path))
        except OSError:
            same = False
        if not same:
            raise MachineError(f"{self.path} was moved or replaced while it was open; start `earmark review` again")

    @staticmethod
    def _insert(connection: sqlite3.Connection, *values: Any) -> int:
        clip_id, by, *rest = values
        cursor = connection.execute(
            "INSERT INTO decisions (clip_id, reviewer, decided, action, given, labels, undoes, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (clip_id, by, now(), *rest),
        )
        return int(cursor.lastrowid or 0)


def read_decisions(path: Path) -> list[Decision]:
    """All rows of a file of decisions, over a connection of its own, so that nobody who decides has to wait.

    Raises:
        EarmarkError: the file is not there, or cannot be read.
    """
    address = f"{path.absolute().as_uri()}?mode=rw"  # else a file that is gone would be made anew, without any decision
    with _explained(path), closing(sqlite3.connect(address, timeout=PATIENCE, isolation_level=None, uri=True)) as connection:
        return _rows(connection, 0)


def now() -> str:
    """This moment: ISO 8601, UTC, in seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rows(connection: sqlite3.Connection, after: int) -> list[Decision]:
    rows = connection.execute(f"SELECT {COLUMNS} FROM decisions WHERE id > ? ORDER BY id", (after,)).fetchall()
    return [
        Decision(number, clip_id, by, when, action, tuple(json.loads(given)), tuple(json.loads(labels)), undoes)
        for number, clip_id, by, when, action, given, labels, undoes in rows
    ]


def _packed(labels: Sequence[str]) -> str:
    return json.dumps(list(labels), ensure_ascii=False)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would end the transaction."""
    begun = ""
    for line in script.splitlines():
        begun += line + "\n"
        if sqlite3.complete_statement(begun):
            yield begun
            begun = ""


def _patiently(work: Callable[[], object]) -> None:
    """Does what SQLite refuses at once, without waiting, while another process has the file."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            work()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > end:
                raise
        time.sleep(0.02)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Says of SQLite's errors whether the file is at fault or the system.

    Raises:
        MachineError: the system failed, or another process holds the file.
        EarmarkError: the file is damaged.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.Error, ValueError, TypeError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in OF_THE_SYSTEM:
            raise MachineError(f"{path} cannot be written: {one_line(str(error))}") from None
        raise EarmarkError(
            f"{path} is damaged ({one_line(str(error))}); move it and corrections.csv, which has what was decided, to another folder: "
            "then the review begins anew"
        ) from None
