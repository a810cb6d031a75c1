import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from earmark.data.manifest import NO_FOLD, Clip, read_manifest, write_manifest
from earmark.errors import ManifestError

COMPOSED, DECOMPOSED = "\u00e9.wav", "e\u0301.wav"  # the same to the eye, as a label and as a file name


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_columns_are_read_and_unknown_ones_kept(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'file_name,labels,verified,fold,group,split,start,end,uploader\na/1.wav,"Bark,Meow",0,3,g,train,0.5,2,ann\n2.wav,Bark,,,,,,,\n',
    )
    first, second = read_manifest(path).clips
    assert first == Clip("a/1.wav", ("Bark", "Meow"), False, 3, "g", "train", 0.5, 2.0, True, {"uploader": "ann"})
    assert first.clip_id == "a/1.wav#0.5-2"
    assert second == Clip("2.wav", ("Bark",), True, None, "2.wav", "train", None, None, True, {"uploader": ""})
    assert read_manifest(path).labels.names == ("Bark", "Meow")


def test_empty_labels_are_unlabelled_or_none_of_these(tmp_path: Path) -> None:
    clips = read_manifest(write(tmp_path, "file_name,labels,verified\na,x,1\nb,,0\nc,,1\n")).clips
    assert [(clip.labels, clip.verified) for clip in clips] == [(("x",), True), ((), False), ((), True)]


def test_another_separator_lets_labels_have_commas(tmp_path: Path) -> None:
    path = write(tmp_path, 'file_name,labels\na.wav,"Bark, loud;Meow"\n')
    assert read_manifest(path, ";").clips[0].labels == ("Bark, loud", "Meow")


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    table = pyarrow.table({"file_name": ["a", "b"], "labels": [["x", "y"], ["x"]], "verified": [True, False], "fold": [1, None]})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    clips = read_manifest(tmp_path / "m.parquet").clips
    assert [(c.labels, c.verified, c.fold) for c in clips] == [(("x", "y"), True, 1), (("x",), False, None)]


def test_labels_of_a_parquet_list_stay_as_they_are(tmp_path: Path) -> None:
    table = pyarrow.table(
        {"file_name": ["a", "b", "c"], "labels": [["Bark, loud", "x,"], None, ["y"]], "verified": [1.0, 0.0, 1.0]}
    )
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    manifest = read_manifest(tmp_path / "m.parquet")
    assert [(c.labels, c.verified) for c in manifest.clips] == [(("Bark, loud", "x,"), True), ((), False), (("y",), True)]
    assert manifest.labels.names == ("Bark, loud", "x,", "y")


def test_numbers_of_parquet_are_taken_where_they_make_sense(tmp_path: Path) -> None:
    nan = float("nan")
    table = pyarrow.table(
        {
            "file_name": ["a", "b"],
            "labels": [7, 8],
            "fold": [2.0, nan],
            "group": [3.0, nan],
            "start": [nan, 0.1],
            "note": [1.5, nan],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    assert list(read_manifest(tmp_path / "m.parquet").clips) == [
        Clip("a", ("7",), True, 2, "3", extra={"note": "1.5"}),
        Clip("b", ("8",), True, None, "b", start=0.1, extra={"note": ""}),
    ]


def test_cells_of_parquet_that_make_no_sense(tmp_path: Path) -> None:
    columns = {
        "file_name": pyarrow.array([["a"], ["b"]]),
        "labels": [True, False],
        "verified": [0.5, 2.0],
        "fold": [True, False],
        "split": [["test"], ["train"]],
        "start": [True, False],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "m.parquet")
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "m.parquet")
    assert [fault for fault in caught.value.faults if "row 1: " in fault] == [
        "row 1: file_name is a list, not text",
        "row 1: labels is True, not text or a list of texts",
        "row 1: verified is 0.5, not 0 or 1",
        "row 1: fold is True, not a whole number from 0",
        "row 1: split is a list, not text",
        "row 1: start is True, not seconds from 0",
        "row 1: split is '-', not train or test",
    ]
    pyarrow.parquet.write_table(pyarrow.table({"file_name": [1], "labels": [["x", None]]}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=r"row 1: file_name is 1, not text; row 1: a label is empty$"):
        read_manifest(tmp_path / "m.parquet")


def test_what_looks_the_same_is_the_same_label(tmp_path: Path) -> None:
    path = write(tmp_path, f'file_name,labels\na,{COMPOSED}\nb,{DECOMPOSED}\nc,"{DECOMPOSED},x,{COMPOSED}"\n')
    manifest = read_manifest(path)
    assert [clip.labels for clip in manifest.clips] == [(COMPOSED,), (COMPOSED,), (COMPOSED, "x")]
    assert manifest.labels.names == ("x", COMPOSED)


def test_file_names_keep_their_unicode_form(tmp_path: Path) -> None:
    (tmp_path / COMPOSED).touch()
    (tmp_path / DECOMPOSED).touch()
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system knows one form only")
    path = write(tmp_path, f"file_name,labels\n{COMPOSED},x\n{DECOMPOSED},y\n")
    clips = read_manifest(path).clips
    assert [clip.file_name for clip in clips] == [COMPOSED, DECOMPOSED]
    assert clips[0].group == clips[1].group  # so that they would never be in two folds
    (tmp_path / DECOMPOSED).unlink()
    assert len(read_manifest(path).clips) == 2  # one of them is missing, and `prepare` says so
    os.link(tmp_path / COMPOSED, tmp_path / DECOMPOSED)  # one file under both names, as on macOS
    with pytest.raises(ManifestError, match=r"'e\\u0301.wav' and '\\xe9.wav' are two Unicode forms of one file's name"):
        read_manifest(path)


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    clips = read_manifest(write(tmp_path, "file_name,labels,start,end\na,x,-0,1\nb,x,-0.0,\n")).clips
    assert [clip.clip_id for clip in clips] == ["a#0-1", "b#0-"]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("a,x,-0,1\na,x,0,1\n", "clip 'a#0-1' stands 2 times"),
        ("a,x,,1\na,x,0,1\n", "clip 'a#-1', also called 'a#0-1' stands 2 times"),
        ("./a,x,,\na,x,0,\na,x,,\n", "clip 'a', also called 'a#0-' stands 3 times"),
        ("a,x,1,2\na#1-2,x,,\n", "clip 'a#1-2' stands 2 times"),  # two files, but a clip is known by its id
        ("a,x,,0\n", "row 1: end 0 is not after start 0"),
        ("a,x,1_0,\n", "row 1: start is '1_0', not seconds from 0"),
        ("./,x,,\n", "row 1: file_name is a folder, not a file"),
        ("a,x\x1b[31m,,\n", "row 1: label 'x\\x1b[31m' has a control character"),
        ("a,x\0,,\n", "row 1: label 'x\\x00' has a control character"),
    ],
)
def test_the_same_part_of_a_file_and_other_nonsense(rows: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path, "file_name,labels,start,end\nz,x,,\n" + rows))
    assert caught.value.faults == (fault.replace("row 1", "row 2"),)


