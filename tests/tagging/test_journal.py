import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from earmark.errors import EarmarkError
from earmark.tagging.journal import MISSING, STREAM, Done, Journal, Listed, State


def listed(*names: str, mtime: int = 5) -> list[Listed]:
    return [Listed(os.fsencode(name), os.fsencode(name), 100, mtime) for name in names]


def waiting(journal: Journal) -> list[str]:
    return [sound.path for sound in journal.waiting()]


def finish(journal: Journal, *names: str, state: State = State.TAGGED) -> None:
    """Notes that sounds are done, with ten bytes each, one after the other."""
    numbers = {sound.path: sound.number for sound in journal.waiting()}
    reason = "broken" if state is State.BAD else None
    journal.record([Done(numbers[name], state, 10 * place, 10 * place + 10, reason) for place, name in enumerate(names)])


def test_sounds_wait_in_order_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.tagging.journal.BATCH", 2)
    names = ["c", "a", "b\n", "caf\udce9", "e"]
    with Journal.open(tmp_path / "j") as journal:
        assert journal.ask(listed(*names, "a", "e")) == 5
        assert waiting(journal) == names
        finish(journal, "a", "e")
        assert waiting(journal) == ["c", "b\n", "caf\udce9"]


def test_what_was_not_committed_is_forgotten(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal:
        journal.ask(listed("a", "b"))
        finish(journal, "a")
        journal.header["length"] = [1, "x"]
        journal.commit()
        finish(journal, "b")
        journal.header["length"] = [2, "x"]
    with Journal.open(tmp_path / "j") as journal:
        journal.ask(listed("a", "b"))
        assert (waiting(journal), journal.header) == (["b"], {"length": [1, "x"]})


def test_an_unused_journal_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Journal.open(tmp_path / "j"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def again(journal: Journal, sounds: Sequence[Listed]) -> tuple[list[str], dict[State, int]]:
    journal.ask(sounds)
    return waiting(journal), {state: count for state, count in journal.counts().items() if count}


def test_changed_sounds_and_those_not_asked_for_are_old(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal:
        journal.ask(
            [*listed("same", "gone", "touched"), Listed(b"pipe", b"", 0, STREAM), Listed(b"missing", b"", MISSING, MISSING)]
        )
        finish(journal, "same", "gone", "touched", "pipe", "missing")
        sounds = [*listed("same", "new"), *listed("touched", mtime=6), Listed(b"pipe", b"", 0, STREAM)]
        sounds.append(Listed(b"missing", b"", MISSING, MISSING))
        assert again(journal, sounds) == (["new"], {State.OLD_TAGGED: 2, State.TODO: 1, State.TAGGED: 2})
        assert journal.has_old(State.TAGGED) and not journal.has_old(State.BAD)
        assert [(start, stop) for _, start, stop in journal.kept(State.TAGGED)] == [(0, 10), (40, 50)]
        journal.move((start // 4, stop // 4, number) for number, start, stop in journal.kept(State.TAGGED))
        assert [(start, stop) for _, start, stop in journal.kept(State.TAGGED)] == [(0, 2), (10, 12)]
        assert journal.drop_old() and not journal.drop_old()
        assert waiting(journal) == ["new", "touched", "pipe"]
        assert not journal.has_old(State.TAGGED)


def test_bad_sounds_have_reasons_and_can_be_tried_again(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal:
        journal.ask([Listed(b"not there", b"", MISSING, MISSING), *listed("a", "b", "c")])
        finish(journal, "b", "not there", state=State.BAD)
        assert list(journal.bad()) == [("b", "broken"), ("not there", "broken")]  # those that are not there come last
        journal.retry("reason = ?", "else")
        assert list(journal.bad())
        journal.retry("reason = ?", "broken")
        assert journal.has_old(State.BAD) and not list(journal.bad())


def test_what_a_cut_has_taken_is_done_again(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal:
        journal.ask(listed("a", "b", "c"))
        finish(journal, "a", "b", "c")
        end = journal.end_of(State.TAGGED, 25)
        journal.repeat("state = ? AND stop > ?", State.TAGGED, end)
        assert (end, waiting(journal)) == (20, ["c"])


def test_tables_of_one_name_are_told_apart(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal:
        journal.ask(
            [Listed(path.encode(), wish.encode(), 1, 1) for path, wish in (("x/a", "a"), ("y/a", "a"), ("b", "b"), ("z/a", "a"))]
        )
        assert list(journal.name_tables(".txt")) == ["a.txt", "a~2.txt", "b.txt", "a~3.txt"]
        assert list(journal.name_tables(".txt")) == []
        assert [sound.name for sound in journal.waiting()] == ["a.txt", "a~2.txt", "b.txt", "a~3.txt"]


def test_thousands_of_one_name_take_no_longer_than_others(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal:
        journal.ask(Listed(f"{number}/a".encode(), b"a", 1, 1) for number in range(5000))
        assert list(journal.name_tables(".txt"))[4999] == "a~5000.txt"  # a minute, if each of them begins with ~2


def test_two_processes_do_not_share_a_journal(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from earmark.tagging.journal import Journal\nwith Journal.open(Path('j'), Path('tags.csv')): pass"
    with Journal.open(tmp_path / "j") as journal:
        for _ in range(2):
            done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert (
                done.stderr.splitlines()[-1] == "earmark.errors.EarmarkError: tags.csv is being written by another earmark process"
            )
            journal.commit()
        with pytest.raises(EarmarkError, match=r"tags.csv is being written"), Journal.open(tmp_path / "j", Path("tags.csv")):
            pass
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_a_journal_that_another_process_has_just_made_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal.open(tmp_path / "j") as journal:
        monkeypatch.setattr(Path, "exists", lambda _: False)  # as it was when the second process looked
        with pytest.raises(EarmarkError, match=r"is being written"), Journal.open(tmp_path / "j"):
            pass
        monkeypatch.undo()
        journal.header["length"] = 1
        journal.commit()
    assert (tmp_path / "j").stat().st_size


def test_an_interrupt_within_a_commit_does_no_harm(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal:
        journal.ask(listed("a"))
        journal._connection.execute("COMMIT")
        journal.commit()
        finish(journal, "a")
    with Journal.open(tmp_path / "j") as journal:
        assert again(journal, listed("a"))[0] == ["a"]  # what was not committed is forgotten still


def test_other_files_are_no_journals(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE birds (name)")
    other.close()
    (tmp_path / "text").write_text("some words " * 200)
    (tmp_path / "cut").write_bytes((tmp_path / "other").read_bytes()[:3000])
    for name, reason in (("other", "is no journal of this version"), ("text", "is damaged, or no journal"), ("cut", "is damaged")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(EarmarkError, match=f"{name} {reason}"), Journal.open(tmp_path / name):
            pass
        assert (tmp_path / name).read_bytes() == before


def test_a_private_journal_works_alike() -> None:
    with Journal.open(None) as journal:
        journal.ask(listed("a", "b"))
        journal.commit()
        finish(journal, "a")
        assert waiting(journal) == ["b"]
