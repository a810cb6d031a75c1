"""Preparing a second time: what has changed is seen, what is the same is not done again."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.data import contents as contents_module
from earmark.data import decode, place
from earmark.data.clips import load_clips
from earmark.data.manifest import Clip, Manifest, make_manifest
from earmark.data.prepare import Prepared, prepare, read_bad
from earmark.data.store import Store
from earmark.errors import StoreError

NAMES = ("a.wav", "b.wav", "c.wav", "gone.wav", "text.wav")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Three sounds of 800 samples, a missing one, and a text."""
    for number, name in enumerate("abc"):
        write(tmp_path / f"{name}.wav", number + 1)
    (tmp_path / "text.wav").write_text("no sound")
    return make_manifest("manifest", tmp_path, [Clip(name, ("x",)) for name in NAMES], "test")


def write(path: Path, level: int, length: int = 800) -> None:
    soundfile.write(path, np.full(length, level, np.int16), 8000, subtype="PCM_16")


def again(manifest: Manifest, *rates: int, verify: bool = False) -> Prepared:
    return prepare(manifest, "m", manifest.root / "store", rates or (8000,), 1, verify)


def hidden_change(path: Path, level: int) -> None:
    """Another content of the same size, with the time of writing put back."""
    times = path.stat()
    write(path, level)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)


def levels(store: Store, rate: int = 8000) -> list[int]:
    clips = load_clips(store, rate)
    return [round(float(np.median(clips.samples(row))) * 32768) for row in range(len(clips.clip_id))]


def bytes_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_change_that_size_and_time_do_not_show_is_seen(manifest: Manifest) -> None:
    first = again(manifest)
    hidden_change(manifest.root / "b.wav", 9)
    second = again(manifest)
    assert not second.unchanged
    assert levels(second.store) == [1, 9, 3]
    assert second.store.fingerprint != first.store.fingerprint


