"""FSDKaggle2019 (Fonseca et al., DCASE 2019 Task 2): 80 classes, several labels a clip; 4,970 curated and 19,815 noisy clips.

Reads the published folders (``FSDKaggle2019.meta/``, ``.audio_*``), or those of the competition (``train_curated.csv``,
``train_curated/``).
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

from earmark.data.cells import Cell
from earmark.data.manifest import Clip, Manifest, Row, SubmissionLayout, make_manifest, parse_row
from earmark.data.sources.fsdkaggle2018 import SUBMISSION, audio_folder, clip_file, find_table, listed_test_clips
from earmark.data.tables import read_csv, require_columns
from earmark.errors import ManifestError
from earmark.labels import normal_label

META = ("FSDKaggle2019.meta", ".")
CURATED, NOISY, TEST = "train_curated", "train_noisy", "test"  # in the names of tables and of audio folders
TABLES = {  # the first has recordings and licences; the competition had no table of test clips
    CURATED: ("train_curated_post_competition.csv", "train_curated.csv"),
    NOISY: ("train_noisy_post_competition.csv", "train_noisy.csv"),
    TEST: ("test_post_competition.csv",),
}
ABSENT = {NOISY: "the curated clips alone are the training split", TEST: "the data set has no test split here"}
RECORDING = {CURATED: "freesound_id", NOISY: "flickr_video_URL", TEST: "freesound_id"}
USAGE = ("Public", "Private")
VOCABULARY = "vocabulary.csv"

# "Detected corrupted files in the curated train set" in FSDKaggle2019.doc/README.md. It does not say what would be right.
ERRATA = {
    "f76181c4": "wrong label",  # these five "due to a bug in the file renaming process"
    "77b925c2": "wrong label",
    "6a1f682a": "wrong label",
    "c7db12aa": "wrong label",
    "7752cc8a": "wrong label",
    "1d44b0bd": "no signal",  # "due to an error in format conversion": nothing can be learned from silence
}
BEFORE_ERRATA = "labels_before_errata"


def scan(root: Path, label_separator: str, errata: bool = True) -> Manifest:
    """Reads the tables of curated, noisy and test clips.

    A group is a recording on Freesound or a Flickr video, if the tables name it. The column ``usage`` is kept.

    Args:
        root: folder of the data set.
        label_separator: separates the labels in a cell; a comma as published.
        errata: make the clips of `ERRATA` unlabelled and unverified; the column ``labels_before_errata`` keeps their labels. If
            False, they are read as published.
    """
    tables = {part: find_table(root, [f"{meta}/{name}" for meta in META for name in names]) for part, names in TABLES.items()}
    if tables[CURATED] is None:
        raise ManifestError(str(root), [f"is not FSDKaggle2019: no {' or '.join(TABLES[CURATED])} in it or in {META[0]}"])
    classes = _read_classes(root)
    rows: list[Row] = []
    counts, notes = [], []
    if classes is None:
        notes.append(f"no {VOCABULARY} or {SUBMISSION}: the classes are the labels of the training clips, sorted")
    for part, table in tables.items():
        if table is None:
            notes.append(f"no {' or '.join(TABLES[part])}: {ABSENT[part]}")
            continue
        table_rows = _read_rows(root, table, part, classes, label_separator)
        counts.append(f"{part.removeprefix('train_')} {len(table_rows):,}")
        if part == CURATED:
            notes += _errata_notes([_stem(row.clip) for row in table_rows], errata)
            if errata:
                table_rows = [_corrected(row, label_separator) if _stem(row.clip) in ERRATA else row for row in table_rows]
        rows += table_rows
    most = max((len(row.clip.labels) for row in rows), default=0)
    return make_manifest(
        "fsdkaggle2019",
        root,
        rows,
        str(root),
        labels=classes,
        licence="CC BY 4.0 as a whole; Creative Commons, a clip each: column license",
        notes=[f"{', '.join(counts)} clips; up to {most} label{'' if most == 1 else 's'} a clip", *notes],
    )


def submission(root: Path) -> SubmissionLayout:
    """The layout of the submission file: a column for each class, a row for each clip of the sample submission or test table.

    Raises:
        ManifestError: the tables are not there.
    """
    sample = find_table(root, [f"{meta}/{SUBMISSION}" for meta in META])
    classes = read_csv(sample)[0][1:] if sample else _read_classes(root)
    if not classes:
        raise ManifestError(str(root), [f"no {VOCABULARY} or {SUBMISSION} in it or in {META[0]}"])
    return SubmissionLayout("scores", listed_test_clips(root, META, TABLES[TEST][0]), tuple(classes))


def _read_classes(root: Path) -> list[str] | None:
    """The classes in the vocabulary's order; None if there is no table that lists them."""
    path = find_table(root, [f"{meta}/{name}" for name in (VOCABULARY, SUBMISSION) for meta in META])
    if path is None:
        return None
    header, cells = read_csv(path)
    if path.name == SUBMISSION:
        if header[0] != "fname" or len(header) < 2:
            raise ManifestError(str(path), ["its columns are not fname and the classes"])
        return [normal_label(name) for name in header[1:]]
    lines = [header, *(list(row.values()) for _, row in cells)]  # the file has no header: every line is a number and a class
    faults = [
        f"line {number + 1}: {','.join(line)!r} is not {number},CLASS"
        for number, line in enumerate(lines)
        if len(line) != 2 or line[0] != str(number) or not normal_label(line[1])
    ]
    classes = [normal_label(line[-1]) for line in lines]
    faults += [f"class {name!r} stands twice" for name in sorted({name for name in classes if classes.count(name) > 1})]
    if faults:
        raise ManifestError(str(path), faults)
    return classes


