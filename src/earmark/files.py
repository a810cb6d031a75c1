"""Reading small files safely; writing files and folders completely or not at all; locks; groups of files read together."""

import csv
import errno
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from earmark.errors import EarmarkError

SMALL = 2**20  # bytes of a file that is read whole, at most


def read_small(path: Path, limit: int = SMALL) -> str:
    """The text of a small UTF-8 file: a recipe, the settings of a model. Nothing can keep it waiting or fill the memory.

    Args:
        path: the file.
        limit: its size in bytes, at most.

    Raises:
        OSError: there is no such file, it may not be read, it is no regular file (a pipe, a device, a folder), or it is too large.
        ValueError: it is not UTF-8.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # else a pipe would be waited for
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit // 2**10:,} KiB", str(path))
    return content.decode("utf-8")


def refuse_special(path: Path) -> None:
    """Refuses what is no regular file: a pipe, whose opening would wait for a writer, a device, a folder.

    Raises:
        OSError: it is no regular file, or it is not there.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))


def refuse_special_in(folder: Path) -> None:
    """Refuses a folder in which something, at any depth, is neither a file nor a folder: opening a pipe would wait for ever.

    Raises:
        OSError: something is; or the folder may not be read.
    """
    for where, _, names in os.walk(folder, onerror=_raise):
        for path in (Path(where, name) for name in names):
            try:
                refuse_special(path)
            except FileNotFoundError:  # a link to nothing, or removed a moment ago
                continue


def _raise(error: OSError) -> None:
    raise error


def read_json(path: Path, limit: int = SMALL) -> Any:
    """The content of a small JSON file; see `read_small`.

    Raises:
        OSError: as in `read_small`.
        ValueError: it is no JSON, is nested too deeply, has a key twice, or text with half a character (a lone surrogate).
    """
    text = read_small(path, limit)
    try:
        data = json.loads(text, object_pairs_hook=_mapping)
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("a text in it has half a character (a lone surrogate)") from None
    return data


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError(f"the key {key[:100]!r} stands twice")
        mapping[key] = value
    return mapping


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``. When the block ends without an error, the file written there replaces ``path``.

    Readers, and the next start after a crash, find either the old file or the complete new one. While the block runs, the temporary
    file is locked; one that a killed process has left is not, and is written over. A link stays, and leads to the new file.

    Raises:
        EarmarkError: another process is writing the file.
        OSError: it cannot be written.
    """
    if path.is_dir():  # "/" and "." among them, which have no name to put a temporary one beside
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    final = Path(os.path.realpath(path)) if path.is_symlink() else path
    partial = final.with_name(f".{final.name}.partial")
    with _own_file(partial, path):
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, final)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def _own_file(partial: Path, path: Path) -> Iterator[None]:
    """Keeps other processes from writing a file while the block runs."""
    while True:
        file = partial.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise EarmarkError(f"{path} is being written by another earmark process") from None
        except OSError:  # a file system without locks
            break
        try:
            if os.path.samestat(os.fstat(file.fileno()), partial.stat()):
                break
        except FileNotFoundError:
            pass
        file.close()  # another process has just finished, and renamed what was opened here
    with file:
        yield


def write_text(path: Path, text: str) -> None:
    """Writes text as UTF-8, completely or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_rows(file: TextIO, rows: Iterable[Sequence[object]]) -> None:
    """Writes CSV rows so that reading gives the same cells; Python's writer alone does not quote a single carriage return."""
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)


@contextmanager
def locked(lock: Path, what: Path) -> Iterator[None]:
    """Keeps other earmark processes out of a folder while the block runs.

    Args:
        lock: an empty file that is locked. It stays afterwards: another process may have opened it already.
        what: the folder, in error messages.

    Raises:
        EarmarkError: another process has the lock, or the lock cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise EarmarkError(f"cannot write {what}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EarmarkError(f"{what} is in use by another earmark process") from None
        except OSError as error:  # a file system without locks
            raise EarmarkError(f"cannot lock {what}: {error.strerror}") from None
        yield


def put_folder(partial: Path, final: Path) -> None:
    """Renames a finished folder to its final name, and removes the folder that had this name.

    If the process stops between the two renames, the old folder is left as ``.NAME.old``; see `take_back`.

    Args:
        partial: the finished folder, under a temporary name.
        final: its final path.
    """
    old = _old_path(final)
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def take_back(final: Path) -> None:
    """Cleans up after a `put_folder` that was stopped: the folder ``final`` is then the new one, or else the old one."""
    old = _old_path(final)
    if not old.exists():
        return
    if final.exists():  # stopped before the last step
        shutil.rmtree(old)
    else:  # stopped between the two renames
        old.rename(final)


def _old_path(final: Path) -> Path:
    return final.with_name(f".{final.name}.old")


def link_or_copy(old: Path, new: Path) -> None:
    """Gives the file ``old`` the second name ``new``; makes a copy if the file system has no hard links."""
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def baskets(sizes: Sequence[int], max_files: int, max_bytes: int, first: int = 0) -> Iterator[range]:
    """Groups of neighbouring files to read together: several small files, or a single large file.

    Args:
        sizes: size of each file in bytes.
        max_files: number of files in a basket, at most.
        max_bytes: size of a basket in bytes, at most; a basket with a single file may be larger.
        first: index of the first file.

    Yields:
        The indices of the files of each basket.

    >>> list(baskets([1, 1, 9, 1], max_files=2, max_bytes=5))
    [range(0, 2), range(2, 3), range(3, 4)]
    """
    begin, total_bytes = first, 0
    for index in range(first, len(sizes)):
        if index > begin and (index - begin == max_files or total_bytes + sizes[index] > max_bytes):
            yield range(begin, index)
            begin, total_bytes = index, 0
        total_bytes += sizes[index]
    if begin < len(sizes):
        yield range(begin, len(sizes))
