import csv
import fcntl
import time
from pathlib import Path

import pytest

from earmark.data.corrections import NAME, read_corrections
from earmark.errors import EarmarkError
from earmark.web.corrections import Exporter, refuse_orphan, write_decided
from earmark.web.decisions import NAME as DECISIONS
from earmark.web.decisions import Decisions
from tests.web.conftest import until

pytestmark = pytest.mark.slow  # together they take seconds


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
    assert write_decided(tmp_path / NAME, tmp_path / DECISIONS, lambda clips: [clip[0] for clip in clips], "|") == 3
    assert rows_of(tmp_path / NAME) == [
        ["clip_id", "given", "labels", "action", "by", "when", "sha256", "disagrees"],
        ['odd\r\nname, "1".wav', "x", "y|z", "accept", "ann", times[0], "o", ""],
        ["b.wav", "x", "", "unusable", "bo", times[2], "b", "ann"],
        ["c.wav", "x|y", "", "none", "bo", times[3], "c", ""],
    ]


def test_the_table_can_be_read_as_corrections(tmp_path: Path) -> None:
    file = Decisions(tmp_path / DECISIONS, "f")
    file.add("a.wav", "Łukasz & co", "relabel", ["x"], ["y, z", "<script>"])
    file.add("b.wav", "bo", "unusable", ["x"], [])
    file.add("b.wav", "ann", "none", ["x"], [])
    made = file.since(0)
    file.close()
    write_decided(tmp_path / NAME, tmp_path / DECISIONS, lambda clips: ["0" * 32] * len(clips), ";")
    read = read_corrections(tmp_path / NAME, ";")
    assert read.faults == ()
    one, two = read.corrections
    assert (one.clip_id, one.labels, one.given, one.by, one.when) == (
        "a.wav",
        ("y, z", "<script>"),
        ("x",),
        "Łukasz & co",
        made[0].when,
    )
    assert (two.clip_id, two.action, two.labels, two.by, two.disagrees) == ("b.wav", "none", (), "ann", ("bo",))


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
            write_decided(tmp_path / NAME, tmp_path / DECISIONS, list, ",")


def test_decisions_that_were_moved_away_are_not_begun_anew(tmp_path: Path) -> None:
    """A file without decisions would make a table without corrections."""
    (tmp_path / NAME).write_text("what was decided", encoding="utf-8")
    with pytest.raises(EarmarkError, match=r"review\.sqlite cannot be"):
        write_decided(tmp_path / NAME, tmp_path / DECISIONS, list, ",")
    assert not (tmp_path / DECISIONS).exists()
    assert (tmp_path / NAME).read_text(encoding="utf-8") == "what was decided"


def test_corrections_without_their_decisions_are_not_written_over(tmp_path: Path) -> None:
    refuse_orphan(tmp_path, tmp_path / DECISIONS)
    (tmp_path / NAME).write_text("clip_id,given,labels,action,by,when,sha256,disagrees\n", encoding="utf-8")
    refuse_orphan(tmp_path, tmp_path / DECISIONS)
    with (tmp_path / NAME).open("a", encoding="utf-8") as file:
        file.write("a,x,y,accept,ann,t,,\n")
    with pytest.raises(EarmarkError, match=r"is there without the review\.sqlite"):
        refuse_orphan(tmp_path, tmp_path / DECISIONS)
    (tmp_path / DECISIONS).touch()  # no more than a beginning
    with pytest.raises(EarmarkError, match=r"is there without the review\.sqlite"):
        refuse_orphan(tmp_path, tmp_path / DECISIONS)
    Decisions(tmp_path / DECISIONS, "f").close()
    refuse_orphan(tmp_path, tmp_path / DECISIONS)
