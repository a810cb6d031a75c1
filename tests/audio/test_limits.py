import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.audio import limits
from earmark.errors import AudioError, MachineError


def of_rate(path: Path, rate: int) -> Path:
    """A second of sound at 16 kHz, whose header says another rate."""
    with io.BytesIO() as file:
        soundfile.write(file, np.zeros(16000), 16000, format="WAV", subtype="PCM_16")
        content = file.getvalue()
    path.write_bytes(content[:24] + rate.to_bytes(4, "little") + content[28:])
    return path


@pytest.mark.parametrize(("rate", "usable"), [(1, False), (99, False), (100, True), (1_000_000, True), (1_000_001, False), (2**31 - 1, False)])  # fmt: skip
def test_a_rate_that_no_recording_has_is_refused(rate: int, usable: bool, tmp_path: Path) -> None:
    path = of_rate(tmp_path / "x.wav", rate)
    if usable:
        assert audio.read(path)[1] == rate
    else:
        with pytest.raises(AudioError, match=f"^a sample rate of {rate} Hz; 100 to 1,000,000 Hz can be used$"):
            audio.read(path)


def test_a_sound_is_refused_by_its_header_before_a_sample_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros((6000, 2)), 1000)
    monkeypatch.setattr(audio.sounds.SingleSound, "blocks", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(limits, "MAX_SAMPLES", 11_999)
    with pytest.raises(AudioError, match=r"^too long: 6 s at 1000 Hz, of 2 channels, more than 11,999 samples: cut it into parts$"):
        audio.read(tmp_path / "x.wav")


def test_a_part_of_a_long_file_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(6000), 1000)
    monkeypatch.setattr(limits, "MAX_SAMPLES", 2000)
    assert audio.read(tmp_path / "x.wav", 1, 3)[0].shape == (1, 2000)
    with pytest.raises(AudioError, match="too long"):
        audio.read(tmp_path / "x.wav", 1, 3.1)


def test_resampling_is_refused_that_would_make_billions_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio.shape.soxr, "resample", lambda *_, **__: pytest.fail("resampled"))
    with pytest.raises(AudioError, match=r"^too long: 30,000 s at 48000 Hz"):
        audio.resample(np.zeros(3_000_000, np.float32), 100, 48000)


def test_many_channels_are_decoded_in_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of 1,000 channels and many samples must not make a block of gigabytes."""
    soundfile.write(tmp_path / "x.wav", np.zeros((100, 1000)), 8000, subtype="PCM_16")
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda file, frames, **how: (asked.append(frames), read(file, frames, **how))[1]
    )
    monkeypatch.setattr(audio.sounds, "BLOCK", 1000)
    assert audio.read(tmp_path / "x.wav")[0].shape == (1000, 100)
    assert max(asked) * 1000 <= 8 * 1000


def test_libsndfile_that_cannot_read_the_disk_is_told_from_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are "System error" for both: a disk that fails, and a header that leads nowhere."""
    soundfile.write(tmp_path / "x.wav", np.zeros(100), 8000)

    def fail(*_: object, **__: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile, "SoundFile", fail)
    with pytest.raises(AudioError, match=r"not readable as audio \(System error\)"):
        audio.read(tmp_path / "x.wav")
    monkeypatch.setattr(audio.sounds, "content_hash", lambda _: (_ for _ in ()).throw(OSError(5, os.strerror(5))))
    with pytest.raises(MachineError, match="Input/output error"):
        audio.read(tmp_path / "x.wav")


@pytest.mark.parametrize("name", ["x.au", "x.snd", "x.vox", "x.raw", "x.wav"])
def test_no_ending_makes_text_a_sound(name: str, tmp_path: Path) -> None:
    """By the ending alone libsndfile takes any bytes for samples."""
    (tmp_path / name).write_text("this is no sound\n" * 20)
    with pytest.raises(AudioError, match="not readable as audio"):
        audio.read(tmp_path / name)
