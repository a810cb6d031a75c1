from pathlib import Path

import pytest
import soundfile

from earmark import audio
from earmark.audio.foreign import FOREIGN
from earmark.errors import AudioError


def test_no_ending_is_both_readable_and_not() -> None:
    assert not set(FOREIGN) & audio.SUFFIXES
    assert {".m4a", ".mp4", ".webm", ".aac", ".wma", ".3gp", ".mov", ".mkv", ".amr"} <= set(FOREIGN)
    assert all(ending == ending.lower() for ending in FOREIGN)


@pytest.mark.parametrize(("name", "kind"), [("a.m4a", "AAC in MP4"), ("a.WMA", "Windows Media"), ("a.b.mkv", "Matroska")])
def test_the_reason_says_what_it_is_and_what_helps(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(AudioError) as caught:
        audio.read(tmp_path / name)
    assert str(caught.value) == f"{kind} cannot be read here; convert it, for example with ffmpeg -i FILE FILE.flac"


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
