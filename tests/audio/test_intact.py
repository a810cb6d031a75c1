import io
import struct

import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.audio.intact import refuse_cut_off
from earmark.errors import AudioError


def test_real_clips_are_not_taken_for_damaged(real_data) -> None:  # type: ignore[no-untyped-def]
    paths = sorted((real_data / "esc50" / "audio").glob("*.ogg"))[::100]
    assert len(paths) == 20
    for path in paths:
        samples, rate = audio.read(path)
        assert rate in (44100, 48000)
        assert samples.shape[1] > rate


def whole(form: str, **how: str) -> bytes:
    with io.BytesIO() as file:
        soundfile.write(file, np.sin(np.arange(3000) / 9), 16000, format=form, **how)
        return file.getvalue()


@pytest.mark.parametrize("form", ["WAV", "OGG", "AIFF", "AU", "RF64", "W64", "FLAC", "CAF"])
def test_a_whole_file_of_any_format_is_one(form: str) -> None:
    refuse_cut_off(io.BytesIO(whole(form)))


@pytest.mark.parametrize("form", ["WAV", "OGG", "AIFF", "AU", "RF64", "W64", "CAF"])
def test_a_file_that_lost_its_last_byte_or_half_of_itself_is_not(form: str) -> None:
    content = whole(form)
    for kept in (len(content) - 1, len(content) // 2):
        with pytest.raises(AudioError, match=r"^cut off"):
            refuse_cut_off(io.BytesIO(content[:kept]))


def chunk(name: bytes, content: bytes, length: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if length is None else length) + content


def riff(*chunks: bytes, size: int = 0) -> io.BytesIO:
    return io.BytesIO(b"RIFF" + struct.pack("<I", size) + b"WAVE" + chunk(b"fmt ", bytes(16)) + b"".join(chunks))


def test_a_wav_file_is_judged_by_its_samples_alone() -> None:
    refuse_cut_off(riff(chunk(b"data", bytes(10))))  # what the whole file's header says is often wrong
    refuse_cut_off(riff(chunk(b"LIST", b"odd", 3) + b"\0", chunk(b"data", bytes(10))))  # chunks begin at even places
    refuse_cut_off(riff(chunk(b"data", bytes(10)), chunk(b"LIST", bytes(3), 100)))  # what comes behind is no sound
    for unknown in (0, 0xFFFFFFFF, 0xFFFFFF00):
        refuse_cut_off(riff(chunk(b"data", bytes(10), unknown)))  # a recorder did not know its length yet
    with pytest.raises(AudioError, match="cut off: 10 of 11 bytes of samples are there"):
        refuse_cut_off(riff(chunk(b"data", bytes(10), 11)))
    with pytest.raises(AudioError, match="cut off: 3 of 100 bytes"):
        refuse_cut_off(riff(chunk(b"LIST", b"odd", 3) + b"\0", chunk(b"data", bytes(3), 100)))


def test_nothing_is_no_file_and_what_is_not_known_is_left_to_the_reader() -> None:
    with pytest.raises(AudioError, match=r"^the file is empty$"):
        refuse_cut_off(io.BytesIO())
    refuse_cut_off(io.BytesIO(b"some text"))
    refuse_cut_off(io.BytesIO(b".snd" + struct.pack(">II", 24, 0xFFFFFFFF)))  # a stream of no known length


def test_an_ogg_file_ends_with_the_last_page_of_its_stream() -> None:
    content = whole("OGG")
    with pytest.raises(AudioError, match="cut off: the Ogg stream has no last page"):
        refuse_cut_off(io.BytesIO(content[: content.rindex(b"OggS")]))
    with pytest.raises(AudioError, match="cut off within the last Ogg page"):
        refuse_cut_off(io.BytesIO(content[:-1]))
