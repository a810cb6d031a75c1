import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from earmark import console


def broken_pipe() -> io.TextIOWrapper:
    read_end, write_end = os.pipe()
    os.close(read_end)
    return os.fdopen(write_end, "w", encoding="utf-8")


def test_what_nobody_reads_goes_nowhere() -> None:
    with broken_pipe() as stream:
        for _ in range(3):
            console.write_to(stream, "x" * 100_000)
        assert os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))
    console.write_to(stream, "the stream is closed")


def test_terminal_that_is_gone_is_nobody() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        os.close(ours)
        console.write_to(stream, "x\n")
        console.write_to(stream, "y\n")


def test_full_disk_is_an_error_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8") as stream:
        with pytest.raises(OSError) as raised:
            console.write_to(stream, "x")
        assert raised.value.errno == errno.ENOSPC
        console.write_to(stream, "y")  # else closing the stream would fail
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        console.say("x")
        console.say("y")
        assert console.lost_output() == "cannot write to stdout: No space left on device"
        assert console.lost_output() is None
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        console.tell("x")


def test_text_that_cannot_be_encoded_is_never_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is taken for a closed stream would be an output that lacks lines, with status 0."""
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with pytest.raises(UnicodeEncodeError):
        console.say("–")


DATA = {"labels": ["plain", "\x9b2J", "\u202e", "sirène", "鈴 🔔", "\x7f", "\ud800"]}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_stays_json_on_any_terminal(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace"))
    for label in DATA["labels"]:
        console.say_data({"label": label})
    console.say_data(DATA)
    *lines, last = raw.getvalue().decode(encoding).splitlines()
    assert [json.loads(line)["label"] for line in lines] == DATA["labels"]
    assert json.loads(last) == DATA
    assert all(line.isprintable() for line in lines)
    assert ("鈴" in "".join(lines)) == (encoding == "utf-8")


def test_lines_for_people_have_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("a\x1b[2J\nb")
    console.tell("c\x9b\r")
    assert capsys.readouterr() == ("a\\x1b[2J\\nb\n", "c\\x9b\\r\n")


def test_processes_started_later_have_the_streams_that_were_closed(tmp_path: Path) -> None:
    """Else a file that they open would get the number of a stream, and what libraries print."""
    code = (
        "import os, subprocess, sys; from earmark.console import open_missing; open_missing();"
        "child = 'import os, sys; sys.exit([os.fstat(n).st_rdev for n in range(3)] != [os.stat(os.devnull).st_rdev] * 3)';"
        "sys.exit(subprocess.run([sys.executable, '-c', child]).returncode)"
    )
    script = f'"{sys.executable}" -c "{code}" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False).returncode == 0
