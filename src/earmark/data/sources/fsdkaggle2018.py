"""FSDKaggle2018 (Fonseca et al., DCASE 2018 Task 2): 41 classes; 3,710 of the training labels are verified.

Reads the published folders (``FSDKaggle2018.meta/``, ``.audio_*``), or those of the competition (``train.csv``, ``audio_train/``).
"""

from collections.abc import Sequence
from pathlib import Path

from earmark.data.manifest import NO_FOLD, Clip, Manifest, SubmissionLayout, make_manifest, read_table, require_columns
from earmark.errors import ManifestError

META = ("FSDKaggle2018.meta", ".")
TRAIN_TABLES = ("train_post_competition.csv", "train.csv")  # the first has the Freesound ids and licences
TEST_TABLE = "test_post_competition.csv"
SUBMISSION = "sample_submission.csv"
SCORED_USAGE = ("Public", "Private")


def scan(root: Path, label_separator: str) -> Manifest:
    """Reads the tables of training and test clips.

    A group is a recording on Freesound if the tables name it. The column ``usage`` is kept; test clips whose usage is neither
    ``Public`` nor ``Private`` have no labels and are not scored.
    """
    train = find_table(root, [f"{meta}/{name}" for meta in META for name in TRAIN_TABLES])
    if train is None:
        raise ManifestError(str(root), [f"is not FSDKaggle2018: no {' or '.join(TRAIN_TABLES)} in it or in {META[0]}"])
    header, rows = read_table(train)
    require_columns(train, header, ("fname", "label", "manually_verified"))
    faults = [f"row {number}: label is empty" for number, row in rows if not row["label"]]
    faults += [
        f"row {number}: manually_verified is {row['manually_verified']!r}, not 0 or 1"
        for number, row in rows
        if row["manually_verified"] not in ("0", "1")
    ]
    if faults:
        raise ManifestError(str(train), faults)
    folder = audio_folder(root, "FSDKaggle2018.audio_train", "audio_train")
    clips = [
        Clip(
            f"{folder}/{row['fname']}",
            (row["label"],),
            verified=row["manually_verified"] == "1",
            group=row.get("freesound_id") or row["fname"],
            extra={key: row[key] for key in ("license",) if key in row},
        )
        for _, row in rows
    ]
    notes = []
    test = find_table(root, [f"{meta}/{TEST_TABLE}" for meta in META])
    if test is None:
        notes.append(f"no {TEST_TABLE}: the data set has no test split here")
    else:
        folder = audio_folder(root, "FSDKaggle2018.audio_test", "audio_test")
        header, rows = read_table(test)
        require_columns(test, header, ("fname", "label", "usage"))
        for _, row in rows:
            scored = row["usage"] in SCORED_USAGE
            clips.append(
                Clip(
                    f"{folder}/{row['fname']}",
                    (row["label"],) if scored else (),
                    verified=scored,
                    fold=NO_FOLD,
                    group=row.get("freesound_id") or row["fname"],
                    split="test",
                    scored=scored,
                    extra={key: row[key] for key in ("usage", "license") if key in row},
                )
            )
    return make_manifest(
        "fsdkaggle2018", root, clips, str(train), licence="Creative Commons, a clip each: column license", notes=notes
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
    header, rows = read_table(table)
    require_columns(table, header, ("fname",))
    return tuple(row["fname"] for _, row in rows)


def find_table(root: Path, names: Sequence[str]) -> Path | None:
    """The first of these files that exists; None if none does."""
    return next((root / name for name in names if (root / name).is_file()), None)


def audio_folder(root: Path, published: str, competition: str) -> str:
    """The name of a folder of clips: the published one if such a folder exists, else the one in the competition."""
    return published if (root / published).is_dir() else competition
