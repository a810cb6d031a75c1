"""Where a store is built and how it takes its place: beside its folder, or inside it where the folder itself cannot be replaced."""

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from earmark import files
from earmark.errors import StoreError

MOUNTS = Path("/proc/self/mountinfo")  # of Linux
OURS = (".lock", ".partial", ".finished")  # inside a folder that cannot be replaced
OF_THE_DISK = "lost+found"  # in an empty file system
LAST = "store.json"  # without it a folder is no store


@dataclass(frozen=True)
class Place:
    """The place of a store. Make one with `Place.of`.

    Usually a store is built beside its folder, and the finished folder is renamed. A mount point (a volume of a container) and a
    folder in a folder without the right to write cannot be renamed, nor somebody else's folder in one like ``/tmp``. There the files
    change places one by one, while ``store.json`` is away: until it is back, nobody takes the folder for a store.

    Attributes:
        folder: folder of the store; no link.
        inside: whether it is built inside the folder.
    """

    folder: Path
    inside: bool

    @classmethod
    def of(cls, out: Path) -> "Place":
        """The place of a store that is to lie in a folder, or behind a link.

        Raises:
            StoreError: a link leads to itself, or something else lies there.
        """
        try:
            folder = out.resolve()
        except (OSError, RuntimeError):
            raise StoreError(f"{out}: a link that leads to itself") from None
        stays = folder.is_dir() and (_is_mounted(folder) or not _can_be_renamed(folder))
        place = cls(folder, stays)
        if not (place.is_free() or (folder / LAST).is_file() or place._finished.exists()):
            raise StoreError(f"{out} is there already and is no store; choose another --out")
        return place

    @property
    def lock(self) -> Path:
        """The file to lock."""
        return self.folder / ".lock" if self.inside else self.folder.with_name(f".{self.folder.name}.lock")

    @property
    def partial(self) -> Path:
        """The folder to build in."""
        return self.folder / ".partial" if self.inside else self.folder.with_name(f".{self.folder.name}.partial")

    def is_free(self) -> bool:
        """Whether nothing lies there, apart from a store that is being built."""
        if not self.folder.exists():
            return True
        unimportant = (*OURS, OF_THE_DISK) if self.inside else ()
        return self.folder.is_dir() and not any(entry.name not in unimportant for entry in os.scandir(self.folder))

    def tidy(self) -> None:
        """Cleans up after a `put` that was stopped."""
        if not self.inside:
            files.take_back(self.folder)
            if self.folder.exists() and self.is_free():
                self.folder.rmdir()
        elif self._finished.exists():  # it was built, and has not moved in, or not all of it
            self._move_in()

    def put(self) -> None:
        """Puts the finished store, which lies in `partial`, into its place."""
        if self.inside:
            self.partial.rename(self._finished)
            self._move_in()
        else:
            files.put_folder(self.partial, self.folder)

    @property
    def _finished(self) -> Path:
        return self.folder / ".finished"

    def _move_in(self) -> None:
        if (self._finished / LAST).exists():
            (self.folder / LAST).unlink(missing_ok=True)
            for path in sorted(self._finished.iterdir(), key=lambda path: path.name == LAST):
                if path.is_dir():  # embeddings; a folder cannot take the place of another one
                    shutil.rmtree(self.folder / path.name, ignore_errors=True)
                os.replace(path, self.folder / path.name)
        shutil.rmtree(self._finished)  # may hold second names of files that stay


def _can_be_renamed(folder: Path) -> bool:
    """Whether the user has the right to rename a folder."""
    parent = folder.parent.stat()
    # In a folder that all may write to, like /tmp, the sticky bit keeps everybody from renaming what others own.
    others = parent.st_mode & stat.S_ISVTX and os.geteuid() not in (0, parent.st_uid, folder.stat().st_uid)
    return not others and os.access(folder.parent, os.W_OK | os.X_OK, effective_ids=True)


def _is_mounted(folder: Path) -> bool:
    if os.path.ismount(folder):
        return True
    try:  # a folder of the same file system may be mounted, too
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return False
    # The fifth field is the folder, with blanks and the like in octal.
    shown = b"".join(b"\\%03o" % byte if byte in b" \t\n\\" else bytes([byte]) for byte in os.fsencode(folder))
    return any(line.split()[4:5] == [shown] for line in lines)
