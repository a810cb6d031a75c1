import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import soundfile

from earmark import audio
from earmark.data.clips import load_clips
from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.prepare import prepare, read_bad
from earmark.data.store import Store
from earmark.errors import AudioError, StoreError


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.is_file()}


def test_a_second_run_does_nothing_and_a_touched_file_is_seen(rendered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(rendered.parent, folder, ignore=shutil.ignore_patterns("store*"))
    manifest = read_manifest(folder / "manifest.csv")
    assert not prepare(manifest, "m", tmp_path / "store", [16000]).unchanged
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
    assert prepare(manifest, "m", tmp_path / "store", [16000]).unchanged
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()} == before
    soundfile.write(folder / manifest.clips[0].file_name, np.ones(999), 16000)
    assert not prepare(manifest, "m", tmp_path / "store", [16000]).unchanged
    assert load_clips(Store.open(tmp_path / "store"), 16000).length[0] == 999
    new_hash = hashlib.sha256((folder / manifest.clips[0].file_name).read_bytes()).hexdigest()[:32]
    assert pyarrow.parquet.read_table(tmp_path / "store" / "clips.parquet")["content_hash"][0].as_py() == new_hash


def test_a_rate_can_be_added_and_the_store_is_the_same_as_made_at_once(rendered: Path, store: Store, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    prepare(manifest, str(rendered), tmp_path / "store", [16000])
    inode = (tmp_path / "store" / "pcm-16000.i16").stat().st_ino
    prepare(manifest, str(rendered), tmp_path / "store", [8000])
    assert (tmp_path / "store" / "pcm-16000.i16").stat().st_ino == inode  # not decoded again
    assert contents(tmp_path / "store") == contents(store.path)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_build_that_was_killed_goes_on_and_ends_byte_equal(jobs: int, rendered: Path, store: Store, tmp_path: Path) -> None:
    """Killed several times, each time a little later, until it gets through."""
    code = (
        "import sys, time; from pathlib import Path; from earmark import audio; from earmark.data.manifest import read_manifest;"
        "import earmark.data.prepare; earmark.data.prepare.BASKET_CLIPS = 2;"
        "from earmark.data.prepare import prepare; resample = audio.resample;"
        "audio.resample = lambda *a: (time.sleep(0.02), resample(*a))[1];"  # slow enough to be killed half-way
        f"prepare(read_manifest(Path({str(rendered)!r})), {str(rendered)!r}, Path({str(tmp_path / 'store')!r}), [8000, 16000], {jobs})"
    )
    kills = 0
    sizes = []
    for _ in range(20):  # starts at most
        if (tmp_path / "store").exists():
            break
        process = subprocess.Popen([sys.executable, "-c", code])
        journal = tmp_path / ".store.partial" / "journal.jsonl"
        before = journal.stat().st_size if journal.exists() else 0
        while process.poll() is None and (journal.stat().st_size if journal.exists() else 0) < before + 3000:
            time.sleep(0.005)
        if process.poll() is None and kills < 3:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        sizes.append(journal.stat().st_size if journal.exists() else None)
    assert kills == 3
    assert sizes[:3] == sorted(sizes[:3])  # each start went on where the last one stopped
    assert contents(tmp_path / "store") == contents(store.path)
    assert not (tmp_path / ".store.partial").exists()


def test_stopped_between_the_two_renames_the_old_store_comes_back(rendered: Path, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    prepare(manifest, "m", tmp_path / "store", [8000])
    (tmp_path / "store").rename(tmp_path / ".store.old")
    assert prepare(manifest, "m", tmp_path / "store", [8000]).unchanged


def test_bad_files_are_rows_of_the_ledger_and_the_rest_is_there(rendered: Path, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    (tmp_path / "text.wav").write_text("not a sound")
    clips = [Clip("text.wav", ("bell",)), Clip("gone.wav", ("bell",))]
    good = rendered.parent / manifest.clips[0].file_name
    shutil.copy(good, tmp_path / "good.wav")
    write_manifest(tmp_path / "m.csv", [*clips, Clip("good.wav", ("bell",))])
    made = prepare(read_manifest(tmp_path / "m.csv"), "m", tmp_path / "store", [16000])
    assert made.store.clip_count == 1
    assert made.store.bad_count == 2
    bad = dict(read_bad(tmp_path / "store"))
    assert bad["gone.wav"] == "no such file"
    assert bad["text.wav"].startswith("not readable as audio")
    assert load_clips(made.store, 16000).clip_id.tolist() == ["good.wav"]


def test_a_folder_that_is_no_store_is_left_alone(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="is no store"):
        prepare(read_manifest(rendered), "m", tmp_path / "precious", [16000])
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "mine"


def pieces(folder: Path) -> Path:
    """A manifest of two pieces of one file, one with 2 samples at 16 kHz (none at 1 kHz) and one behind its end, and a whole file."""
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, np.sin(np.arange(8000)), 16000)
    clips = [Clip("a.wav", ("x",), start=0.0, end=0.0001), Clip("a.wav", ("x",), start=5.0, end=6.0), Clip("b.wav", ("y",))]
    write_manifest(folder / "m.csv", clips)
    return folder / "m.csv"


@pytest.mark.parametrize("rates", [[[1000], [16000]], [[16000], [1000]]])
def test_each_bad_clip_of_a_file_keeps_its_reason_when_a_rate_is_added(rates: list[list[int]], tmp_path: Path) -> None:
    manifest = read_manifest(pieces(tmp_path))
    for some in rates:
        made = prepare(manifest, "m", tmp_path / "store", some)
    assert [(name, reason.split()[:2]) for name, reason in made.bad] == [("a.wav", ["too", "short:"]), ("a.wav", ["5", "s"])]
    assert made.bad == prepare(manifest, "m", tmp_path / "at-once", [1000, 16000]).bad


@pytest.mark.parametrize(
    "content",
    [b"", b"x\ny\n", b"file_name,reason\n\xff,y\n", b"file_name,reason\n", b"file_name,reason\na.wav\na.wav\n", b'a,"'],
)
def test_a_ledger_that_is_damaged_is_made_anew(content: bytes, tmp_path: Path) -> None:
    manifest = read_manifest(pieces(tmp_path))
    prepare(manifest, "m", tmp_path / "store", [1000])
    before = contents(tmp_path / "store")
    (tmp_path / "store" / "bad.csv").write_bytes(content)
    assert not prepare(manifest, "m", tmp_path / "store", [1000]).unchanged
    assert contents(tmp_path / "store") == before


@pytest.mark.parametrize("verify", [False, True])
def test_a_bad_clip_is_tried_again_when_its_file_was_touched(verify: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a new version of a decoder: the content is the same, and it can be used now."""
    manifest = read_manifest(pieces(tmp_path))
    read_stored = audio.read_stored
    tried = []

    def read_less(file: audio.OpenFile, *part: float | None) -> tuple[audio.Samples | audio.Steps, int]:
        tried.append(Path(os.fsdecode(file.path)).name)
        if tried[-1] == "a.wav":
            raise AudioError("unknown codec")
        return read_stored(file, *part)

    monkeypatch.setattr(audio, "read_stored", read_less)
    assert prepare(manifest, "m", tmp_path / "store", [16000]).store.clip_count == 1
    tried.clear()
    assert prepare(manifest, "m", tmp_path / "store", [16000]).unchanged
    assert not tried
    for _ in range(2):  # it is bad as before, and then not
        if not verify:
            os.utime(tmp_path / "a.wav")
        made = prepare(manifest, "m", tmp_path / "store", [16000], verify=verify)
        monkeypatch.setattr(audio, "read_stored", read_stored)
    assert tried == ["a.wav", "a.wav"]
    assert not made.unchanged
    assert made.store.clip_count == 2
    assert [reason.split()[0] for _, reason in made.bad] == ["5"]


def test_a_folder_that_others_own_among_those_of_all_stays_and_takes_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a folder in `/tmp`: who does not own it may write in it, but not rename it."""
    manifest = read_manifest(pieces(tmp_path))
    store = tmp_path / "all" / "store"
    store.mkdir(parents=True)
    (tmp_path / "all").chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(store).st_uid + 1)
    before = store.stat().st_ino
    for rates, unchanged in (([8000], False), ([16000], False), ([16000], True)):
        assert prepare(manifest, "m", store, rates).unchanged is unchanged
    assert store.stat().st_ino == before
    assert os.listdir(tmp_path / "all") == ["store"]
    assert sorted(os.listdir(store)) == [
        ".lock", "bad.csv", "clips.parquet", "files.parquet", "pcm-16000.i16", "pcm-8000.i16", "store.json",
    ]  # fmt: skip
