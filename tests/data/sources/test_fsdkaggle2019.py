from pathlib import Path

import pytest

from earmark.cli import run
from earmark.data.describe import describe
from earmark.data.folds import assign_folds, split_groups
from earmark.data.manifest import NO_FOLD, Manifest
from earmark.data.sources import scan, source_names
from earmark.data.sources.fsdkaggle2019 import ERRATA
from earmark.errors import ManifestError

CURATED = 'fname,labels,freesound_id,license\na.wav,Slam,7,CC0\nb.wav,"Walk_and_footsteps,Slam",7,CC-BY\n'
NOISY = "fname,labels,flickr_video_URL,license\nc.wav,Bark,http://www.flickr.com/videos/x/1/,CC BY 2.0\n"
TEST = 'fname,labels,usage,freesound_id,license\nd.wav,"Slam,Bark",Private,9,CC0\ne.wav,Bark,Public,10,CC0\n'
VOCABULARY = "0,Walk_and_footsteps\n1,Slam\n2,Bark\n"


def lay(root: Path, **tables: str) -> Path:
    """Writes tables under their names without the ending."""
    root.mkdir(exist_ok=True)
    for name, rows in tables.items():
        (root / f"{name}.csv").write_text(rows)
    return root


def lay_flat(root: Path, curated: str = CURATED, noisy: str = NOISY, test: str = TEST, vocabulary: str = VOCABULARY) -> Path:
    return lay(
        root,
        train_curated_post_competition=curated,
        train_noisy_post_competition=noisy,
        test_post_competition=test,
        vocabulary=vocabulary,
    )


def faults_of(root: Path) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        scan("fsdkaggle2019", root)
    return caught.value.faults


def rows_of(manifest: Manifest) -> list[tuple[object, ...]]:
    return [(c.file_name, c.labels, c.verified, c.group, c.split, c.scored) for c in manifest.clips]


def test_as_published(tmp_path: Path) -> None:
    lay_flat(tmp_path / "FSDKaggle2019.meta")
    for part in ("train_curated", "train_noisy", "test"):
        (tmp_path / f"FSDKaggle2019.audio_{part}").mkdir()
    manifest = scan("fsdkaggle2019", tmp_path)
    assert rows_of(manifest) == [
        ("FSDKaggle2019.audio_train_curated/a.wav", ("Slam",), True, "7", "train", True),
        ("FSDKaggle2019.audio_train_curated/b.wav", ("Walk_and_footsteps", "Slam"), True, "7", "train", True),
        ("FSDKaggle2019.audio_train_noisy/c.wav", ("Bark",), False, "http://www.flickr.com/videos/x/1/", "train", True),
        ("FSDKaggle2019.audio_test/d.wav", ("Slam", "Bark"), True, "9", "test", True),
        ("FSDKaggle2019.audio_test/e.wav", ("Bark",), True, "10", "test", True),
    ]
    assert [clip.extra.get("usage") for clip in manifest.clips] == [None, None, None, "Private", "Public"]
    assert [clip.extra["license"] for clip in manifest.clips] == ["CC0", "CC-BY", "CC BY 2.0", "CC0", "CC0"]
    assert manifest.labels.names == ("Walk_and_footsteps", "Slam", "Bark")  # the vocabulary's order
    assert describe(manifest) == [
        "fsdkaggle2019: 3 train clips, 2 verified, 3 classes, 2 recordings, 5 folds made",
        "2 test rows, 2 of them scored (Private 1, Public 1)",
        "curated 2, noisy 1, test 2 clips; up to 2 labels a clip",
    ]


