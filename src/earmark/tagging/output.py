"""What ``--out`` means: stdout, a stream, a file, or a folder."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from earmark import console
from earmark.errors import EarmarkError
from earmark.tagging.folder_sink import FolderSink
from earmark.tagging.formats import TABLE_A_SOUND
from earmark.tagging.parquet_sink import ParquetSink
from earmark.tagging.sink import FileSink, Sink


@contextmanager
def open_sink(out: str | None, form: str, single: bool) -> Iterator[Sink]:
    """Opens the place where the tags go. What exists is not touched before `Sink.begin`.

    Args:
        out: a file; a folder, for formats with a table for every sound; a pipe or a device; None for stdout.
        form: one of `earmark.tagging.formats.FORMATS`.
        single: whether a single file is asked for: then ``out`` is its table, unless it is a folder or ends in ``/``.

    Raises:
        EarmarkError: the name cannot be that of an output.
        ModuleNotFoundError: the format needs a library that is not installed.
    """
    if out is None:
        if form == "parquet":
            raise EarmarkError("--format parquet is no text for stdout: give the file as --out")
        if form != "table" and isinstance(sys.stdout, io.TextIOWrapper):
            # What programs read is UTF-8 there too, with names of files as they are.
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        yield Sink(console.write, form)
        return
    path = Path(out)
    if form in TABLE_A_SOUND and not is_stream(path) and not (single and not path.is_dir() and not out.endswith("/")):
        if path.exists() and not path.is_dir():
            raise EarmarkError(f"--out {path} is a file, but --format {form} writes a table for every sound; name a folder")
        with _errors_named(path), _made(path):
            yield FolderSink(path, form, path / ".journal", path / "bad.csv")
        return
    if path.is_dir():
        raise EarmarkError(f"--out {path} is a folder; name a file")
    with _errors_named(path):
        if is_stream(path):
            if form == "parquet":
                raise EarmarkError(f"--out {path} is a pipe or a device, which no Parquet file can be written to; name a file")
            with path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                yield Sink(partial(console.write_to, stream), form)
            return
        ledger = path.with_name(f"{path.name}.bad.csv")
        _refuse_ledger(path, ledger)
        kind = ParquetSink if form == "parquet" else FileSink
        yield kind(path, form, path.with_name(f"{path.name}.journal"), ledger)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Makes a folder, and removes it if nothing has come into it."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _refuse_ledger(out: Path, ledger: Path) -> None:
    """Refuses, before hours of work, an output that has no room for its ledger beside it.

    Raises:
        EarmarkError: the name is too long, or the ledger's name is taken by a folder.
    """
    if ledger.is_dir():
        raise EarmarkError(
            f"--out {out}: files that cannot be used are listed in {ledger}, and that is a folder; name another file"
        )
    longest = f".{ledger.name}.partial"
    if len(os.fsencode(longest)) > 255:  # bytes of a name that file systems allow
        raise EarmarkError(f"--out {out}: the name is too long: {longest} must fit into 255 bytes")


def is_stream(out: Path) -> bool:
    """Whether an output is a pipe, a device or an open file (``/dev/stdout``): nothing replaces it, and nothing is put beside it."""
    if out.exists() and not out.is_file() and not out.is_dir():
        return True
    places = (os.path.realpath(out.parent), os.path.dirname(os.readlink(out)) if out.is_symlink() else "")
    return any(f"{place}/".startswith("/proc/") for place in places)


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EarmarkError(f"cannot write {path}: {error.strerror or error}") from error