def test_a_fault_is_not_longer_than_anybody_reads(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path, f"file_name,labels,fold\na,x,{'9' * 5000}\n"))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["m.csv", "m.parquet", "m.PARQUET"])
def test_what_is_written_reads_back_the_same(name: str, tmp_path: Path) -> None:
    clips = [
        Clip(" space .wav", ("x",), group=" space .wav", extra={"note": "1"}),
        Clip("t.wav", ("y",), split="test", fold=NO_FOLD, group="h", extra={"note": "-"}),
        Clip('qu"ote,\nline.wav', ("x", "y"), False, 2, "g", "train", 0.25, 1.5, True, {"note": "a,b"}),
        Clip("z.wav", (), True, None, "z.wav", "train", None, None, True, {"note": ""}),
    ]
    write_manifest(tmp_path / name, clips)
    assert list(read_manifest(tmp_path / name).clips) == clips


def test_parquet_keeps_labels_that_no_csv_could(tmp_path: Path) -> None:
    clips = [Clip("a", ("Bark, loud", "x;"), group="a", extra={"true_labels": ("p, q", "r")})]
    write_manifest(tmp_path / "m.parquet", clips)
    assert list(read_manifest(tmp_path / "m.parquet").clips) == clips
    for separator in (",", ";"):
        with pytest.raises(ManifestError, match="would be read otherwise"):
            write_manifest(tmp_path / "m.csv", clips, separator)
    write_manifest(tmp_path / "m.csv", clips, "|")
    assert read_manifest(tmp_path / "m.csv", "|").clips[0].labels == clips[0].labels


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "file_name,labels,verified,fold,split,start,end\n"
        ',x,,,,,\n../up.wav,x,,,,,\nc,x,maybe,,,,\nd,x,,-1,,,\ne,x,,,dev,,\nf,x,,,,2,1\ng,x,,,,soon,\nh,"x,x",,,,,\ni,x,,,,,\ni,x,,,,,\n',
    )
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert caught.value.faults == (
        "row 1: file_name is empty",
        "row 2: file_name '../up.wav' is not below the manifest's folder: "
        "put the manifest above the sounds, and write the paths from its folder down",
        "row 3: verified is 'maybe', not 0 or 1",
        "row 4: fold is '-1', not a whole number from 0",
        "row 5: split is 'dev', not train or test",
        "row 6: end 1 is not after start 2",
        "row 7: start is 'soon', not seconds from 0",
        "row 8: label 'x' stands 2 times",
        "clip 'i' stands 2 times",
    )


def test_twenty_faults_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path, "file_name,labels,fold\n" + "".join(f"{i}.wav,x,no\n" for i in range(33))))
    assert str(caught.value).count("not a whole number") == 20
    assert str(caught.value).endswith("; and 13 more")


def test_a_label_of_the_test_split_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="label 'y' is in the test split only"):
        read_manifest(write(tmp_path, "file_name,labels,split\na,x,train\nb,y,test\n"))
