"""The rows of a manifest as they stand in its table, or as they would stand there for the clips of a store."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.data.cells import Cell, split_text
from earmark.data.manifest import COLUMNS, NO_FOLD, Clip, make_manifest, parse_row
from earmark.data.store import Store
from earmark.data.tables import is_parquet, read_table, require_columns
from earmark.errors import ManifestError, StoreError
from earmark.labels import LabelSet

Row = dict[str, Cell]

# Columns of clips.parquet that are none of a manifest's. A column of the data set with such a name has `_given` behind it there.
OF_STORES = ("row", "clip_id", "scored", "content_hash", "sample_rate", "offset", "length", "lead", "tail", "scale", "peak")


@dataclass(frozen=True)
class ManifestRows:
    """The rows of a manifest.

    Attributes:
        where: the table, or the store whose clips these are.
        table: the manifest's file; for a store the one that it was made from, None if that was another kind of data set.
        folder: the folder that the file names are relative to.
        header: the columns.
        rows: the cells of each row by column.
        clips: the clips that the rows are of, checked, in the same order.
        labels: the classes.
        hashes: content hashes of the clips' files by clip, from a store; empty for a table.
        bad_count: number of clips of the data set that the store has not got, since they could not be used.
    """

    where: Path
    table: Path | None
    folder: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    clips: tuple[Clip, ...]
    labels: LabelSet
    hashes: Mapping[str, str]
    bad_count: int = 0


def read_rows(path: Path, label_separator: str) -> ManifestRows:
    """Reads the rows of a manifest, or of a store.

    Args:
        path: the manifest, or the folder of a store.
        label_separator: separates the labels in a cell of the manifest.

    Raises:
        ManifestError: the manifest is wrong; see `earmark.data.manifest.read_manifest`.
        StoreError: the folder is no store, it is damaged, or its data set is not where it was.
    """
    if path.is_dir():
        return _of_store(path)
    header, lines = read_table(path)
    require_columns(path, header, ("file_name", "labels"))
    numbered = list(lines)
    parsed = [parse_row(f"row {number}", row, label_separator) for number, row in numbered]
    manifest = make_manifest("manifest", path.parent, parsed, str(path))
    rows = tuple(row for _, row in numbered)
    return ManifestRows(path, path, path.parent, tuple(header), rows, manifest.clips, manifest.labels, {})


def _of_store(path: Path) -> ManifestRows:
    store = Store.open(path)
    folder = store.sounds
    if not folder.is_dir():
        raise StoreError(
            f"{path} was made from {store.root}, which is not there: start this where `earmark prepare` was started, or give the manifest"
        )
    stored = store.rows(min(store.sample_rates)).to_pylist()
    own = {*COLUMNS, *OF_STORES}
    extra = {name: _given_name(name, own) for name in (stored[0] if stored else ()) if name not in own}
    timed = [name for name in ("start", "end") if any(clip[name] is not None for clip in stored)]
    header = ("file_name", "labels", "verified", "fold", "group", "split", *timed, *extra.values())
    rows, clips = [], []
    for clip in stored:
        test = clip["fold"] == NO_FOLD
        row = {name: _cell(clip[name]) for name in header[: 6 + len(timed)]} | {
            new: _cell(clip[name]) for name, new in extra.items()
        }
        rows.append(row | {"labels": tuple(clip["labels"]), "fold": "" if test else clip["fold"]})
        clips.append(
            Clip(
                clip["file_name"],
                tuple(clip["labels"]),
                clip["verified"],
                clip["fold"],
                clip["group"],
                clip["split"],
                clip["start"],
                clip["end"],
            )
        )
    hashes = {clip["clip_id"]: clip["content_hash"] for clip in stored}
    return ManifestRows(path, store.table, folder, header, tuple(rows), tuple(clips), store.labels, hashes, store.bad_count)


def _given_name(name: str, own: set[str]) -> str:
    """The name that a column of a store had in its data set."""
    plain = name.removesuffix("_given")
    return plain if plain in own else name


def _cell(value: Any) -> Cell:
    if isinstance(value, list):
        return tuple(map(str, value))
    cell: Cell = "" if value is None else value
    return cell


def table_columns(
    path: Path, header: Sequence[str], rows: Sequence[Row], separator: str, lists: Sequence[str]
) -> dict[str, list[Any]]:
    """The columns of a table to write, as `earmark.data.tables.write_table` takes them.

    Args:
        path: the table, CSV or Parquet.
        header: its columns.
        rows: the cells of each row by column; a missing cell is empty.
        separator: stands between the labels in a cell that is text.
        lists: columns that are lists of labels in Parquet.
    """
    columns: dict[str, list[Any]] = {name: [row.get(name, "") for row in rows] for name in header}
    if is_parquet(path):
        for name, cells in columns.items():
            columns[name] = _lists(cells, separator) if name in lists else _of_one_type(cells)
    return columns


def _lists(cells: Sequence[Cell], separator: str) -> list[Any]:
    return [split_text(cell, separator) if isinstance(cell, str) else cell for cell in cells]


def _of_one_type(cells: Sequence[Cell]) -> list[Any]:
    """Cells of a Parquet column, which are all of one type there; None for an empty cell."""
    full = [cell for cell in cells if cell not in ("", ())]
    kinds = {type(cell) for cell in full}
    if kinds == {int, float}:
        return [None if cell == "" else float(cell) for cell in cells]  # type: ignore[arg-type]
    large = any(isinstance(cell, int) and not -(2**63) <= cell < 2**63 for cell in full)
    if len(kinds) > 1 or large:
        return [None if cell in ("", ()) else str(cell) for cell in cells]
    return [None if cell in ("", ()) else cell for cell in cells]


def require_same_files(out: Path, source: ManifestRows) -> None:
    """Refuses a place for a manifest from which its file names would not lead to the same files.

    The names stay as they are, since they are what the clips are known by. They lead to the same files from the same folder, and from
    one in which links of the same names lead there.

    Raises:
        ManifestError: the place is another folder.
    """
    if out.parent.is_dir() and source.folder.is_dir() and out.parent.samefile(source.folder):
        return
    for name in dict.fromkeys(clip.file_name.split("/")[0] for clip in source.clips):
        there, here = source.folder / name, out.parent / name
        if there.exists() and here.exists() and there.samefile(here):
            continue
        where = f"must lie in {source.folder}, since its file names, such as {source.clips[0].file_name!r}, are paths from there"
        link = f"ln -s {shlex.quote(str(there.absolute()))} {shlex.quote(str(here))}"
        raise ManifestError(str(out), [f"{where}; where that cannot be, links of the same names beside it do: {link}"])
