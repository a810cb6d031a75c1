import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from earmark import audio
from earmark.errors import AudioError, MachineError


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate), channels))


def read_forward(path: Path | str, rates: Sequence[int]) -> tuple[dict[int, np.ndarray], list[dict[int, int]], float]:
    """The sound at each rate, the lengths of the blocks, and the seconds that the stream counted."""
    with audio.streamed(path) as stream:
        blocks = list(stream.mono(rates))
        assert stream.channels >= 1
        return (
            {rate: np.concatenate([block[rate] for block in blocks]) for rate in rates},
            [{rate: len(block[rate]) for rate in rates} for block in blocks],
            stream.seconds,
        )


@pytest.mark.parametrize(
    ("form", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "DOUBLE"), ("RF64", "PCM_16"), ("W64", "FLOAT"), ("FLAC", "PCM_16"),
     ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_a_stream_is_the_whole_sound_mixed_and_resampled(form: str, subtype: str, tmp_path: Path) -> None:
    rate = 24000
    soundfile.write(tmp_path / "x", noise(12.5, rate, 2), rate, format=form, subtype=subtype)
    whole = soundfile.read(tmp_path / "x", dtype="float32")[0].mean(axis=1, dtype=np.float64).astype(np.float32)
    sound, blocks, seconds = read_forward(tmp_path / "x", (24000, 16000, 8000))
    assert seconds == pytest.approx(12.5, abs=1e-9)
    assert max(block[24000] for block in blocks) <= 10 * rate
    for to_rate, samples in sound.items():
        assert samples.dtype == np.float32
        np.testing.assert_allclose(samples, soxr.resample(whole, rate, to_rate, quality="HQ"), rtol=0, atol=1e-6)


def test_what_is_odd_but_valid_streams_as_it_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(0.01, 192000, 8), 192000, subtype="FLOAT")
    sound, _, _ = read_forward(tmp_path / "x.wav", (192000, 8000))
    samples = audio.to_mono(audio.read(tmp_path / "x.wav")[0])
    np.testing.assert_array_equal(sound[192000], samples)
    np.testing.assert_allclose(sound[8000], audio.resample(samples, 192000, 8000), rtol=0, atol=1e-6)


def test_what_a_recorder_left_that_does_not_know_the_length_yet_is_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(1, 8000), 8000)
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff" * 4 + content[44:])
    assert len(read_forward(path, (8000,))[0][8000]) == 8000


def test_many_channels_come_in_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio.sounds, "BLOCK", 1 << 16)
    soundfile.write(tmp_path / "x.wav", np.zeros((3000, 1000)), 1000, subtype="PCM_U8")
    assert max(block[1000] for block in read_forward(tmp_path / "x.wav", (1000,))[1]) == 65 * 8


@pytest.mark.parametrize(
    ("samples", "rate", "reason"),
    [
        ([], 16000, "^no samples$"),
        ([0, np.nan], 16000, "^holds NaN or infinite samples$"),
        ([0, np.inf], 16000, "^holds NaN or infinite samples$"),
        ([0.5], 192000, "^too short: 1 samples at 192000 Hz leave none at 16000 Hz$"),
        (np.tile(np.repeat([3.4e38, -3.4e38], 20), 50), 44100, "^resampling makes infinite samples"),
    ],
    ids=["none", "NaN", "infinite", "short", "overflowing"],
)
def test_a_bad_sound_is_as_bad_as_when_it_is_read(samples: Sequence[float], rate: int, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.array(samples, np.float32), rate, subtype="FLOAT")
    with pytest.raises(AudioError, match=reason):
        read_forward(path, (16000,))
    with pytest.raises(AudioError, match=reason):
        audio.resample(audio.to_mono(audio.read(path)[0]), rate, 16000)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "W64", "RF64", "AIFF"])
def test_a_sound_that_was_cut_off_is_refused(form: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x", noise(3, 16000), 16000, format=form)
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match=r"^cut off|^not readable as audio"):
        read_forward(tmp_path / "x", (16000,))


@pytest.mark.parametrize(("content", "reason"), [(b"", "the file is empty"), (b"this is no sound\n", "not readable as audio")])
def test_what_is_no_sound_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(AudioError, match=f"^{reason}"):
        read_forward(tmp_path / "x.wav", (16000,))


@pytest.mark.parametrize("url", ["https://host/clip.wav", "s3://bucket/clip.wav", "file:///clip.wav"])
def test_a_url_is_no_path(url: str) -> None:
    for path in (url, Path(url)):
        with pytest.raises(AudioError, match=r"^is a URL; download it first, or: curl -L URL \| earmark tag - --model M$"):
            read_forward(path, (16000,))
    with pytest.raises(AudioError, match=r"^no such file$"):
        read_forward("a:b/clip.wav", (16000,))


def test_only_reading_is_judged_as_a_fault_of_the_file_or_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller does with a block may fail by itself."""
    soundfile.write(tmp_path / "x.wav", noise(1, 8000), 8000)
    with pytest.raises(PermissionError), audio.streamed(tmp_path / "x.wav") as stream:
        for _ in stream.mono((8000,)):
            raise PermissionError
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: (_ for _ in ()).throw(OSError(5, os.strerror(5))))
    with pytest.raises(MachineError, match="Input/output error"):
        read_forward(tmp_path / "x.wav", (8000,))
