"""Tags in a Parquet file, which is written at the end from rows that grow in a file beside it."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from earmark import files
from earmark.errors import EarmarkError
from earmark.tagging.formats import rows
from earmark.tagging.growing import GrowingFile
from earmark.tagging.journal import State
from earmark.tagging.sink import FileSink
from earmark.tagging.sounds import TaggedSound

ROW_GROUP = 1 << 17  # rows of a Parquet file that are in memory at once


class ParquetSink(FileSink):
    """A Parquet file, made at the end from rows that grow in a file beside it, ``OUT.rows``, which stays for the next run."""

    def __init__(self, out: Path, form: str, journal: Path, ledger: Path) -> None:
        try:
            import pyarrow.parquet  # noqa: F401  (now, not after hours)
        except ModuleNotFoundError:
            raise EarmarkError("--format parquet needs pyarrow, which is not installed; pip install pyarrow brings it") from None
        super().__init__(out, form, journal, ledger)
        self._out = out

    def _growing(self, out: Path) -> dict[State, GrowingFile]:
        self._rows_path = out.with_name(f"{out.name}.rows")
        return {State.TAGGED: GrowingFile(self._rows_path, "[]\n")}

    def _text(self, sound: TaggedSound) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows(sound))

    def finish(self, changed: bool) -> None:
        """See `Sink.finish`."""
        super().finish(changed)
        if not changed and self._out.exists():
            return
        import pyarrow
        import pyarrow.parquet

        text, seconds = pyarrow.string(), pyarrow.float64()
        schema = pyarrow.schema(
            [("file", text), ("start", seconds), ("end", seconds), ("label", text), ("score", pyarrow.float32())]
        )
        with files.replacing(self._out) as half, pyarrow.parquet.ParquetWriter(half, schema, write_page_checksum=True) as table:
            for group in self._groups():
                columns = zip(*group, strict=True)
                table.write_table(pyarrow.table(dict(zip(schema.names, map(list, columns), strict=True)), schema))

    def _groups(self) -> Iterator[list[tuple[str, float, float, str, float]]]:
        with self._rows_path.open(encoding="utf-8") as lines:
            next(lines)
            while group := [_shown(*json.loads(line)) for line in islice(lines, ROW_GROUP)]:
                yield group


def _shown(file: str, start: float, end: float, label: str, score: float) -> tuple[str, float, float, str, float]:
    """A row, with what is no UTF-8 in the file's name as ``\\xe9``: Parquet holds nothing else."""
    return file.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), start, end, label, score
