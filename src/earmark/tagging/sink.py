"""Where tags go: a stream, or a file that grows, with a journal that knows where the rows of each sound lie."""

import io
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from earmark import files
from earmark.errors import AudioError
from earmark.tagging.formats import header, render
from earmark.tagging.growing import GrowingFile
from earmark.tagging.journal import Done, Journal, State, Waiting
from earmark.tagging.sounds import TaggedSound

Results = Sequence[tuple[Waiting, TaggedSound | AudioError]]

BAD_HEADER = "file_name,reason\n"


class Sink:
    """Where tags go. Make one with `earmark.tagging.output.open_sink`. This one is for a stream, which nothing can be taken back from.

    Attributes:
        journal: the file of the journal; None where the output cannot be gone on with.
        ledger: the table that lists the bad sounds; None if there is none.
        has_tables: whether every sound has a table of its own.
    """

    journal: Path | None = None
    ledger: Path | None = None
    has_tables = False

    def __init__(self, write: Callable[[str], object], form: str) -> None:
        self._write, self._form = write, form

    def resume(self, journal: Journal) -> None:
        """Makes the journal and the files of an earlier run agree, before it is said which sounds are asked for.

        Raises:
            EarmarkError: somebody has changed a file, so that it cannot be gone on with.
        """

    def begin(self, journal: Journal, anew: bool) -> bool:
        """Takes out the rows that are old, and makes the files ready for more rows. It commits the journal.

        Args:
            journal: it knows which sounds are asked for.
            anew: whether all that is there goes.

        Returns:
            Whether a row was taken out.
        """
        del anew
        journal.commit()
        self._write(header(self._form))
        return False

    def add(self, results: Results) -> list[Done]:
        """Writes the rows of some sounds.

        Raises:
            OSError: they cannot be written.
        """
        self._write("".join(render(sound, self._form) for _, sound in results if not isinstance(sound, AudioError)))
        return [
            Done(waiting.number, State.BAD, 0, 0, str(sound))
            if isinstance(sound, AudioError)
            else Done(waiting.number, State.TAGGED, 0, 0)
            for waiting, sound in results
        ]

    def sync(self, journal: Journal) -> None:
        """Has the system write everything to the disk, then commits the journal."""
        journal.commit()

    def finish(self, changed: bool) -> None:
        """Makes what is made at the end.

        Args:
            changed: whether there are other rows than after the last run.
        """


class FileSink(Sink):
    """A file that grows, with a ledger of the bad sounds that grows beside it.

    Args:
        out: the file.
        form: format of the rows.
        journal: file of the journal.
        ledger: file of the ledger.
    """

    def __init__(self, out: Path, form: str, journal: Path, ledger: Path) -> None:
        self.journal, self.ledger, self._form = journal, ledger, form
        self._files = self._growing(out) | {State.BAD: GrowingFile(ledger, BAD_HEADER, at_once=False)}

    def _growing(self, out: Path) -> dict[State, GrowingFile]:
        return {State.TAGGED: GrowingFile(out, header(self._form))}

    def resume(self, journal: Journal) -> None:
        """See `Sink.resume`."""
        self._replace_rewritten(journal)
        for state, file in self._files.items():
            length = tuple(journal.header.get(f"{state.name} length", (0, "")))
            known = file.trusted(length, journal.header.get("finished", False))
            if known < length[0]:  # cut off: what is behind the cut is done again
                end = journal.end_of(state, known)
                journal.repeat("state = ? AND stop > ?", state, end)
                journal.header[f"{state.name} length"] = (end, "")

    def begin(self, journal: Journal, anew: bool) -> bool:
        """See `Sink.begin`."""
        rewritten = {state: file for state, file in self._files.items() if anew or journal.has_old(state)}
        is_smaller = self._drop_old(journal)
        try:
            for state, file in rewritten.items():
                journal.move(file.rewrite(journal.kept(state)))
                journal.header[f"{state.name} length"] = file.rewritten
            journal.header["rewritten"] = [state.name for state in rewritten]
            journal.commit()  # from here on, the next start would do the rest
        except (OSError, sqlite3.Error):  # no room
            for file in rewritten.values():
                file.discard()
            raise
        self._replace_rewritten(journal)
        for state, file in self._files.items():
            file.open(journal.header.get(f"{state.name} length", (0, ""))[0])
        self.sync(journal)
        return is_smaller

    def _replace_rewritten(self, journal: Journal) -> None:
        for name in journal.header.pop("rewritten", ()):
            self._files[State[name]].replace()
        journal.commit()

    def _drop_old(self, journal: Journal) -> bool:
        return journal.drop_old()

    def add(self, results: Results) -> list[Done]:
        """See `Sink.add`."""
        done: list[Done] = []
        content: dict[State, list[bytes]] = {state: [] for state in self._files}
        ends = {state: max(file.size, len(BAD_HEADER) if state is State.BAD else 0) for state, file in self._files.items()}
        for waiting, sound in results:
            state, text, reason = self._rows(waiting, sound)
            encoded = text.encode("utf-8", "surrogateescape")
            if state in self._files:
                content[state].append(encoded)
                start, ends[state] = ends[state], ends[state] + len(encoded)
            else:
                start = 0
            done.append(Done(waiting.number, state, start, start + len(encoded), reason))
        for state, file in self._files.items():
            if any(content[state]):
                file.append(b"".join(content[state]))
        return done

    def _rows(self, waiting: Waiting, sound: TaggedSound | AudioError) -> tuple[State, str, str | None]:
        if isinstance(sound, AudioError):
            return State.BAD, bad_row(waiting.path, str(sound)), str(sound)
        return State.TAGGED, self._text(sound), None

    def _text(self, sound: TaggedSound) -> str:
        return render(sound, self._form)

    def sync(self, journal: Journal) -> None:
        """See `Sink.sync`."""
        for state, file in self._files.items():
            journal.header[f"{state.name} length"] = file.sync()
        journal.commit()

    def finish(self, changed: bool) -> None:
        """See `Sink.finish`."""
        del changed
        for state, file in self._files.items():
            file.close(remove_empty=state is State.BAD)
        if not self._files[State.BAD].size:
            self.ledger = None


def bad_row(path: str, reason: str) -> str:
    """A row of the ledger."""
    text = io.StringIO()
    files.write_rows(text, [(path, reason)])
    return text.getvalue()
