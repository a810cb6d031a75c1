"""Truth is libsndfile's own reading of an MP3 file whose header is right."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.audio.mp3 import find_frames
from earmark.audio.part import PartOfFile
from earmark.errors import AudioError, MachineError


def tone(rate: int, seconds: float = 3.0) -> np.ndarray:
    return np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate) / 2


def encoded(rate: int = 44100, channels: int = 1, mode: str = "VARIABLE") -> bytes:
    with io.BytesIO() as file:
        with soundfile.SoundFile(file, "w", rate, channels, format="MP3", bitrate_mode=mode, compression_level=0.5) as sound:
            sound.write(np.stack([tone(rate)] * channels, axis=1))
        return file.getvalue()


def with_count(content: bytes, factor: float) -> bytes:
    """The file with another number of frames in its tag."""
    place = max(content.find(b"Xing"), content.find(b"Info"))
    count = int.from_bytes(content[place + 8 : place + 12], "big")
    assert place > 0 and content[place + 7] & 1 and 50 < count < 500
    return content[: place + 8] + round(count * factor).to_bytes(4, "big") + content[place + 12 :]


def read(content: bytes, here: Path) -> np.ndarray:
    """The samples of a file in memory; streaming it gives the same."""
    (here / "x.mp3").write_bytes(content)
    samples, rate = audio.read(here / "x.mp3")
    with audio.streamed(here / "x.mp3") as stream:
        mono = np.concatenate([block[rate] for block in stream.mono((rate,))])
        assert stream.seconds == len(mono) / rate
    np.testing.assert_array_equal(mono, audio.to_mono(samples))
    return samples


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (48000, 2), (16000, 1), (22050, 2), (8000, 1)])
def test_an_honest_file_has_the_samples_that_were_encoded(rate: int, channels: int, mode: str, tmp_path: Path) -> None:
    content = encoded(rate, channels, mode)
    truth, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    samples = read(content, tmp_path)
    assert samples.shape == (channels, 3 * rate) == truth.T.shape
    np.testing.assert_allclose(samples, truth.T, rtol=0, atol=1e-5)
    np.testing.assert_allclose(samples[0, rate : 2 * rate], 0.95 * tone(rate)[rate : 2 * rate], rtol=0, atol=0.1)  # LAME's own 0.95


@pytest.mark.parametrize("factor", [0.1, 0.5, 2, 1000])
@pytest.mark.parametrize("rate", [44100, 16000])
def test_a_header_that_counts_wrongly_changes_nothing_but_the_last_frame(factor: float, rate: int, tmp_path: Path) -> None:
    honest = read(encoded(rate), tmp_path)
    samples = read(with_count(encoded(rate), factor), tmp_path)
    assert 0 <= samples.shape[1] - honest.shape[1] < 2 * 1152  # what the encoder has added cannot be told
    np.testing.assert_allclose(samples[:, : honest.shape[1]], honest, rtol=0, atol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_whose_last_frames_are_missing_ends_where_they_begin(share: float, tmp_path: Path) -> None:
    content = encoded()
    honest, samples = read(content, tmp_path), read(content[: int(share * len(content))], tmp_path)
    assert abs(samples.shape[1] / honest.shape[1] - share) < 0.1
    within = samples.shape[1] - 2 * 1152  # a decoder guesses what the last frame takes from the one after it
    np.testing.assert_allclose(samples[:, :within], honest[:, :within], rtol=0, atol=1e-6)


def test_a_file_without_a_header_is_read_to_its_end(tmp_path: Path) -> None:
    """By the bits of its first frame, which is silent, it would be ten times as long as by those of the others."""
    content = encoded()
    samples = read(content[find_frames(io.BytesIO(content)).begin :], tmp_path)
    assert samples.shape[1] % 1152 == 0
    np.testing.assert_allclose(samples[:, 1105 : 1105 + 3 * 44100], read(content, tmp_path), rtol=0, atol=1e-6)


def tag_of(size: int) -> bytes:
    """An ID3v2 tag with two bytes in it that look like the beginning of a frame."""
    seven = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + seven + (b"\xff\xfb" * size)[:size]


APE = (
    b"APETAGEX"
    + (2000).to_bytes(4, "little")
    + (5000 + 32).to_bytes(4, "little")
    + bytes(4)
    + (1 << 31).to_bytes(4, "little")
    + bytes(8)
)


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (b"", b"TAG" + bytes(125)),
        (tag_of(3000), b""),
        (tag_of(300) + tag_of(200), APE + b"\xff\xfb\x90\x40" * 1250 + APE + b"TAG" + bytes(125)),
        (b"", bytes(5000)),
    ],
    ids=["ID3v1", "ID3v2", "all kinds of tags", "zeros"],
)
def test_what_lies_around_the_frames_is_no_sound(before: bytes, behind: bytes, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(before + encoded() + behind, tmp_path), read(encoded(), tmp_path))


def test_bytes_that_are_no_frames_between_frames_are_a_fault(tmp_path: Path) -> None:
    content = encoded()
    half = len(content) // 2
    with pytest.raises(AudioError, match=r"^not readable as audio"):
        read(content[:half] + bytes(5000) + content[half:], tmp_path)


def test_no_frame_behind_the_tag_is_no_sound(tmp_path: Path) -> None:
    content = encoded()
    with pytest.raises(AudioError, match=r"^no"):
        read(content[: find_frames(io.BytesIO(content)).begin], tmp_path)


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.5), (0.0, 0.01), (0.2, None), (None, 2.9), (2.5, 3.0)])
@pytest.mark.parametrize("factor", [0.5, 1, 2])
def test_a_part_has_the_samples_that_the_whole_has_there(
    factor: float, start: float | None, end: float | None, tmp_path: Path
) -> None:
    """libsndfile's own seeking gives zeros and other sounds for the first samples of this part."""
    content = with_count(encoded(), factor)
    (tmp_path / "x.mp3").write_bytes(content)
    whole = read(content, tmp_path)
    (tmp_path / "x.mp3").write_bytes(content)
    part = audio.read(tmp_path / "x.mp3", start, end)[0]
    expected = whole[:, round((start or 0) * 44100) : None if end is None else round(end * 44100)]
    np.testing.assert_allclose(part, expected, rtol=0, atol=1e-6)


def test_a_part_beyond_the_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mp3").write_bytes(encoded())
    for start, end in ((4, 5), (2, 5), (None, 5), (3600, None)):
        with pytest.raises(AudioError, match=r" asked for, but the file is 3 s long$"):
            audio.read(tmp_path / "x.mp3", start, end)


def test_a_disk_that_fails_is_not_the_end_of_the_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libsndfile takes a failure to read for the end."""
    (tmp_path / "x.mp3").write_bytes(encoded())

    def fail(_: PartOfFile) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(PartOfFile, "check", fail)
    with pytest.raises(MachineError, match="Input/output error"), audio.streamed(tmp_path / "x.mp3") as stream:
        list(stream.mono((16000,)))
