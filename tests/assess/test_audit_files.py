"""The folder of an audit: its files, and which folders are refused."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from earmark import __version__
from earmark.assess.audit import Judged, judge, make_audit
from earmark.assess.audit_files import check_audit_out, write_audit
from earmark.assess.audit_result import Audit
from earmark.assess.duplicates import Duplicate
from earmark.data.audit_info import label_separator, read_audit
from earmark.data.store import Store
from earmark.errors import EarmarkError
from earmark.labels import LabelSet
from earmark.runs.predictions import read_predictions
from tests.assess.worlds import world

ODD = ("Barking, loud", 'a "quoted" one', "=1+1", "<script>", "größe", "two  spaces")


def written(folder: Path, names: tuple[str, ...] = ("a", "b", "c"), several: bool = False) -> tuple[Audit, Judged, Path]:
    """An audit of 120 clips, four of them unlabelled, in a folder."""
    made = world(120, len(names), 0.4, 0.3, seed=1, several=several)
    bare = np.arange(120) >= 116
    clips = replace(
        made.clips,
        labels=LabelSet(names),
        positive=made.clips.positive & ~bare[:, None],
        verified=made.clips.verified & ~bare,
        clip_id=np.array([f'clips, "{i}"\nof é.wav' for i in range(120)]),
    )
    judged = judge(clips, [made.guesses])
    copies = [Duplicate("same file", (str(clips.clip_id[0]), str(clips.clip_id[1])), (0, 1), names[:2], True, True)]
    audit = make_audit(
        judged, copies, np.zeros(len(names), bool), run=folder / "run", store=folder / "store", strategy="By ear.", notes=[]
    )
    write_audit(folder / "out", audit, judged, store_of(folder), "model-key")
    return audit, judged, folder / "out"


def store_of(folder: Path) -> Store:
    return SimpleNamespace(path=folder / "store", fingerprint="f1")  # type: ignore[return-value]


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "suspects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("names", [("a", "b", "c"), ODD, (*ODD, "semi;colon"), (*ODD, "semi;colon", "p|pe")])
def test_every_row_of_the_list_can_be_read_back(names: tuple[str, ...], several: bool, tmp_path: Path) -> None:
    audit, judged, out = written(tmp_path, names, several)
    rows, data = rows_of(out), json.loads((out / "audit.json").read_text(encoding="utf-8"))
    separator, clips = data["label_separator"], judged.clips
    assert list(rows[0]) == ["rank", "clip_id", "given", "suggested", "score", "probability", "verified", "reason"]
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 121)]
    place = {clip: i for i, clip in enumerate(clips.clip_id.tolist())}
    assert sorted(row["clip_id"] for row in rows) == sorted(place)
    for i, row in enumerate(rows):
        own = place[row["clip_id"]]
        given = row["given"].split(separator) if row["given"] else []
        assert given == np.array(names, object)[clips.positive[own]].tolist()
        assert row["suggested"] == separator.join(audit.suspects.suggested[i])
        assert set(row["suggested"].split(separator) if row["suggested"] else []) <= set(names)
        assert row["verified"] == str(int(clips.verified[own]))
        if i < 116:
            assert float(row["score"]) == pytest.approx(judged.odds[own], abs=1e-5)
            assert float(row["probability"]) == pytest.approx(1 / (1 + np.exp(-judged.odds[own])), rel=1e-4)
        else:
            assert row["score"] == row["probability"] == "" and row["reason"].split("; ")[0] == "unlabelled"
    reasons = {reason for row in rows for reason in row["reason"].split("; ")}
    assert reasons <= {"wrong label", "missing label", "none of these", "unlabelled", "", "duplicate", "two folds", "two labels"}
    (copy,) = [row for row in rows if row["clip_id"] == clips.clip_id[0]]
    assert copy["reason"].split("; ")[-3:] == ["duplicate", "two folds", "two labels"]


def test_what_separates_labels_is_in_none_of_them() -> None:
    for names, separator in ((("a", "b"), ","), (("a,b",), ";"), (("a,b", "c;d"), "|"), (("a,b;c|d",), "\t")):
        assert label_separator(LabelSet(names)) == separator


def test_audit_json_says_all_that_the_review_and_the_page_need(tmp_path: Path) -> None:
    audit, judged, out = written(tmp_path)
    data = read_audit(out)
    assert data == json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert {name: data[name] for name in ("version", "earmark", "run", "store", "store_fingerprint", "clips", "labels")} == {
        "version": 1,
        "earmark": __version__,
        "run": str(tmp_path / "run"),
        "store": str(tmp_path / "store"),
        "store_fingerprint": "f1",
        "clips": 120,
        "labels": ["a", "b", "c"],
    }
    assert (data["label_separator"], data["several"], data["vectors"], data["strategy"]) == (",", False, "model-key", "By ear.")
    assert data["cut"] == audit.cut
    assert data["promise"][0].keys() == {"first", "wrong", "low", "high"} and data["promise"][0]["first"] == 50
    assert [row["first"] for row in data["curve"]] == [promise.first for promise in audit.curve]
    assert data["whole"]["first"] == int((~judged.clips.verified & judged.clips.positive.any(axis=1)).sum())
    assert data["classes"][0].keys() == {"label", "clips", "verified", "wrong", "low", "high", "note"}
    assert data["duplicates"][0]["kind"] == "same file" and data["duplicates"][0]["folds"] == [0, 1]


def test_a_figure_that_is_unknown_is_null(tmp_path: Path) -> None:
    made = world(40, 2, 1.0, 0.0, seed=2)
    judged = judge(made.clips, [made.guesses])
    audit = make_audit(judged, [], np.zeros(2, bool), run=tmp_path, store=tmp_path, strategy="", notes=[])
    write_audit(tmp_path / "out", audit, judged, store_of(tmp_path), None)
    data = read_audit(tmp_path / "out")
    assert data["whole"] is None and data["vectors"] is None and data["promise"] == [] and data["cut"] == 0
    assert {row["wrong"] for row in data["classes"]} == {None}


@pytest.mark.parametrize("several", [False, True])
def test_guesses_are_kept_in_the_format_of_scores(several: bool, tmp_path: Path) -> None:
    _, judged, out = written(tmp_path, several=several)
    labels, (block,) = read_predictions(out / "guesses.parquet")
    assert labels.names == ("a", "b", "c") and (block.clip_id == judged.clips.clip_id).all()
    assert (block.scores == judged.guesses).all()
    if not several:
        np.testing.assert_allclose(block.scores.sum(axis=1), 1, atol=1e-5)


def test_the_same_audit_writes_the_same_bytes_and_leaves_decisions_alone(tmp_path: Path) -> None:
    audit, judged, out = written(tmp_path)
    for name in ("review.sqlite", "review.sqlite-wal", "corrections.csv"):
        (out / name).write_text("a person's work")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    check_audit_out(out, tmp_path / "run")
    write_audit(out, audit, judged, store_of(tmp_path), "model-key")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "audit.json").unlink()  # so that it can be made anew
    check_audit_out(out, tmp_path / "run")


def refused(out: Path, run: Path, said: str) -> None:
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(EarmarkError, match=said) as caught:
        check_audit_out(out, run)
    assert "\n" not in str(caught.value) and sorted(out.parent.rglob("*")) == before


def test_folders_that_are_something_else_are_refused(tmp_path: Path) -> None:
    run, store, letters, empty = (tmp_path / name for name in ("run", "store", "letters", "empty"))
    for folder in (run, store, letters, empty):
        folder.mkdir()
    (run / "recipe.yaml").touch()
    (store / "store.json").touch()
    (letters / "letter.txt").touch()
    for out in (run, store, run / "audit", store / "deep/er"):
        refused(out, run, f"^{re.escape(str(out))} lies in a store or a run; choose another --out$")
    (tmp_path / "way").symlink_to(store)
    refused(tmp_path / "way/audit", run, "lies in a store or a run")
    refused(letters, run, r"is no audit and has letter\.txt already; choose another --out")
    refused(letters / "letter.txt", run, r"letter\.txt is no folder; choose another --out")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    refused(tmp_path / "nowhere", run, "is a link to .*gone, which is not there")
    for out in (empty, tmp_path / "new", tmp_path / "new/deeper"):
        check_audit_out(out, run)
    assert not (tmp_path / "new").exists()


def test_the_audit_of_another_run_is_left_alone(tmp_path: Path) -> None:
    _, _, out = written(tmp_path)
    check_audit_out(out, tmp_path / "run")
    refused(out, tmp_path / "other", f"has the audit of {re.escape(str(tmp_path / 'run'))}; choose another --out")


def test_after_all_has_moved_the_audit_of_a_run_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    _, _, out = written(tmp_path)
    moved, fingerprint = tmp_path / "moved" / "run", store_of(tmp_path).fingerprint
    check_audit_out(out, moved, fingerprint)
    with pytest.raises(EarmarkError, match="has the audit of"):
        check_audit_out(out, moved, "of another store")
    (tmp_path / "run").mkdir()  # it is there after all
    with pytest.raises(EarmarkError, match="has the audit of"):
        check_audit_out(out, moved, fingerprint)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: "{", "is damaged"),
        (lambda _: "[1]", "is damaged"),
        (lambda _: "[" * 100_000, "is damaged"),
        (lambda data: json.dumps({name: data[name] for name in data if name != "store"}), "is damaged .it has no 'store'."),
        (lambda data: json.dumps(data | {"version": 2}), "is of version 2; this earmark reads version 1"),
        (lambda data: json.dumps(data | {"run": 3}), "is damaged"),
    ],
)
def test_a_damaged_audit_is_named(change: Callable[[dict[str, object]], str], said: str, tmp_path: Path) -> None:
    _, _, out = written(tmp_path)
    (out / "audit.json").write_text(change(read_audit(out)))
    refused(out, tmp_path / "run", rf"audit\.json {said}")
    (out / "audit.json").unlink()  # as the message says
    check_audit_out(out, tmp_path / "run")
