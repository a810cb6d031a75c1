from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.data.clips import load_clips
from earmark.data.manifest import Clip, make_manifest
from earmark.data.prepare import prepare


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
