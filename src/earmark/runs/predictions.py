"""Scores as tables: the format of ``oof.parquet``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from earmark import files
from earmark.errors import RunError
from earmark.labels import LabelSet

NO_VIEW = ""  # of scores that were made of several views


@dataclass(frozen=True)
class Block:
    """Scores of one net on one view of some clips: rows of ``oof.parquet``.

    Attributes:
        clip_id: str ``[N]``.
        scores: float32 ``[N, K]``.
        member: the recipe's.
        fold: that the net did not see.
        weights: of the net: ``best``, ``last``, or a snapshot's number; the column is called ``snapshot``.
        view: ``whole`` or ``padN``.
    """

    clip_id: NDArray[np.str_]
    scores: NDArray[np.float32]
    member: str
    fold: int
    weights: str
    view: str


def write_predictions(path: Path, labels: LabelSet, blocks: Sequence[Block]) -> None:
    """Writes scores in the format of ``oof.parquet``."""
    counts = [len(block.clip_id) for block in blocks]

    def repeated(name: str, kind: Any) -> Any:
        values = [getattr(block, name) for block in blocks]
        return pyarrow.array([value for value, count in zip(values, counts, strict=True) for _ in range(count)], kind)

    flat = np.concatenate([block.scores.reshape(-1) for block in blocks])
    columns: dict[str, Any] = {
        "clip_id": pyarrow.array([str(clip) for block in blocks for clip in block.clip_id], pyarrow.string()),
        "member": repeated("member", pyarrow.string()),
        "fold": repeated("fold", pyarrow.int64()),
        "snapshot": repeated("weights", pyarrow.string()),
        "view": repeated("view", pyarrow.string()),
        "scores": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat, pyarrow.float32()), len(labels)),
    }
    table = pyarrow.table(columns).replace_schema_metadata({"labels": json.dumps(labels.names, ensure_ascii=False)})
    with files.replacing(path) as partial:
        pyarrow.parquet.write_table(table, partial)


def read_predictions(path: Path) -> tuple[LabelSet, list[Block]]:
    """Reads a file of `write_predictions`: the classes, and a block for each member, fold, weights and view, in the file's order.

    Raises:
        RunError: it is damaged.
    """
    try:
        table = pyarrow.parquet.read_table(path)
        labels = LabelSet(tuple(json.loads(table.schema.metadata[b"labels"])))
        scores = table["scores"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, len(labels))
        clip_id = table["clip_id"].to_numpy().astype(np.str_)
        keys = list(zip(*(table[name].to_pylist() for name in ("member", "fold", "snapshot", "view")), strict=True))
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{path} is damaged ({reason}); remove it, and `earmark train` makes it anew") from None
    rows: dict[tuple[str, int, str, str], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return labels, [Block(clip_id[chosen], scores[chosen], *key) for key, chosen in rows.items()]


def join_predictions(paths: Sequence[Path], out: Path) -> None:
    """Writes the rows of several files, which `read_predictions` has read well, into one."""
    table = pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in paths])
    with files.replacing(out) as partial:
        pyarrow.parquet.write_table(table, partial)