def test_as_in_the_competition(tmp_path: Path) -> None:
    lay(
        tmp_path,
        train_curated='fname,labels\na.wav,Slam\nb.wav,"Walk_and_footsteps,Slam"\n',
        train_noisy="fname,labels\nc.wav,Bark\n",
        sample_submission="fname,Walk_and_footsteps,Slam,Bark\nd.wav,0,0,0\n",
    )
    manifest = scan("fsdkaggle2019", tmp_path)
    assert rows_of(manifest) == [
        ("train_curated/a.wav", ("Slam",), True, "a.wav", "train", True),
        ("train_curated/b.wav", ("Walk_and_footsteps", "Slam"), True, "b.wav", "train", True),
        ("train_noisy/c.wav", ("Bark",), False, "c.wav", "train", True),
    ]
    assert manifest.labels.names == ("Walk_and_footsteps", "Slam", "Bark")  # the submission's order
    assert manifest.notes == (
        "curated 2, noisy 1 clips; up to 2 labels a clip",
        "no test_post_competition.csv: the data set has no test split here",
    )


def test_a_mixture_of_both(tmp_path: Path) -> None:
    """The later tables in the root, one audio folder of each name, the competition's noisy table."""
    lay(tmp_path, train_curated_post_competition=CURATED, train_noisy="fname,labels\nc.wav,Bark\n", train_curated="not read")
    lay(tmp_path / "FSDKaggle2019.meta", test_post_competition=TEST)
    (tmp_path / "FSDKaggle2019.audio_train_noisy").mkdir()
    (tmp_path / "train_curated").mkdir()
    manifest = scan("fsdkaggle2019", tmp_path)
    assert [clip.file_name for clip in manifest.clips] == [
        "train_curated/a.wav",
        "train_curated/b.wav",
        "FSDKaggle2019.audio_train_noisy/c.wav",
        "test/d.wav",
        "test/e.wav",
    ]
    assert manifest.labels.names == ("Bark", "Slam", "Walk_and_footsteps")
    assert "no vocabulary.csv or sample_submission.csv: the classes are the labels of the training clips, sorted" in manifest.notes


def test_curated_clips_alone(tmp_path: Path) -> None:
    manifest = scan("fsdkaggle2019", lay(tmp_path, train_curated=CURATED, vocabulary=VOCABULARY))
    assert [clip.verified for clip in manifest.clips] == [True, True]
    assert manifest.notes == (
        "curated 2 clips; up to 2 labels a clip",
        "no train_noisy_post_competition.csv or train_noisy.csv: the curated clips alone are the training split",
        "no test_post_competition.csv: the data set has no test split here",
    )


def test_clips_of_one_recording_stay_together(tmp_path: Path) -> None:
    url = "http://www.flickr.com/videos/x/"
    curated = "".join(f"a{i}.wav,Slam,{i // 3},CC0\n" for i in range(30))
    noisy = "".join(f"b{i}.wav,Bark,{url}{i // 3}/,CC BY 2.0\n" for i in range(30))
    lay_flat(tmp_path, f"fname,labels,freesound_id,license\n{curated}", f"fname,labels,flickr_video_URL,license\n{noisy}")
    clips = assign_folds(scan("fsdkaggle2019", tmp_path).clips, 5, 0)
    train = [clip for clip in clips if clip.split == "train"]
    assert {clip.group for clip in train} == {str(i) for i in range(10)} | {f"{url}{i}/" for i in range(10)}
    assert split_groups(clips) == []
    assert len({clip.fold for clip in train}) == 5


def faulty_clips(root: Path) -> Path:
    """The clips of the list after the two others; the first has two labels."""
    labels = ['"Slam,Bark"', *["Slam"] * 5]
    rows = [f"{stem}.wav,{cell},{i},CC0\n" for i, (stem, cell) in enumerate(zip(ERRATA, labels, strict=True))]
    return lay_flat(root, CURATED + "".join(rows))


def test_the_published_errata_are_corrected(tmp_path: Path) -> None:
    manifest = scan("fsdkaggle2019", faulty_clips(tmp_path))
    there = {Path(clip.file_name).stem: clip for clip in manifest.clips}
    assert [(there[stem].labels, there[stem].verified, there[stem].split) for stem in ERRATA] == [((), False, "train")] * 6
    assert [there[stem].extra["labels_before_errata"] for stem in ERRATA] == ["Slam,Bark"] + ["Slam"] * 5
    assert [clip.file_name for clip in manifest.clips if "labels_before_errata" in clip.extra] == [
        f"train_curated/{stem}.wav" for stem in ERRATA
    ]
    assert there["a"].labels == ("Slam",)
    assert there["a"].verified
    assert describe(manifest)[1] == "6 train clips are unlabelled"
    assert manifest.notes[1] == (
        "errata: wrong label f76181c4, 77b925c2, 6a1f682a, c7db12aa, 7752cc8a; no signal 1d44b0bd: read as unlabelled and "
        "unverified, their labels are in labels_before_errata (--no-errata reads them as published)"
    )


