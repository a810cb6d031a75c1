import csv
import fcntl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from earmark.errors import EarmarkError
from earmark.web.corrections import HEADER, NAME, Exporter, refuse_orphan, write_corrections
from earmark.web.decisions import NAME as DECISIONS
from earmark.web.decisions import Decisions


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_table_has_what_stands_in_the_end(tmp_path: Path) -> None:
    file = Decisions(tmp_path / DECISIONS, "f")
    file.add('odd\r\nname, "1".wav', "ann", "accept", ["x"], ["y", "z"])
    file.add("b.wav", "ann", "keep", ["x"], ["x"])
    file.add("b.wav", "bo", "unusable", ["x"], [])
    file.add("c.wav", "bo", "none", ["x", "y"], [])
    file.add("d.wav", "bo", "keep", ["x"], ["x"])
    file.undo("bo")
    times = [made.when for made in file.since(0)]
    file.close()
    assert write_corrections(tmp_path / NAME, tmp_path / DECISIONS, lambda clips: [clip[0] for clip in clips], "|") == 3
    assert rows_of(tmp_path / NAME) == [
        list(HEADER),
        ['odd\r\nname, "1".wav', "x", "y|z", "accept", "ann", times[0], "o", ""],
        ["b.wav", "x", "", "unusable", "bo", times[2], "b", "ann"],
        ["c.wav", "x|y", "", "none", "bo", times[3], "c", ""],
    ]


def until(true: Callable[[], bool], seconds: float = 5.0) -> float:
    """Waits until something is so, and says how long it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, "it did not come"
        time.sleep(0.01)
    return time.monotonic() - begun


def test_written_within_a_second_and_at_the_end() -> None:
    written: list[float] = []
    exporter = Exporter(lambda: written.append(time.monotonic()))
    time.sleep(0.05)
    assert not written
    exporter.wake()
    assert until(lambda: len(written) == 1) < 1
    exporter.wake()
    exporter.wake()
    exporter.close()
    assert len(written) == 2
    assert not exporter._thread.is_alive()


def test_tried_again_until_it_is_written() -> None:
    troubles = [OSError(28, "No space left on device"), EarmarkError("is being written by another process")]
    written: list[bool] = []

    def write() -> None:
        if troubles:
            raise troubles.pop(0)
        written.append(True)

    exporter = Exporter(write)
    exporter.wake()
    until(lambda: exporter.fault is not None)
    assert exporter.fault == "corrections.csv could not be written: No space left on device"
    until(lambda: bool(written))
    until(lambda: exporter.fault is None)
    exporter.close()


def test_two_servers_do_not_write_over_newer_rows(tmp_path: Path) -> None:
    """The rows are read only while no other process writes the table."""
    Decisions(tmp_path / DECISIONS, "f").close()
    with (tmp_path / f".{NAME}.partial").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(EarmarkError, match="is being written by another"):
            write_corrections(tmp_path / NAME, tmp_path / DECISIONS, list, ",")


def test_corrections_without_their_decisions_are_not_written_over(tmp_path: Path) -> None:
    refuse_orphan(tmp_path, tmp_path / DECISIONS)
    (tmp_path / NAME).write_text(",".join(HEADER) + "\n", encoding="utf-8")
    refuse_orphan(tmp_path, tmp_path / DECISIONS)
    with (tmp_path / NAME).open("a", encoding="utf-8") as file:
        file.write("a,x,y,accept,ann,t,,\n")
    with pytest.raises(EarmarkError, match=r"is there without review\.sqlite"):
        refuse_orphan(tmp_path, tmp_path / DECISIONS)
    Decisions(tmp_path / DECISIONS, "f").close()
    refuse_orphan(tmp_path, tmp_path / DECISIONS)
