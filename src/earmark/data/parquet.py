"""Parquet files of our own: written with checksums, which are looked at when they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from earmark import files


def write_parquet(table: pyarrow.Table, path: Path) -> None:
    """Writes a table, with a checksum of every page."""
    pyarrow.parquet.write_table(table, path, write_page_checksum=True)


def read_parquet(path: Path, columns: Sequence[str] | None = None, equal: tuple[str, Any] | None = None) -> pyarrow.Table:
    """Reads a table that `write_parquet` wrote.

    Args:
        path: the file.
        columns: names of the columns to read; all by default.
        equal: a column and a value: only the rows with this value in it; all by default.

    Raises:
        OSError: there is no such file, it is no regular file, or it has changed since it was written.
        ValueError: it is no Parquet (pyarrow's errors are of either kind).
    """
    files.refuse_special(path)
    # Without threads: where memory is short and one cannot be started, pyarrow waits for it for ever.
    with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        if equal is None:
            return file.read(columns=columns, use_threads=False)
        column, value = equal
        batches = [
            batch.filter(pyarrow.compute.equal(batch.column(column), value))
            for batch in file.iter_batches(columns=columns, use_threads=False)
        ]
        return pyarrow.Table.from_batches(batches, None if batches else file.schema_arrow)
