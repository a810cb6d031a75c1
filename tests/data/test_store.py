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

from earmark.data.clips import load_clips
from earmark.data.manifest import Clip, make_manifest, read_manifest, write_manifest
from earmark.data.prepare import prepare, read_bad
from earmark.data.store import Store
from earmark.errors import StoreError
from tests.conftest import read_mono


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_clips_read_back_as_they_were_in_the_files(rendered: Path, store: Store) -> None:
    manifest = read_manifest(rendered)
    clips = load_clips(store, 16000)
    assert list(clips.clip_id) == [clip.file_name for clip in manifest.clips]
    for i in range(0, len(clips), 7):
        written, _ = soundfile.read(rendered.parent / manifest.clips[i].file_name, dtype="float32")
        assert np.array_equal(clips.samples(i), written)  # 16-bit files at their own rate: not one bit lost
        assert clips.peak[i] == np.abs(written).max()


def test_other_rates_are_resampled(rendered: Path, store: Store) -> None:
    clips = load_clips(store, 8000)
    path = rendered.parent / str(clips.clip_id[3])
    expected = read_mono(path, 8000)
    assert len(expected) == clips.length[3]
    assert np.abs(clips.samples(3) - expected).max() <= clips.scale[3] / 32768


@pytest.mark.parametrize(("gain", "name"), [(3.0, "over-full"), (1e-6, "quiet"), (1.0, "full")])
def test_float_audio_keeps_its_digits_whatever_its_level(gain: float, name: str, tmp_path: Path) -> None:
    samples = (np.random.default_rng(0).uniform(-1, 1, 4000) * gain).astype(np.float32)
    samples[0] = gain
    soundfile.write(tmp_path / "x.wav", samples, 16000, subtype="FLOAT")
    manifest = make_manifest("manifest", tmp_path, [Clip("x.wav", ("a",))], "test")
    clips = load_clips(prepare(manifest, name, tmp_path / "store", [16000]).store, 16000)
    assert np.abs(clips.samples(0) - samples).max() <= gain / 32768 * 1.01


@pytest.mark.parametrize(
    "steps",
    [
        [0, -32768, 32767, -1],
        [0, 5, -4, 0, 0],  # quiet: there it takes the scale of 2**-12
        [0, 8, -8, 0],
        [-1, 0, 0],
        [1, 0],
        [0, 0, 0],
        np.random.default_rng(0).integers(-300, 300, 10000).tolist(),
    ],
)
def test_16_bit_audio_is_stored_as_the_same_samples_in_floats_would_be(steps: list[int], tmp_path: Path) -> None:
    for name, subtype in (("16", "PCM_16"), ("32", "FLOAT")):
        written = np.array(steps, np.int16) if name == "16" else (np.array(steps) / 32768).astype(np.float32)
        soundfile.write(tmp_path / f"{name}.wav", written, 16000, subtype=subtype)
    manifest = make_manifest("manifest", tmp_path, [Clip("16.wav", ("a",)), Clip("32.wav", ("a",))], "test")
    clips = load_clips(prepare(manifest, "x", tmp_path / "store", [16000]).store, 16000)
    assert (clips.samples(0) * 32768).tolist() == steps
    for column in (clips.length, clips.scale, clips.peak, clips.lead, clips.tail):
        assert column[0] == column[1]
    assert clips.pcm[: len(steps)].tolist() == clips.pcm[len(steps) :].tolist()


def test_digital_silence_at_the_ends_is_counted_and_can_be_left_out(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(100), np.full(50, 0.5), np.zeros(10), np.full(5, 0.5), np.zeros(30)])
    soundfile.write(tmp_path / "x.wav", samples, 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(40), 16000)
    manifest = make_manifest("manifest", tmp_path, [Clip("x.wav", ("a",)), Clip("silent.wav", ("a",))], "test")
    clips = load_clips(prepare(manifest, "x", tmp_path / "store", [16000]).store, 16000)
    assert (clips.lead[0], clips.tail[0]) == (100, 30)
    assert clips.without_silent_ends().length.tolist() == [65, 1]
    assert clips.without_silent_ends().samples(0)[0] == 0.5


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


def test_a_clip_half_written_when_the_machine_went_down_is_done_again(rendered: Path, store: Store, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    out = tmp_path / "store"
    prepare(manifest, str(rendered), out, [8000, 16000])
    partial = tmp_path / ".store.partial"
    out.rename(partial)
    table = pyarrow.parquet.read_table(partial / "clips.parquet").to_pylist()
    fingerprint = Store.open(partial).fingerprint
    import json

    lines = [json.dumps({"fingerprint": fingerprint, "sample_rates": [8000, 16000]})]
    for number in range(40):
        rows = {str(r["sample_rate"]): r for r in table if r["row"] == number}
        columns = ("offset", "length", "scale", "peak", "lead", "tail")
        line = {"clip": number, "content_hash": rows["8000"]["content_hash"]}
        lines.append(json.dumps(line | {rate: {c: row[c] for c in columns} for rate, row in rows.items()}))
    (partial / "journal.jsonl").write_text("\n".join(lines) + "\n" + lines[-1][:30])  # its last line is cut off, too
    last = next(r for r in table if r["row"] == 39 and r["sample_rate"] == 16000)
    os.truncate(partial / "pcm-16000.i16", 2 * (last["offset"] + 10))
    prepare(manifest, str(rendered), out, [8000, 16000])
    assert contents(out) == contents(store.path)


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


def test_clips_parquet_says_what_the_manifest_said(rendered: Path, store: Store) -> None:
    rows = pyarrow.parquet.read_table(store.path / "clips.parquet").to_pylist()
    manifest = read_manifest(rendered)
    assert len(rows) == 2 * len(manifest.clips)
    for clip, row in zip(manifest.clips, rows[::2], strict=True):
        assert row["clip_id"] == clip.clip_id
        assert tuple(row["labels"]) == clip.labels
        assert (row["verified"], row["split"], row["sample_rate"]) == (clip.verified, clip.split, 8000)
        assert row["fold"] == (-1 if clip.split == "test" else clip.fold)
        assert row["content_hash"] == hashlib.sha256((rendered.parent / clip.file_name).read_bytes()).hexdigest()[:32]


def test_a_missing_rate_is_refused_with_the_command_that_adds_it(store: Store, rendered: Path) -> None:
    with pytest.raises(StoreError) as caught:
        load_clips(store, 32000)
    assert f"`earmark prepare manifest {rendered} --out {store.path} --sample-rate 32000` adds it" in str(caught.value)


def test_a_folder_that_is_no_store_is_left_alone(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="is no store"):
        prepare(read_manifest(rendered), "m", tmp_path / "precious", [16000])
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "mine"


def test_two_parts_of_one_file_are_two_clips(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.arange(16000) / 16000, 16000, subtype="FLOAT")
    (tmp_path / "m.csv").write_text("file_name,labels,start,end\nx.wav,a,0,0.25\nx.wav,b,0.25,1\n")
    store = prepare(read_manifest(tmp_path / "m.csv"), "m", tmp_path / "store", [16000]).store
    clips = load_clips(store, 16000)
    assert clips.clip_id.tolist() == ["x.wav#0-0.25", "x.wav#0.25-1"]
    assert clips.length.tolist() == [4000, 12000]
    assert clips.group.tolist() == ["x.wav", "x.wav"]
    assert clips.samples(1)[0] == pytest.approx(0.25, abs=1e-4)
