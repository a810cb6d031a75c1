from pathlib import Path

from earmark import files


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
