import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from earmark.errors import RunError
from earmark.labels import LabelSet
from earmark.runs.predictions import Block, join_predictions, read_predictions, write_predictions

LABELS = LabelSet(("Bass, drum", "Жук-é", 'quote"d'))


def block(seed: int, clips: list[str], member: str, fold: int, weights: str, view: str) -> Block:
    scores = np.random.default_rng(seed).random((len(clips), 3), np.float32)
    return Block(np.array(clips), scores, member, fold, weights, view)


def same(left: Block, right: Block) -> bool:
    keys = [(b.member, b.fold, b.weights, b.view, b.clip_id.tolist()) for b in (left, right)]
    return keys[0] == keys[1] and left.scores.tobytes() == right.scores.tobytes()


BLOCKS = [
    block(1, ["b.wav", "a.wav"], "second", 1, "best", "whole"),  # neither clips nor members in the alphabet's order
    block(2, ["b.wav", "a.wav"], "second", 1, "best", "pad8"),
    block(3, ["comma,.wav", "Жук.wav", "new\nline.wav"], "first", 0, "10", "whole"),
    block(4, ["c.wav"], "first", 0, "2", "whole"),
]


def test_what_was_written_reads_back_to_the_last_bit_and_in_order(tmp_path: Path) -> None:
    write_predictions(tmp_path / "oof.parquet", LABELS, BLOCKS)
    labels, blocks = read_predictions(tmp_path / "oof.parquet")
    assert labels == LABELS
    assert len(blocks) == 4
    assert all(same(left, right) for left, right in zip(blocks, BLOCKS, strict=True))
    assert blocks[0].scores.dtype == np.float32
    assert blocks[2].clip_id.dtype.kind == "U"
    assert [path.name for path in tmp_path.iterdir()] == ["oof.parquet"]


def test_any_other_program_reads_a_row_a_clip(tmp_path: Path) -> None:
    write_predictions(tmp_path / "oof.parquet", LABELS, BLOCKS)
    table = pyarrow.parquet.read_table(tmp_path / "oof.parquet")
    assert table.column_names == ["clip_id", "member", "fold", "snapshot", "view", "scores"]
    assert table.schema.field("scores").type == pyarrow.list_(pyarrow.float32(), 3)
    assert json.loads(table.schema.metadata[b"labels"]) == list(LABELS.names)
    row = table.to_pylist()[2 + 2 + 1]
    assert row.pop("scores") == BLOCKS[2].scores[1].tolist()
    assert row == {"clip_id": "Жук.wav", "member": "first", "fold": 0, "snapshot": "10", "view": "whole"}


def test_rows_of_several_blocks_may_lie_among_each_other(tmp_path: Path) -> None:
    """As another program may have sorted them: a block's rows keep their order, the blocks that of their first rows."""
    write_predictions(tmp_path / "oof.parquet", LABELS, BLOCKS)
    table = pyarrow.parquet.read_table(tmp_path / "oof.parquet")
    pyarrow.parquet.write_table(table.take([7, 3, 0, 6, 2, 1, 5, 4]), tmp_path / "sorted.parquet")
    blocks = read_predictions(tmp_path / "sorted.parquet")[1]
    assert [(b.member, b.weights, b.view, b.clip_id.tolist()) for b in blocks] == [
        ("first", "2", "whole", ["c.wav"]),
        ("second", "best", "pad8", ["a.wav", "b.wav"]),
        ("second", "best", "whole", ["b.wav", "a.wav"]),
        ("first", "10", "whole", ["new\nline.wav", "Жук.wav", "comma,.wav"]),
    ]
    assert blocks[3].scores.tolist() == BLOCKS[2].scores[::-1].tolist()


