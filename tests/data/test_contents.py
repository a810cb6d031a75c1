import errno
import hashlib
import os
import time
from pathlib import Path

import pytest

from earmark import audio
from earmark.data import contents
from earmark.data.manifest import Clip, Manifest, make_manifest
from earmark.errors import MachineError


def manifest_of(folder: Path, *names: str) -> Manifest:
    return make_manifest("manifest", folder, [Clip(name, ("a",)) for name in names], "test")


def state_of(path: Path) -> str:
    manifest = manifest_of(path.parent, path.name)
    return contents.take_states(manifest, manifest.clips)[path.name].text


def test_whatever_happens_to_a_file_changes_its_state(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    states = [state_of(path)]
    path.write_bytes(b"12345678")
    states.append(state_of(path))
    times = path.stat()
    path.write_bytes(b"87654321")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the same size and time
    states.append(state_of(path))
    os.utime(path)
    states.append(state_of(path))
    path.unlink()
    path.mkdir()
    states.append(state_of(path))
    assert len(set(states)) == 5
    assert states[0] == "no such file"
    assert state_of(path) == states[-1]  # nothing happened


def test_states_are_taken_when_the_clock_has_moved_on(tmp_path: Path) -> None:
    """Else a file that changes again in the same tick would look the same."""
    (tmp_path / "x.wav").write_bytes(b"1")
    state_of(tmp_path / "x.wav")
    assert time.time() - (tmp_path / "x.wav").stat().st_ctime >= contents.TICK


def test_a_disk_error_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(MachineError, match=r"x\.wav: Input/output error"):
        state_of(tmp_path / "x.wav")


def test_a_content_is_the_hash_or_why_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"text")
    content = hashlib.sha256(b"text").hexdigest()[:32]
    assert contents.same_content(tmp_path / "x.wav", content)
    assert not contents.same_content(tmp_path / "x.wav", "no such file")
    assert contents.same_content(tmp_path / "y.wav", "no such file")
    assert not contents.same_content(tmp_path / "y.wav", content)


def test_a_very_large_bad_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "x.wav").open("wb") as file:
        file.truncate(contents.LARGE + 1)  # a hole
    monkeypatch.setattr(audio, "content_hash", lambda _: pytest.fail("read"))
    with audio.opened(tmp_path / "x.wav") as opened:
        content = contents.content_of(opened, bad=True)
    assert not contents.is_hash(content)
    assert contents.same_content(tmp_path / "x.wav", content)
    os.utime(tmp_path / "x.wav", (0, 0))
    assert not contents.same_content(tmp_path / "x.wav", content)


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize(
    ("touched", "changed", "same"), [("", "", True), ("ab", "", True), ("ab", "b", False), ("a", "b", None), ("abc", "c", False)]
)
def test_only_files_in_another_state_are_read(
    touched: str, changed: str, same: bool | None, verify: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """b changed without a sign of it (as if the clock stood still) is seen with --verify only."""
    for name in "abc":
        (tmp_path / name).write_text(name)
    manifest = manifest_of(tmp_path, *"abc")
    states = contents.take_states(manifest, manifest.clips)
    kept = {
        name: contents.Kept("before" if name in touched else states[name].text, hashlib.sha256(name.encode()).hexdigest()[:32])
        for name in "abc"
    }
    for name in changed:
        (tmp_path / name).write_text("other")
    read: list[str] = []
    same_content = contents.same_content
    monkeypatch.setattr(contents, "same_content", lambda path, of: (read.append(path.name), same_content(path, of))[1])
    expected = (not verify) if same is None else same
    assert contents.all_same(manifest, states, kept, verify, 2) == expected
    if expected:
        assert sorted(read) == (list("abc") if verify else list(touched))


def test_what_a_store_keeps_comes_back(tmp_path: Path) -> None:
    assert contents.read_kept(tmp_path) == {}
    states = {"a": contents.FileState("1 2 3", 1), "b/ü": contents.FileState("no such file", 0)}
    contents.write_kept(tmp_path / contents.NAME, states, {"b/ü": "no such file", "a": "f00"})
    assert contents.read_kept(tmp_path) == {
        "a": contents.Kept("1 2 3", "f00"),
        "b/ü": contents.Kept("no such file", "no such file"),
    }
    (tmp_path / contents.NAME).write_text("no table")
    assert contents.read_kept(tmp_path) == {}
