"""The journal of a bulk tagging: which sounds are asked for, and where the rows of those that are done lie in the output.

It is an SQLite file beside the output, so that ten million sounds need no memory, and a stopped run goes on where it was. Where
there is no file to go on with, as for stdout, it is a private one that ends with the run.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from earmark.errors import EarmarkError

APPLICATION, VERSION = 0x6561726D, 1  # "earm"; SQLite keeps both numbers in its header
CACHE = -16_384  # KiB of the file in memory, at most
BATCH = 1000  # sounds that are read at once
MISSING, STREAM = -1, -2  # in place of the time of a file that is not there, or of what can be read once, and is new every time
PRIVATE = ""  # SQLite's name for a file of its own, of which only what does not fit into its cache is on the disk

SCHEMA = """
CREATE TABLE header (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sounds (
    number INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    wish BLOB NOT NULL,         -- where each sound has a table of its own: the name that it would have, without the ending
    name BLOB UNIQUE,           -- … and the name that it has got
    size INTEGER NOT NULL,      -- of the file, when it was asked for
    mtime INTEGER NOT NULL,     -- nanoseconds
    asked INTEGER NOT NULL,     -- sounds are asked for in the order of these numbers; those of earlier runs are lower
    state INTEGER NOT NULL DEFAULT 0,
    start INTEGER,              -- where its rows begin and end, in bytes: in the output, or in the ledger if it is bad
    stop INTEGER,
    reason TEXT                 -- why it is bad
);
CREATE INDEX waiting ON sounds (asked) WHERE state = 0;
"""


class State(IntEnum):
    """How far a sound is. The states below `TODO` are those of sounds that have changed since: their rows are old."""

    OLD_BAD = -2
    OLD_TAGGED = -1
    TODO = 0
    TAGGED = 1
    BAD = 2


class Listed(NamedTuple):
    """A sound that is asked for: its path, the name that its table would have, its file's size in bytes, and when that was changed."""

    path: bytes
    wish: bytes
    size: int
    mtime: int


class Waiting(NamedTuple):
    """A sound that waits to be tagged; ``name`` is that of its table, if it has one of its own."""

    number: int
    path: str
    name: str
    size: int


class Done(NamedTuple):
    """A sound that is done, and where its rows lie."""

    number: int
    state: State
    start: int
    stop: int
    reason: str | None = None


class Journal:
    """An open journal. Make one with `Journal.open`. What changes in it counts once it is committed.

    Attributes:
        header: what the rows depend on, and how long the files were at the last commit; see `Journal.commit`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.header: dict[str, Any] = {key: json.loads(value) for key, value in connection.execute("SELECT * FROM header")}
        self._written = dict(self.header)
        self._before = 0  # the highest number under which an earlier run asked for a sound

    @classmethod
    @contextmanager
    def open(cls, path: Path | None, out: Path | None = None) -> Iterator["Journal"]:
        """Opens a journal, for this process alone. After the block, what was not committed is forgotten.

        Args:
            path: the file; None for a private one.
            out: the output that it belongs to, in error messages.

        Raises:
            EarmarkError: it cannot be written, another process has it, or it is none of earmark's.
        """
        is_new = path is not None and not path.exists()
        if is_new and path is not None:
            path.touch()  # SQLite would not say why it cannot
        try:
            with _faults_named(path, out):
                connection = sqlite3.connect(path or PRIVATE, timeout=0, isolation_level=None)
                try:
                    try:
                        _set_up(connection, path)
                    except sqlite3.OperationalError as error:
                        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                            is_new = False  # it is that of a process that began in the same moment, though it is empty as yet
                        raise
                    yield cls(connection)
                finally:
                    connection.close()
        except BaseException:
            if is_new and path is not None and not path.stat().st_size:  # nothing was begun
                path.unlink()
            raise

    def ask(self, listed: Iterable[Listed]) -> int:
        """Notes which sounds are asked for. Those of an earlier run stay done, unless their size or time has changed.

        Returns:
            How many there are, each counted once.
        """
        (self._before,) = self._connection.execute("SELECT coalesce(max(asked), 0) FROM sounds").fetchone()
        numbered = (
            (sound.path, sound.wish, sound.size, sound.mtime, number) for number, sound in enumerate(listed, self._before + 1)
        )
        self._connection.executemany(
            "INSERT INTO sounds (path, wish, size, mtime, asked) VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "asked = excluded.asked, wish = excluded.wish, size = excluded.size, mtime = excluded.mtime, "
            "state = CASE WHEN state > 0 AND (size <> excluded.size OR mtime <> excluded.mtime OR wish <> excluded.wish "
            f"OR excluded.mtime = {STREAM}) THEN -state ELSE state END WHERE asked <= {self._before}",
            numbered,
        )
        return self._count("asked > ?", self._before)

    def counts(self) -> dict[State, int]:
        """How many of the sounds that are asked for are in each state."""
        rows = self._connection.execute("SELECT state, count(*) FROM sounds WHERE asked > ? GROUP BY state", [self._before])
        return dict.fromkeys(State, 0) | {State(state): count for state, count in rows}

    def waiting(self) -> Iterator[Waiting]:
        """The sounds that are to be tagged, in order."""
        last = self._before
        while rows := self._connection.execute(
            f"SELECT asked, number, path, name, size FROM sounds WHERE state = 0 AND asked > ? ORDER BY asked LIMIT {BATCH}", [last]
        ).fetchall():
            for last, number, path, name, size in rows:  # noqa: B007
                yield Waiting(number, os.fsdecode(path), os.fsdecode(name or b""), size)

    def record(self, done: Sequence[Done]) -> None:
        """Notes what is done, and where the rows lie."""
        rows = [(sound.state, sound.start, sound.stop, sound.reason, sound.number) for sound in done]
        self._connection.executemany("UPDATE sounds SET state = ?, start = ?, stop = ?, reason = ? WHERE number = ?", rows)

    def bad(self) -> Iterator[tuple[str, str]]:
        """Path and reason of each sound that could not be used, in order; those that are not there come last."""
        rows = self._connection.execute(
            "SELECT path, reason FROM sounds WHERE state = 2 AND asked > ? ORDER BY size < 0, asked", [self._before]
        )
        return ((os.fsdecode(path), os.fsencode(reason).decode(errors="replace")) for path, reason in rows)

    def repeat(self, condition: str, *values: object) -> None:
        """Has those sounds done again that are done and meet a condition in SQL. Their rows must not be there any more."""
        self._connection.execute(f"UPDATE sounds SET state = 0, start = NULL, stop = NULL WHERE state > 0 AND {condition}", values)

    def retry(self, condition: str, *values: object) -> None:
        """Has those bad sounds tried again that meet a condition in SQL; `drop_old` must follow."""
        self._connection.execute(f"UPDATE sounds SET state = {State.OLD_BAD} WHERE state = {State.BAD} AND {condition}", values)

    def end_of(self, state: State, below: int) -> int:
        """Where the last rows end that end before or at a byte; 0 without any."""
        query = "SELECT coalesce(max(stop), 0) FROM sounds WHERE state = ? AND stop <= ?"
        (end,) = self._connection.execute(query, [state, below]).fetchone()
        return int(end)

    def has_old(self, state: State) -> bool:
        """Whether there are rows of sounds that have changed or are not asked for any more."""
        return bool(self._count("start < stop AND (state = ? OR (state = ? AND asked <= ?))", -state, state, self._before))

    def old(self) -> Iterator[tuple[str, int | None]]:
        """The names of the tables of such sounds, and the tables' sizes in bytes: 0 where there is none, None if that is not known."""
        query = (
            "SELECT name, CASE abs(state) WHEN 1 THEN stop WHEN 2 THEN 0 END FROM sounds "
            "WHERE name IS NOT NULL AND (asked <= ? OR state < 0)"
        )
        return ((os.fsdecode(name), size) for name, size in self._connection.execute(query, [self._before]))

    def drop_old(self) -> bool:
        """Forgets the rows of such sounds, and those sounds that are not asked for. Returns whether there were any."""
        gone = self._connection.execute("DELETE FROM sounds WHERE asked <= ?", [self._before])
        old = self._connection.execute("UPDATE sounds SET state = 0, name = NULL, start = NULL, stop = NULL WHERE state < 0")
        return gone.rowcount + old.rowcount > 0

    def kept(self, state: State) -> Iterator[tuple[int, int, int]]:
        """Number, start and stop of each sound whose rows stay, as they lie in the file. `move` may be called meanwhile."""
        # Sorted without an index: SQLite has read all rows before it gives the first.
        query = "SELECT number, start, stop FROM sounds WHERE state = ? AND asked > ? ORDER BY +start"
        return iter(self._connection.execute(query, [state, self._before]))

    def move(self, moved: Iterable[tuple[int, int, int]]) -> None:
        """Notes start, stop and number of sounds whose rows lie elsewhere now."""
        self._connection.executemany("UPDATE sounds SET start = ?, stop = ? WHERE number = ?", moved)

    def tables(self) -> Iterator[tuple[int, str, int]]:
        """Number, table's name and its size of each tagged sound that is asked for."""
        query = "SELECT number, name, stop FROM sounds WHERE state = 1 AND asked > ?"
        return ((number, os.fsdecode(name), size) for number, name, size in self._connection.execute(query, [self._before]))

    def name_tables(self, ending: str) -> Iterator[str]:
        """Names the tables of those sounds that have none: the wish with the ending, or with ``~2``, ``~3``, … before it.

        Yields:
            The new names.
        """
        last = self._before
        counts: dict[bytes, int] = {}  # of the wishes that several sounds have: counting each from 2 on would take for ever
        # Only sounds that wait have no name, and by the index of those, not by that of the names, each batch is read at once.
        query = (
            f"SELECT asked, number, wish FROM sounds WHERE state = 0 AND +name IS NULL AND asked > ? ORDER BY asked LIMIT {BATCH}"
        )
        while rows := self._connection.execute(query, [last]).fetchall():
            for last, number, wish in rows:  # noqa: B007
                name = wish + ending.encode()
                while self._count("name = ?", name):
                    counts[wish] = counts.get(wish, 1) + 1
                    name = wish + f"~{counts[wish]}{ending}".encode()
                self._connection.execute("UPDATE sounds SET name = ? WHERE number = ?", [name, number])
                yield os.fsdecode(name)

    @property
    def is_new(self) -> bool:
        """Whether no earlier run has asked for a sound."""
        return self._before == 0

    @property
    def is_begun(self) -> bool:
        """Whether a sound is done."""
        return bool(self._connection.execute("SELECT 1 FROM sounds WHERE state > 0 LIMIT 1").fetchone())

    def forget(self) -> None:
        """Makes the rows of all sounds old, and empties the header."""
        self._connection.execute("UPDATE sounds SET state = CASE WHEN state = 2 THEN -2 WHEN state >= 0 THEN -1 ELSE state END")
        self.header.clear()

    def commit(self) -> None:
        """Makes what has changed last, the header too, whatever happens from now on."""
        if not self._connection.in_transaction:  # Ctrl-C has come between the last two steps of an earlier call
            self._connection.execute("BEGIN IMMEDIATE")
        if self.header != self._written:
            self._connection.execute("DELETE FROM header")
            self._connection.executemany("INSERT INTO header VALUES (?, ?)", [(k, json.dumps(v)) for k, v in self.header.items()])
        self._connection.execute("COMMIT")
        self._written = dict(self.header)
        self._connection.execute("BEGIN IMMEDIATE")

    def _count(self, condition: str, *values: object) -> int:
        (count,) = self._connection.execute(f"SELECT count(*) FROM sounds WHERE {condition}", values).fetchone()
        return int(count)


def _set_up(connection: sqlite3.Connection, path: Path | None) -> None:
    """Locks the file, and begins a transaction.

    Raises:
        EarmarkError: it is none of earmark's journals, or of another version.
    """
    connection.execute(f"PRAGMA cache_size = {CACHE}")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    elif (application, version) != (APPLICATION, VERSION):
        raise EarmarkError(f"{path} is no journal of this version of earmark's; remove it to begin anew, or give another --out")


@contextmanager
def _faults_named(path: Path | None, out: Path | None) -> Iterator[None]:
    """Turns SQLite's errors into one line."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        where = "the list of the sounds, in the folder for temporary files" if path is None else str(path)
        match error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else -1:
            case sqlite3.SQLITE_BUSY:
                raise EarmarkError(f"{out} is being written by another earmark process") from None
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                raise EarmarkError(f"{where} is damaged, or no journal; remove it to begin anew, or give another --out") from None
            case sqlite3.SQLITE_FULL:
                raise EarmarkError(f"cannot write {where}: No space left on device") from error
            case sqlite3.SQLITE_CANTOPEN:  # SQLite does not say why
                raise EarmarkError(f"cannot write {where}: Too many open files, or no permission to write in its folder") from error
            case sqlite3.SQLITE_IOERR:
                raise EarmarkError(f"cannot write {where}: No room left, or a disk that fails or has no locks ({error})") from error
        raise EarmarkError(f"cannot write {where}: {error}") from error
