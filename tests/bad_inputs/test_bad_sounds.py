"""Sounds that cannot be used, or are not there: skipped, each with its reason."""

import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.bad_inputs.arrange import all_of, folder, link, patched, read_rows, sound, stored, text, tone, write_rows, write_wav
from tests.bad_inputs.cases import PREPARE, RATE, Capture, Case, Places, check, matches, refused, table


@dataclass(frozen=True)
class BadSound:
    """A file that cannot be used.

    Attributes:
        name: of the file.
        make: writes it at a path.
        reason: what is said of it.
    """

    name: str
    make: Callable[[Path], object]
    reason: str


def of_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def of_floats(*samples: float, kind: str = "FLOAT", rate: int = RATE) -> Callable[[Path], object]:
    return lambda path: soundfile.write(path, np.array(samples), rate, format="WAV", subtype=kind)


def cut(keep: float | int, form: str, **how: str) -> Callable[[Path], object]:
    """A second of sound of which a share or a number of bytes (from the end where negative) is there."""

    def make(path: Path) -> None:
        soundfile.write(path, tone(1.0), RATE, format=form, **how)
        content = path.read_bytes()
        path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])

    return make


def overflowing(path: Path) -> None:
    """Samples that float32 just holds, with edges: resampled, they overshoot to infinity."""
    soundfile.write(path, np.tile(np.repeat([3.4e38, -3.4e38], 20), 50).astype(np.float32), 44100, subtype="FLOAT")


def chained(path: Path) -> None:
    """Two sounds in one file, of which libsndfile reads the first."""
    contents = []
    for rate in (RATE, 8000):
        soundfile.write(path, tone(1.0, rate), rate, format="OGG")
        contents.append(path.read_bytes())
    path.write_bytes(b"".join(contents))


BAD_SOUNDS = (
    BadSound("text.wav", of_bytes(b"this is no sound\n"), "not readable as audio (<words of libsndfile>)"),
    BadSound("empty.wav", of_bytes(b""), "the file is empty"),
    BadSound("cut.wav", cut(1044, "WAV", subtype="PCM_16"), "cut off: 1000 of 32000 bytes of samples are there"),
    BadSound("header-alone.wav", cut(44, "WAV", subtype="PCM_16"), "cut off: 0 of 32000 bytes of samples are there"),
    BadSound("half-a-header.wav", cut(20, "WAV", subtype="PCM_16"), "not readable as audio (<words of libsndfile>)"),
    BadSound("half.ogg", cut(0.5, "OGG"), "cut off: the Ogg stream has no last page"),
    BadSound("cut.ogg", cut(-10, "OGG"), "cut off within the last Ogg page"),
    BadSound("cut.flac", cut(0.5, "FLAC"), "<words of libsndfile>"),
    BadSound("cut.caf", cut(0.5, "CAF"), "cut off<words>"),
    # libsndfile reads these three without a word, as it does WAV.
    BadSound("cut.aiff", cut(0.5, "AIFF"), "cut off<words>"),
    BadSound("cut.au", cut(0.5, "AU"), "cut off<words>"),
    BadSound("cut.w64", cut(0.5, "W64"), "cut off<words>"),
    BadSound("no-samples.wav", of_floats(), "no samples"),
    BadSound("nan.wav", of_floats(0, float("nan"), 0.5), "holds NaN or infinite samples"),
    BadSound("infinite.wav", of_floats(0, float("inf"), 0.5), "holds NaN or infinite samples"),
    BadSound("beyond-float32.wav", of_floats(0, 1e300, 0.5, kind="DOUBLE"), "holds NaN or infinite samples"),
    BadSound("overflowing.wav", overflowing, "<words>infinite<words>"),
    BadSound("short.wav", of_floats(0.5, rate=192000), "too short: 1 samples at 192000 Hz leave none at 16000 Hz"),
    BadSound("no-channels.wav", patched(22, struct.pack("<H", 0)), "not readable as audio (<words of libsndfile>)"),
    BadSound("no-rate.wav", patched(24, struct.pack("<I", 0)), "not readable as audio (<words of libsndfile>)"),
    BadSound("1-hz.wav", patched(24, struct.pack("<I", 1)), "a sample rate of 1 Hz; 100 to 1,000,000 Hz can be used"),
    BadSound(
        "2-ghz.wav", patched(24, struct.pack("<I", 2**31 - 1)), "a sample rate of 2147483647 Hz; 100 to 1,000,000 Hz can be used"
    ),
    BadSound(
        "chained.ogg", chained, "chained Ogg whose sounds differ (16000 Hz with 1 channels, then 8000 Hz with 1 channels)<words>"
    ),
    BadSound("text.au", of_bytes(b"this is no sound\n"), "not readable as audio (<words of libsndfile>)"),
    BadSound("line\nbreak.wav", of_bytes(b""), "the file is empty"),  # and still one line on stderr
    BadSound("link-to-itself.wav", lambda path: path.symlink_to(path.name), "a link that leads to itself"),
)

each_bad_sound = pytest.mark.parametrize("bad", BAD_SOUNDS, ids=lambda bad: repr(bad.name)[1:-1])


def one_line(name: str) -> str:
    return name.replace("\n", r"\n").replace("\r", r"\r")


