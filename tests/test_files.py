import csv
import io
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark import files
from earmark.errors import EarmarkError


def test_baskets_are_of_few_files_and_few_bytes() -> None:
    sizes = [1, 1, 1, 1, 8, 2, 30, 0, 0]
    assert [list(basket) for basket in files.baskets(sizes, max_files=3, max_bytes=10)] == [[0, 1, 2], [3, 4], [5], [6], [7, 8]]
    assert [list(basket) for basket in files.baskets(sizes, max_files=3, max_bytes=10, first=6)] == [[6], [7, 8]]
    assert list(files.baskets([], max_files=3, max_bytes=10)) == []


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "a").write_text(text)
    return path


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    final = folder(tmp_path / "store", "old")
    files.put_folder(folder(tmp_path / "partial", "new"), final)
    assert (final / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_folder_that_was_not_put_in_place_is_taken_back(tmp_path: Path) -> None:
    final = tmp_path / "store"
    folder(tmp_path / ".store.old", "old")
    files.take_back(final)  # stopped between the two renames
    assert (final / "a").read_text() == "old"
    folder(tmp_path / ".store.old", "older")
    files.take_back(final)  # stopped before the old one was removed
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert (final / "a").read_text() == "old"


def test_a_linked_file_is_the_same_file(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("x")
    new.write_text("in the way")
    files.link_or_copy(old, new)
    assert new.samefile(old)


def test_a_file_is_the_old_one_or_the_new_one_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old\r\n")
    assert path.read_bytes() == b"old\r\n"
    with pytest.raises(ZeroDivisionError), files.replacing(path) as partial:
        assert partial.parent == tmp_path  # of one file system with it, else it could not take its place at once
        partial.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old\n"
    with files.replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old\n"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=3), max_size=4
    )
)
def test_rows_read_back_as_they_are(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    files.write_rows(text, rows)
    assert list(csv.reader(io.StringIO(text.getvalue(), newline=""))) == rows


def test_a_lock_keeps_others_out_and_names_what_is_in_use(tmp_path: Path) -> None:
    lock, what = tmp_path / "new" / ".lock", tmp_path / "new"
    with (
        files.locked(lock, what),
        pytest.raises(EarmarkError, match="new is in use by another earmark process"),
        files.locked(lock, what),
    ):
        pass
    with files.locked(lock, what):
        assert lock.read_bytes() == b""
    (tmp_path / "file").touch()
    with pytest.raises(EarmarkError, match="cannot write what: "), files.locked(tmp_path / "file" / ".lock", Path("what")):
        pass


def test_where_there_are_no_links_a_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("os.link", none_here)
    (tmp_path / "old").write_text("x")
    files.link_or_copy(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new").read_text() == "x"
    assert not (tmp_path / "new").samefile(tmp_path / "old")


def test_a_small_file_is_read_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes("é".encode() * 8)
    assert files.read_small(path, limit=16) == "é" * 8
    with pytest.raises(OSError, match="larger than"):
        files.read_small(path, limit=15)
    with pytest.raises(FileNotFoundError):
        files.read_small(tmp_path / "b")
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            files.read_small(odd)
    open_files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(3):
        with pytest.raises(OSError, match="no regular file"):
            files.read_small(tmp_path)
    assert not open_files or len(os.listdir("/proc/self/fd")) == open_files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ('{"a": ["\\udc80"]}', "half a character"),
        ('{"\\ud800": 1}', "half a character"),
        ("[1", "Expecting"),
        ("1" * 5_000, "digits"),
    ],
)
def test_json_that_means_nothing_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=said):
        files.read_json(tmp_path / "a.json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_is_read_as_it_was_written(data: object) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(data))
        assert files.read_json(path) == data


def test_file_that_another_is_writing_is_refused_and_stays_the_others(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    with files.replacing(path) as partial:
        partial.write_text("first")
        with pytest.raises(EarmarkError, match=r"tags\.csv is being written by another earmark process"), files.replacing(path):
            pass
        assert partial.read_text() == "first"
    assert path.read_text() == "first"
    assert [child.name for child in tmp_path.iterdir()] == ["tags.csv"]


def test_half_file_of_a_killed_process_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".tags.csv.partial").write_text("half of a longer text that a killed process left")
    files.write_text(tmp_path / "tags.csv", "whole")
    assert (tmp_path / "tags.csv").read_text() == "whole"
    assert [child.name for child in tmp_path.iterdir()] == ["tags.csv"]


def test_link_stays_and_leads_to_the_new_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    target, link = tmp_path / "data" / "a.txt", tmp_path / "a.txt"
    link.symlink_to("data/a.txt")
    for content in ("new", "newer"):  # first it leads nowhere
        files.write_text(link, content)
        assert link.is_symlink()
        assert target.read_text() == content
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.txt", "a.txt", "data"]


@pytest.mark.parametrize("name", ["/", ".", "", "..", "folder"])
def test_folder_is_no_file_to_replace(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError), files.replacing(Path(name)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