def _read_rows(root: Path, table: Path, part: str, classes: Collection[str] | None, label_separator: str) -> list[Row]:
    """The clips of one table as published, with the faults that only this source can know."""
    header, lines = read_csv(table)
    require_columns(table, header, ["fname", "labels", *(["usage"] if part == TEST else [])])
    folder = audio_folder(root, f"FSDKaggle2019.audio_{part}", part)
    rows = []
    for number, row in lines:
        cells: dict[str, Cell] = {
            "file_name": clip_file(folder, row["fname"]),
            "labels": row["labels"],
            "verified": str(int(part != NOISY)),
            "group": row.get(RECORDING[part]) or row["fname"],
            "split": "test" if part == TEST else "train",
        }
        kept = {key: row[key] for key in ("usage", "license") if key in row}
        parsed = parse_row(f"{table.name} row {number}", cells | kept, label_separator)
        faults = list(parsed.faults)
        labels = [normal_label(label) for label in parsed.clip.labels]
        if not labels:
            faults.append("labels is empty")
        elif not all(label.strip() for label in row["labels"].split(label_separator)):
            faults.append(f"labels {row['labels']!r} has an empty one")
        if classes is not None:
            faults += [f"label {label!r} is not in the vocabulary" for label in labels if label not in classes]
        if part == TEST and row["usage"] not in USAGE:
            faults.append(f"usage is {row['usage']!r}, not {' or '.join(USAGE)}")
        rows.append(replace(parsed, faults=faults))
    return rows


def _stem(clip: Clip) -> str:
    return PurePosixPath(clip.file_name).stem


def _corrected(row: Row, label_separator: str) -> Row:
    extra = {**row.clip.extra, BEFORE_ERRATA: label_separator.join(row.clip.labels)}
    return replace(row, clip=replace(row.clip, labels=(), verified=False, extra=extra))


def _errata_notes(stems: Collection[str], corrected: bool) -> list[str]:
    """A note that names the clips of `ERRATA` among these; none if there are none."""
    here = {stem: reason for stem, reason in ERRATA.items() if stem in stems}
    if not here:
        return []
    named = "; ".join(
        f"{reason} {', '.join(stem for stem in here if here[stem] == reason)}" for reason in dict.fromkeys(here.values())
    )
    if corrected:
        how = f"read as unlabelled and unverified, their labels are in {BEFORE_ERRATA} (--no-errata reads them as published)"
    else:
        how = "read as published (--no-errata)"
    return [f"errata: {named}: {how}"]
