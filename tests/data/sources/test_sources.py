from pathlib import Path

import pytest
import soundfile

from earmark.data.describe import describe
from earmark.data.folds import assign_folds, split_groups
from earmark.data.manifest import NO_FOLD
from earmark.data.sources import scan, source_names
from earmark.errors import ManifestError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, [0.5], 16000)


def test_the_file_names_are_the_sources() -> None:
    assert {"esc50", "folder", "fsdkaggle2018", "manifest"} <= set(source_names())


def test_class_folders_and_their_splits(tmp_path: Path) -> None:
    touch(tmp_path, "train/bark/1.wav", "train/bark/deep/2.flac", "test/meow/3.wav", "train/meow/4.wav")
    clips = scan("folder", tmp_path).clips
    assert [(c.file_name, c.labels, c.split) for c in clips] == [
        ("test/meow/3.wav", ("meow",), "test"),
        ("train/bark/1.wav", ("bark",), "train"),
        ("train/bark/deep/2.flac", ("bark",), "train"),
        ("train/meow/4.wav", ("meow",), "train"),
    ]


def test_plain_class_folders_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.wav", "bus/2.wav")
    assert {clip.labels for clip in scan("folder", tmp_path).clips} == {("train",), ("bus",)}


def test_audio_folder_with_metadata(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.wav", "test/b.wav")
    (tmp_path / "train" / "metadata.csv").write_text('file_name,label,mood\na.wav,"x",sad\n')
    (tmp_path / "test" / "metadata.csv").write_text("file_name,label\nb.wav,x\n")
    clips = scan("folder", tmp_path).clips
    assert [(c.file_name, c.labels, c.split) for c in clips] == [("train/a.wav", ("x",), "train"), ("test/b.wav", ("x",), "test")]
    assert clips[0].extra == {"mood": "sad"}


def test_loose_files_beside_class_folders_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "bark/1.wav", "loose.wav")
    with pytest.raises(ManifestError, match=r"'loose\.wav' lies in no class folder: .*/CLASS/FILE is needed$"):
        scan("folder", tmp_path)
    touch(tmp_path, *(f"loose{number}.wav" for number in range(40)))
    with pytest.raises(ManifestError, match=r"'loose\.wav' lies in no class folder, nor do 40 others: .*/CLASS/FILE is needed$"):
        scan("folder", tmp_path)


def test_fsdkaggle2018_as_published(tmp_path: Path) -> None:
    meta = tmp_path / "FSDKaggle2018.meta"
    meta.mkdir()
    (tmp_path / "FSDKaggle2018.audio_train").mkdir()
    (meta / "train_post_competition.csv").write_text(
        "fname,label,manually_verified,freesound_id,license\na.wav,Cello,1,7,CC0\nb.wav,Bark,0,8,CC0\n"
    )
    (meta / "test_post_competition.csv").write_text(
        "fname,label,usage,freesound_id,license\nc.wav,Bark,Private,9,CC0\nd.wav,None,Ignored,10,CC0\n"
    )
    clips = scan("fsdkaggle2018", tmp_path).clips
    assert [(c.file_name, c.labels, c.verified, c.group, c.split, c.scored) for c in clips] == [
        ("FSDKaggle2018.audio_train/a.wav", ("Cello",), True, "7", "train", True),
        ("FSDKaggle2018.audio_train/b.wav", ("Bark",), False, "8", "train", True),
        ("audio_test/c.wav", ("Bark",), True, "9", "test", True),
        ("audio_test/d.wav", (), False, "10", "test", False),
    ]
    assert clips[3].extra["usage"] == "Ignored"


