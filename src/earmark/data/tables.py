"""Tables as files, CSV or Parquet: reading and writing rows of cells."""

import csv
import io
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from earmark import files
from earmark.data.cells import Cell, split_text, text_of
from earmark.errors import NO_SUCH_FILE, ManifestError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

AnyCell = TypeVar("AnyCell", bound=Cell)
Rows = Iterator[tuple[int, dict[str, AnyCell]]]

PARQUET = ".parquet"
MOST_BYTES = 1 << 30  # of a file, and of the text in it
MOST_CELLS = 30_000_000  # Parquet may say in a few bytes that a cell stands a thousand million times
MOST_CHARACTERS = csv.field_size_limit()  # of a cell
BATCH_ROWS = 1000  # of a Parquet file, read at once
USABLE = "text, numbers, true or false, or lists of texts are needed"


def is_parquet(path: Path) -> bool:
    """Whether a table is Parquet by the ending of its name, in any case; all other tables are CSV."""
    return path.suffix.lower() == PARQUET


def read_table(path: Path) -> tuple[list[str], Rows[Cell]]:
    """Reads a CSV or Parquet table.

    Cells of CSV are text. Cells of Parquet keep their type; null and NaN are empty cells.

    Returns:
        The column names, and for each row its number (from 1, the header not counted) and its cells by column name.

    Raises:
        ManifestError: the file cannot be read as a table, a column stands twice or holds what is no cell, or rows are longer or
            shorter than the header.
    """
    header, lines = _read(path)
    return header, _rows(header, lines)


def read_csv(path: Path) -> tuple[list[str], Rows[str]]:
    """Reads a table that is published as CSV; else like `read_table`."""
    header, lines = _read(path)
    return header, _rows(header, lines)


def require_columns(path: Path, header: Sequence[str], needed: Iterable[str]) -> None:
    """Refuses a table that lacks a needed column.

    Raises:
        ManifestError: names the missing columns, and those that the table has.
    """
    if missing := [name for name in needed if name not in header]:
        has = ", ".join(map(repr, header)) or "none"
        raise ManifestError(str(path), [f"no column {name!r}; it has {has}" for name in missing])


def write_table(path: Path, columns: Mapping[str, Sequence[Any]], separator: str) -> None:
    """Writes a table as CSV or Parquet, by the ending of its name, completely or not at all.

    Args:
        path: the file.
        columns: the cells of each column, all of one type; None for an empty cell. Tuples of texts are lists.
        separator: stands between the texts of a list in CSV.

    Raises:
        ManifestError: the name ends otherwise, or the texts of a list hold the separator, so that CSV would have other texts.
    """
    require_ending(path)
    if is_parquet(path):
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({name: _arrow(cells) for name, cells in columns.items()})
        with files.replacing(path) as partial:
            pyarrow.parquet.write_table(table, partial)
        return
    require_separable(path, columns, separator)
    text = io.StringIO()
    written = [[_csv_text(cell, separator) for cell in cells] for cells in columns.values()]
    files.write_rows(text, [list(columns), *zip(*written, strict=True)])
    files.write_text(path, text.getvalue())


def require_separable(path: Path, columns: Mapping[str, Sequence[Any]], separator: str) -> None:
    """Refuses lists of texts that would be other texts when they are read again; see `write_table`.

    Raises:
        ManifestError: the table is CSV, and a text holds the separator.
    """
    if is_parquet(path):
        return
    faults = [
        f"{name} {', '.join(map(repr, cell))}: with {separator!r} between them they would be read otherwise: "
        f"another --label-separator is needed, or a file that ends in {PARQUET}"
        for name, cells in columns.items()
        for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, tuple))
        if split_text(separator.join(cell), separator) != cell
    ]
    if faults:
        raise ManifestError(str(path), faults)


