"""The folder of an audit, as the review page reads it: ``audit.json``, ``suspects.csv``, and the store that they are about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.csv
from numpy.typing import NDArray

from earmark import files
from earmark.data.audit_info import NAME, SUSPECTS, AuditInfo, audit_again, read_info
from earmark.data.store import Store
from earmark.errors import EarmarkError, one_line
from earmark.web.columns import Lists, Mask, Numbers, UnknownNameError, split_column, whole_column

REASON_SEPARATOR = "; "
TEXT, NUMBER = pyarrow.string(), pyarrow.float64()
COLUMNS = {
    "rank": pyarrow.int64(),
    "clip_id": TEXT,
    "given": TEXT,
    "suggested": TEXT,
    "score": NUMBER,
    "probability": NUMBER,
    "verified": pyarrow.int8(),
    "reason": TEXT,
}


@dataclass(frozen=True)
class Suspects:
    """The clips of ``suspects.csv`` as columns of equal length N, in the order of the file.

    Attributes:
        rank: int64 ``[N]``, every one once.
        clip_id: the clips' names.
        row: place of the clip in `Audit.rows`, int64 ``[N]``.
        given: numbers of the given labels.
        suggested: numbers of the suggested labels.
        named: numbers of the given and the suggested labels together.
        reasons: numbers of the reasons in ``reason_names``.
        reason_names: the reasons that occur.
        score: log odds that the given labels are wrong, float64 ``[N]``; NaN for unlabelled clips.
        probability: that they are wrong, float64 ``[N]``; NaN likewise.
        verified: whether a person had checked the labels, bool ``[N]``.
        recording: number of the clip's recording, int64 ``[N]``.
    """

    rank: Numbers
    clip_id: pyarrow.Array
    row: Numbers
    given: Lists
    suggested: Lists
    named: Lists
    reasons: Lists
    reason_names: tuple[str, ...]
    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    verified: Mask
    recording: Numbers

    def __len__(self) -> int:
        return len(self.rank)


@dataclass(frozen=True)
class Audit:
    """An audit that was opened.

    Attributes:
        path: its folder.
        info: what it says of itself.
        store: the store that was audited.
        rows: the clips of the store at its highest rate, in its order; columns as in ``clips.parquet``, each in one piece.
        suspects: the list.
    """

    path: Path
    info: AuditInfo
    store: Store
    rows: pyarrow.Table
    suspects: Suspects

    @classmethod
    def open(cls, path: Path, store: Path | None = None) -> "Audit":
        """Opens the folder of an audit.

        Args:
            path: the folder.
            store: folder of the store, if it has been moved.

        Raises:
            EarmarkError: it is no such folder, it is damaged or of another version, or the store has other data than was audited.
            StoreError: the store is gone or damaged.
        """
        info = read_info(path)
        opened = Store.open(Path(info.store) if store is None else store)
        if opened.fingerprint != info.store_fingerprint:
            what = "was prepared anew since" if store is None else "has other data"
            raise EarmarkError(
                f"{path} is an audit of {info.store}, and {opened.path} {what}: train on it and `earmark audit` again, or name the store "
                "that was audited with --store"
            )
        rows = opened.rows(max(opened.sample_rates)).combine_chunks()
        return cls(path, info, opened, rows, read_suspects(path, info, rows))

    def cell(self, name: str, row: int) -> Any:
        """What a column of the store's table says of a clip."""
        return self.rows[name][row].as_py()


def read_suspects(path: Path, info: AuditInfo, rows: pyarrow.Table) -> Suspects:
    """Reads ``suspects.csv``; 200,000 clips take a fraction of a second.

    Args:
        path: folder of the audit.
        info: what the audit says of itself.
        rows: the clips of the store.

    Raises:
        EarmarkError: the file is missing or damaged, has a label that is no class, or a clip that the store has not got.
    """
    place = path / SUSPECTS
    try:
        files.refuse_special(place)
        table = pyarrow.csv.read_csv(
            place,
            pyarrow.csv.ReadOptions(use_threads=False, block_size=1 << 24),
            pyarrow.csv.ParseOptions(newlines_in_values=True),  # names of files may have line breaks
            pyarrow.csv.ConvertOptions(column_types=COLUMNS, include_columns=list(COLUMNS), strings_can_be_null=False),
        ).combine_chunks()
        if not len(table):
            raise ValueError("it has no clip")
        rank = _whole(table, "rank")
        if (np.diff(np.sort(rank, kind="stable")) == 0).any():
            raise ValueError("a rank stands in it twice")
        clip_id = whole_column(table, "clip_id")
        row = _places(clip_id, whole_column(rows, "clip_id"))
        labels = pyarrow.array(info.labels.names, TEXT)
        given, suggested = (
            split_column(whole_column(table, name), info.label_separator, labels) for name in ("given", "suggested")
        )
        reasons, reason_names = _reasons(whole_column(table, "reason"))
        verified = _whole(table, "verified") != 0
    except FileNotFoundError:
        raise EarmarkError(f"{path} has no {SUSPECTS}; {audit_again(path)}") from None
    except UnknownNameError as error:
        raise EarmarkError(
            f"{place} row {error.row + 1}: {error.text!r} is none of the labels of {NAME}; {audit_again(path)}"
        ) from None
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EarmarkError(f"{place} is damaged ({one_line(reason)}); {audit_again(path)}") from None
    recording = whole_column(rows, "group").dictionary_encode().indices.to_numpy().astype(np.int64)[row]
    score, probability = (table[name].fill_null(np.nan).to_numpy() for name in ("score", "probability"))
    named = given.joined(suggested, max(len(info.labels), 1))
    return Suspects(rank, clip_id, row, given, suggested, named, reasons, reason_names, score, probability, verified, recording)


def _whole(table: pyarrow.Table, name: str) -> Numbers:
    if table[name].null_count:
        raise ValueError(f"a cell of {name} is empty")
    return table[name].to_numpy().astype(np.int64)


def _places(clip_id: pyarrow.Array, of_store: pyarrow.Array) -> Numbers:
    """The row of each clip in the store."""
    places = pyarrow.compute.index_in(clip_id, value_set=of_store)
    if places.null_count:
        missing = clip_id.filter(places.is_null())[0].as_py()
        raise ValueError(f"the store has no clip {missing!r}")
    rows = places.to_numpy().astype(np.int64)
    if np.bincount(rows).max() > 1:
        raise ValueError("a clip stands in it twice")
    return rows


def _reasons(column: pyarrow.Array) -> tuple[Lists, tuple[str, ...]]:
    """The reasons of each clip, and the names of all reasons; the most frequent comes first."""
    parts = pyarrow.compute.list_flatten(pyarrow.compute.split_pattern(column, REASON_SEPARATOR))
    counted = sorted(parts.value_counts().to_pylist(), key=lambda count: -count["counts"])
    names = tuple(count["values"] for count in counted if count["values"])
    return split_column(column, REASON_SEPARATOR, pyarrow.array(names, TEXT)), names