def test_the_real_fsdkaggle2018_tables(real_data: Path) -> None:
    manifest = scan("fsdkaggle2018", real_data / "fsdkaggle2018")
    train = [clip for clip in manifest.clips if clip.split == "train"]
    test = [clip for clip in manifest.clips if clip.split == "test"]
    assert (len(train), sum(clip.verified for clip in train), len(manifest.labels)) == (9473, 3710, 41)
    assert (len(test), sum(clip.scored for clip in test)) == (9400, 1600)
    assert sum(clip.extra["usage"] == "Public" for clip in test) == 301
    assigned = assign_folds(manifest.clips, 5, 0)
    assert split_groups(assigned) == []
    sizes = [sum(clip.fold == fold for clip in assigned) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 41
    assert all(clip.fold == NO_FOLD for clip in assigned if clip.split == "test")
    assert describe(manifest)[0].startswith("fsdkaggle2018: 9,473 train clips, 3,710 verified, 41 classes")


def test_the_real_esc50_table(real_data: Path) -> None:
    manifest = scan("esc50", real_data / "esc50")
    assert len(manifest.clips) == 2000
    assert manifest.labels.names[:3] == ("dog", "rooster", "pig")  # in the order of the published targets
    assert sorted({clip.fold for clip in manifest.clips}) == [1, 2, 3, 4, 5]
    assert len({clip.group for clip in manifest.clips}) == 1524
    assert len(split_groups(manifest.clips)) == 4  # as published


def lay_out(source: str, root: Path, rows: list[tuple[str, str]]) -> Path:
    """The files and labels in the tables of a source, in its published layout; returns its root."""
    import csv

    layouts = {
        "manifest": ("m.csv", ["file_name", "labels"], []),
        "folder": ("metadata.csv", ["file_name", "label"], []),
        "esc50": ("esc50.csv", ["filename", "category", "fold", "src_file", "target"], ["1", "9"]),
        "fsdkaggle2018": ("train.csv", ["fname", "label", "manually_verified"], ["1"]),
        "fsdkaggle2019": ("train_curated.csv", ["fname", "labels"], []),
    }
    name, header, more = layouts[source]
    targets: dict[str, int] = {}
    with (root / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(header)
        for file_name, label in rows:
            target = [str(targets.setdefault(label, len(targets)))] if source == "esc50" else []
            csv.writer(file).writerow([file_name, label, *more, *target])
    return root / name if source == "manifest" else root


COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"


@pytest.mark.parametrize("source", source_names())
@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([("../b.wav", "y")], "../b.wav' is not below the manifest's folder"),
        ([("/b.wav", "y")], "file_name '/b.wav' is not below the manifest's folder"),
        ([("./a.wav", "x")], "a.wav' stands 2 times"),
        ([("", "y")], "file_name is empty"),
        ([(" ", "y")], "file_name is empty"),
        ([("b\0.wav", "y")], "has a NUL in it"),
        ([("b.wav", "y\x1b[2J")], "label 'y\\x1b[2J' has a control character"),
    ],
)
def test_every_source_ends_in_the_same_checks(source: str, rows: list[tuple[str, str]], fault: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        scan(source, lay_out(source, tmp_path, [("a.wav", "x"), *rows]))
    [said] = caught.value.faults
    assert fault in said
    assert "row 2: " in said or "stands" in said


@pytest.mark.parametrize("source", sorted(set(source_names()) - {"esc50"}))  # where a target has one name in one spelling
def test_every_source_knows_a_label_in_both_unicode_forms(source: str, tmp_path: Path) -> None:
    manifest = scan(source, lay_out(source, tmp_path, [("a.wav", COMPOSED), ("b.wav", DECOMPOSED)]))
    assert [clip.labels for clip in manifest.clips] == [(COMPOSED,)] * 2
    assert manifest.labels.names == (COMPOSED,)


def test_class_folders_in_both_unicode_forms_are_a_class(tmp_path: Path) -> None:
    touch(tmp_path, f"{COMPOSED}/a.wav", f"{DECOMPOSED}/b.wav", " dog/c.wav", "dog/d.wav")
    assert scan("folder", tmp_path).labels.names == ("dog", COMPOSED)


def test_a_vocabulary_with_both_unicode_forms(tmp_path: Path) -> None:
    root = lay_out("fsdkaggle2019", tmp_path, [("a.wav", DECOMPOSED)])
    (root / "vocabulary.csv").write_text(f"0,{COMPOSED}\n", encoding="utf-8")
    assert scan("fsdkaggle2019", root).clips[0].labels == (COMPOSED,)
    (root / "vocabulary.csv").write_text(f"0,{COMPOSED}\n1,{DECOMPOSED}\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=f"class '{COMPOSED}' stands twice"):
        scan("fsdkaggle2019", root)


def test_fsdkaggle2018_with_odd_test_rows(tmp_path: Path) -> None:
    lay_out("fsdkaggle2018", tmp_path, [("a.wav", "x")])
    (tmp_path / "test_post_competition.csv").write_text(
        "fname,label,usage\nb.wav,x,public\nc.wav,,Public\nd.wav,z,Private\ne.wav,,Ignored\n"
    )
    with pytest.raises(ManifestError) as caught:
        scan("fsdkaggle2018", tmp_path)
    assert caught.value.faults == (
        "test_post_competition.csv row 1: usage is 'public', not Public, Private or Ignored",
        "test_post_competition.csv row 2: a label is empty",
        "label 'z' is in the test split only",
    )


def test_files_that_cannot_be_read_here_are_clips_all_the_same(tmp_path: Path) -> None:
    touch(tmp_path, "bark/1.wav")
    (tmp_path / "bark/2.M4A").write_bytes(b"ftyp")
    assert [clip.file_name for clip in scan("folder", tmp_path).clips] == ["bark/1.wav", "bark/2.M4A"]


def test_an_unknown_source_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="the sources are esc50, folder, fsdkaggle2018, fsdkaggle2019, manifest"):
        scan("audioset", tmp_path)
