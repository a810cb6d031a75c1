import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from earmark.data.decode import Decoded, Encoded, Undecoded
from earmark.data.journal import Journal
from earmark.data.manifest import Clip, read_manifest
from earmark.data.prepare import prepare
from earmark.data.store import PCM, Store


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.is_file()}


def test_a_clip_half_written_when_the_machine_went_down_is_done_again(
    rendered: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(rendered)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("earmark.data.prepare._table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        prepare(manifest, str(rendered), tmp_path / "store", [8000, 16000])
    partial = tmp_path / ".store.partial"
    lines = (partial / "journal.jsonl").read_bytes().split(b"\n")
    (partial / "journal.jsonl").write_bytes(b"\n".join(lines[:41]) + b"\n" + lines[41][:30])  # its last line is cut off, too
    last = json.loads(lines[40])["16000"]
    os.truncate(partial / "pcm-16000.i16", 2 * (last["offset"] + 10))
    prepare(manifest, str(rendered), tmp_path / "store", [8000, 16000])
    assert contents(tmp_path / "store") == contents(store.path)


CLIPS = [Clip(name) for name in ("a.wav", "gone.wav", "b.wav", "c.wav")]


def decoded(*samples: int) -> Decoded:
    """At two rates; the second has each sample twice."""
    columns = {"length": len(samples), "scale": 1.0, "peak": 0.5, "lead": 0, "tail": 0}
    twice = np.repeat(np.array(samples, PCM), 2)
    return Decoded(
        "hash", {8000: Encoded(np.array(samples, PCM), columns), 16000: Encoded(twice, {**columns, "length": len(twice)})}
    )


def samples_in(folder: Path) -> tuple[list[int], list[int]]:
    slow, fast = (np.fromfile(folder / f"pcm-{rate}.i16", PCM).tolist() for rate in (8000, 16000))
    return slow, fast


def opened(folder: Path, table: str, rates: list[int], states: str = "aabc", changed: str = "") -> Journal:
    """With a state of one letter for each clip's file; files in the states ``changed`` have another content now."""
    return Journal.open(folder, table, rates, list(states), lambda _number, state, _content: state not in changed)


def begun(folder: Path) -> None:
    with opened(folder, "f", [8000, 16000]) as journal:
        journal.add(CLIPS, [decoded(1, 2, 3), Undecoded("no such file", "no such file")])
        journal.add(CLIPS, [decoded(4)])


def test_a_build_goes_on_behind_the_last_clip_that_is_written(tmp_path: Path) -> None:
    begun(tmp_path / "p")
    with opened(tmp_path / "p", "f", [8000, 16000]) as journal:
        assert journal.clips_done == 3
        assert {number: (line["file_name"], line["bad"]) for number, line in journal.bad.items()} == {
            1: ("gone.wav", "no such file")
        }
        assert [(row["8000"]["offset"], row["16000"]["offset"]) for row in journal.rows.values()] == [(0, 0), (3, 6)]
        journal.add(CLIPS, [decoded(5, 6)])
        assert journal.rows[3]["16000"]["offset"] == 8
    assert samples_in(tmp_path / "p") == ([1, 2, 3, 4, 5, 6], [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6])


@pytest.mark.parametrize(
    ("rate", "left", "done", "samples"),
    [(8000, 4, 3, [1, 2, 3, 4]), (8000, 3, 2, [1, 2, 3]), (16000, 7, 2, [1, 2, 3]), (16000, 5, 0, []), (8000, 0, 0, [])],
)
def test_clips_whose_samples_were_lost_at_any_rate_are_done_again(
    rate: int, left: int, done: int, samples: list[int], tmp_path: Path
) -> None:
    begun(tmp_path)
    os.truncate(tmp_path / f"pcm-{rate}.i16", 2 * left)
    with opened(tmp_path, "f", [8000, 16000]) as journal:
        assert journal.clips_done == done
    assert samples_in(tmp_path) == (samples, np.repeat(samples, 2).tolist())
    with opened(tmp_path, "f", [8000, 16000]) as journal:  # the lines behind are gone, too
        assert journal.clips_done == done


def test_a_line_that_was_cut_off_counts_for_nothing(tmp_path: Path) -> None:
    begun(tmp_path)
    content = (tmp_path / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").write_bytes(content[:-5])
    with opened(tmp_path, "f", [8000, 16000]) as journal:
        assert journal.clips_done == 2
        journal.add(CLIPS, [decoded(9)])
    assert samples_in(tmp_path)[0] == [1, 2, 3, 9]
    with opened(tmp_path, "f", [8000, 16000]) as journal:
        assert list(journal.rows) == [0, 2]


def test_a_clip_whose_file_has_changed_is_done_again_with_all_behind_it(tmp_path: Path) -> None:
    begun(tmp_path)
    with opened(tmp_path, "f", [8000, 16000], states="aabc", changed="b") as journal:
        assert journal.clips_done == 2
        journal.add(CLIPS, [decoded(9)])
    assert samples_in(tmp_path) == ([1, 2, 3, 9], [1, 1, 2, 2, 3, 3, 9, 9])


@pytest.mark.parametrize(("fingerprint", "rates"), [("other", [8000, 16000]), ("f", [16000, 8000]), ("f", [8000, 16000, 32000])])
def test_a_build_of_other_inputs_or_rates_begins_anew(fingerprint: str, rates: list[int], tmp_path: Path) -> None:
    begun(tmp_path / "p")
    with opened(tmp_path / "p", fingerprint, rates) as journal:
        assert journal.clips_done == 0
    assert samples_in(tmp_path / "p") == ([], [])


def test_a_file_that_takes_a_few_bytes_at_a_time_gets_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a pipe, or a disk that is nearly full, may."""
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda file, pieces: writev(file, [bytes(pieces[0])[:3]]))
    begun(tmp_path)
    assert samples_in(tmp_path) == ([1, 2, 3, 4], [1, 1, 2, 2, 3, 3, 4, 4])
    with opened(tmp_path, "f", [8000, 16000]) as journal:
        assert journal.clips_done == 3
