import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.data.clips import load_clips
from earmark.data.decode import Decoded, decode_clip, decode_clips
from earmark.data.manifest import Clip, Manifest, make_manifest
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


def rising(folder: Path, count: int) -> Manifest:
    """Files of 1, 2, 3 … samples; the third is missing and the fifth is text."""
    clips = [Clip(f"{number}.wav", ("a",)) for number in range(count)]
    for number, clip in enumerate(clips):
        soundfile.write(folder / clip.file_name, np.full(number + 1, 0.5), 8000, subtype="PCM_16")
    (folder / "2.wav").unlink()
    (folder / "4.wav").write_text("no sound")
    return make_manifest("manifest", folder, clips, "test")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("first", [0, 3, 19])
def test_clips_come_in_order_from_the_first_on_and_bad_ones_keep_their_place(threads: int, first: int, tmp_path: Path) -> None:
    manifest = rising(tmp_path, 20)
    paths = [manifest.path(clip) for clip in manifest.clips]
    sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
    baskets = list(decode_clips(manifest, manifest.clips, sizes, first, [8000], threads))
    assert all(1 <= len(basket) <= 8 for basket in baskets)
    results = [result for basket in baskets for result in basket]
    told = [result.encoded[8000].columns["length"] if isinstance(result, Decoded) else result.reason for result in results]
    expected: list[object] = [1, 2, "no such file", 4, "not readable as audio (Format not recognised)", *range(6, 21)]
    assert told == expected[first:]


def test_parts_of_one_file_have_its_hash_which_is_taken_once(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.arange(800) / 800, 8000)
    path, hashes = tmp_path / "x.wav", {}
    whole = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    for start, end, length in ((0.0, 0.025, 200), (0.025, None, 600)):
        part = decode_clip(Clip("x.wav", start=start, end=end), path, [8000], hashes)
        assert isinstance(part, Decoded)
        assert (part.content, part.encoded[8000].columns["length"]) == (whole, length)
    assert hashes == {path: whole}
    hashes[path] = "known already"
    part = decode_clip(Clip("x.wav", start=0, end=0.05), path, [8000], hashes)
    assert isinstance(part, Decoded)
    assert part.content == "known already"


@pytest.mark.parametrize(
    ("loudest", "scale"), [(0.25, 0.5), (0.249, 0.25), (0.5, 1.0), (-0.5, 0.5), (-0.25, 0.25), (1.0, 2.0), (32767 / 32768, 1.0), (-1.0, 1.0), (-1.5, 2.0), (0.0, 1.0)]
)  # fmt: skip
def test_the_scale_is_the_power_of_two_that_16_bits_are_filled_by(loudest: float, scale: float, tmp_path: Path) -> None:
    """−0.25 is −32768 of a quarter; +0.25 would be 32768, one more than 16 bits have."""
    soundfile.write(tmp_path / "x.wav", np.array([0, loudest, 0]), 8000, subtype="FLOAT")
    decoded = decode_clip(Clip("x.wav"), tmp_path / "x.wav", [8000], {})
    assert isinstance(decoded, Decoded)
    encoded = decoded.encoded[8000]
    silent = loudest == 0
    assert encoded.columns == {
        "length": 3,
        "scale": scale,
        "peak": abs(np.float32(loudest)),
        "lead": 3 if silent else 1,
        "tail": 0 if silent else 1,
    }
    assert encoded.pcm.tolist() == [0, round(loudest / scale * 32768), 0]


def test_channels_become_their_mean_at_every_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.tile([[0.5, 0.25]], (1600, 1)), 16000, subtype="PCM_16")
    decoded = decode_clip(Clip("x.wav"), tmp_path / "x.wav", [16000, 8000], {})
    assert isinstance(decoded, Decoded)
    assert list(decoded.encoded) == [16000, 8000]
    assert set(decoded.encoded[16000].pcm.tolist()) == {0.375 * 65536}
    assert len(decoded.encoded[8000].pcm) == 800
