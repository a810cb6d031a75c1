"""The places where tags go: `sink`, `growing`, `folder_sink`, `parquet_sink` and `output`, with a stand-in for the model."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from earmark.errors import EarmarkError
from earmark.tagging.bulk import Tagged, tag_files
from earmark.tagging.growing import GrowingFile
from earmark.tagging.sounds import Request
from tests.tagging.stand_in import TAGGER, StandIn, stand_in


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return stand_in(monkeypatch)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with sounds in ``rec`` and ``more``."""
    monkeypatch.chdir(tmp_path)
    for name in ("rec/a.wav", "rec/sub/a.wav", "rec/sub/b.wav", "more/a.wav", "more/c.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("bad" if name == "more/c.wav" else f"tag of {name}")
    return tmp_path


def tag(*inputs: str, form: str, out: str | None = "out") -> Tagged:
    return tag_files(TAGGER, inputs, Request(), form, out, 1)


def below(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_every_sound_has_a_table_named_by_its_place(model: StandIn) -> None:
    done = tag("rec", "more", "rec/sub/a.wav", form="audacity")
    assert (done.tagged, done.bad) == (4, (("more/c.wav", "bad"),))
    assert below("out") == [".journal", "a.wav.txt", "a.wav~2.txt", "bad.csv", "sub/a.wav.txt", "sub/b.wav.txt"]
    assert Path("out/a.wav~2.txt").read_text() == "0.000000\t2.000000\ttag of more/a.wav\n"
    assert Path("out/bad.csv").read_text() == "file_name,reason\nmore/c.wav,bad\n"
    assert not tag("rec", "more", form="audacity").changed
    Path("out/sub/b.wav.txt").unlink()  # is made again
    assert tag("rec", "more", form="audacity").done == 1 and Path("out/sub/b.wav.txt").exists()
    assert len(model.read) == 6


@pytest.mark.usefixtures("model")
def test_tables_that_nobody_asks_for_go_and_those_of_others_stay() -> None:
    tag("rec", form="raven")
    Path("out/sub/my notes.txt").write_text("mine")
    Path("out/mine").mkdir()
    tag("rec/a.wav", "rec/sub", form="raven")  # the same sounds under other names
    assert below("out") == [
        ".journal",
        "a.wav.selections.txt",
        "a.wav~2.selections.txt",
        "b.wav.selections.txt",
        "sub/my notes.txt",
    ]
    tag("rec/a.wav", form="audacity")
    assert below("out") == [".journal", "a.wav.txt", "sub/my notes.txt"] and Path("out/mine").is_dir()


@pytest.mark.usefixtures("model")
def test_a_table_that_somebody_else_wrote_is_not_replaced() -> None:
    Path("rec/sub/b.wav.txt").write_text("labels by hand")
    with pytest.raises(EarmarkError, match=r"rec/sub/b.wav.txt is there already"):
        tag("rec", form="audacity", out="rec")
    assert Path("rec/sub/b.wav.txt").read_text() == "labels by hand"
    Path("rec/sub/b.wav.txt").unlink()
    Path("rec/bad.csv").write_text("of a store")
    with pytest.raises(EarmarkError, match=r"rec/bad.csv is there already"):
        tag("rec", form="audacity", out="rec")
    assert below("rec") == ["a.wav", "bad.csv", "sub/a.wav", "sub/b.wav"]


def test_a_table_that_somebody_has_changed_stays(model: StandIn) -> None:
    tag("rec", "more", form="audacity")
    table, for_bad = Path("out/sub/b.wav.txt"), Path("out/c.wav.txt")
    whole = table.read_text()
    table.write_text(whole + "3.0\t4.0\tmy own label\n")
    for sounds in (["rec", "more"], ["more"]):  # it would be made again, or go
        with pytest.raises(EarmarkError, match=r"out/sub/b.wav.txt has been changed since earmark wrote it"):
            tag(*sounds, form="audacity")
    assert "my own label" in table.read_text() and len(below("out")) == 6
    table.write_text("")  # as after a power cut
    assert tag("rec", "more", form="audacity").done == 1 and table.read_text() == whole
    for_bad.write_text("labels of what earmark cannot read")
    assert not tag("rec", "more", form="audacity").changed
    with pytest.raises(EarmarkError, match=r"out/c.wav.txt has been changed"):
        tag("rec", form="audacity")
    assert for_bad.exists() and len(model.read) == 6


@pytest.mark.usefixtures("model")
def test_a_single_sounds_table_is_the_file_that_was_named() -> None:
    tag("rec/a.wav", form="raven", out="a.txt")
    text = Path("a.txt").read_text()
    assert text.startswith("Selection\tView\t") and text.count("\n") == 2 and "tag of rec/a.wav" in text
    tag("rec/a.wav", form="raven", out="new/")
    assert below("new") == [".journal", "a.wav.selections.txt"] and Path("new/a.wav.selections.txt").read_text() == text
    with pytest.raises(EarmarkError, match=r"--out a.txt is a file, but --format raven writes a table for every sound"):
        tag("rec", form="raven", out="a.txt")


@pytest.mark.usefixtures("model")
def test_stdout_takes_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    tag("rec/a.wav", form="audacity", out=None)
    assert capsys.readouterr().out == "0.000000\t2.000000\ttag of rec/a.wav\n"
    with pytest.raises(
        EarmarkError, match="--format audacity writes a table for every sound, and there are 3; give a folder as --out"
    ):
        tag("rec", form="audacity", out=None)
    with pytest.raises(EarmarkError, match="--format parquet is no text for stdout"):
        tag("rec", form="parquet", out=None)
    tag("rec", "more", form="csv", out=None)
    assert capsys.readouterr().out.count("\n") == 5
    assert not list(Path().glob("*.journal"))


def test_a_table_whose_name_is_too_long_is_a_bad_file(model: StandIn) -> None:
    long = "x" * 240 + ".wav"
    Path(f"rec/{long}").write_text("tag")
    done = tag("rec", form="raven")
    assert done.tagged == 3 and done.bad == ((f"rec/{long}", "the name of its table would be too long"),)
    assert "rec/" + long in Path("out/bad.csv").read_text() and len(model.read) == 4
    assert not Path("out/.partial").exists()


def rows(path: str = "out.parquet") -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in pyarrow.parquet.read_table(path).to_pylist()]


def test_parquet_has_the_rows_of_csv_in_groups(model: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.tagging.parquet_sink.ROW_GROUP", 3)
    odd = os.fsdecode(b"rec/caf\xe9\n.wav")
    Path(odd).write_text('odd, "tag"')
    done = tag("rec", "more", form="parquet", out="out.parquet")
    assert (done.tagged, done.bad_count) == (5, 1)
    tag("rec", "more", form="csv", out="out.csv")
    with open("out.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        of_csv = [
            (row["file"], float(row["start"]), float(row["end"]), row["label"], float(row["score"])) for row in csv.DictReader(file)
        ]
    expected = [(file.replace("\udce9", "\\xe9"), *rest[:-1], pytest.approx(rest[-1])) for file, *rest in of_csv]
    assert rows() == expected
    table = pyarrow.parquet.ParquetFile("out.parquet")
    assert [table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)] == [3, 2]
    assert table.schema_arrow.names == ["file", "start", "end", "label", "score"]
    assert not tag("rec", "more", form="parquet", out="out.parquet").changed
    Path("out.parquet").unlink()  # is made again from the rows
    model.read.clear()
    tag("rec", "more", form="parquet", out="out.parquet")
    assert rows() == expected and not model.read
    tag("rec/a.wav", form="parquet", out="out.parquet")
    assert [row[0] for row in rows()] == ["rec/a.wav"]


@pytest.mark.usefixtures("model")
def test_parquet_without_a_row_has_its_columns() -> None:
    Path("rec/a.wav").write_text("")
    tag("rec/a.wav", form="parquet", out="out.parquet")
    assert rows() == [] and pyarrow.parquet.read_table("out.parquet").column_names == ["file", "start", "end", "label", "score"]


def test_a_missing_library_is_told_before_the_work(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from earmark.tagging.output import open_sink\nwith open_sink('o.parquet', 'parquet', False): pass"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "--format parquet needs pyarrow, which is not installed" in done.stderr and not (tmp_path / "o.parquet").exists()


@pytest.mark.usefixtures("model")
def test_jsonl_has_any_name() -> None:
    odd = os.fsdecode(b"rec/caf\xe9.wav")
    Path(odd).write_text("Glöckchen 鈴")
    tag(odd, form="jsonl", out="out.jsonl")
    line = json.loads(Path("out.jsonl").read_text(encoding="utf-8", errors="surrogateescape"))
    assert (line["file"], line["tags"][0]["label"]) == (odd, "Glöckchen 鈴")


def test_a_growing_file_is_cut_back_to_what_counts(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = GrowingFile(path, "head\n")
    file.open(0)
    starts = [file.append(row) for row in (b"one\n", b"two\n")]
    length = file.sync()
    file.append(b"half of a r")
    file.close()
    assert starts == [5, 9] and length[0] == 13
    again = GrowingFile(path, "head\n")
    assert again.trusted(length, finished=False) == 13
    with pytest.raises(EarmarkError, match="has been changed"):
        again.trusted(length, finished=True)
    again.open(13)
    again.append(b"three\n")
    again.close()
    assert path.read_text() == "head\none\ntwo\nthree\n"
    with pytest.raises(EarmarkError, match="has been changed"):
        again.open(11)


def test_rows_that_stay_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.tagging.growing.BLOCK", 3)
    content = "head\n" + "".join(f"row {number:03}\n" for number in range(50))
    (tmp_path / "f").write_text(content)
    file = GrowingFile(tmp_path / "f", "HEAD LINE\n")
    kept = [(number, 5 + 8 * number, 13 + 8 * number) for number in range(50) if number % 7 in (1, 2, 5)]
    moved = list(file.rewrite(kept))
    assert (tmp_path / "f").read_text() == content
    file.replace()
    text = (tmp_path / "f").read_text()
    assert text == "HEAD LINE\n" + "".join(content[start:stop] for _, start, stop in kept)
    assert all(text[start:stop] == f"row {number:03}\n" for start, stop, number in moved)
    assert len(moved) == len(kept)
    file.replace()  # of a process that did so, and was killed before it said so
    assert (tmp_path / "f").read_text() == text
