"""Independent truth: tables as people write them, and what Python's csv reads from those that are written."""

import csv
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.corrections import ACTIONS, Correction, normal_time, read_corrections, write_corrections
from earmark.errors import ManifestError


def table(folder: Path, text: str) -> Path:
    path = folder / "heard.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plain_table_needs_two_columns(tmp_path: Path) -> None:
    read = read_corrections(table(tmp_path, 'clip_id,labels\na.wav,dog\nb.wav,"cat, dog"\nc.wav,\nd.wav, Remove \n'), ",")
    assert not read.faults
    assert [(said.clip_id, said.labels, said.action, said.by, said.when) for said in read.corrections] == [
        ("a.wav", ("dog",), "relabel", "heard.csv", ""),
        ("b.wav", ("cat", "dog"), "relabel", "heard.csv", ""),
        ("c.wav", (), "relabel", "heard.csv", ""),
        ("d.wav", (), "unusable", "heard.csv", ""),
    ]
    assert [said.decision for said in read.corrections] == [{"dog"}, {"cat", "dog"}, frozenset(), None]
    assert read.words == {"remove"}


@pytest.mark.parametrize("column", ["clip", "clip_id", "file_name"])
def test_the_clip_may_stand_under_three_names(tmp_path: Path, column: str) -> None:
    read = read_corrections(table(tmp_path, f"labels,{column},note\ndog,a.wav,x\n"), ",")
    assert [(said.clip_id, said.labels) for said in read.corrections] == [("a.wav", ("dog",))]


