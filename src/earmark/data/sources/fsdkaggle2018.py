"""FSDKaggle2018 (Fonseca et al., DCASE 2018 Task 2): 41 classes; 3,710 of the training labels are verified.

Reads the published folders (``FSDKaggle2018.meta/``, ``.audio_*``), or those of the competition (``train.csv``, ``audio_train/``).
"""

import posixpath
from collections.abc import Sequence
from pathlib import Path

from earmark.data.manifest import NO_FOLD, Clip, Manifest, Row, SubmissionLayout, make_manifest
from earmark.data.tables import read_csv, require_columns
from earmark.errors import ManifestError

META = ("FSDKaggle2018.meta", ".")
TRAIN_TABLES = ("train_post_competition.csv", "train.csv")  # the first has the Freesound ids and licences
TEST_TABLE = "test_post_competition.csv"
SUBMISSION = "sample_submission.csv"
SCORED_USAGE, IGNORED = ("Public", "Private"), "Ignored"


def scan(root: Path, label_separator: str) -> Manifest:
    """Reads the tables of training and test clips.

    A group is a recording on Freesound if the tables name it. The column ``usage`` is kept; test clips whose usage is ``Ignored``
    have no labels and are not scored.
    """
    train = find_table(root, [f"{meta}/{name}" for meta in META for name in TRAIN_TABLES])
    if train is None:
        raise ManifestError(str(root), [f"is not FSDKaggle2018: no {' or '.join(TRAIN_TABLES)} in it or in {META[0]}"])
    header, lines = read_csv(train)
    require_columns(train, header, ("fname", "label", "manually_verified"))
    folder = audio_folder(root, "FSDKaggle2018.audio_train", "audio_train")
    rows = []
    for number, row in lines:
        faults = []
        if row["manually_verified"] not in ("0", "1"):
            faults.append(f"manually_verified is {row['manually_verified']!r}, not 0 or 1")
        clip = Clip(
            clip_file(folder, row["fname"]),
            (row["label"],),
            verified=row["manually_verified"] == "1",
            group=row.get("freesound_id") or row["fname"],
            extra={key: row[key] for key in ("license",) if key in row},
        )
        rows.append(Row(f"{train.name} row {number}", clip, faults))
    notes = []
    test = find_table(root, [f"{meta}/{TEST_TABLE}" for meta in META])
    if test is None:
        notes.append(f"no {TEST_TABLE}: the data set has no test split here")
    else:
        folder = audio_folder(root, "FSDKaggle2018.audio_test", "audio_test")
        header, lines = read_csv(test)
        require_columns(test, header, ("fname", "label", "usage"))
        for number, row in lines:
            scored = row["usage"] in SCORED_USAGE
            faults = []
            if not scored and row["usage"] != IGNORED:
                faults.append(f"usage is {row['usage']!r}, not {', '.join(SCORED_USAGE)} or {IGNORED}")
            clip = Clip(
                clip_file(folder, row["fname"]),
                (row["label"],) if scored else (),
                verified=scored,
                fold=NO_FOLD,
                group=row.get("freesound_id") or row["fname"],
                split="test",
                scored=scored,
                extra={key: row[key] for key in ("usage", "license") if key in row},
            )
            rows.append(Row(f"{test.name} row {number}", clip, faults))
    return make_manifest(
        "fsdkaggle2018", root, rows, str(root), licence="Creative Commons, a clip each: column license", notes=notes
    )


def submission(root: Path) -> SubmissionLayout:
    """The layout of the submission file: three labels for each clip of the sample submission, or else of the test table."""
    return SubmissionLayout("best_labels", listed_test_clips(root, META, TEST_TABLE))


def listed_test_clips(root: Path, meta: Sequence[str], test_table: str) -> tuple[str, ...]:
    """The file names of the test clips, in the order of the sample submission, or else of the test table.

    Raises:
        ManifestError: neither table is there.
    """
    table = find_table(root, [f"{folder}/{name}" for name in (SUBMISSION, test_table) for folder in meta])
    if table is None:
        raise ManifestError(str(root), [f"no {SUBMISSION} or {test_table} in it or in {meta[0]}"])
    header, lines = read_csv(table)
    require_columns(table, header, ("fname",))
    return tuple(row["fname"] for _, row in lines)


def find_table(root: Path, names: Sequence[str]) -> Path | None:
    """The first of these files that exists; None if none does."""
    return next((root / name for name in names if (root / name).is_file()), None)


def audio_folder(root: Path, published: str, competition: str) -> str:
    """The name of a folder of clips: the published one if such a folder exists, else the one in the competition."""
    return published if (root / published).is_dir() else competition


def clip_file(folder: str, name: str) -> str:
    """The path of a clip in its folder; empty if the table gives no name, and the name alone if that is no path in the folder."""
    return posixpath.join(folder, name) if name.strip() else ""
