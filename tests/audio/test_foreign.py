from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.audio.foreign import FOREIGN, KINDS, marked
from earmark.errors import AudioError


def test_no_ending_is_both_readable_and_not() -> None:
    assert not set(FOREIGN) & audio.SUFFIXES
    assert {".m4a", ".mp4", ".webm", ".aac", ".wma", ".3gp", ".mov", ".mkv", ".amr"} <= set(FOREIGN)
    assert all(ending == ending.lower() for ending in FOREIGN)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.m4a", "MP4"), ("a.WMA", "Windows Media"), ("a.b.mkv", "Matroska"), ("a.gsm", "GSM")]
)
def test_the_reason_says_what_it_would_be_by_its_name(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(AudioError) as caught:
        audio.read(tmp_path / name)
    assert str(caught.value) == f"not readable as audio (by its name {kind}, by its bytes nothing that is known)"
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(AudioError, match=r"^the file is empty$"):
        audio.read(tmp_path / name)


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "FLAC", "OGG", "AIFF", "AU", "CAF", "MP3"])
def test_no_mark_is_that_of_a_file_that_libsndfile_reads(form: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x", np.zeros(8000), 8000, format=form)
    assert marked((tmp_path / "x").read_bytes()[:64], KINDS) is None


def test_a_missing_file_is_missing_first(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        audio.read(tmp_path / "a.m4a")


def test_mpeg_audio_of_layer_2_can_be_read(tmp_path: Path) -> None:
    """A silent frame: MPEG-1, layer II, 32 kbit/s, 44.1 kHz, mono, and no bits for any band."""
    frame = bytes([0xFF, 0xFD, 0x10, 0xC0]) + bytes(144 * 32000 // 44100 - 4)
    (tmp_path / "a.mp2").write_bytes(frame * 20)
    samples, rate = audio.read(tmp_path / "a.mp2")
    assert rate == 44100
    assert samples.shape[1] % 1152 == 0
    assert not samples.any()
    assert soundfile.info(tmp_path / "a.mp2").subtype == "MPEG_LAYER_II"
