"""Manifests with any cells."""

import csv
import io
import shutil
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bad_inputs.arrange import write_wav
from tests.bad_inputs.cases import RATE
from tests.bad_inputs.properties.judge import examples, judge, judge_store

SOUNDS = ("a.wav", "b.wav", "c.wav", "deep/d.wav")
USUAL = {  # cells with which a table can be used
    "file_name": st.sampled_from([*SOUNDS, *SOUNDS, "./a.wav", "none.wav", "broken.wav", "deep"]),
    "labels": st.sampled_from(["x", "y", "x,y", "z", ""]),
    "verified": st.sampled_from(["1", "0", "0", ""]),
    "fold": st.sampled_from(["0", "1", "", "2.0"]),
    "group": st.sampled_from(["", "g", "h"]),
    "split": st.sampled_from(["train", "train", "train", "test", ""]),
    "start": st.sampled_from(["", "0", "0.02", "-0", "3"]),
    "end": st.sampled_from(["", "0.05", "0.1", "5"]),
    "more": st.text(max_size=3),
}
ODD = {
    "file_name": st.sampled_from(["", ".", "deep/../a.wav", "/etc/passwd", "a\0b", "\ud800", "../a.wav", "n" * 300]),
    "labels": st.sampled_from([" ", ",", "x,x", "é", "e\u0301", "nan", "\x1b[2J", "a\nb", "\ud800"]),
    "verified": st.sampled_from(["1.0", "yes", "2", "nan"]),
    "fold": st.sampled_from(["-1", "1e3", str(1 << 70), "٣"]),
    "split": st.sampled_from(["Test", "valid"]),
    "start": st.sampled_from(["1e308", "nan", "-1", "1e-320", "１"]),
    "end": st.sampled_from(["inf", "1e-320", "0.02", "0"]),
}
MORE = list(USUAL)[2:]
KINDS = (  # of the values of a column
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.datetimes(),
    st.lists(st.text(max_size=3), max_size=3),
    st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=2),
    st.lists(st.floats(), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), max_size=2),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in SOUNDS:
        write_wav(folder / name)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def seldom(draw: st.DrawFn, times: int) -> bool:
    """True once in so many times. Hypothesis likes the least and the greatest value best, so it is none of them."""
    return draw(st.integers(0, times)) == times // 2 + 1


def name_of(row: list[object]) -> str:
    return str(row[0]).removeprefix("./")


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """A header and rows: most of them a table that can be used, with an odd cell, a cell too many or a column twice here and there."""
    header = ["file_name", "labels", *draw(st.lists(st.sampled_from(MORE), unique=not seldom(draw, 20), max_size=4))]
    usual = st.tuples(*(USUAL[name] for name in header)).map(list)
    rows = draw(st.lists(usual, unique_by=None if seldom(draw, 10) else name_of, min_size=0 if seldom(draw, 20) else 1, max_size=6))
    for row in rows:
        if seldom(draw, 12):
            column = draw(st.integers(0, len(header) - 1))
            row[column] = draw(st.one_of(ODD.get(header[column], st.text(max_size=4)), st.text(max_size=4)))
        if seldom(draw, 100):
            row.append("more")
    if seldom(draw, 20):
        header[draw(st.integers(0, 1))] = draw(st.text(max_size=4))
    return [header, *rows]


def judge_manifest(manifest: Path, rows: int) -> None:
    store = manifest.parent / "store"
    shutil.rmtree(store, ignore_errors=True)
    status = judge("prepare", "manifest", manifest, "--out", store, "--sample-rate", RATE, "--jobs", 1)
    judge_store(store, status, rows)


@pytest.mark.slow
@given(table=tables())
@examples(80)
def test_any_cells_of_csv(data: Path, table: list[list[str]]) -> None:
    with (data / "m.csv").open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        csv.writer(file).writerows(table)
    judge_manifest(data / "m.csv", len(table) - 1)
    judge("data", "corrupt", data / "m.csv", "--kind", "symmetric", "--rate", 0.5, "--out", data / "corrupted.csv")


@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: f"file_name,labels\n{text}".encode())))
@examples(50)
def test_any_bytes_as_csv(data: Path, content: bytes) -> None:
    (data / "m.csv").write_bytes(content)
    try:
        rows = sum(bool(line) for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))) - 1
    except (UnicodeDecodeError, csv.Error):
        rows = -1  # refused: there is no store then
    judge_manifest(data / "m.csv", rows)


@st.composite
def parquet_columns(draw: st.DrawFn) -> dict[str, list[object]]:
    """The columns of such a table; here and there one with values of any one kind."""
    header, *rows = draw(tables())
    header = list(dict.fromkeys(header))
    columns: dict[str, list[object]] = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    if "labels" in columns and draw(st.booleans()):
        columns["labels"] = draw(st.lists(st.lists(USUAL["labels"], max_size=2), min_size=len(rows), max_size=len(rows)))
    for name in header:
        if seldom(draw, 12):
            kind = st.one_of(st.none(), draw(st.sampled_from(KINDS)))
            columns[name] = draw(st.lists(kind, min_size=len(rows), max_size=len(rows)))
    return columns


@pytest.mark.slow
@given(columns=parquet_columns())
@examples(80)
def test_any_cells_of_parquet(data: Path, columns: dict[str, list[object]]) -> None:
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pyarrow.array(values)
        except (pyarrow.ArrowException, OverflowError, ValueError, TypeError, UnicodeEncodeError):  # values of several kinds
            arrays[name] = pyarrow.array([str(value).encode(errors="replace").decode() for value in values])
    table = pyarrow.table(arrays)
    try:
        pyarrow.parquet.write_table(table, data / "m.parquet")
    except pyarrow.ArrowException:  # a kind that Parquet does not have
        return
    judge_manifest(data / "m.parquet", table.num_rows)


@given(content=st.binary(max_size=60), change=st.integers(0, 10_000), byte=st.integers(1, 255))
@examples(50)
def test_damaged_parquet(data: Path, content: bytes, change: int, byte: int) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"file_name": ["a.wav", "b.wav"], "labels": ["x", "y"]}), data / "whole.parquet")
    whole = bytearray((data / "whole.parquet").read_bytes())
    whole[change % len(whole)] ^= byte
    (data / "m.parquet").write_bytes(content if change % 8 == 0 else whole)
    store = data / "store"
    shutil.rmtree(store, ignore_errors=True)
    status = judge("prepare", "manifest", data / "m.parquet", "--out", store, "--sample-rate", RATE, "--jobs", 1)
    assert (status == 2) == (not store.exists())
