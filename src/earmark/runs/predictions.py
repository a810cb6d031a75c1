"""Scores as tables: the format of ``oof.parquet``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from earmark import files
from earmark.data.parquet import read_parquet, write_parquet
from earmark.errors import RunError, one_line
from earmark.labels import LabelSet

KEYS = ("member", "fold", "snapshot", "view")  # the columns that tell blocks apart
REMEDY = "; remove it, and `earmark train` makes it anew"
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
        view: which version of the clips: ``whole``, ``padN`` or ``variedN``; `NO_VIEW` for several together.
    """

    clip_id: NDArray[np.str_]
    scores: NDArray[np.float32]
    member: str
    fold: int
    weights: str
    view: str


def write_predictions(
    path: Path, labels: LabelSet, blocks: Sequence[Block], further: Mapping[str, NDArray[np.float32]] | None = None
) -> None:
    """Writes blocks of scores as one file in the format of ``oof.parquet``; ``further`` has columns of numbers to add."""
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
    columns |= {name: pyarrow.array(values, pyarrow.float32()) for name, values in (further or {}).items()}
    table = pyarrow.table(columns).replace_schema_metadata({"labels": json.dumps(labels.names, ensure_ascii=False)})
    with files.replacing(path) as partial:
        write_parquet(table, partial)


def read_predictions(path: Path) -> tuple[LabelSet, list[Block]]:
    """Reads a file that `write_predictions` wrote.

    Returns:
        The classes, and one block for each combination of member, fold, weights and view, in the file's order.

    Raises:
        RunError: the file is damaged.
    """
    with _damage_named(path):
        table = read_parquet(path)
        labels = _labels_of(table)
        _refuse_other_columns(table, len(labels))
        scores = table["scores"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, len(labels))
        if not np.isfinite(scores).all():
            raise ValueError("some scores are not finite")
        clip_id = table["clip_id"].to_numpy().astype(np.str_)
        keys = list(zip(*(table[name].to_pylist() for name in KEYS), strict=True))
        rows_by_key: dict[tuple[str, int, str, str], list[int]] = {}
        for row, key in enumerate(keys):
            rows_by_key.setdefault(key, []).append(row)
        blocks = [Block(clip_id[rows], scores[rows], *key) for key, rows in rows_by_key.items()]
        for block in blocks:
            if len(np.unique(block.clip_id)) < len(block.clip_id):
                raise ValueError("a clip stands in it twice")
    return labels, blocks


def _labels_of(table: pyarrow.Table) -> LabelSet:
    names = json.loads(table.schema.metadata[b"labels"])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its labels are no list of names")
    return LabelSet(tuple(names))


def _refuse_other_columns(table: pyarrow.Table, classes: int) -> None:
    for name, kind in _columns(classes).items():
        if name not in table.column_names or table.schema.field(name).type != kind:
            raise ValueError(f"it has no column {name} of type {kind}")
        if table[name].null_count or (name == "scores" and table[name].combine_chunks().flatten().null_count):
            raise ValueError(f"values of {name} are missing")


def _columns(classes: int) -> dict[str, pyarrow.DataType]:
    text = pyarrow.string()
    scores = pyarrow.list_(pyarrow.float32(), classes)
    return {"clip_id": text, "member": text, "fold": pyarrow.int64(), "snapshot": text, "view": text, "scores": scores}


def read_scores_of(path: Path, labels: LabelSet, clip_id: NDArray[np.str_]) -> NDArray[np.float32]:
    """The scores of some clips, float32 ``[N, K]``, from a file of `write_predictions` in which every clip stands once.

    Args:
        path: the file.
        labels: the classes that it must have.
        clip_id: names of the clips, str ``[N]``.

    Raises:
        RunError: the file is damaged, lacks a clip, or has other classes.
    """
    own_labels, blocks = read_predictions(path)
    if own_labels != labels:
        raise RunError(f"{path} has other classes than the store{REMEDY}")
    row_of = {clip: scores for block in blocks for clip, scores in zip(block.clip_id.tolist(), block.scores, strict=True)}
    try:
        rows = [row_of[clip] for clip in clip_id.tolist()]
    except KeyError as error:
        raise RunError(f"{path} has no labels for {error}{REMEDY}") from None
    return np.stack(rows) if rows else np.zeros((0, len(labels)), np.float32)


def read_weights_and_views(path: Path) -> set[tuple[str, str]]:
    """The pairs of weights and view that a file of `write_predictions` has scores of; the scores are not read.

    Raises:
        RunError: the file is damaged.
    """
    with _damage_named(path):
        pairs = read_parquet(path, columns=["snapshot", "view"]).group_by(["snapshot", "view"], use_threads=False).aggregate([])
        return set(zip(pairs["snapshot"].to_pylist(), pairs["view"].to_pylist(), strict=True))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path} is damaged ({one_line(reason)}){REMEDY}") from None


def join_predictions(paths: Sequence[Path], out: Path) -> None:
    """Joins several files of scores into one; `read_predictions` has read them all without an error."""
    table = pyarrow.concat_tables([read_parquet(path) for path in paths])
    with files.replacing(out) as partial:
        write_parquet(table, partial)