def test_parquet_has_lists_of_labels(tmp_path: Path) -> None:
    columns = {"clip": ["a.wav", "b.wav", "c.wav"], "labels": [["x, y"], [], ["remove"]]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    read = read_corrections(tmp_path / "t.parquet", ",")
    assert [(said.labels, said.unusable) for said in read.corrections] == [(("x, y",), False), ((), False), ((), True)]


def test_what_review_writes_is_read_word_for_word(tmp_path: Path) -> None:
    text = (
        "clip_id,given,labels,action,by,when,sha256,disagrees\n"
        "a.wav,dog,dog,keep,R1,2026-01-31T12:00:00Z,00ff,\n"
        "b.wav,dog;cat,cat;wolf,relabel,R2,2026-01-31T13:00:00.9+01:00,,R1;R3\n"
        "c.wav,,,none,R1,,,\n"
        "d.wav,remove,remove,unusable,R1,,,\n"
    )
    read = read_corrections(table(tmp_path, text), ";")
    assert read.corrections == (
        Correction("a.wav", ("dog",), "keep", ("dog",), "R1", "2026-01-31T12:00:00Z", "00ff", (), "row 1"),
        Correction("b.wav", ("cat", "wolf"), "relabel", ("dog", "cat"), "R2", "2026-01-31T12:00:00Z", "", ("R1", "R3"), "row 2"),
        Correction("c.wav", (), "none", (), "R1", place="row 3"),
        Correction("d.wav", (), "unusable", ("remove",), "R1", place="row 4"),
    )
    assert not read.faults and not read.words  # a class may be called so where there is a column `action`


def test_all_faults_are_listed(tmp_path: Path) -> None:
    text = (
        "clip_id,labels,action,when\n"
        ",dog,keep,\n"
        "a.wav,dog,kepe,\n"
        "b.wav,dog,none,\n"
        "c.wav,dog,keep,yesterday\n"
        '"d.wav","dog,dog",keep,\n'
        '"e.wav","do\u0007g",keep,0001-01-01T00:00:00+23:00\n'
    )
    assert read_corrections(table(tmp_path, text), ",").faults == (
        "row 1: clip_id is empty",
        "row 2: action is 'kepe', not one of keep, accept, relabel, none, unusable",
        "row 3: action is none, and yet there are labels: dog",
        "row 4: when is 'yesterday', not a time such as 2026-01-31T12:00:00Z",
        "row 5: label 'dog' stands 2 times",
        "row 6: label 'do\\x07g' has a control character",
        "row 6: when is '0001-01-01T00:00:00+23:00', not a time such as 2026-01-31T12:00:00Z",
    )


def test_a_clip_may_stand_twice_if_both_say_the_same(tmp_path: Path) -> None:
    text = 'clip_id,labels\na.wav,"dog,cat"\nb.wav,dog\na.wav,"cat,dog"\nb.wav,remove\nb.wav,\n'
    read = read_corrections(table(tmp_path, text), ",")
    assert [said.clip_id for said in read.corrections] == ["a.wav", "b.wav"]
    assert read.faults == ("clip 'b.wav' stands 3 times: dog (row 2) and unusable (row 4)",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("clip_id,label\na.wav,dog\n", "no column 'labels'; it has 'clip_id', 'label'"),
        ("name,labels\na.wav,dog\n", "no column 'clip_id'"),
        ("clip_id,labels\na.wav\n", "row 1: 1 cells under 2 columns"),
        ('clip_id,labels\na.wav,"dog\n', "is not CSV"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_corrections(table(tmp_path, text), ",")
    with pytest.raises(ManifestError, match="--label-separator: is empty"):
        read_corrections(table(tmp_path, text), "")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2026-03-09T22:16:08.728353Z", "2026-03-09T22:16:08Z"),
        ("2026-03-09T22:16:08", "2026-03-09T22:16:08Z"),
        ("2026-03-09T22:16:08-05:00", "2026-03-10T03:16:08Z"),
        ("2026-03-09", "2026-03-09T00:00:00Z"),
    ],
)
def test_times_are_in_utc_and_whole_seconds(text: str, normal: str) -> None:
    assert normal_time(text) == normal


LABELS = st.lists(
    st.text(st.characters(exclude_characters=";", exclude_categories=("C", "Z")), min_size=1), max_size=3, unique=True
)
WORDS = st.text(st.characters(exclude_characters=";", exclude_categories=("C", "Z")), min_size=1)
DECISIONS = st.builds(
    Correction,
    clip_id=WORDS,
    labels=LABELS.map(tuple),
    action=st.sampled_from([action for action in ACTIONS if action not in ("none", "unusable")]),
    given=LABELS.map(tuple),
    by=WORDS,
    when=st.datetimes().map(lambda time: time.isoformat()[:19] + "Z"),
    sha256=st.text("0123456789abcdef"),
    disagrees=st.lists(WORDS, max_size=2).map(tuple),
)


@given(st.lists(DECISIONS, max_size=4, unique_by=lambda said: said.clip_id))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, decisions: list[Correction]) -> None:
    def normal(labels: tuple[str, ...] | None) -> tuple[str, ...]:
        return tuple(dict.fromkeys(normalize("NFC", label) for label in labels or ()))

    decisions = [replace(said, labels=normal(said.labels), given=normal(said.given)) for said in decisions]
    path = tmp_path_factory.mktemp("written") / "corrections.csv"
    write_corrections(path, decisions, ";")
    read = read_corrections(path, ";")
    assert not read.faults
    assert [replace(said, place="") for said in read.corrections] == decisions


def test_the_table_is_written_as_it_is_described(tmp_path: Path) -> None:
    said = Correction("a.wav", ("dog", "cat"), "relabel", None, "R1", "2026-01-31T12:00:00Z", "ff", ("R2", "R3"), "row 7")
    write_corrections(tmp_path / "corrections.csv", [said], ",")
    with (tmp_path / "corrections.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["clip_id", "given", "labels", "action", "by", "when", "sha256", "disagrees"],
            ["a.wav", "", "dog,cat", "relabel", "R1", "2026-01-31T12:00:00Z", "ff", "R2;R3"],
        ]
    with pytest.raises(ManifestError, match="would be read otherwise"):
        write_corrections(tmp_path / "corrections.csv", [Correction("b.wav", ("a,b",), "keep")], ",")
