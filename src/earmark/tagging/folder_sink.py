"""Tags in a folder with a table for every sound, for programs that show labels beside a sound."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from earmark.errors import AudioError, EarmarkError
from earmark.tagging.formats import TABLE_A_SOUND, header, render
from earmark.tagging.growing import GrowingFile
from earmark.tagging.journal import Journal, State, Waiting
from earmark.tagging.sink import FileSink
from earmark.tagging.sounds import TaggedSound


class FolderSink(FileSink):
    """A folder with a table for every sound, written whole, and a ledger that grows."""

    has_tables = True

    def _growing(self, out: Path) -> dict[State, GrowingFile]:
        self._out, self._ending = out, TABLE_A_SOUND[self._form]
        return {}

    def resume(self, journal: Journal) -> None:
        """See `Sink.resume`."""
        super().resume(journal)
        for number, name, size in journal.tables():
            if not _is_whole(self._out / name, size):
                journal.repeat("number = ?", number)

    def _drop_old(self, journal: Journal) -> bool:
        for name, size in journal.old():
            if size is not None:
                _is_whole(self._out / name, size)  # before any of them goes
        for name, _ in journal.old():
            self._remove_table(self._out / name)
        is_smaller = super()._drop_old(journal)
        self._refuse_unknown([self.ledger] if journal.is_new and self.ledger else [])
        self._refuse_unknown(self._out / name for name in journal.name_tables(self._ending))
        return is_smaller

    def _refuse_unknown(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if os.path.lexists(path):
                raise EarmarkError(
                    f"{path} is there already, and no journal says that earmark wrote it; give a folder of its own as --out"
                )

    def _remove_table(self, path: Path) -> None:
        """Removes the table of a sound, and the folders that are empty then."""
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._out:
                break
            try:
                folder.rmdir()
            except OSError:  # other things lie in it
                break

    def _rows(self, waiting: Waiting, sound: TaggedSound | AudioError) -> tuple[State, str, str | None]:
        if not isinstance(sound, AudioError):
            text = header(self._form) + render(sound, self._form)
            try:
                self._write_table(self._out / waiting.name, text)
                return State.TAGGED, text, None
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                sound = AudioError("the name of its table would be too long")
        return super()._rows(waiting, sound)

    def _write_table(self, path: Path, text: str) -> None:
        half = self._out / ".partial"  # there is one writer
        try:
            with half.open("wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(half, path)
        except BaseException:
            half.unlink(missing_ok=True)
            raise


def _is_whole(path: Path, size: int) -> bool:
    """Whether a table is as it was written; not if it is missing, or empty as after a power cut.

    Raises:
        EarmarkError: somebody has changed it: people correct such tables by hand.
    """
    try:
        present = path.stat().st_size
    except OSError:
        return False
    if present not in (size, 0):
        raise EarmarkError(f"{path} has been changed since earmark wrote it: give another --out, or remove it")
    return present == size