def test_joined_files_are_read_as_one(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.parquet" for number in range(2)]
    write_predictions(paths[0], LABELS, BLOCKS[2:])
    write_predictions(paths[1], LABELS, BLOCKS[:2])
    join_predictions(paths, tmp_path / "oof.parquet")
    labels, blocks = read_predictions(tmp_path / "oof.parquet")
    assert labels == LABELS
    assert all(same(left, right) for left, right in zip(blocks, [*BLOCKS[2:], *BLOCKS[:2]], strict=True))


def without(column: str) -> pyarrow.Table:
    return whole().drop_columns([column])


def whole() -> pyarrow.Table:
    scores = pyarrow.array([[0.5, 0.25, 0.25]], pyarrow.list_(pyarrow.float32(), 3))
    text = pyarrow.array(["a"])
    columns = {"clip_id": text, "member": text, "fold": pyarrow.array([0]), "snapshot": text, "view": text, "scores": scores}
    return pyarrow.table(columns).replace_schema_metadata({"labels": '["x", "y", "z"]'})


def with_column(name: str, values: list[Any], kind: pyarrow.DataType) -> pyarrow.Table:
    table = whole()
    return table.set_column(table.column_names.index(name), name, pyarrow.array(values, kind))


DAMAGED = {
    "no labels": whole().replace_schema_metadata(None),
    "labels are no list": whole().replace_schema_metadata({"labels": "{"}),
    "a label twice": whole().replace_schema_metadata({"labels": '["x", "y", "x"]'}),
    "a label too few": whole().replace_schema_metadata({"labels": '["x", "y"]'}),
    "labels are nested too deeply": whole().replace_schema_metadata({"labels": "[" * 100_000}),
    "labels are numbers": whole().replace_schema_metadata({"labels": "[1, 2, 3]"}),
    "labels are a mapping": whole().replace_schema_metadata({"labels": '{"x": 1, "y": 2, "z": 3}'}),
    "scores of all lengths": with_column("scores", [[0.5, 0.5]], pyarrow.list_(pyarrow.float32())),
    "scores are float64": with_column("scores", [[0.5, 0.25, 0.25]], pyarrow.list_(pyarrow.float64(), 3)),
    "scores are missing": with_column("scores", [None], pyarrow.list_(pyarrow.float32(), 3)),
    "a score is missing": with_column("scores", [[0.5, None, 0.5]], pyarrow.list_(pyarrow.float32(), 3)),
    "a score is no number": with_column("scores", [[0.5, math.nan, 0.5]], pyarrow.list_(pyarrow.float32(), 3)),
    "a score is infinite": with_column("scores", [[0.5, math.inf, 0.5]], pyarrow.list_(pyarrow.float32(), 3)),
    "folds are text": with_column("fold", ["0"], pyarrow.string()),
    "a fold is missing": with_column("fold", [None], pyarrow.int64()),
    "a clip is missing": with_column("clip_id", [None], pyarrow.string()),
    "clips are numbers": with_column("clip_id", [1], pyarrow.int64()),
    "a clip twice": pyarrow.concat_tables([whole(), whole()]),
    **{f"no {name}": without(name) for name in whole().column_names},
}


def test_the_table_that_is_damaged_here_was_whole(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(whole(), tmp_path / "oof.parquet")
    labels, [blocks] = read_predictions(tmp_path / "oof.parquet")
    assert labels.names == ("x", "y", "z")
    assert blocks.scores.tolist() == [[0.5, 0.25, 0.25]]


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        read_predictions(path)
    return str(caught.value)


@pytest.mark.parametrize("fault", list(DAMAGED))
def test_a_table_that_is_not_of_scores_is_refused_in_a_line(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "oof.parquet"
    pyarrow.parquet.write_table(DAMAGED[fault], path)
    said = refusal(path)
    assert said.startswith(f"{path} is damaged (")
    assert said.endswith("); remove it, and `earmark train` makes it anew")
    assert "\n" not in said


@pytest.mark.parametrize("kept", [0, 3, 600])
def test_a_file_that_lost_its_end_is_refused_in_a_line(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "oof.parquet"
    write_predictions(path, LABELS, BLOCKS)
    path.write_bytes(path.read_bytes()[:kept])
    said = refusal(path)
    assert said.startswith(f"{path} is damaged (")
    assert "\n" not in said