def require_ending(path: Path) -> None:
    """Refuses a file to write whose name does not say what it will be.

    Raises:
        ManifestError: the name ends neither in ``.csv`` nor in ``.parquet``.
    """
    if path.suffix.lower() not in (".csv", PARQUET):
        raise ManifestError(str(path), [f"ends neither in .csv nor in {PARQUET}, so that it is not clear what to write"])


def _csv_text(cell: Any, separator: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, tuple):
        return separator.join(cell)
    return repr(cell).removesuffix(".0") if isinstance(cell, float) else text_of(cell)


def _arrow(cells: Sequence[Any]) -> "pyarrow.Array":
    import pyarrow

    lists = pyarrow.list_(pyarrow.string())
    kinds = {tuple: lists, bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    first = next((type(cell) for cell in cells if cell is not None), str)
    return pyarrow.array(cells, kinds.get(first, pyarrow.string()))


def _rows(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((number, dict(zip(header, line, strict=True))) for number, line in enumerate(lines, start=1))


def _read(path: Path) -> tuple[list[str], Sequence[Sequence[Any]]]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not path.is_dir():  # opening a pipe would wait for a writer
            raise ManifestError(str(path), ["is no ordinary file"])
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MOST_BYTES:
                raise ManifestError(str(path), [f"has {size:,} bytes; a table may have {MOST_BYTES:,}"])
            return _read_parquet(path, file) if is_parquet(path) else _read_csv(path, file.read())
    except FileNotFoundError:
        raise ManifestError(str(path), [NO_SUCH_FILE]) from None
    except IsADirectoryError:
        raise ManifestError(str(path), ["is a folder; a CSV or Parquet file is needed"]) from None
    except OSError as error:
        raise ManifestError(str(path), [error.strerror or str(error)]) from None


def _unique(path: Path, names: Iterable[str]) -> list[str]:
    header = [name.strip() for name in names]
    if faults := [f"column {name!r} stands {count} times" for name, count in Counter(header).items() if count > 1]:
        raise ManifestError(str(path), faults)
    return header


def _read_csv(path: Path, content: bytes) -> tuple[list[str], list[list[str]]]:
    if content.startswith(b"PAR1"):
        raise ManifestError(str(path), [f"is Parquet; then its name must end in {PARQUET}"])
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or (content[:1] == b"\0") != (content[1:2] == b"\0"):
        raise ManifestError(str(path), ["is not UTF-8 text but UTF-16, it seems; save it as UTF-8"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(str(path), [f"is not UTF-8 text (byte {error.start})"]) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)  # file names may contain line breaks of any kind
    lines, cells = [], 0
    try:
        for line in reader:
            if line:
                lines.append(line)
                cells += len(line)
                if cells > MOST_CELLS:
                    raise ManifestError(str(path), [f"has more than {MOST_CELLS:,} cells, as many as a table may have"])
    except csv.Error as error:
        raise ManifestError(str(path), [f"is not CSV (line {reader.line_num}: {error})"]) from None
    if not lines:
        raise ManifestError(str(path), ["is empty"])
    header = _unique(path, lines[0])
    faults = [
        f"row {number}: {len(line)} cells under {len(header)} columns"
        for number, line in enumerate(lines[1:], start=1)
        if len(line) != len(header)
    ]
    if faults:
        raise ManifestError(str(path), faults)
    return header, lines[1:]


def _read_parquet(path: Path, file: BinaryIO) -> tuple[list[str], Sequence[Sequence[Cell]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        # A text that stands a million times stands once in the file. Kept as a dictionary, it stands once in memory, too.
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False)
        header = _unique(path, table.schema_arrow.names)
        kinds = dict(zip(header, table.schema_arrow.types, strict=True))
        faults = [
            f"rows 1–{table.metadata.num_rows}: {name} is {kind}; {USABLE}" for name, kind in kinds.items() if not _usable(kind)
        ]
        if faults or (faults := _too_much(table.metadata)):
            raise ManifestError(str(path), faults)
        texts = [leaf.path for leaf in table.schema if leaf.physical_type == "BYTE_ARRAY"]
        return header, _rows_of(path, pyarrow.parquet.ParquetFile(file, read_dictionary=texts, pre_buffer=False), header)
    except (pyarrow.ArrowException, ValueError, OSError, MemoryError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ManifestError(str(path), [f"not readable as Parquet: {reason}"]) from None


def _usable(kind: "pyarrow.DataType", in_list: bool = False) -> bool:
    """Whether the values of an Arrow type can be cells, or texts in a list."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return _usable(kind.value_type, in_list)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return True
    if types.is_null(kind) or types.is_integer(kind):
        return True
    if in_list:
        return False
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or types.is_list_view(kind):
        return _usable(kind.value_type, in_list=True)
    return bool(types.is_boolean(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _too_much(metadata: "pyarrow.parquet.FileMetaData") -> list[str]:
    # The numbers of single columns are left alone: if they are damaged, asking for them ends the process.
    cells = metadata.num_rows * metadata.num_columns
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    faults = [f"has {cells:,} cells; a table may have {MOST_CELLS:,}"] if cells > MOST_CELLS else []
    return faults + ([f"unpacks to {size:,} bytes; a table may have {MOST_BYTES:,}"] if size > MOST_BYTES else [])


def _rows_of(path: Path, table: "pyarrow.parquet.ParquetFile", header: Sequence[str]) -> list[tuple[Cell, ...]]:
    lines: list[tuple[Cell, ...]] = []
    count = characters = 0  # of all cells and texts in lists
    for batch in table.iter_batches(BATCH_ROWS, use_threads=False):
        columns = []
        for name, column in zip(header, batch.columns, strict=True):
            is_list = hasattr(column, "flatten")
            texts = column.flatten() if is_list else column
            count += len(texts)
            if count > MOST_CELLS:
                raise ManifestError(str(path), [f"has more than {MOST_CELLS:,} texts in lists, as many as a table may have"])
            if not _all_good(texts):
                number = len(lines) + 1 + _first_bad(column)
                raise ManifestError(str(path), [f"row {number}: {name} is no UTF-8 text of at most {MOST_CHARACTERS:,} bytes"])
            columns.append([_cell(value, is_list) for value in column.to_pylist()])
            characters += sum(map(_length, columns[-1]))
        if characters > MOST_BYTES:
            raise ManifestError(str(path), [f"unpacks to more than {MOST_BYTES:,} characters, as many as a table may have"])
        lines += zip(*columns, strict=True)
    return lines


def _all_good(texts: "pyarrow.Array") -> bool:
    """Whether all texts are UTF-8 and not too long; they are looked at without unpacking a dictionary."""
    import pyarrow.compute as compute
    import pyarrow.types as types

    texts = texts.dictionary if types.is_dictionary(texts.type) else texts
    if not (types.is_string(texts.type) or types.is_large_string(texts.type) or types.is_string_view(texts.type)):
        return True
    try:
        texts.validate(full=True)
    except ValueError:
        return False
    longest = compute.max(compute.binary_length(texts)).as_py() or 0
    return bool(longest <= MOST_CHARACTERS)


def _first_bad(column: "pyarrow.Array") -> int:
    """The index of the first value with a text that is too long or no UTF-8; 0 if only values that are not used are so."""
    for index, value in enumerate(column):
        try:
            if any(len(text.encode()) > MOST_CHARACTERS for text in _texts(value.as_py())):
                return index
        except ValueError:
            return index
    return 0


def _texts(value: object) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def _length(cell: object) -> int:
    if isinstance(cell, list | tuple):
        return sum(map(_length, cell))
    return len(cell) if isinstance(cell, str) else 0


def _cell(value: Any, is_list: bool) -> Cell:
    """A value of a Parquet column as a cell: null and NaN are empty cells, whatever the column's type."""
    if is_list:
        return tuple("" if entry is None else str(entry) for entry in value or ())
    if value is None or value != value:
        return ""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    cell: Cell = value
    return cell