def test_the_errata_may_be_read_as_published(tmp_path: Path) -> None:
    manifest = scan("fsdkaggle2019", faulty_clips(tmp_path), errata=False)
    assert [clip.labels for clip in manifest.clips[2:8]] == [("Slam", "Bark")] + [("Slam",)] * 5
    assert all(clip.verified and set(clip.extra) == {"license"} for clip in manifest.clips[:8])
    assert manifest.notes[1] == (
        "errata: wrong label f76181c4, 77b925c2, 6a1f682a, c7db12aa, 7752cc8a; no signal 1d44b0bd: read as published (--no-errata)"
    )


def test_only_errata_that_are_there_are_told(tmp_path: Path) -> None:
    """A selection of the clips, and a noisy clip that is called as one of them."""
    lay_flat(tmp_path, CURATED + "1d44b0bd.flac,Slam,1,CC0\n", NOISY + "f76181c4.wav,Bark,,CC BY 2.0\n")
    manifest = scan("fsdkaggle2019", tmp_path)
    assert manifest.notes[1].startswith("errata: no signal 1d44b0bd: read as unlabelled")
    assert [clip.labels for clip in manifest.clips[2:5]] == [(), ("Bark",), ("Bark",)]
    assert manifest.clips[4].group == "f76181c4.wav"  # of a row without a video


