import errno
import os
from pathlib import Path

import pytest

from earmark import audio
from earmark.errors import MachineError


def test_files_are_found_once_in_order_through_links_but_not_in_circles(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "b" / "c.wav").mkdir(parents=True)
    for name in ("z.wav", "b/y.FLAC", "b/c.wav/x.ogg", "b/notes.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    names = [path.relative_to(tmp_path).as_posix() for path in audio.find_files(tmp_path)]
    assert names == ["b/c.wav/x.ogg", "b/y.FLAC", "loop.wav", "z.wav"]


def test_endings_are_those_of_sound_in_any_case() -> None:
    assert {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus", ".au"} <= audio.SUFFIXES
    assert not {".raw", ".txt", ".csv", ".mat4", ""} & audio.SUFFIXES
    assert all(suffix == suffix.lower() for suffix in audio.SUFFIXES)


def test_media_files_that_cannot_be_read_here_are_not_passed_over(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name in ("a.m4a", "b.MP4", "c.webm", "d.txt", "e.wav", "f.mp2"):
        (tmp_path / name).touch()
    assert [path.name for path in audio.find_files(tmp_path)] == ["a.m4a", "b.MP4", "c.webm", "e.wav", "f.mp2"]


def test_a_folder_that_cannot_be_opened_is_given_as_it_is(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """So that reading it says why, and its files are not missed without a word."""
    for name in ("locked/x.wav", "open/y.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def refusing(folder: Path) -> object:
        if folder.name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert list(audio.find_files(tmp_path)) == [tmp_path / "locked", tmp_path / "open/y.wav"]


def test_names_are_in_order_folder_by_folder(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name in ("b.wav", "a/z.wav", "a.wav", "B.wav", "a/b/c.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in audio.find_files(tmp_path)]
    assert names == ["B.wav", "a/b/c.wav", "a/z.wav", "a.wav", "b.wav"]


def test_a_folder_that_the_system_fails_to_list_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(MachineError, match="Input/output error"):
        list(audio.find_files(tmp_path))
