import os
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from earmark.errors import EarmarkError, MachineError
from earmark.web.decisions import NAME, Decisions, now, read_decisions

STORE = "f" * 32


def test_a_decision_comes_back_as_it_was_made(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    before = now()
    first = file.add("a/1.wav", "ann", "relabel", ["x, y"], ["<script>", "ü"])
    second = file.add("a/1.wav", "bo", "unusable", [], [])
    one, two = file.since(0)
    assert (one.id, one.clip_id, one.by, one.action, one.given, one.labels, one.undoes) == (
        (first, "a/1.wav", "ann", "relabel", ("x, y",), ("<script>", "ü"), None)
    )
    assert before <= one.when <= now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one.when)
    assert (one.outcome, one.changed) == ({"<script>", "ü"}, True)
    assert (two.id, two.outcome, two.changed) == (second, None, True)
    assert file.since(first) == [two]
    assert file.since(second) == []
    file.close()


def test_a_decision_that_keeps_changes_nothing(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    file.add("a", "ann", "relabel", ["x", "y"], ["y", "x"])
    file.add("b", "ann", "none", ["x"], [])
    file.add("c", "ann", "none", [], [])
    assert [made.changed for made in file.since(0)] == [False, True, False]
    file.close()


def test_everything_is_on_the_disk_at_once(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    connection = file._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    file.close()


def test_undo_goes_back_step_by_step(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    for clip, by in (("a", "ann"), ("b", "bo"), ("c", "ann"), ("a", "ann")):
        file.add(clip, by, "keep", [], [])
    assert [file.undo("ann") for _ in range(4)] == ["a", "c", "a", None]
    assert file.undo("nobody") is None
    assert [row.undoes for row in file.since(4)] == [4, 3, 1]
    assert file.undo("bo") == "b"
    file.close()


def test_the_same_key_adds_nothing(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    number = file.add("a", "ann", "keep", ["x"], ["x"], "k1")
    assert file.add("a", "ann", "keep", ["x"], ["x"], "k1") == number
    assert file.add("b", "ann", "keep", ["x"], ["x"], "k2") > number
    assert len(file.since(0)) == 2
    file.close()


def test_nothing_is_ever_changed(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    file.add("a", "ann", "keep", ["x"], ["x"])
    file.close()
    with sqlite3.connect(tmp_path / NAME) as connection:
        for statement in ("UPDATE decisions SET reviewer = 'bo'", "DELETE FROM decisions"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)
    connection.close()


def test_many_threads_and_two_servers_lose_nothing(tmp_path: Path) -> None:
    files = [Decisions(tmp_path / NAME, STORE) for _ in range(2)]

    def decide(number: int) -> None:
        for clip in range(20):
            files[number % 2].add(f"{number}-{clip}", f"reviewer {number}", "keep", [], [])

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row.clip_id for row in files[0].since(0)} == {f"{number}-{clip}" for number in range(6) for clip in range(20)}
    assert files[0].since(0) == files[1].since(0) == read_decisions(tmp_path / NAME)
    for file in files:
        file.close()


def test_two_processes_that_begin_at_the_same_moment(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from earmark.web.decisions import Decisions\n"
        "file = Decisions(Path(sys.argv[1]), 'f' * 32)\n"
        "for clip in range(30): file.add(str(clip), sys.argv[2], 'keep', [], [])\n"
    )
    begun = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / NAME), name]) for name in ("ann", "bo")]
    assert [process.wait() for process in begun] == [0, 0]
    assert len(read_decisions(tmp_path / NAME)) == 60


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(EarmarkError, match=r"review\.sqlite is damaged .* move it") as caught:
        Decisions(tmp_path / NAME, STORE)
    assert not isinstance(caught.value, MachineError)
    assert (tmp_path / NAME).read_bytes() == content


def test_damage_in_the_middle_is_noticed(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    for number in range(400):
        file.add(f"clip {number}", "ann", "keep", ["x" * 50], ["x" * 50])
    file.close()
    content = bytearray((tmp_path / NAME).read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = b"\x55" * 4096
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(EarmarkError, match="is damaged"):
        Decisions(tmp_path / NAME, STORE)


def test_files_of_others(tmp_path: Path) -> None:
    Decisions(tmp_path / NAME, STORE).close()
    with pytest.raises(EarmarkError, match="decisions about another store"):
        Decisions(tmp_path / NAME, "0" * 32)
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(EarmarkError, match="is of version 9"):
        Decisions(tmp_path / NAME, STORE)
    with sqlite3.connect(tmp_path / "other") as connection:
        connection.execute("CREATE TABLE songs (name)")
    connection.close()
    with pytest.raises(EarmarkError, match="is no file of decisions"):
        Decisions(tmp_path / "other", STORE)


def test_a_file_that_is_moved_away_takes_no_more_decisions(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    file.add("a", "ann", "keep", [], [])
    os.replace(tmp_path / NAME, tmp_path / "away")
    with pytest.raises(MachineError, match="was moved or replaced while it was open"):
        file.add("b", "ann", "keep", [], [])
    (tmp_path / NAME).write_bytes(b"another file")
    with pytest.raises(MachineError, match="was moved or replaced while it was open"):
        file.undo("ann")
    os.replace(tmp_path / "away", tmp_path / NAME)
    file.add("c", "ann", "keep", [], [])
    assert [row.clip_id for row in file.since(0)] == ["a", "c"]
    file.close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        Decisions(tmp_path / "nowhere" / NAME, STORE)


def test_a_full_disk_is_told_and_nothing_half_is_kept(tmp_path: Path) -> None:
    file = Decisions(tmp_path / NAME, STORE)
    file.add("a", "ann", "keep", [], [])
    pages = file._connection.execute("PRAGMA page_count").fetchone()[0]
    file._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then says what it says of a full disk
    with pytest.raises(MachineError, match="full"):
        for _ in range(100):
            file.add("b" * 4000, "ann", "keep", [], [])
    file._connection.execute("PRAGMA max_page_count = 1000000")
    count = len(file.since(0))
    file.add("c", "ann", "keep", [], [])
    assert len(file.since(0)) == count + 1
    file.close()