@pytest.mark.parametrize("source", sorted(set(source_names()) - {"fsdkaggle2019"}))
def test_no_errata_is_refused_where_there_are_none(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prepare", source, str(tmp_path), "--out", str(tmp_path / "s"), "--sample-rate", "8000", "--no-errata"]) == 2
    said = f"error: --no-errata: {source} has no list of faulty labels that could be left as published\n"
    assert capsys.readouterr().err == said


def test_the_command_line_has_the_switch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no audio, so that it ends unusable: after saying what the tables hold."""
    arguments = ["prepare", "fsdkaggle2019", str(faulty_clips(tmp_path)), "--out", str(tmp_path / "s"), "--sample-rate", "8000"]
    assert run(arguments) == 2
    assert "(--no-errata reads them as published)" in capsys.readouterr().out
    assert run([*arguments, "--no-errata"]) == 2
    assert "read as published (--no-errata)" in capsys.readouterr().out


def test_all_faults_of_all_tables_are_told(tmp_path: Path) -> None:
    lay_flat(
        tmp_path,
        CURATED + 'f.wav,"Slam,Woof",1,CC0\ng.wav,,2,CC0\nh.wav,"Slam,,Bark",3,CC0\n,Slam,4,CC0\n',
        NOISY + 'i.wav,"Bark,Bark",,CC BY 2.0\n../j.wav,Bark,,CC BY 2.0\n',
        TEST + "k.wav,Meow,Ignored,5,CC0\n",
    )
    assert faults_of(tmp_path) == (
        "train_curated_post_competition.csv row 3: label 'Woof' is not in the vocabulary",
        "train_curated_post_competition.csv row 4: labels is empty",
        "train_curated_post_competition.csv row 5: labels 'Slam,,Bark' has an empty one",
        "train_curated_post_competition.csv row 6: file_name is empty",
        "train_noisy_post_competition.csv row 2: label 'Bark' stands 2 times",
        "train_noisy_post_competition.csv row 3: file_name 'train_noisy/../j.wav' is not below the manifest's folder",
        "test_post_competition.csv row 3: label 'Meow' is not in the vocabulary",
        "test_post_competition.csv row 3: usage is 'Ignored', not Public or Private",
    )


def test_a_clip_that_stands_twice_is_a_fault(tmp_path: Path) -> None:
    assert faults_of(lay_flat(tmp_path, CURATED + "a.wav,Bark,8,CC0\n")) == ("clip 'train_curated/a.wav' stands 2 times",)


def test_missing_tables_and_columns(tmp_path: Path) -> None:
    lay(tmp_path, train_noisy=NOISY, vocabulary=VOCABULARY)
    assert faults_of(tmp_path) == (
        "is not FSDKaggle2019: no train_curated_post_competition.csv or train_curated.csv in it or in FSDKaggle2019.meta",
    )
    lay(tmp_path, train_curated="fname,label\na.wav,Slam\n")
    assert faults_of(tmp_path) == ("no column 'labels'; it has 'fname', 'label'",)
    lay(tmp_path, train_curated=CURATED, test_post_competition="fname,labels\nd.wav,Slam\n")
    assert faults_of(tmp_path) == ("no column 'usage'; it has 'fname', 'labels'",)


@pytest.mark.parametrize(
    ("table", "rows", "faults"),
    [
        ("vocabulary", "index,label\n0,Slam\n", ("line 1: 'index,label' is not 0,CLASS", "line 2: '0,Slam' is not 1,CLASS")),
        ("vocabulary", "Slam\nBark\n", ("line 1: 'Slam' is not 0,CLASS", "line 2: 'Bark' is not 1,CLASS")),
        ("vocabulary", "0,Slam\n1,Bark\n2,Slam\n", ("class 'Slam' stands twice",)),
        ("sample_submission", "name,Slam\nd.wav,0\n", ("its columns are not fname and the classes",)),
        ("sample_submission", "fname\nd.wav\n", ("its columns are not fname and the classes",)),
    ],
)
def test_a_faulty_list_of_classes(table: str, rows: str, faults: tuple[str, ...], tmp_path: Path) -> None:
    assert faults_of(lay(tmp_path, train_curated=CURATED, **{table: rows})) == faults


def test_the_label_separator_is_heeded(tmp_path: Path) -> None:
    lay(tmp_path, train_curated="fname,labels\na.wav,Slam;Bark\n", vocabulary=VOCABULARY)
    assert scan("fsdkaggle2019", tmp_path, ";").clips[0].labels == ("Slam", "Bark")
    assert faults_of(tmp_path)[0] == "train_curated.csv row 1: label 'Slam;Bark' is not in the vocabulary"


@pytest.mark.slow
def test_the_real_tables(real_data: Path) -> None:
    root = real_data / "fsdkaggle2019"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    manifest = scan("fsdkaggle2019", root)
    assert describe(manifest) == [
        "fsdkaggle2019: 24,785 train clips, 4,964 verified, 80 classes, 24,785 recordings, 5 folds made",
        "6 train clips are unlabelled",
        "4,481 test rows, 4,481 of them scored (Private 3,361, Public 1,120)",
        "curated 4,970, noisy 19,815, test 4,481 clips; up to 7 labels a clip",
        "errata: wrong label f76181c4, 77b925c2, 6a1f682a, c7db12aa, 7752cc8a; no signal 1d44b0bd: read as unlabelled and "
        "unverified, their labels are in labels_before_errata (--no-errata reads them as published)",
    ]
    assert manifest.labels.names[:2] == ("Accelerating_and_revving_and_vroom", "Accordion")
    before = {clip.extra["labels_before_errata"] for clip in manifest.clips if "labels_before_errata" in clip.extra}
    assert before == {"Male_speech_and_man_speaking", "Stream", "Whispering"}
    published = scan("fsdkaggle2019", root, errata=False)
    train = [clip for clip in published.clips if clip.split == "train"]
    assert sum(clip.verified for clip in train) == 4970
    assert all(clip.labels for clip in published.clips)
    curated = [clip for clip in train if clip.verified]  # 1.2 labels a clip, says the documentation, and as many in the noisy set
    assert round(sum(len(clip.labels) for clip in curated) / len(curated), 1) == 1.2
    assigned = assign_folds(manifest.clips, 5, 0)
    sizes = [sum(clip.fold == fold for clip in assigned) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 80
    assert all(clip.fold == NO_FOLD for clip in assigned if clip.split == "test")
