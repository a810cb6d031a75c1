import subprocess
import sys
from collections.abc import Iterator

import pytest

from earmark import cli, progress, progress_lines
from earmark.progress import progress_bar


class Clock:
    """A clock that only goes on when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A command that has just begun, without a terminal."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    clock = Clock()
    monkeypatch.setattr(progress_lines, "monotonic", clock)
    monkeypatch.setattr(progress_lines, "_told_at", None)  # put back afterwards
    progress_lines.tell_progress()
    yield clock
    assert not progress_lines._works


def test_titles_and_notes_of_any_text_stay_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of members come from recipes."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # else there is no bar where there is no terminal
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar("{0} [red]\x1b]0;title\x07", 2) as bar:
        bar.update(1, "{x} [bold]\x1b[2Jnote")
    shown = capsys.readouterr().err
    assert r"{0} [red]\x1b]0;title\x07" in shown
    assert r"{x} [bold]\x1b[2Jnote" in shown
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown


def test_without_a_terminal_a_line_every_half_minute(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("train tiny\x07 fold 1", 4000, 200, unit="batches") as bar:
        for number in range(1, 101):  # a second for each 12 batches
            clock.now += 1
            bar.update(200 + 12 * number, "loss 1.234")
    assert capsys.readouterr().err.splitlines() == [
        r"train tiny\x07 fold 1: 560 of 4,000 batches, about 5 min left",  # 3,440 batches at 12 a second
        r"train tiny\x07 fold 1: 920 of 4,000 batches, about 4 min left",
        r"train tiny\x07 fold 1: 1,280 of 4,000 batches, about 4 min left",
    ]


def test_lines_tell_a_speed_and_work_of_unknown_length(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("find sounds", None, unit="files") as bar:
        clock.now += 31
        bar.update(12_000)
    with progress_bar("tag", 4000, 1000, unit="files") as bar:
        clock.now += 30
        bar.update(1300, speed="10 files/s, 50 × real time")
    assert capsys.readouterr().err.splitlines() == [
        "find sounds: 12,000 files",
        "tag: 1,300 of 4,000 files, 10 files/s, 50 × real time, about 4 min left",  # 2,700 at 10 a second
    ]


def test_a_bar_shows_a_speed_and_work_of_unknown_length(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    for total in (None, 1_000_000):
        with progress_bar("tag", total, unit="files") as bar:
            bar.update(123_456, speed="1,234 files/s, 12,345 × real time")
        assert "1,234 files/s, 12,345 × real time" in capsys.readouterr().err


def test_nothing_is_told_of_work_that_ends_before(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("tag", 2) as bar:
        for number in (1, 2):
            clock.now += 14.9
            bar.update(number)
    clock.now += 100
    progress_lines.tell_if_due()  # nothing is at work
    assert capsys.readouterr().err == ""


def test_short_works_share_the_clock(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(100):
        with progress_bar(f"net {number}", 1, unit="batches") as bar:
            clock.now += 2
            bar.update(1)
    assert capsys.readouterr().err.splitlines() == [f"net {n}: 1 of 1 batches" for n in (14, 29, 44, 59, 74, 89)]


def test_hidden_work_tells_of_the_work_around_it(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """A validation hides its bar, and may take longer than the batches between two of them."""
    with progress_bar("train", 10, unit="batches") as bar:
        clock.now += 10
        bar.update(1)
        with progress_bar("", 5, hidden=True) as inner:
            for number in range(5):
                clock.now += 10
                inner.update(number)
    told = ["train: 1 of 10 batches, about 4 min left", "train: 1 of 10 batches, about 9 min left"]  # nothing has ended since
    assert capsys.readouterr().err.splitlines() == told


def test_innermost_work_is_told_of_and_a_work_that_begins_late(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("outer", 2):
        clock.now += 40
        with progress_bar("inner", 3, unit="clips"):
            pass
    assert capsys.readouterr().err == "inner: 0 of 3 clips\n"


def test_workers_tell_nothing(clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_hidden", True)
    with progress_bar("train", 10) as bar:
        clock.now += 100
        bar.update(1)
    assert capsys.readouterr().err == ""


def test_only_commands_tell(clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_lines, "_told_at", None)  # as in a program that imports earmark
    for run in (False, True):
        if run:
            cli.run(["--version"])
        with progress_bar("train", 10) as bar:
            clock.now += 100
            bar.update(1)
        assert capsys.readouterr().err == ("train: 1 of 10, about 15 min left\n" if run else "")
        clock.now += 100


def test_lines_that_nobody_reads_stop_nothing() -> None:
    code = (
        "import os, sys; from earmark import progress_lines; from earmark.progress import progress_bar\n"
        "progress_lines.EVERY = 0.0; progress_lines.tell_progress()\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 2)\n"
        "with progress_bar('work', 3) as bar:\n"
        "    for number in range(3): bar.update(number)\n"
        "print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n")