def test_files_that_were_only_touched_are_the_same_and_read_once(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    first = again(manifest)
    before = bytes_of(first.store.path)
    for path in manifest.root.glob("*.wav"):
        os.utime(path)
    second = again(manifest)
    assert second.unchanged
    assert Store.open(second.store.path).fingerprint == first.store.fingerprint
    after = bytes_of(second.store.path)
    assert {name for name in after if after[name] != before.get(name)} == {"files.parquet"}
    monkeypatch.setattr(contents_module, "same_content", lambda *_: pytest.fail("read again"))
    assert again(manifest).unchanged


def test_the_same_data_elsewhere_has_the_same_fingerprint(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("copy")
    for path in manifest.root.glob("*.wav"):
        (copy / path.name).write_bytes(path.read_bytes())
    moved = make_manifest("manifest", copy, manifest.clips, "test")
    assert again(moved).store.fingerprint == again(manifest).store.fingerprint


def test_verify_reads_every_file_whatever_its_state(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    again(manifest)
    monkeypatch.setattr(contents_module, "_take_state", lambda _: (contents_module.FileState("as ever", 0), 0.0))
    again(manifest)  # keeps these states
    hidden_change(manifest.root / "c.wav", 7)
    assert again(manifest).unchanged  # nothing shows the change
    assert levels(again(manifest, verify=True).store) == [1, 2, 7]
    assert again(manifest, verify=True).unchanged


@pytest.mark.parametrize("name", ["gone.wav", "text.wav"])
def test_a_bad_file_is_tried_again_when_it_has_changed(name: str, manifest: Manifest) -> None:
    assert len(again(manifest).bad) == 2
    assert again(manifest).unchanged
    write(manifest.root / name, 8)
    mended = again(manifest)
    assert [bad for bad, _ in mended.bad] == [{"gone.wav": "text.wav", "text.wav": "gone.wav"}[name]]
    assert 8 in levels(mended.store)


def test_the_reason_of_a_bad_file_is_todays(manifest: Manifest) -> None:
    again(manifest)
    (manifest.root / "gone.wav").mkdir()
    again(manifest)
    assert dict(read_bad(manifest.root / "store"))["gone.wav"] == "is a folder, not a file"


@pytest.mark.parametrize("change", ["none", "touched", "hidden"])
def test_a_build_that_goes_on_mixes_no_contents(change: str, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BASKET_CLIPS", 1)
    decoded: list[str] = []

    def decode_clip(clip: Clip, *how, stop_at: str = "") -> object:  # type: ignore[no-untyped-def]
        if clip.file_name == stop_at:
            raise KeyboardInterrupt
        decoded.append(clip.file_name)
        return real(clip, *how)

    real = decode.decode_clip
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(decode, "decode_clip", lambda *how: decode_clip(*how, stop_at="gone.wav"))
        again(manifest)
    assert decoded[:3] == ["a.wav", "b.wav", "c.wav"]  # and maybe the next, ahead of time
    if change == "touched":
        for path in manifest.root.glob("*.wav"):
            os.utime(path)
    if change == "hidden":
        hidden_change(manifest.root / "b.wav", 9)
    decoded.clear()
    monkeypatch.setattr(decode, "decode_clip", decode_clip)
    store = again(manifest).store
    assert decoded == (["b.wav", "c.wav"] if change == "hidden" else []) + ["gone.wav", "text.wav"]
    assert levels(store) == [1, 9 if change == "hidden" else 2, 3]
    assert again(manifest).unchanged


def test_a_rate_is_not_added_to_files_that_change_meanwhile(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    again(manifest)
    real = decode.decode_clip

    def decode_clip(clip: Clip, *how) -> object:  # type: ignore[no-untyped-def]
        if clip.file_name == "b.wav":
            hidden_change(manifest.root / "b.wav", 9)
        return real(clip, *how)

    with monkeypatch.context() as patch, pytest.raises(StoreError, match=r"^b\.wav changed while it was read"):
        patch.setattr(decode, "decode_clip", decode_clip)
        again(manifest, 4000)
    assert levels(Store.open(manifest.root / "store")) == [1, 2, 3]
    store = again(manifest, 4000).store
    assert store.sample_rates == (4000, 8000)
    assert levels(store) == levels(store, 4000) == [1, 9, 3]


def test_a_store_of_an_earlier_version_can_be_used_and_is_made_anew(manifest: Manifest) -> None:
    """It has no table of its files, and a fingerprint of their sizes and times."""
    store = again(manifest).store
    (store.path / "files.parquet").unlink()
    info = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps(info | {"fingerprint": "0" * 32}))
    assert levels(Store.open(store.path)) == [1, 2, 3]
    assert not again(manifest).unchanged
    assert again(manifest).unchanged


def test_rates_are_added_behind_a_link_again_and_again(manifest: Manifest) -> None:
    (manifest.root / "store").symlink_to("disk/there")
    for count, rate in enumerate((8000, 4000, 2000), start=1):
        store = again(manifest, rate).store
        assert len(store.sample_rates) == count
        assert (manifest.root / "store").is_symlink()
        assert levels(store, rate) == [1, 2, 3]
    assert again(manifest).unchanged
    assert sorted(path.name for path in (manifest.root / "disk").iterdir()) == [".there.lock", "there"]


def test_rates_are_added_to_a_mounted_folder(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    out = manifest.root / "store"
    out.mkdir()
    monkeypatch.setattr(place, "_is_mounted", lambda folder: folder == out.resolve())
    inode = out.stat().st_ino
    for rate in (8000, 4000, 2000):
        assert levels(again(manifest, rate).store, rate) == [1, 2, 3]
    assert again(manifest).unchanged
    hidden_change(manifest.root / "b.wav", 9)
    assert levels(again(manifest).store, 2000) == [1, 9, 3]
    assert out.stat().st_ino == inode
    assert not list(manifest.root.glob(".store*"))