@each_bad_sound
def test_prepare_leaves_a_bad_sound_out_and_says_why(bad: BadSound, places: Places, capsys: Capture) -> None:
    here = places["here"]
    write_wav(here / "good.wav")
    bad.make(here / bad.name)
    write_rows(here / "m.csv", ("good.wav", "x"), (bad.name, "y"))
    check(Case(bad.name, PREPARE, f"skipped: {one_line(bad.name)}: {bad.reason}", status=3), places, capsys)
    assert stored(here / "store").clip_id.tolist() == ["good.wav"]
    [row] = read_rows(here / "store/bad.csv")
    assert row["file_name"] == bad.name
    assert matches(row["reason"], bad.reason, places)


@each_bad_sound
def test_tag_leaves_a_bad_sound_out_and_says_why(bad: BadSound, places: Places, capsys: Capture) -> None:
    here = places["here"]
    write_wav(here / "sounds/good.wav")
    bad.make(here / "sounds" / bad.name)
    skipped = f"skipped: {{here}}/sounds/{one_line(bad.name)}: {bad.reason}"
    out = check(Case("to stdout", "tag {here}/sounds --model {bundle}", skipped, status=3), places, capsys)
    assert [line.split("  ")[0] for line in out.splitlines()] == [str(here / "sounds/good.wav")]
    said = f"1 files tagged: {{here}}/tags.csv\n{skipped}"
    check(
        Case("to a file", "tag {here}/sounds --model {bundle} --format csv --out {here}/tags.csv", said, status=3), places, capsys
    )
    [row] = read_rows(here / "tags.csv.bad.csv")
    assert row["file_name"] == str(here / "sounds" / bad.name)
    assert matches(row["reason"], bad.reason, places)
    (here / "sounds/good.wav").unlink()
    said = f"{skipped}\nerror: none of the 1 files could be used"
    assert check(Case("alone", "tag {here}/sounds --model {bundle}", said), places, capsys) == ""


BAD_PLACES = (
    Case(
        "prepare: no such clip",
        PREPARE,
        "skipped: 1 of 2 audio files are not there (the first: no.wav); all are in {here}/store/bad.csv",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels\na.wav,x\nno.wav,y\n"), sound("a.wav")),
    ),
    refused(
        "prepare: no clip at all",
        PREPARE,
        "none of the 4 clips of {here}/m.csv can be used: 1.wav: no such file; 2.wav: no such file; 3.wav: no such file; …",
        arrange=text("m.csv", "file_name,labels\n1.wav,x\n2.wav,y\n3.wav,y\n4.wav,x\n"),
    ),
    Case(
        "prepare: a folder named like a clip",
        PREPARE,
        "skipped: b.wav: is a folder, not a file",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels\na.wav,x\nb.wav,y\n"), sound("a.wav"), folder("b.wav")),
    ),
    Case(
        "prepare: a clip after the end of its file",
        PREPARE,
        "skipped: a.wav: 5 s to the end asked for, but the file is 0.1 s long",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels,start\na.wav,x,5\nb.wav,y,\n"), sound("a.wav", "b.wav")),
    ),
    Case(
        "prepare: a clip beyond the end of its file",
        PREPARE,
        "skipped: a.wav: 0 s to 5 s asked for, but the file is 0.1 s long",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels,end\na.wav,x,5\nb.wav,y,\n"), sound("a.wav", "b.wav")),
    ),
    Case(
        "prepare: a clip beyond the end of time",
        PREPARE,
        "skipped: a.wav: <words>",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels,start\na.wav,x,1e308\nb.wav,y,\n"), sound("a.wav", "b.wav")),
    ),
    Case(
        "tag: links that lead nowhere",  # no --out, so stderr is the only place that can name them
        "tag {here} --model {bundle}",
        "<words>{here}/1.wav<words>\n<words>{here}/2.wav<words>",
        status=3,
        arrange=all_of(sound("a.wav"), link("1.wav", "no"), link("2.wav", "no")),
    ),
    Case(
        "tag: more bad files than twenty",
        "tag {here} --model {bundle}",
        "\n".join(f"skipped: {{here}}/{i}.wav: the file is empty" for i in range(10, 35)),
        status=3,
        arrange=all_of(sound("a.wav"), *(text(f"{i}.wav", b"") for i in range(10, 35))),
    ),
)


@table(*BAD_PLACES)
def test_what_is_not_there_is_skipped_and_named(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)


@pytest.mark.parametrize("command", ["prepare", "tag"])
def test_a_pipe_named_like_a_sound_stops_nothing(command: str, places: Places, capsys: Capture) -> None:
    here, pipe, fired = places["here"], places["here"] / "pipe.wav", threading.Event()
    write_wav(here / "a.wav")
    write_rows(here / "m.csv", ("a.wav", "x"), ("pipe.wav", "y"))
    os.mkfifo(pipe)

    def end_the_wait() -> None:
        fired.set()
        os.close(os.open(pipe, os.O_RDWR))

    timer = threading.Timer(60.0, end_the_wait)  # else a program that reads the pipe would wait for ever
    timer.start()
    name = "pipe.wav" if command == "prepare" else "{here}/pipe.wav"
    case = Case("pipe", PREPARE if command == "prepare" else "tag {here} --model {bundle}", f"skipped: {name}: <words>", status=3)
    try:
        check(case, places, capsys)
    finally:
        timer.cancel()
    assert not fired.is_set()
