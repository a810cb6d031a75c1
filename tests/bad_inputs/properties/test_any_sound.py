"""Sounds with changed headers, and any bytes."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.bad_inputs.arrange import write_rows
from tests.bad_inputs.cases import RATE, Places
from tests.bad_inputs.properties.judge import examples, judge, judge_store, judge_tags

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "aiff": ("AIFF", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "au": ("AU", "PCM_16"),
    "w64": ("W64", "PCM_16"),
}
HEADER = 100  # bytes
WORDS = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\1",
    b"\1\0\0\0",
    b"\0\0\0\x80",
    b"data",
    b"\xff",
    b"\0\0",
]


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """A short sound in each format."""
    samples = 0.5 * np.sin(np.arange(1600) * 0.2)
    contents = {}
    for name, (kind, subtype) in FORMATS.items():
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, format=kind, subtype=subtype)
        contents[name] = file.getvalue()
    return contents


@st.composite
def sounds(draw: st.DrawFn) -> list[tuple[str, list[tuple[int, bytes]], int]]:
    """Some sounds: format, what is written where into the header, and how much is cut off the end."""
    change = st.tuples(st.integers(0, HEADER), st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(WORDS)))
    some = st.tuples(st.sampled_from(list(FORMATS)), st.lists(change, max_size=3), st.sampled_from([0, 0, 0, 1, 100, 1500]))
    return draw(st.lists(some, min_size=1, max_size=4))


def spoilt(content: bytes, changes: list[tuple[int, bytes]], cut: int) -> bytes:
    new = bytearray(content)
    for place, value in changes:
        new[place : place + len(value)] = value
    return bytes(new[: len(new) - cut])


@pytest.mark.slow
@given(chosen=sounds())
@examples(60)
def test_any_header(
    made: Places, whole: dict[str, bytes], tmp_path: Path, chosen: list[tuple[str, list[tuple[int, bytes]], int]]
) -> None:
    contents = {f"{i}.{name}": spoilt(whole[name], changes, cut) for i, (name, changes, cut) in enumerate(chosen)}
    judge_sounds(made, tmp_path, contents)


@pytest.mark.slow
@given(contents=st.lists(st.tuples(st.sampled_from(list(FORMATS)), st.binary(max_size=200), st.booleans()), min_size=1, max_size=4))
@examples(40)
def test_any_bytes(made: Places, whole: dict[str, bytes], tmp_path: Path, contents: list[tuple[str, bytes, bool]]) -> None:
    """Half of them behind the first bytes of a sound, by which its format is known."""
    judge_sounds(
        made, tmp_path, {f"{i}.{name}": whole[name][:12] * known + content for i, (name, content, known) in enumerate(contents)}
    )


def judge_sounds(made: Places, here: Path, contents: dict[str, bytes]) -> None:
    folder = here / "sounds"
    shutil.rmtree(here)
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    table = write_rows(folder / "m.csv", *((name, "x") for name in contents))
    status = judge("prepare", "manifest", table, "--out", here / "store", "--sample-rate", RATE, "--jobs", 1)
    judge_store(here / "store", status, len(contents))
    files = [folder / name for name in contents]
    status = judge("tag", *files, "--model", made["bundle"], "--format", "csv", "--out", here / "tags", "--threads", 1)
    judge_tags(here / "tags", status, files)
