from pathlib import Path

import pytest

from earmark.data.describe import describe
from earmark.data.manifest import Manifest
from earmark.data.said import Said
from earmark.data.sources import scan
from earmark.errors import ManifestError

ALL_VERIFIED = "every label is taken for verified: --unverified says otherwise"
ALL_RECORDINGS = "every file is taken for a recording of its own: --group-by says otherwise"


def table(tmp_path: Path, *rows: str, columns: str = "file_name,labels") -> Path:
    (tmp_path / "m.csv").write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return tmp_path / "m.csv"


def grouped(tmp_path: Path, group_by: str, *names: str) -> Manifest:
    return scan("manifest", table(tmp_path, *(f"{name},x" for name in names)), said=Said(group_by=group_by))


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        (r"rec\d+", ["rec1", "rec1", "rec2"]),  # all that it matches
        (r"rec(\d+)", ["1", "1", "2"]),  # the first group
        (r"^rec(\d+)", ["1", "1", "2"]),  # in the name, not in the path
        (r"no(\d)|c(\d+)", ["1", "1", "2"]),  # the first group that is not empty
        (r"^.*_", ["rec1_", "rec1_", "rec2_"]),
        (r"^(.*)/", ["dog", "cat", "cat"]),  # with a slash: in the path
        (r".*/rec\d+", ["dog/rec1", "cat/rec1", "cat/rec2"]),
    ],
)
def test_group_by_finds_the_recording(group_by: str, groups: list[str], tmp_path: Path) -> None:
    manifest = grouped(tmp_path, group_by, "dog/rec1_a.wav", "cat/rec1_b.wav", "cat/rec2_a.wav")
    assert [clip.group for clip in manifest.clips] == groups
    assert manifest.notes == (ALL_VERIFIED,)


def test_files_in_whose_names_it_finds_nothing_are_told(tmp_path: Path) -> None:
    manifest = grouped(tmp_path, r"rec(\d*)", "rec1_a.wav", "a/rec1_b.wav", "a/b.wav")
    assert [clip.group for clip in manifest.clips] == ["1", "1", "a/b.wav"]
    assert describe(manifest)[0] == "manifest: 3 train clips, 3 verified, 1 classes, 2 recordings, 5 folds made"
    assert manifest.notes[-1] == "1 file is a recording of its own, since --group-by finds nothing in the name, as in 'b.wav'"


@pytest.mark.parametrize(
    ("group_by", "fault"),
    [
        ("rec(", "--group-by 'rec(': no regular expression: missing ), unterminated subpattern at position 3"),
        ("a{99999999999}", "--group-by 'a{99999999999}': no regular expression: the repetition number is too large"),
        ("(" * 2000 + ")" * 2000, "no regular expression: "),
        ("take", "--group-by take: is in none of the 2 names that it is searched for in, such as '1.wav'"),
        ("", "--group-by '': is in none of the 2 names that it is searched for in, such as '1.wav'"),
        ("x*", "--group-by 'x*': is in none of the 2 names that it is searched for in, such as '1.wav'"),
        ("b/", "--group-by b/: is in none of the 2 names that it is searched for in, such as 'a/1.wav'"),
        ("wav$", "--group-by 'wav$': makes one recording, 'wav', of all 2 clips"),
    ],
)
def test_a_regular_expression_that_makes_no_groups(group_by: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        grouped(tmp_path, group_by, "a/1.wav", "a/2.wav")
    assert fault in str(caught.value)


def test_what_looks_the_same_is_one_recording(tmp_path: Path) -> None:
    manifest = grouped(tmp_path, r"(.+)_", "\u00e9_1.wav", "e\u0301_2.wav", "f_3.wav")
    assert [clip.group for clip in manifest.clips] == ["\u00e9", "\u00e9", "f"]


def test_unverified_clips_without_labels_are_unlabelled(tmp_path: Path) -> None:
    manifest = scan("manifest", table(tmp_path, "a.wav,x", "b.wav,"), said=Said(unverified=True))
    assert [clip.verified for clip in manifest.clips] == [False, False]
    assert describe(manifest)[1:] == ["1 train clips are unlabelled", ALL_RECORDINGS]


def test_only_what_nobody_said_is_assumed(tmp_path: Path) -> None:
    def notes(columns: str, row: str, said: Said = Said()) -> tuple[str, ...]:  # noqa: B008  (it is frozen)
        return scan("manifest", table(tmp_path, f"a.wav,{row}", f"b.wav,{row}", columns=columns), said=said).notes

    assert notes("file_name,labels", "x") == (f"{ALL_VERIFIED}; {ALL_RECORDINGS}",)
    assert notes("file_name,labels,verified", "x,1", Said(group_by="^.")) == ()
    assert notes("file_name,labels,group", "x,1") == (ALL_VERIFIED,)
    assert notes("file_name,labels,group,verified", "x,1,") == ()
    assert notes("file_name,labels", "x", Said(True, "^.")) == ()


def test_what_the_table_says_cannot_be_said_otherwise(tmp_path: Path) -> None:
    path = table(tmp_path, "a.wav,x,1,g", columns="file_name,labels,verified,group")
    with pytest.raises(ManifestError, match=r"^--unverified: m\.csv has a column verified, which says so of every clip$"):
        scan("manifest", path, said=Said(unverified=True))
    with pytest.raises(ManifestError, match=r"^--group-by: m\.csv has a column group, which says so of every clip$"):
        scan("manifest", path, said=Said(group_by="a"))


def test_a_manifest_keeps_how_it_was_read(tmp_path: Path) -> None:
    manifest = scan("manifest", table(tmp_path, "a1.wav,x", "b2.wav,x"), ";", said=Said(True, "[ab]"))
    assert manifest.options == ("--label-separator", ";", "--unverified", "--group-by", "[ab]")
    assert scan("manifest", table(tmp_path, "a1.wav,x")).options == ()
