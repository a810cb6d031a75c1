import os
from pathlib import Path

import pytest

from earmark.data import place as place_module
from earmark.data.place import Place
from earmark.errors import StoreError


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def built(place: Place, **files: str) -> None:
    place.partial.mkdir()
    for name, text in files.items():
        (place.partial / name.replace("_", ".")).write_text(text)


def mounted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder that the system takes for a mount point."""
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == folder)
    place = Place.of(folder)
    assert place.inside
    return place


OLD, NEW = {"store.json": "old", "pcm": "old"}, {"store.json": "new", "pcm": "new", "bad.csv": "new"}


@pytest.mark.parametrize("inside", [False, True])
def test_a_finished_store_takes_the_place_of_the_old_one(inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    place = mounted(folder, monkeypatch) if inside else Place.of(folder)
    assert place.is_free()
    for files in (OLD, NEW):
        place.tidy()
        built(place, **{name.replace(".", "_"): text for name, text in files.items()})
        place.put()
        assert contents(folder) == files
        assert not place.partial.exists()
        assert not place.is_free()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_store_inside_its_place_that_was_stopped_at_any_moment_is_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped before the first, second … step; between, the folder is no store."""
    replace, rename = os.replace, Path.rename
    for steps in range(6):
        folder = tmp_path / str(steps)
        place = mounted(folder, monkeypatch)
        for name, text in OLD.items():
            (folder / name).write_text(text)
        built(place, **{name.replace(".", "_"): text for name, text in NEW.items()})
        left = iter(range(steps))

        def step(do, *paths, left=left):  # type: ignore[no-untyped-def]
            if next(left, None) is None:
                raise KeyboardInterrupt
            return do(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", lambda *paths, step=step: step(replace, *paths))
            patch.setattr(Path, "rename", lambda *paths, step=step: step(rename, *paths))
            try:
                place.put()
            except KeyboardInterrupt:
                pass
        if (folder / "store.json").exists():
            assert (folder / "pcm").read_text() == (folder / "store.json").read_text()
        place = Place.of(folder)  # as the next start does
        place.tidy()
        left_behind = contents(folder) if not place.partial.exists() else None
        assert left_behind == (NEW if steps else None)
        if not steps:
            assert (folder / "store.json").read_text() == "old"


def test_a_link_stays_a_link_and_the_work_is_done_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to("disk/here")  # nothing is there yet
    place = Place.of(tmp_path / "store")
    assert place == Place(tmp_path.resolve() / "disk/here", False)
    assert place.partial.parent == place.lock.parent == tmp_path.resolve() / "disk"


def test_a_folder_of_the_same_file_system_may_be_mounted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr(place_module, "MOUNTS", tmp_path / "mounts")
    assert not Place.of(tmp_path / "a b").inside
    shown = str(tmp_path.resolve() / "a b").replace(" ", r"\040")
    (tmp_path / "mounts").write_text(f"25 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 25 8:1 /x {shown} rw - ext4 /dev/sda1 rw\n")
    assert Place.of(tmp_path / "a b").inside


def test_an_empty_file_system_is_free_and_other_things_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    for name in ("lost+found", ".partial", ".lock"):
        (folder / name).mkdir()
    assert mounted(folder, monkeypatch).is_free()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="is there already and is no store"):
        Place.of(folder)


def test_what_can_be_no_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("mine")
    for path, reason in (
        (tmp_path / "loop", "a link that leads to itself"),
        (tmp_path / "file", "is no store"),
        (Path("/"), "is no store"),
    ):
        with pytest.raises(StoreError, match=reason):
            Place.of(path)
