"""Independent truth: tables that pyarrow and csv write, and files that are no tables."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from earmark.data import tables
from earmark.data.tables import read_table, write_table
from earmark.errors import ManifestError


def parquet(folder: Path, name: str = "t.parquet", **columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / name)
    return folder / name


def cells(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_table(path)[1]]


def faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        list(read_table(path)[1])
    return caught.value.faults


TEXTS = pyarrow.array(["x,y", None])


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (TEXTS, ["x,y", ""]),
        (TEXTS.cast(pyarrow.large_string()), ["x,y", ""]),
        (TEXTS.cast(pyarrow.string_view()), ["x,y", ""]),
        (TEXTS.dictionary_encode(), ["x,y", ""]),
        (pyarrow.array([True, None]), [True, ""]),
        (pyarrow.array([7, None], pyarrow.uint64()), [7, ""]),
        (pyarrow.array([0.1, float("nan")]), [0.1, ""]),
        (pyarrow.array([Decimal("2"), Decimal("0.5")]), [2, 0.5]),
        (pyarrow.nulls(2), ["", ""]),
        (pyarrow.array([["x,y", "z"], None]), [("x,y", "z"), ()]),
        (pyarrow.array([["x", None], []], pyarrow.large_list(pyarrow.large_string())), [("x", ""), ()]),
        (pyarrow.array([["x"], ["z"]], pyarrow.list_(pyarrow.string(), 1)), [("x",), ("z",)]),
        (pyarrow.array([[1, 2], [3]]), [("1", "2"), ("3",)]),
        (pyarrow.ListArray.from_arrays([0, 2, 3], pyarrow.array(["x,y", "z", "z"]).dictionary_encode()), [("x,y", "z"), ("z",)]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pyarrow.Array) else "",
)
def test_cells_of_parquet_keep_their_types(column: pyarrow.Array, read: list[Any], tmp_path: Path) -> None:
    values = [row["c"] for row in cells(parquet(tmp_path, c=column))]
    assert values == read
    assert [type(value) for value in values] == [type(value) for value in read]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pyarrow.array([b"x", b"y"]), "binary"),
        (pyarrow.array([[b"x"], [b"y"]]), "list<element: binary>"),
        (pyarrow.array([{"a": 1}, {"a": 2}]), "struct<a: int64>"),
        (pyarrow.array([0, 1], pyarrow.time64("us")), "time64[us]"),
        (pyarrow.array([0, 1], pyarrow.timestamp("us")), "timestamp[us]"),
        (pyarrow.array([[["x"]], [["y"]]]), "list<element: list<element: string>>"),
        (pyarrow.array([[0.5], [1.5]]), "list<element: double>"),
        (pyarrow.array([[True], [False]]), "list<element: bool>"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_types_are_a_fault_that_names_column_and_rows(column: pyarrow.Array, kind: str, tmp_path: Path) -> None:
    path = parquet(tmp_path, file_name=["a", "b"], c=column)
    assert faults(path) == (f"rows 1–2: c is {kind}; text, numbers, true or false, or lists of texts are needed",)


def test_text_that_is_none_is_named_with_its_row(tmp_path: Path) -> None:
    offsets = pyarrow.array([0, 1, 2], pyarrow.int32()).buffers()[1]
    texts = pyarrow.StringArray.from_buffers(2, offsets, pyarrow.py_buffer(b"x\xff"))
    assert faults(parquet(tmp_path, c=texts)) == ("row 2: c is no UTF-8 text of at most 131,072 bytes",)
    assert faults(parquet(tmp_path, c=[["x"], ["x", "y" * 131073]])) == ("row 2: c is no UTF-8 text of at most 131,072 bytes",)


def test_columns_that_stand_twice(tmp_path: Path) -> None:
    table = pyarrow.Table.from_arrays([pyarrow.array(["x"])] * 3, ["a", " a", "b"])
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    assert faults(tmp_path / "t.parquet") == ("column 'a' stands 2 times",)


def test_the_ending_decides_in_any_case(tmp_path: Path) -> None:
    assert cells(parquet(tmp_path, "t.PARQUET", a=["x"])) == [{"a": "x"}]
    assert faults(parquet(tmp_path, "t.csv", a=["x"])) == ("is Parquet; then its name must end in .parquet",)


def test_a_folder_of_parquet_files_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").mkdir()
    parquet(tmp_path / "t.parquet", "part.parquet", a=["x"])
    assert faults(tmp_path / "t.parquet") == ("is a folder; a CSV or Parquet file is needed",)


def test_folder_names_make_no_columns(tmp_path: Path) -> None:
    (tmp_path / "split=test").mkdir()
    assert cells(parquet(tmp_path / "split=test", a=["x"])) == [{"a": "x"}]


@pytest.mark.parametrize("length", [0, 4, 200, 600])
def test_a_damaged_parquet_file(length: int, tmp_path: Path) -> None:
    path = parquet(tmp_path, a=["x", "y"], b=[["x"], ["y"]])
    path.write_bytes(path.read_bytes()[:length])
    [fault] = faults(path)
    assert fault.startswith("not readable as Parquet: ")
    assert "\n" not in fault


@pytest.mark.slow
def test_any_flipped_bytes_of_a_parquet_file(tmp_path: Path) -> None:
    """Numbers of columns that are damaged end the process if pyarrow is asked for them."""
    import numpy as np

    path = parquet(tmp_path, a=[f"{i}.wav" for i in range(50)], b=[["x", "y"]] * 50)
    whole, rng = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(0)
    for _ in range(1500):
        damaged = whole.copy()
        damaged[rng.integers(len(whole), size=2)] = rng.integers(256, size=2)
        path.write_bytes(damaged.tobytes())
        try:
            list(read_table(path)[1])
        except ManifestError:
            pass


def test_a_small_file_may_not_unpack_to_a_large_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_CELLS", 1000)
    monkeypatch.setattr(tables, "MOST_BYTES", 100_000)
    assert faults(parquet(tmp_path, c=pyarrow.nulls(1001, pyarrow.string()))) == ("has 1,001 cells; a table may have 1,000",)
    same = pyarrow.array(["x" * 1000]).dictionary_encode()
    path = parquet(tmp_path, c=same.take(pyarrow.array([0] * 200)))
    assert path.stat().st_size < 5000
    assert faults(path) == ("unpacks to more than 100,000 characters, as many as a table may have",)
    path = parquet(tmp_path, c=[["x"] * 1001])
    assert faults(path) == ("has more than 1,000 texts in lists, as many as a table may have",)
    (tmp_path / "t.csv").write_text("a,b\n" + "x,y\n" * 500)
    assert faults(tmp_path / "t.csv") == ("has more than 1,000 cells, as many as a table may have",)
    os.truncate(tmp_path / "t.csv", 100_001)
    assert faults(tmp_path / "t.csv") == ("has 100,001 bytes; a table may have 100,000",)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("file_name,labels\n".encode("utf-16"), "is not UTF-8 text but UTF-16, it seems; save it as UTF-8"),
        ("file_name,labels\n".encode("utf-16-be"), "is not UTF-8 text but UTF-16, it seems; save it as UTF-8"),
        ("a,b\nchi\xean,x\n".encode("latin-1"), "is not UTF-8 text (byte 7)"),
    ],
)
def test_other_encodings(content: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert faults(tmp_path / "t.csv") == (fault,)


@pytest.mark.parametrize("content", [b"a,b\rx,y\r", b"a,b\r\nx,y\r\n", b"\xef\xbb\xbfa,b\nx,y\n", b"\n\na,b\n\nx,y\n\n"])
def test_line_ends_and_byte_order_mark(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert cells(tmp_path / "t.csv") == [{"a": "x", "b": "y"}]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    assert faults(tmp_path / "t.csv") == ("is no ordinary file",)


COLUMNS = {"a": ["x", None], "b": [("x", "y, z"), ()], "c": [True, False], "d": [3, None], "e": [0.25, 2.0]}


def test_what_is_written_is_parquet_if_the_name_says_so(tmp_path: Path) -> None:
    write_table(tmp_path / "t.Parquet", COLUMNS, ",")
    schema = pyarrow.parquet.read_schema(tmp_path / "t.Parquet")
    assert [str(kind) for kind in schema.types] == ["string", "list<element: string>", "bool", "int64", "double"]
    assert [list(row.values()) for row in cells(tmp_path / "t.Parquet")] == [
        ["x", ("x", "y, z"), True, 3, 0.25],
        ["", (), False, "", 2.0],
    ]
    assert os.listdir(tmp_path) == ["t.Parquet"]


def test_lists_in_csv_must_come_apart_as_they_were(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", COLUMNS, ";")
    assert (tmp_path / "t.csv").read_text() == 'a,b,c,d,e\nx,"x;y, z",1,3,0.25\n,,0,,2\n'
    with pytest.raises(ManifestError, match=r"b 'x', 'y, z': with ',' between them they would be read otherwise"):
        write_table(tmp_path / "u.csv", COLUMNS, ",")
    with pytest.raises(ManifestError, match=r"ends neither in \.csv nor in \.parquet"):
        write_table(tmp_path / "u.txt", COLUMNS, ";")
    assert os.listdir(tmp_path) == ["t.csv"]
