"""Parquet files of our own: written with checksums, which are looked at when they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from earmark import files


def write_parquet(table: pyarrow.Table, path: Path) -> None:
    """Writes a table, with a checksum of every page."""
    pyarrow.parquet.write_table(table, path, write_page_checksum=True)


def read_parquet(path: Path, columns: Sequence[str] | None = None, filters: Any = None) -> pyarrow.Table:
    """Reads a table that `write_parquet` wrote.

    Args:
        path: the file.
        columns: names of the columns to read; all by default.
        filters: which rows to read, as pyarrow takes them; all by default.

    Raises:
        OSError: there is no such file, it is no regular file, or it has changed since it was written.
        ValueError: it is no Parquet (pyarrow's errors are of either kind).
    """
    files.refuse_special(path)
    return pyarrow.parquet.read_table(path, columns=columns, filters=filters, page_checksum_verification=True)
