from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.errors import ManifestError


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


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    clips = [
        Clip('qu"ote,\nline.wav', ("x", "y"), False, 2, "g", "train", 0.25, 1.5, True, {"note": "a,b"}),
        Clip("z.wav", (), True, None, "z.wav", "train", None, None, True, {"note": ""}),
    ]
    write_manifest(tmp_path / "m.csv", clips)
    assert list(read_manifest(tmp_path / "m.csv").clips) == clips


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
        "row 2: file_name '../up.wav' is not below the manifest's folder",
        "row 3: verified is 'maybe', not 0 or 1",
        "row 4: fold is '-1', not a whole number from 0",
        "row 5: split is 'dev', not train or test",
        "row 6: end 1 is not after start 2",
        "row 7: start is 'soon', not seconds from 0",
        "row 8: labels 'x,x' names a label twice",
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
