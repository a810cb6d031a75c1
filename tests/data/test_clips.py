from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.data.clips import load_clips
from earmark.data.manifest import Clip, make_manifest, read_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from tests.conftest import read_mono


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


def test_digital_silence_at_the_ends_is_counted_and_can_be_left_out(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(100), np.full(50, 0.5), np.zeros(10), np.full(5, 0.5), np.zeros(30)])
    soundfile.write(tmp_path / "x.wav", samples, 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(40), 16000)
    manifest = make_manifest("manifest", tmp_path, [Clip("x.wav", ("a",)), Clip("silent.wav", ("a",))], "test")
    clips = load_clips(prepare(manifest, "x", tmp_path / "store", [16000]).store, 16000)
    assert (clips.lead[0], clips.tail[0]) == (100, 30)
    assert clips.without_silent_ends().length.tolist() == [65, 1]
    assert clips.without_silent_ends().samples(0)[0] == 0.5


def test_two_parts_of_one_file_are_two_clips(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.arange(16000) / 16000, 16000, subtype="FLOAT")
    (tmp_path / "m.csv").write_text("file_name,labels,start,end\nx.wav,a,0,0.25\nx.wav,b,0.25,1\n")
    store = prepare(read_manifest(tmp_path / "m.csv"), "m", tmp_path / "store", [16000]).store
    clips = load_clips(store, 16000)
    assert clips.clip_id.tolist() == ["x.wav#0-0.25", "x.wav#0.25-1"]
    assert clips.length.tolist() == [4000, 12000]
    assert clips.group.tolist() == ["x.wav", "x.wav"]
    assert clips.samples(1)[0] == pytest.approx(0.25, abs=1e-4)
