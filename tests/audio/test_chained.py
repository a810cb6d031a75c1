import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.audio import chained
from earmark.errors import AudioError


def ogg(seconds: float, rate: int = 16000, channels: int = 1, kind: str = "VORBIS", hertz: float = 440) -> bytes:
    time = np.arange(round(seconds * rate)) / rate
    with io.BytesIO() as file:
        soundfile.write(file, np.stack([np.sin(2 * np.pi * hertz * time) / 2] * channels, 1), rate, format="OGG", subtype=kind)
        return file.getvalue()


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(("first", "second"), [("VORBIS", "VORBIS"), ("OPUS", "OPUS"), ("VORBIS", "OPUS")])
def test_all_sounds_of_a_chain_are_read_one_after_the_other(first: str, second: str, in_memory: bool, tmp_path: Path) -> None:
    parts = [ogg(1, 48000, 2, first), ogg(2, 48000, 2, second, 880)]
    (tmp_path / "x.ogg").write_bytes(b"".join(parts))
    alone = np.concatenate([soundfile.read(io.BytesIO(part), dtype="float32")[0] for part in parts]).T
    with audio.opened(tmp_path / "x.ogg", at_once=in_memory) as file:
        samples, rate = audio.read(file)
        part, _ = audio.read(file, 0.5, 1.25)
    assert (samples.shape, rate) == ((2, 3 * 48000), 48000)
    assert np.array_equal(samples, alone)
    assert np.array_equal(part, alone[:, 24000:60000])


def test_the_same_sound_twice_is_twice_as_long(tmp_path: Path) -> None:
    """Both have the same serial number."""
    (tmp_path / "x.ogg").write_bytes(ogg(1) * 2)
    assert audio.read(tmp_path / "x.ogg")[0].shape == (1, 32000)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (ogg(1, 44100), r"whose sounds differ \(16000 Hz with 1 channels, then 44100 Hz with 1 channels\): make a file of each"),
        (ogg(1, 16000, 2), r"whose sounds differ \(16000 Hz with 1 channels, then 16000 Hz with 2 channels\)"),
        (ogg(1)[:60], "cut off"),
        (ogg(1)[:-10], "cut off within the last Ogg page"),
    ],
    ids=["another rate", "more channels", "a few bytes", "cut off"],  # not the bytes, which differ from run to run
)
def test_a_chain_that_is_no_sound_as_a_whole_is_refused(second: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.ogg").write_bytes(ogg(1) + second)
    with pytest.raises(AudioError, match=reason):
        audio.read(tmp_path / "x.ogg")


def test_a_sound_of_a_chain_that_was_cut_off_is_named(tmp_path: Path) -> None:
    first = ogg(1)
    (tmp_path / "x.ogg").write_bytes(first[: first.rindex(b"OggS")] + ogg(2))
    with pytest.raises(AudioError, match=r"^chained Ogg, sound 1 of 2: cut off: the Ogg stream has no last page$"):
        audio.read(tmp_path / "x.ogg")


def page(flags: int, content: bytes = b"abc") -> bytes:
    return b"OggS\0" + bytes([flags]) + bytes(20) + bytes([1, len(content)]) + content


@pytest.mark.parametrize(
    ("content", "begins"),
    [
        (b"RIFF" + page(2) + page(0) + page(2), [0]),
        (page(2) + page(0) + page(4), [0]),
        (page(2) + page(2) + page(0) + page(4), [0]),  # a video and its sound begin together
        (page(2) + page(4) + page(2) + page(4), [0, 62]),
        (page(2) + page(2) + page(4) + page(2) + page(2) + page(6), [0, 93]),
        (page(2) + page(4) + b"tags behind the sound", [0]),
        (page(2) + page(4) + bytes(70_000) + page(2), [0, 70_062]),
        (page(2) + page(4) + bytes(65_535) + page(2), [0, 65_597]),  # its name lies over the end of a block
        (page(2, b"OggS\0\2" * 9) + page(4), [0]),  # no page, but samples
        (page(2)[:20], [0]),
    ],
    ids=map(str, range(10)),
)
def test_a_sound_begins_behind_pages_of_another(content: bytes, begins: list[int]) -> None:
    assert chained.sounds_in(io.BytesIO(content)) == begins


def test_what_has_no_end_is_not_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "x.ogg").open("wb") as file:
        file.write(page(2))
        file.truncate(1 << 40)  # a hole
    with (tmp_path / "x.ogg").open("rb", buffering=0) as raw, pytest.raises(AudioError, match=r"^damaged: no Ogg page within"):
        chained.sounds_in(raw)
    monkeypatch.setattr(chained, "MAX_PAGES", 3)
    with pytest.raises(AudioError, match=r"^more than 3 Ogg pages"):
        chained.sounds_in(io.BytesIO(page(2) * 4))


def test_a_long_file_is_gone_through_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = []
    walk = chained._walk
    monkeypatch.setattr(chained, "_walk", lambda raw: (walks.append(raw), walk(raw))[1])
    path = tmp_path / "x.ogg"
    path.write_bytes(ogg(1))
    for _ in range(3):
        assert audio.read(path, 0.25, 0.5)[0].shape == (1, 4000)
    assert len(walks) == 1
    path.write_bytes(ogg(1) * 2)
    assert audio.read(path)[0].shape == (1, 32000)
    assert len(walks) == 2
