import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest

from earmark.errors import EarmarkError
from earmark.tagging.inputs import find_sounds, is_single


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with sounds in it that are never opened."""
    monkeypatch.chdir(tmp_path)
    for name in ("rec/a.wav", "rec/sub/b.flac", "rec/sub/deep/c.wav", "rec/sub/notes.md", "rec/.hidden/d.wav", "e.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


def paths(*inputs: str) -> list[str]:
    return [sound.path for sound in find_sounds(inputs)]


def names(*inputs: str) -> list[str]:
    return [sound.name for sound in find_sounds(inputs)]


RECORDED = ["rec/a.wav", "rec/sub/b.flac", "rec/sub/deep/c.wav"]


@pytest.mark.usefixtures("here")
def test_files_and_folders_in_the_order_given() -> None:
    assert paths("e.wav", "rec", "./rec/sub/notes.md") == ["e.wav", *RECORDED, "rec/sub/notes.md"]
    assert names("e.wav", "rec", "rec/sub/notes.md") == ["e.wav", "a.wav", "sub/b.flac", "sub/deep/c.wav", "notes.md"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("rec/*.wav", ["rec/a.wav"]),
        ("rec/**/*.wav", ["rec/a.wav", "rec/sub/deep/c.wav"]),
        ("**/*.wav", ["e.wav", "rec/a.wav", "rec/sub/deep/c.wav"]),
        ("rec/*/[bx].*", ["rec/sub/b.flac"]),
        ("r?c/sub", ["rec/sub/b.flac", "rec/sub/deep/c.wav"]),  # a folder that matches is searched
        ("rec/.h*/*", ["rec/.hidden/d.wav"]),
        ("*/sub/notes.md", ["rec/sub/notes.md"]),
    ],
)
def test_patterns(pattern: str, found: list[str]) -> None:
    assert paths(pattern) == found


@pytest.mark.usefixtures("here")
def test_names_of_a_pattern_are_below_its_fixed_folders() -> None:
    assert names("rec/sub/**/*.*") == ["b.flac", "notes.md", "deep/c.wav"]


def test_patterns_agree_with_another_implementation(here: Path) -> None:
    """With pathlib's, which sorts otherwise, and finds hidden files as well."""
    for pattern in ("rec/*", "rec/**/*.wav", "*/*/*", "**/c.wav", "rec/**/[a-c].*"):
        expected = {str(path.relative_to(here)) for path in here.glob(pattern) if path.is_file()}
        found = {path for path in paths(pattern) if path in expected or not Path(pattern).name.startswith("*")}
        assert found == {path for path in expected if "/." not in path}, pattern


@pytest.mark.usefixtures("here")
def test_what_exists_is_no_pattern_and_no_list() -> None:
    for name in ("[1].wav", "@e.wav"):
        Path(name).touch()
        assert paths(name) == [name]


def test_links_in_a_circle_end(here: Path) -> None:
    (here / "rec/sub/up").symlink_to("..")
    assert paths("rec/**/*.wav") == ["rec/a.wav", "rec/sub/deep/c.wav"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "content",
    [
        b"rec/a.wav\nmissing one.wav\nrec/sub\n",
        b"rec/a.wav\r\n\r\nmissing one.wav\r\nrec/sub",
        b"\xef\xbb\xbfrec/a.wav\nmissing one.wav\nrec/sub",
        b"rec/a.wav\0missing one.wav\0rec/sub\0",
    ],
)
def test_lists(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("files.txt").write_bytes(content)
    expected = ["rec/a.wav", "missing one.wav", "rec/sub/b.flac", "rec/sub/deep/c.wav"]
    assert paths("@files.txt") == expected
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert paths("@-") == expected


@pytest.mark.usefixtures("here")
def test_a_list_may_hold_any_name_and_is_read_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.tagging.inputs.BLOCK", 7)
    odd = [b"caf\xe9 1.wav", "Glöckchen 鈴.wav".encode(), b"new\nline.wav", b"../up.wav", b"/abs/olute.wav"]
    Path("files.txt").write_bytes(b"a\0" + b"\0".join(odd))
    assert paths("@files.txt") == ["a", *map(os.fsdecode, odd)]
    assert names("@files.txt")[-2:] == ["up.wav", "olute.wav"]
    Path("files.txt").write_bytes(b"\n".join(name for name in odd if b"\n" not in name))
    assert paths("@files.txt") == [os.fsdecode(name) for name in odd if b"\n" not in name]


@pytest.mark.usefixtures("here")
def test_tables_are_relative_to_their_folder() -> None:
    Path("rec/t.csv").write_text('labels,file_name\n"x,y",a.wav\n,sub/b.flac\n,"new\nline.wav"\n')
    table = pyarrow.table({"labels": ["x", "", ""], "file_name": ["a.wav", "sub/b.flac", "new\nline.wav"]})
    pyarrow.parquet.write_table(table, "rec/t.parquet")
    for table_name in ("@rec/t.csv", "@rec/t.parquet"):
        assert paths(table_name) == ["rec/a.wav", "rec/sub/b.flac", "rec/new\nline.wav"]
        assert names(table_name) == ["a.wav", "sub/b.flac", "new\nline.wav"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no.wav", "no.wav: no such file or folder"),
        ("no*.wav", r"no\*.wav: no file matches this pattern"),
        ("rec/.hidden/..", None),
        ("@no.txt", "cannot read no.txt: No such file or directory"),
        ("@rec", "cannot read rec: Is a directory"),
        ("@empty.txt", "empty.txt: names no files"),
        ("@empty.csv", "empty.csv: no column 'file_name'; it has none"),
        ("@other.csv", "other.csv: no column 'file_name'; it has 'name'"),
        ("@short.csv", "short.csv: row 1: 1 cells under 2 columns"),
        ("@blank.csv", "blank.csv: row 1: file_name is '', which no file can have"),
        ("@no.parquet", "no.parquet: not readable as Parquet"),
        ("https://host/a.wav", "https://host/a.wav: nothing is fetched from the network; download it"),
        ("bad\0name", "no such file or folder"),
    ],
)
def test_what_is_not_there_is_refused(text: str, reason: str | None) -> None:
    files = {
        "empty.txt": "\n",
        "empty.csv": "",
        "other.csv": "name\na.wav\n",
        "short.csv": "file_name,labels\na.wav\n",
        "blank.csv": "file_name,labels\n,x\n",
        "no.parquet": "PAR1",
    }
    for name, content in files.items():
        Path(name).write_text(content)
    if reason is None:
        assert paths(text) == [f"{text}/{name.removeprefix('rec/')}" for name in RECORDED]
        return
    with pytest.raises(EarmarkError, match=reason):
        paths(text)


@pytest.mark.usefixtures("here")
def test_stdin_and_a_file_of_its_name_are_two_things() -> None:
    Path("-").touch()
    assert paths("-") == ["-"]
    assert paths("./-") == [os.path.abspath("-")]


@pytest.mark.usefixtures("here")
def test_single() -> None:
    assert is_single(["e.wav"]) and is_single(["-"])
    assert not is_single(["rec"]) and not is_single(["e.wav", "e.wav"]) and not is_single(["*.wav"]) and not is_single(["@e.wav"])
