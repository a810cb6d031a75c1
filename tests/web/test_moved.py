import os
import shutil
import time
from pathlib import Path

import pytest

from earmark import audio
from earmark.web import moved
from earmark.web.moved import MovedFiles
from tests.web.conftest import small_clips


def hash_of(path: Path) -> str:
    with audio.opened(path) as file:
        return audio.content_hash(file)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small_clips(tmp_path)
    return tmp_path


def test_found_by_content_wherever_it_lies_and_whatever_it_is_called(root: Path) -> None:
    old = root / "sounds" / "03.wav"
    content, size = hash_of(old), old.stat().st_size
    new = root / "deep" / "er" / "other name.WAV"
    new.parent.mkdir(parents=True)
    shutil.move(old, new)
    finder = MovedFiles(root)
    assert finder.find(content, size, ".wav", patience=5) == new
    assert finder.find(content, size, ".wav", patience=0) == new
    assert MovedFiles(root).find(content, None, ".flac", patience=5) == new  # neither size nor ending help


def test_nowhere_is_remembered_and_looked_for_again_later(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "sounds" / "03.wav"
    content, size = hash_of(path), path.stat().st_size
    shutil.move(path, root.parent / f"{root.name}.away")
    finder = MovedFiles(root)
    assert finder.find(content, size, ".wav", patience=5) is None
    shutil.move(root.parent / f"{root.name}.away", root / "back.wav")
    assert finder.find(content, size, ".wav", patience=5) is None
    monkeypatch.setattr(moved, "LOOK_AGAIN", 0.0)
    assert finder.find(content, size, ".wav", patience=5) == root / "back.wav"


def test_a_file_that_went_away_again_is_looked_for_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "sounds" / "03.wav"
    content, size = hash_of(path), path.stat().st_size
    finder = MovedFiles(root)
    assert finder.find(content, size, ".wav", patience=5) == path
    shutil.move(path, root / "new.wav")
    finder.forget(content)
    monkeypatch.setattr(moved, "LOOK_AGAIN", 0.0)
    assert finder.find(content, size, ".wav", patience=5) == root / "new.wav"


def test_nobody_waits_for_a_slow_search(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = audio.find_files

    def slowly(folder: Path) -> object:
        time.sleep(0.5)
        return slow(folder)

    monkeypatch.setattr(audio, "find_files", slowly)
    path = root / "sounds" / "05.ogg"
    content, size = hash_of(path), path.stat().st_size
    finder = MovedFiles(root)
    begun = time.monotonic()
    assert finder.find(content, size, ".ogg", patience=0.05) is None
    assert time.monotonic() - begun < 0.4
    assert finder.find(content, size, ".ogg", patience=5) == path


def test_odd_things_in_the_folder_do_no_harm(root: Path) -> None:
    os.mkfifo(root / "pipe.wav")
    (root / "nothing.wav").symlink_to(root / "nowhere")
    (root / "empty.wav").write_bytes(b"")
    (root / "round").symlink_to(root)
    path = root / "sounds" / "02.ogg"
    assert MovedFiles(root).find(hash_of(path), None, ".wav", patience=5) == path
    assert MovedFiles(root / "no such folder").find("0" * 32, 5, ".wav", patience=5) is None
