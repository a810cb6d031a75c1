from pathlib import Path

import pytest

from earmark.data.manifest import Clip, read_manifest
from earmark.data.names import from_root, leads_out
from earmark.errors import ManifestError


def test_absolute_names_below_the_folder_are_paths_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "data", Path("data"), Path("link"), Path("data/../data")):
        for folder in ("data", "link"):
            assert from_root(root, f"{tmp_path}/{folder}/dog//1.wav") == "dog/1.wav"
    for name in ("dog/1.wav", "../data/1.wav", f"{tmp_path}/other/1.wav", f"{tmp_path}/database/1.wav", "/"):
        assert from_root(Path("data"), name) == name
    assert leads_out(from_root(Path("data"), f"{tmp_path}/data/../1.wav"))
    assert not leads_out("..a/b../c..d.wav")


def test_a_folder_below_may_be_a_link_to_another_place(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sounds").symlink_to(tmp_path / "far")
    assert from_root(tmp_path / "data", f"{tmp_path}/data/sounds/1.wav") == "sounds/1.wav"


def test_clips_of_a_manifest_are_called_the_same_however_it_names_them(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"file_name,labels\n{tmp_path}/a/1.wav,x\na/2.wav,x\n")
    assert read_manifest(tmp_path / "m.csv").clips == (
        Clip("a/1.wav", ("x",), group="a/1.wav"),
        Clip("a/2.wav", ("x",), group="a/2.wav"),
    )
    (tmp_path / "m.csv").write_text(f"file_name,labels\n{tmp_path}/a/1.wav,x\na/1.wav,x\n")
    with pytest.raises(ManifestError, match=r"clip 'a/1\.wav' stands 2 times"):
        read_manifest(tmp_path / "m.csv")


def test_names_that_lead_out_are_one_fault_among_the_others(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("file_name,labels,fold\na.wav,x,no\n../b.wav,x,no\n/c.wav,x,\nd.wav,x,no\n")
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "m.csv")
    assert caught.value.faults == (
        "row 1: fold is 'no', not a whole number from 0",
        "row 2: fold is 'no', not a whole number from 0",
        "row 2: file_name '../b.wav' is not below the manifest's folder, nor is 1 other: "
        "put the manifest above the sounds, and write the paths from its folder down",
        "row 4: fold is 'no', not a whole number from 0",
    )
