"""Independent truth: manifests of a few rows, corrected by hand."""

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data.correct import Corrected, correct, load_corrections, removed_path, write_corrected
from earmark.data.corrections import ACTIONS, Correction, Corrections, write_corrections
from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.rows import read_rows
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.errors import EarmarkError, ManifestError, StoreError

pytestmark = pytest.mark.slow  # together they take seconds

MANIFEST = """\
file_name,note,labels,verified,fold,split
a.wav,first,dog,0,1,train
b.wav,"x, y","cat,dog",0,2,train
c.wav,,wolf,no,1.0,
./d.wav,é,,0,2,train
e.wav,last,dog,yes,,test
f.wav,,cat,1,1,train
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "m.csv").write_text(MANIFEST, encoding="utf-8")
    return tmp_path / "m.csv"


def said(clip_id: str, *labels: str, action: str = "relabel", **more: Any) -> Correction:
    return Correction(
        clip_id, labels, action, **({"by": "R1", "when": "2026-01-31T12:00:00Z", "place": f"row of {clip_id}"} | more)
    )


def apply(manifest: Path, out: Path, *corrections: Correction, new_labels: bool = False, unverified: bool = False) -> Corrected:
    source = read_rows(manifest, ",")
    made = correct(source, Corrections("heard", corrections), ",", new_labels, unverified)
    write_corrected(out, source, made, ",")
    return made


def faults(manifest: Path, *corrections: Correction, **more: Any) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        correct(read_rows(manifest, ","), Corrections("heard", corrections, **more), ",", False, False)
    return caught.value.faults


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counts(made: Corrected) -> tuple[int, int, int, int]:
    return made.changed, made.kept, made.none, made.unusable


ALL = (
    said("a.wav", "wolf", "cat", when="2026-01-31T12:00:01Z"),
    said("b.wav", "dog", "cat", action="keep"),
    said("c.wav", action="none", by="R2", when=""),
    said("d.wav", "dog", action="accept"),
    said("f.wav", action="unusable"),
)


def test_a_corrected_manifest_row_by_row(manifest: Path, tmp_path: Path) -> None:
    made = apply(manifest, tmp_path / "m2.csv", *ALL)
    assert (tmp_path / "m2.csv").read_text(encoding="utf-8") == (
        "file_name,note,labels,verified,fold,split,corrected_by,corrected_at,labels_before\n"
        'a.wav,first,"wolf,cat",1,1,train,R1,2026-01-31T12:00:01Z,dog\n'
        'b.wav,"x, y","cat,dog",1,2,train,R1,2026-01-31T12:00:00Z,"cat,dog"\n'
        "c.wav,,,1,1.0,,R2,,wolf\n"
        "./d.wav,é,dog,1,2,train,R1,2026-01-31T12:00:00Z,\n"
        "e.wav,last,dog,yes,,test,,,\n"
    )
    assert (tmp_path / "m2.removed.csv").read_text(encoding="utf-8") == (
        "file_name,note,labels,verified,fold,split,corrected_by,corrected_at,labels_before,reason\n"
        "f.wav,,cat,1,1,train,R1,2026-01-31T12:00:00Z,cat,unusable\n"
    )
    assert counts(made) == (2, 1, 1, 1)
    assert manifest.read_text(encoding="utf-8") == MANIFEST


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_applied_again_nothing_changes(manifest: Path, tmp_path: Path, suffix: str) -> None:
    first, second, third = (tmp_path / f"m{number}.{suffix}" for number in (1, 2, 3))
    apply(manifest, first, *ALL)
    apply(manifest, second, *ALL)
    assert counts(apply(first, third, *ALL)) == (0, 3, 1, 1)
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()
    assert removed_path(first).read_bytes() == removed_path(second).read_bytes() == removed_path(third).read_bytes()
    assert removed_path(first).name == f"m1.removed.{suffix}"


def test_later_corrections_keep_the_first_labels(manifest: Path, tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"m{number}.csv" for number in (1, 2, 3))
    apply(manifest, one, said("a.wav", "cat"), said("d.wav", "dog"), said("f.wav", action="unusable"))
    later = [said(name, "wolf", by="R2", when="2026-02-01T00:00:00Z") for name in ("a.wav", "d.wav")]
    apply(one, two, *later, said("c.wav", action="unusable"))
    of = {row["file_name"]: row for row in cells(two)}
    assert [of["a.wav"][name] for name in ("labels", "corrected_by", "labels_before")] == ["wolf", "R2", "dog"]
    assert [of["./d.wav"][name] for name in ("labels", "corrected_by", "labels_before")] == ["wolf", "R2", ""]
    assert [row["file_name"] for row in cells(removed_path(two))] == ["f.wav", "c.wav"]
    made = apply(two, three, said("a.wav", "cat"), said("d.wav", "dog", when=""))
    assert made.older == 1  # a.wav was heard again since
    assert [row["labels"] for row in cells(three)] == ["wolf", "cat,dog", "dog", "dog"]


def test_a_clip_that_was_removed_comes_back_with_its_row(manifest: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "m1.csv", tmp_path / "m2.csv"
    apply(manifest, one, said("f.wav", action="unusable"), said("a.wav", action="unusable"))
    assert faults(one, said("f.wav", "dog")) == (
        f"row of f.wav: clip 'f.wav' was removed before; to take it back, put its row in {removed_path(one)} into the manifest",
    )
    one.write_text(one.read_text() + "f.wav,,cat,1,1,train,,,\n")
    apply(one, two, said("f.wav", "dog"))
    assert [row["file_name"] for row in cells(removed_path(two))] == ["a.wav"]
    two.write_text(two.read_text() + "a.wav,first,dog,0,1,train,,,\n")
    shutil.copy(two, one)
    removed_path(one).write_text("file_name,labels,reason\na.wav,dog,unusable\n")
    assert removed_path(two).exists()
    apply(one, two.with_name("m3.csv"))
    assert not removed_path(two.with_name("m3.csv")).exists()
    shutil.copy(one, two.with_name("m4.csv"))
    apply(two.with_name("m4.csv"), two)  # a table of earlier removals is of no use any more
    assert not removed_path(two).exists()


def test_all_faults_are_listed(manifest: Path) -> None:
    found = faults(
        manifest,
        said("gone.wav", "dog"),
        said("a.wav", "dogg", "cow"),
        said("e.wav", "dog", action="keep"),
        said("gone.wav", action="unusable"),
        said("./b.wav", "dog"),
        said("b.wav", "cat"),
        faults=("row 7: action is 'x'",),
        words=frozenset({"wolf"}),
    )
    assert found == (
        "row 7: action is 'x'",
        f"'wolf' is a class of {manifest}, and cannot stand for something else here",
        f"row of gone.wav: clip 'gone.wav' is not in {manifest}",
        f"row of a.wav: label 'dogg' is none of the 3 labels of {manifest}; --new-labels allows it",
        f"row of a.wav: label 'cow' is none of the 3 labels of {manifest}; --new-labels allows it",
        "row of e.wav: clip 'e.wav' belongs to the test split, which is never changed",
        f"row of gone.wav: clip 'gone.wav' is not in {manifest}",
        "row of b.wav: clip 'b.wav' has another decision in row of ./b.wav",
    )


def test_new_labels_are_allowed_where_that_is_said(manifest: Path, tmp_path: Path) -> None:
    apply(manifest, tmp_path / "m2.csv", said("a.wav", "cow"), new_labels=True)
    assert read_manifest(tmp_path / "m2.csv").labels.names == ("cat", "cow", "dog", "wolf")


def test_a_clip_may_be_named_by_its_path(manifest: Path, tmp_path: Path) -> None:
    apply(manifest, tmp_path / "m2.csv", said("./a.wav", "cat"), said(str(tmp_path / "d.wav"), "cat"))
    assert [row["labels"] for row in cells(tmp_path / "m2.csv")] == ["cat", "cat,dog", "wolf", "cat", "dog", "cat"]


def test_parts_of_a_file_are_clips_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file_name,labels,start,end\na.wav,dog,0,1.50\na.wav,cat,1.5,\n")
    apply(path, tmp_path / "m2.csv", said("a.wav#1.5-", "dog"))
    assert [(row["labels"], row["end"]) for row in cells(tmp_path / "m2.csv")] == [("dog", "1.50"), ("dog", "")]
    assert faults(path, said("a.wav", "dog")) == (
        f"row of a.wav: clip 'a.wav' is not in {path}, but parts of that file are: 'a.wav#0-1.5', …",
    )


def test_without_a_column_of_verified_labels(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file_name,labels,take\na.wav,dog,1\nb.wav,cat,2\n")
    for unverified, other in ((False, "1"), (True, "0")):
        apply(path, tmp_path / "m2.csv", said("a.wav", "cat"), unverified=unverified)
        rows = cells(tmp_path / "m2.csv")
        assert list(rows[0]) == ["file_name", "labels", "verified", "take", "corrected_by", "corrected_at", "labels_before"]
        assert [row["verified"] for row in rows] == ["1", other]


def test_types_of_parquet_stay(tmp_path: Path) -> None:
    columns = {
        "file_name": ["a.wav", "b.wav", "c.wav"],
        "labels": [["dog, small"], ["cat"], []],
        "verified": [0.0, None, 1.0],
        "fold": [1, 2, None],
        "split": ["train", "train", "test"],
        "tags": [["x", "y"], None, []],
        "size": [0.5, None, 3.0],
        "good": [True, None, False],
        "large": pyarrow.array([2**63, None, 1], pyarrow.uint64()),
        "empty": pyarrow.nulls(3),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "m.parquet")
    apply(tmp_path / "m.parquet", tmp_path / "m2.parquet", said("a.wav", "cat"), said("b.wav", "dog, small"))
    table = pyarrow.parquet.read_table(tmp_path / "m2.parquet")
    rows = table.to_pydict()
    assert rows["labels"] == [["cat"], ["dog, small"], []]
    assert rows["labels_before"] == [["dog, small"], ["cat"], []]
    assert rows["verified"] == [1.0, 1.0, 1.0]
    assert rows["fold"] == [1, 2, None] and table.schema.field("fold").type == pyarrow.int64()
    assert (rows["tags"], rows["size"], rows["good"]) == ([["x", "y"], None, None], columns["size"], columns["good"])
    assert rows["large"] == ["9223372036854775808", None, "1"]
    with pytest.raises(ManifestError, match="would be read otherwise"):
        apply(tmp_path / "m.parquet", tmp_path / "m2.csv", said("b.wav", "dog, small"))
    with pytest.raises(ManifestError, match=r"m2.removed.csv: labels 'dog, small': with ',' between them"):
        apply(tmp_path / "m.parquet", tmp_path / "m2.csv", said("a.wav", action="unusable"))
    assert not list(tmp_path.glob("m2.*csv"))


def test_what_would_be_no_manifest_is_not_written(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="label 'dog' is in the test split only"):
        apply(manifest, tmp_path / "m2.csv", said("a.wav", "cat"), said("b.wav", "cat"))
    with pytest.raises(ManifestError, match="no training clip has a label"):
        apply(manifest, tmp_path / "m2.csv", *(said(f"{name}.wav", action="unusable") for name in "abcdf"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv"]


def test_nothing_is_written_over_what_is_read(manifest: Path, tmp_path: Path) -> None:
    before = (tmp_path / "m2.removed.csv", tmp_path / "m2.csv")
    manifest.rename(before[0])
    with pytest.raises(ManifestError, match=r"m2.removed.csv: is the manifest itself"):
        apply(before[0], before[1])
    with pytest.raises(ManifestError, match="is the manifest itself"):
        apply(before[0], before[0])
    with pytest.raises(ManifestError, match="ends neither in"):
        apply(before[0], tmp_path / "m2.txt")
    assert before[0].read_text() == MANIFEST and not before[1].exists()


def test_file_names_must_lead_to_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "data" / "sounds").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    path = tmp_path / "data" / "m.csv"
    path.write_text("file_name,labels\nsounds/a.wav,dog\nsounds/b.wav,cat\n")
    out = tmp_path / "other" / "m.csv"
    with pytest.raises(ManifestError, match=rf"must lie in {path.parent}, since its file names, such as 'sounds/a.wav'") as caught:
        apply(path, out)
    assert str(caught.value).endswith(f"ln -s {path.parent / 'sounds'} {out.parent / 'sounds'}")
    (out.parent / "sounds").mkdir()  # others of the same name
    with pytest.raises(ManifestError, match="must lie in"):
        apply(path, out)
    (out.parent / "sounds").rmdir()
    (out.parent / "sounds").symlink_to(path.parent / "sounds")
    apply(path, out)
    assert len(cells(out)) == 2


def test_labels_that_changed_since_they_were_heard_are_counted(manifest: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "m1.csv", tmp_path / "m2.csv"
    corrections = [
        said("a.wav", "cat", given=("wolf",)),
        said("c.wav", "dog", given=("wolf",)),
        said("f.wav", "cat", given=("dog",)),
    ]
    assert apply(manifest, one, *corrections).unlike == 1
    assert apply(one, two, *corrections).unlike == 0
    assert apply(manifest, one, *(replace(correction, given=None) for correction in corrections)).unlike == 0
    assert apply(manifest, one, said("a.wav", "cat", disagrees=("R2",)), said("b.wav", "dog")).disputed == 1


def test_a_damaged_table_of_removed_clips_is_refused(manifest: Path) -> None:
    removed_path(manifest).write_text("file_name,labels\n")
    with pytest.raises(ManifestError, match=r"m.removed.csv: no column 'reason'"):
        correct(read_rows(manifest, ","), Corrections("heard", ()), ",", False, False)
    removed_path(manifest).write_text("file_name,labels,reason,fold\na.wav,dog,unusable,x\n")
    with pytest.raises(ManifestError, match="row 1: fold is 'x'"):
        correct(read_rows(manifest, ","), Corrections("heard", ()), ",", False, False)


NAMES = [f"{name}.wav" for name in "abcdef"]
CLASSES = ("dog", "cat", "a b", "é")
LABELS = st.lists(st.sampled_from(CLASSES), max_size=3, unique=True).map(tuple)
CLIPS = st.lists(
    st.builds(Clip, file_name=st.sampled_from(NAMES), labels=LABELS, verified=st.booleans()), unique_by=lambda clip: clip.file_name
)
TIMES = st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])


@st.composite
def decisions(draw: st.DrawFn) -> list[Correction]:
    made = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        action = draw(st.sampled_from(ACTIONS))
        labels = () if action in ("none", "unusable") else draw(LABELS)
        made.append(said(name, *labels, action=action, when=draw(TIMES), by=draw(st.sampled_from(["R1", "R2"]))))
    return made


@settings(max_examples=40)
@given(CLIPS, decisions(), decisions(), st.sampled_from(["csv", "parquet"]))
def test_any_corrections(
    tmp_path_factory: pytest.TempPathFactory, clips: Sequence[Clip], first: list[Correction], second: list[Correction], suffix: str
) -> None:
    """Applied again nothing changes; the first labels stay; rows are neither lost nor made."""
    folder = tmp_path_factory.mktemp("any")
    clips = [*clips, *(Clip(f"{name}.ogg", (name,)) for name in CLASSES)]  # every class is there, whatever is removed
    write_manifest(folder / f"m.{suffix}", clips)
    names = {clip.file_name for clip in clips}
    first, second = ([correction for correction in made if correction.clip_id in names] for made in (first, second))
    paths = [folder / f"m{number}.{suffix}" for number in range(5)]
    apply(folder / f"m.{suffix}", paths[0], *first)
    apply(paths[0], paths[1], *first)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    gone = {correction.clip_id for correction in first if correction.unusable}
    second = [correction for correction in second if correction.clip_id not in gone or correction.unusable]
    apply(paths[0], paths[2], *second)
    apply(paths[2], paths[3], *second)
    assert paths[2].read_bytes() == paths[3].read_bytes()
    if removed_path(paths[2]).exists():
        assert removed_path(paths[2]).read_bytes() == removed_path(paths[3]).read_bytes()
    left = {clip.clip_id: clip for clip in read_manifest(paths[2]).clips}
    gone |= {said.clip_id for said in second if said.unusable and said.clip_id not in left}
    assert set(left) | gone == names and not set(left) & gone
    decided = {correction.clip_id: correction for correction in first}
    for correction in second:
        old = decided.get(correction.clip_id)
        if not (old and correction.when and correction.when < old.when):
            decided[correction.clip_id] = correction
    for before in clips:
        after, correction = left.get(before.clip_id), decided.get(before.clip_id)
        if after is None:
            assert correction is not None and correction.unusable
            continue
        assert (after.fold, after.group, after.split) == (before.fold, before.file_name, before.split)
        if correction is None:
            assert (after.labels, after.verified) == (before.labels, before.verified)
            assert not after.extra.get("corrected_by")
        else:
            assert (set(after.labels), after.verified) == (correction.decision, True)
            assert (after.extra["corrected_by"], after.extra["corrected_at"]) == (correction.by, correction.when)
            joined = after.extra["labels_before"]
            assert (joined if isinstance(joined, tuple) else tuple(joined.split(",")) if joined else ()) == before.labels


def test_the_clips_of_a_store_become_a_manifest(rendered: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "audio").symlink_to(rendered.parent / "audio")
    table = store.rows(8000).to_pylist()
    heard = [clip for clip in table if clip["split"] == "train" and not clip["verified"]][:3]
    ids = [clip["clip_id"] for clip in heard]
    corrections = (
        said(ids[0], "siren", sha256=heard[0]["content_hash"] + "00"),
        said(ids[1], action="none"),
        said(ids[2], action="unusable"),
    )
    made = apply(store.path, tmp_path / "m.csv", *corrections)
    assert counts(made) == (1, 0, 1, 1)
    again = prepare(read_manifest(tmp_path / "m.csv"), str(tmp_path / "m.csv"), tmp_path / "store", [8000]).store
    old, new = load_table(store), load_table(again)
    assert new.labels == old.labels
    kept = old.clip_id != ids[2]
    for name in ("clip_id", "fold", "test", "group", "scored"):
        assert (getattr(new, name) == getattr(old, name)[kept]).all(), name
    same = kept & (old.clip_id != ids[0]) & (old.clip_id != ids[1])
    assert (new.positive[same[kept]] == old.positive[same]).all()
    assert (new.verified == (old.verified | (old.clip_id == ids[0]) | (old.clip_id == ids[1]))[kept]).all()
    assert again.rows(8000)["labels_before"].to_pylist().count("") == len(new) - 2
    # the store of the corrected manifest stands for that manifest, its removed clips included
    shutil.copytree(tmp_path / "store", tmp_path / "store2")
    apply(tmp_path / "store2", tmp_path / "m2.csv", *(replace(correction, sha256="") for correction in corrections))
    assert [row["labels"] for row in cells(tmp_path / "m2.csv")] == [row["labels"] for row in cells(tmp_path / "m.csv")]
    assert cells(removed_path(tmp_path / "m2.csv")) == cells(removed_path(tmp_path / "m.csv"))


def test_a_store_knows_whether_the_same_sound_was_heard(store: Store) -> None:
    table = store.rows(8000).to_pylist()
    one, other = [clip for clip in table if clip["split"] == "train"][:2]
    assert faults(
        store.path,
        said(one["clip_id"], "siren", sha256=other["content_hash"]),
        said("moved.wav", "siren", sha256=other["content_hash"]),
    ) == (
        f"row of {one['clip_id']}: clip {one['clip_id']!r} is not the sound that was heard: the content of its file has changed",
        f"row of moved.wav: clip 'moved.wav' is not in {store.path}, but its sound is, as {other['clip_id']!r}",
    )


def test_columns_with_names_that_a_store_uses_itself_come_back(tmp_path: Path, rendered: Path) -> None:
    (tmp_path / "audio").symlink_to(rendered.parent / "audio")
    clips = [
        replace(clip, extra={"row": str(number), "sample_rate": "old", "taken_given": "x"})
        for number, clip in enumerate(read_manifest(rendered).clips[1:4])
    ]
    write_manifest(tmp_path / "m.csv", clips)
    prepare(read_manifest(tmp_path / "m.csv"), str(tmp_path / "m.csv"), tmp_path / "store", [8000])
    apply(tmp_path / "store", tmp_path / "m2.csv")
    assert [(row["row"], row["sample_rate"], row["taken_given"]) for row in cells(tmp_path / "m2.csv")] == [
        (str(number), "old", "x") for number in range(3)
    ]


def test_a_store_without_its_data_set_and_places_in_it_are_refused(store: Store, tmp_path: Path, rendered: Path) -> None:
    with pytest.raises(ManifestError, match="lies in the store"):
        apply(store.path, store.path / "m.csv")
    shutil.copytree(store.path, tmp_path / "store")
    text = (store.path / "store.json").read_text().replace(str(rendered), str(tmp_path / "gone" / "m.csv"))
    (tmp_path / "store" / "store.json").write_text(text)
    with pytest.raises(StoreError, match="which is not there"):
        apply(tmp_path / "store", tmp_path / "m.csv")
    with pytest.raises(StoreError, match="is no store"):
        apply(tmp_path, tmp_path / "m.csv")


@pytest.mark.parametrize("where", ["folder", "table"])
def test_the_folder_of_an_audit_says_what_separates_labels(tmp_path: Path, where: str) -> None:
    write_corrections(tmp_path / "corrections.csv", [said("a.wav", "dog, small", "cat")], ";")
    info = {
        "version": 1,
        "run": "r",
        "store": "s",
        "store_fingerprint": "f",
        "labels": ["dog, small", "cat"],
        "label_separator": ";",
    }
    info |= {"several": False, "vectors": None, "strategy": "By ear.", "cut": 1}
    (tmp_path / "audit.json").write_text(json.dumps(info))
    path = tmp_path if where == "folder" else tmp_path / "corrections.csv"
    assert load_corrections(path, ",").corrections[0].labels == ("dog, small", "cat")
    for damaged in ("{}", "[]", json.dumps(info | {"label_separator": 3}), "{"):
        (tmp_path / "audit.json").write_text(damaged)
        with pytest.raises(EarmarkError, match=r"audit\.json is damaged"):
            load_corrections(path, "|")
    (tmp_path / "audit.json").unlink()
    assert load_corrections(path, "|").corrections[0].labels == ("dog, small;cat",)


def test_corrections_of_no_kind(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(EarmarkError) as caught:
            load_corrections(path, ",")
        return str(caught.value)

    assert message(tmp_path) == f"{tmp_path}: no corrections.csv in it: `earmark review {tmp_path}` writes it"
    assert message(tmp_path / "x.csv") == f"{tmp_path / 'x.csv'}: no such file"
    assert message(tmp_path / "x.json").endswith("x.json: No such file or directory")
    (tmp_path / "folder.json").mkdir()
    assert "no corrections.csv in it" in message(tmp_path / "folder.json")
