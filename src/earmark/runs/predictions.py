"""Scores as tables: the format of ``oof.parquet``."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

NO_VIEW = ""  # the view of scores that combine several views


@dataclass(frozen=True)
class Block:
    """Scores of one net on one view of some clips: rows of ``oof.parquet``.

    Attributes:
        clip_id: the scored clips, str ``[N]``.
        scores: float32 ``[N, K]``.
        member: name of the net's member in the recipe.
        fold: the fold that the net was not trained on.
        weights: which weights of the net: ``best``, ``last``, or a snapshot's number (column ``snapshot`` of the file).
        view: which version of the clips: ``whole`` or ``padN``.
    """

    clip_id: NDArray[np.str_]
    scores: NDArray[np.float32]
    member: str
    fold: int
    weights: str
    view: str


def write_predictions(path: Path, labels: LabelSet, blocks: Sequence[Block]) -> None:
    """Writes blocks of scores as one file in the format of ``oof.parquet``."""
    counts = [len(block.clip_id) for block in blocks]

    def column_of(name: str, kind: Any) -> Any:
        values = [getattr(block, name) for block in blocks]
        return pyarrow.array([value for value, count in zip(values, counts, strict=True) for _ in range(count)], kind)

    flat_scores = np.concatenate([block.scores.reshape(-1) for block in blocks])
    columns: dict[str, Any] = {
        "clip_id": pyarrow.array([str(clip) for block in blocks for clip in block.clip_id], pyarrow.string()),
        "member": column_of("member", pyarrow.string()),
        "fold": column_of("fold", pyarrow.int64()),
        "snapshot": column_of("weights", pyarrow.string()),
        "view": column_of("view", pyarrow.string()),
        "scores": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat_scores, pyarrow.float32()), len(labels)),
    }
    table = pyarrow.table(columns).replace_schema_metadata({"labels": json.dumps(labels.names, ensure_ascii=False)})
    with files.replacing(path) as partial:
        pyarrow.parquet.write_table(table, partial)


def read_predictions(path: Path) -> tuple[LabelSet, list[Block]]:
    """Reads a file that `write_predictions` wrote.

    Returns:
        The classes, and one block for each combination of member, fold, weights and view, in the file's order.

    Raises:
        RunError: the file is damaged.
    """
    with _damage_named(path):
        table = pyarrow.parquet.read_table(path)
        labels = LabelSet(tuple(json.loads(table.schema.metadata[b"labels"])))
        scores = table["scores"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, len(labels))
        clip_id = table["clip_id"].to_numpy().astype(np.str_)
        keys = list(zip(*(table[name].to_pylist() for name in ("member", "fold", "snapshot", "view")), strict=True))
    rows_by_key: dict[tuple[str, int, str, str], list[int]] = {}
    for row, key in enumerate(keys):
        rows_by_key.setdefault(key, []).append(row)
    return labels, [Block(clip_id[rows], scores[rows], *key) for key, rows in rows_by_key.items()]


def read_weights_and_views(path: Path) -> set[tuple[str, str]]:
    """The pairs of weights and view that a file of `write_predictions` has scores of; the scores are not read.

    Raises:
        RunError: the file is damaged.
    """
    with _damage_named(path):
        pairs = pyarrow.parquet.read_table(path, columns=["snapshot", "view"]).group_by(["snapshot", "view"]).aggregate([])
        return set(zip(pairs["snapshot"].to_pylist(), pairs["view"].to_pylist(), strict=True))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{path} is damaged ({reason}); remove it, and `earmark train` makes it anew") from None


def join_predictions(paths: Sequence[Path], out: Path) -> None:
    """Joins several files of scores into one; `read_predictions` has read them all without an error."""
    table = pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in paths])
    with files.replacing(out) as partial:
        pyarrow.parquet.write_table(table, partial)
