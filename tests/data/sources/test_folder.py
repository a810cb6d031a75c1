"""Which labels of a folder were checked."""

from pathlib import Path

import pytest

from earmark.data.manifest import Manifest
from earmark.data.said import Said
from earmark.data.sources import scan, source_names
from earmark.errors import ManifestError

UNVERIFIED = Said(unverified=True)


def lay(root: Path, *names: str, verified: str | None = None) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    if verified is not None:
        (root / "verified.txt").write_text(verified, encoding="utf-8")
    return root


def verified(manifest: Manifest) -> list[str]:
    return [clip.file_name for clip in manifest.clips if clip.verified]


def test_nobody_checked_any(tmp_path: Path) -> None:
    root = lay(tmp_path, "bark/1.wav", "meow/2.wav", "test/bark/3.wav")
    assert verified(scan("folder", root, said=UNVERIFIED)) == []
    assert len(verified(scan("folder", root))) == 3


@pytest.mark.parametrize("said", [Said(), UNVERIFIED])
def test_a_list_names_files_and_folders(said: Said, tmp_path: Path) -> None:
    root = lay(tmp_path, "bark/1.wav", "bark/2.wav", "meow/cats/3.wav", "meow/4.wav", "\u00e9/5.wav", "train/meow/6.wav")
    named = f"\ufeffbark/1.wav\r\n\r\n./meow/cats\r\n{root}/meow/4.wav\r\ne\u0301/5.wav\r\ntrain/meow/6.wav"
    manifest = scan("folder", lay(root, verified=named), said=said)
    assert verified(manifest) == ["bark/1.wav", "meow/4.wav", "meow/cats/3.wav", "train/meow/6.wav", "\u00e9/5.wav"]
    assert manifest.labels.names == ("bark", "meow", "\u00e9")
    assert manifest.notes == ("every file is taken for a recording of its own: --group-by says otherwise",)


def test_folders_verified_and_unverified_above_the_classes(tmp_path: Path) -> None:
    root = lay(tmp_path, "verified/bark/1.wav", "unverified/bark/2.wav", "bark/3.wav", "train/verified/meow/4.wav")
    manifest = scan("folder", lay(root, "verified/test/meow/5.wav", "unverified/train/meow/6.wav"))
    assert verified(manifest) == ["train/verified/meow/4.wav", "verified/bark/1.wav", "verified/test/meow/5.wav"]
    assert manifest.labels.names == ("bark", "meow")
    assert [clip.file_name for clip in manifest.clips if clip.split == "test"] == ["verified/test/meow/5.wav"]


def test_classes_may_be_called_so(tmp_path: Path) -> None:
    manifest = scan("folder", lay(tmp_path, "verified/1.wav", "unverified/2.wav"))
    assert [clip.labels for clip in manifest.clips] == [("unverified",), ("verified",)]
    assert len(verified(manifest)) == 2


def test_where_only_the_unverified_are_named_the_others_are_verified(tmp_path: Path) -> None:
    root = lay(tmp_path, "unverified/bark/1.wav", "bark/2.wav")
    assert verified(scan("folder", root)) == ["bark/2.wav"]
    assert verified(scan("folder", root, said=UNVERIFIED)) == []


@pytest.mark.parametrize(
    ("listed", "fault"),
    [
        ("", "names no clip; if nobody checked any, remove it and say --unverified"),
        ("\n \n", "names no clip; if nobody checked any, remove it and say --unverified"),
        (
            "bark/9.wav\nbark\nbarks\n",
            "line 1: 'bark/9.wav' is no clip and no folder of clips below {0}; line 3: 'barks' is no clip<…>",
        ),
        ("1.wav\n2.wav\n", "none of its 2 lines is a clip or a folder of clips below {0}, such as 'bark/1.wav'"),
        ("../x\n", "line 1: '../x' is no clip<…>"),
        ("bark\0\n", "line 1: 'bark\\x00' is no clip<…>"),
    ],
)
def test_a_list_that_does_not_fit(listed: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        scan("folder", lay(tmp_path, "bark/1.wav", verified=listed))
    expected = f"{tmp_path}/verified.txt: {fault.format(tmp_path)}"
    assert str(caught.value).startswith(expected.removesuffix("<…>"))
    assert expected.endswith("<…>") or str(caught.value) == expected


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    lay(tmp_path, "bark/1.wav")
    (tmp_path / "verified.txt").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match=r"verified\.txt: is not UTF-8 text$"):
        scan("folder", tmp_path)
    (tmp_path / "verified.txt").unlink()
    (tmp_path / "verified.txt").mkdir()
    with pytest.raises(ManifestError, match=r"verified\.txt: no regular file$"):
        scan("folder", tmp_path)


def test_metadata_and_list(tmp_path: Path) -> None:
    root = lay(tmp_path, "a.wav", "b.wav", verified="b.wav\n")
    (root / "metadata.csv").write_text("file_name,label\na.wav,x\nb.wav,y\n")
    assert verified(scan("folder", root)) == ["b.wav"]
    (root / "metadata.csv").write_text("file_name,label,verified\na.wav,x,1\nb.wav,y,0\n")
    with pytest.raises(
        ManifestError, match=r"verified\.txt: the metadata\.csv has a column verified as well; keep one of the two$"
    ):
        scan("folder", root)
    (root / "verified.txt").unlink()
    assert verified(scan("folder", root)) == ["a.wav"]
    with pytest.raises(ManifestError, match=r"^--unverified: metadata\.csv has a column verified"):
        scan("folder", root, said=UNVERIFIED)


def test_absolute_names_belong_to_the_split_of_their_folder(tmp_path: Path) -> None:
    root = lay(tmp_path, "train/a.wav", "test/b.wav", "validation/c.wav")
    names = ("train/a.wav", "test/b.wav", "validation/c.wav")
    (root / "metadata.csv").write_text("file_name,label\n" + "".join(f"{root / name},x\n" for name in names))
    assert [(clip.file_name, clip.split) for clip in scan("folder", root).clips] == list(
        zip(names, ("train", "test", "train"), strict=True)
    )


@pytest.mark.parametrize("source", sorted(set(source_names()) - {"folder", "manifest"}))
def test_published_data_sets_say_it_themselves(source: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=f"^--unverified: {source} says itself which labels were checked$"):
        scan(source, tmp_path, said=UNVERIFIED)
    with pytest.raises(ManifestError, match=f"^--group-by: {source} says itself which clips are of one recording$"):
        scan(source, tmp_path, said=Said(group_by="x"))
