"""The manifest: the table of a data set's clips and their labels. Reading, checking and writing it."""

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from earmark import files
from earmark.errors import NO_SUCH_FILE, ManifestError
from earmark.labels import LabelSet

TRUE, FALSE = {"1", "true", "yes"}, {"0", "false", "no"}
COLUMNS = ("file_name", "labels", "verified", "fold", "group", "split", "start", "end")
NO_FOLD = -1  # the fold of test clips, which belong to none
MADE_FOLDS = 5  # number of folds to make if the data set has none


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip, as its row in the table describes it.

    Attributes:
        file_name: path of its file, relative to the manifest's root, with ``/``.
        labels: its labels; no labels mean *unlabelled* for an unverified clip, *none of these* for a verified clip.
        verified: whether a person checked the labels.
        fold: number of its fold; None if it has none yet; `NO_FOLD` for test clips.
        group: the recording that the clip is a part of; the clip itself if the table does not say.
        split: ``train`` or ``test``.
        start: where the clip begins in its file, in seconds; None for the beginning of the file.
        end: where the clip ends in its file, in seconds; None for the end of the file.
        scored: False if the data set keeps the clip's labels back.
        extra: the cells of the table's other columns, by column name.
    """

    file_name: str
    labels: tuple[str, ...] = ()
    verified: bool = True
    fold: int | None = None
    group: str = ""
    split: str = "train"
    start: float | None = None
    end: float | None = None
    scored: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def clip_id(self) -> str:
        """``file_name``, with ``#start-end`` where the clip is a part of its file."""
        if self.start is None and self.end is None:
            return self.file_name
        return f"{self.file_name}#{_seconds(self.start)}-{_seconds(self.end)}"


@dataclass(frozen=True)
class Manifest:
    """Clips of one data set.

    Attributes:
        source: name of the source that read the data set.
        root: the folder that the file names are relative to.
        clips: the clips in the table's order.
        labels: the classes, in the data set's order.
        licence: licence of the data; empty if unknown.
        notes: lines about the data set that the user should know.
    """

    source: str
    root: Path
    clips: tuple[Clip, ...]
    labels: LabelSet
    licence: str = ""
    notes: tuple[str, ...] = ()

    def path(self, clip: Clip) -> Path:
        """The path of a clip's file."""
        return self.root / clip.file_name


@dataclass(frozen=True)
class SubmissionLayout:
    """The layout of the file that a competition asked for.

    Attributes:
        kind: ``best_labels`` (the three best labels of each clip, separated by spaces) or ``scores`` (a column for each class).
        file_names: names of the test clips' files without folders, in the order of the rows.
        classes: the classes in the order of the columns; empty for ``best_labels``.
    """

    kind: Literal["best_labels", "scores"]
    file_names: tuple[str, ...]
    classes: tuple[str, ...] = ()


def make_manifest(
    source: str,
    root: Path,
    clips: Sequence[Clip],
    where: str,
    labels: Sequence[str] | None = None,
    licence: str = "",
    notes: Sequence[str] = (),
    faults: Sequence[str] = (),
) -> Manifest:
    """A manifest, after checks that need all clips.

    Args:
        source: name of the source.
        root: the folder that the file names are relative to.
        clips: the clips, at least one.
        where: the table, in error messages.
        labels: the classes in the data set's order; by default all labels of training clips, sorted.
        licence: licence of the data.
        notes: lines for the user.
        faults: faults that the caller has found; they are reported together with those found here.

    Raises:
        ManifestError: lists all faults: the caller's, no clips, a clip twice, no labels, a test label without a training clip.
    """
    all_faults = list(faults)
    if not clips and not all_faults:
        all_faults.append("no clips")
    for clip_id, count in Counter(clip.clip_id for clip in clips).items():
        if count > 1:
            all_faults.append(f"clip {clip_id!r} stands {count} times")
    used = sorted({label for clip in clips if clip.split == "train" for label in clip.labels})
    names = list(labels) if labels is not None else used
    if not names and not all_faults:
        all_faults.append("no training clip has a label")
    for label in sorted({label for clip in clips for label in clip.labels if clip.scored} - set(names)):
        all_faults.append(f"label {label!r} is in the test split only")
    if all_faults:
        raise ManifestError(where, all_faults)
    return Manifest(source, root, tuple(clips), LabelSet(tuple(names)), licence, tuple(notes))


def read_manifest(path: Path, label_separator: str = ",") -> Manifest:
    """Reads a manifest from a CSV file, or from a Parquet file if its name ends in ``.parquet``.

    Raises:
        ManifestError: lists all faults: an unreadable file, missing columns, invalid cells, clips that stand twice.
    """
    header, rows = read_table(path, label_separator)
    require_columns(path, header, ("file_name", "labels"))
    clips, faults = [], []
    for number, row in rows:
        clip, row_faults = parse_row(row, label_separator)
        faults += [f"row {number}: {fault}" for fault in row_faults]
        clips += [] if row_faults else [clip]
    return make_manifest("manifest", path.parent, clips, str(path), faults=faults)


def write_manifest(path: Path, clips: Iterable[Clip], label_separator: str = ",") -> None:
    """Writes clips as a CSV manifest, complete or not at all."""
    clips = list(clips)
    extra = list(dict.fromkeys(name for clip in clips for name in clip.extra))
    text = io.StringIO()
    rows = [
        [
            clip.file_name,
            label_separator.join(clip.labels),
            int(clip.verified),
            "" if clip.fold is None or clip.fold == NO_FOLD else clip.fold,
            clip.group,
            clip.split,
            _seconds(clip.start),
            _seconds(clip.end),
            *(clip.extra.get(name, "") for name in extra),
        ]
        for clip in clips
    ]
    files.write_rows(text, [[*COLUMNS, *extra], *rows])
    files.write_text(path, text.getvalue())


def read_table(path: Path, label_separator: str = ",") -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Reads a CSV or Parquet table; all cells become text.

    Returns:
        The column names, and for each row its number (from 1, the header not counted) and its cells by column name.

    Raises:
        ManifestError: the file cannot be read as a table, or rows are longer or shorter than the header.
    """
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path, label_separator)
        with path.open(encoding="utf-8-sig", newline="") as file:  # file names may contain line breaks of any kind
            text = file.read()
    except FileNotFoundError:
        raise ManifestError(str(path), [NO_SUCH_FILE]) from None
    except IsADirectoryError:
        raise ManifestError(str(path), ["is a folder; a CSV or Parquet file is needed"]) from None
    except UnicodeDecodeError as error:
        raise ManifestError(str(path), [f"is not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise ManifestError(str(path), [error.strerror or str(error)]) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [line for line in reader if line]
    except csv.Error as error:
        raise ManifestError(str(path), [f"is not CSV (line {reader.line_num}: {error})"]) from None
    if not lines:
        raise ManifestError(str(path), ["is empty"])
    header = [name.strip() for name in lines[0]]
    faults = [f"column {name!r} stands {count} times" for name, count in Counter(header).items() if count > 1]
    faults += [
        f"row {number}: {len(line)} cells under {len(header)} columns"
        for number, line in enumerate(lines[1:], start=1)
        if len(line) != len(header)
    ]
    if faults:
        raise ManifestError(str(path), faults)
    return header, [(number, dict(zip(header, line, strict=True))) for number, line in enumerate(lines[1:], start=1)]


def require_columns(path: Path, header: Sequence[str], needed: Iterable[str]) -> None:
    """Refuses a table that lacks a needed column.

    Raises:
        ManifestError: names the missing columns, and those that the table has.
    """
    if missing := [name for name in needed if name not in header]:
        has = ", ".join(map(repr, header)) or "none"
        raise ManifestError(str(path), [f"no column {name!r}; it has {has}" for name in missing])


def _read_parquet(path: Path, label_separator: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise ManifestError(str(path), [f"not readable as Parquet: {str(error).splitlines()[0]}"]) from None
    rows = [
        (number, {name: _cell_text(value, label_separator) for name, value in row.items()})
        for number, row in enumerate(table.to_pylist(), start=1)
    ]
    return list(table.column_names), rows


def _cell_text(value: object, label_separator: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list):
        return label_separator.join(map(str, value))
    if isinstance(value, float) and value.is_integer():  # a whole-number column with a gap
        return str(int(value))
    return str(value)


def parse_row(row: Mapping[str, str], label_separator: str) -> tuple[Clip, list[str]]:
    """Reads one row of a manifest.

    Args:
        row: the cells by column name.
        label_separator: separates the labels in their cell.

    Returns:
        The clip, and the faults of the row; the clip must not be used if there are faults.

    Raises:
        ManifestError: the separator is empty.
    """
    faults: list[str] = []
    name = row["file_name"]
    if not label_separator:
        raise ManifestError("--label-separator", ["is empty"])
    if not name.strip():
        faults.append("file_name is empty")
    elif "\0" in name:
        faults.append(f"file_name {name!r} has a NUL in it")
    elif Path(name).is_absolute() or ".." in Path(name).parts:
        faults.append(f"file_name {name!r} is not below the manifest's folder")
    else:
        name = posixpath.normpath(name)  # ./a.wav is a.wav
    labels = tuple(label.strip() for label in row["labels"].split(label_separator) if label.strip())
    if len(set(labels)) < len(labels):
        faults.append(f"labels {row['labels']!r} names a label twice")
    verified = row.get("verified", "").strip().lower().removesuffix(".0") or "1"
    if verified not in TRUE | FALSE:
        faults.append(f"verified is {row['verified']!r}, not 0 or 1")
    split = row.get("split", "").strip() or "train"
    if split not in ("train", "test"):
        faults.append(f"split is {split!r}, not train or test")
    fold: int | None = None
    if fold_text := row.get("fold", "").strip():
        try:
            fold = int(fold_text.removesuffix(".0"))
            if not 0 <= fold < 2**31:
                raise ValueError
        except ValueError:
            faults.append(f"fold is {fold_text!r}, not a whole number from 0")
    start, end = (_parse_seconds(row, name, faults) for name in ("start", "end"))
    if start is not None and end is not None and end <= start:
        faults.append(f"end {end:g} is not after start {start:g}")
    extra = {key: value for key, value in row.items() if key not in COLUMNS}
    group = row.get("group", "").strip() or name
    if split == "test":
        fold = NO_FOLD
    return Clip(name, labels, verified in TRUE, fold, group, split, start, end, True, extra), faults


def _parse_seconds(row: Mapping[str, str], name: str, faults: list[str]) -> float | None:
    text = row.get(name, "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
        if not 0 <= seconds < float("inf"):
            raise ValueError
    except ValueError:
        faults.append(f"{name} is {text!r}, not seconds from 0")
        return None
    return seconds


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else repr(seconds).removesuffix(".0")


def describe(manifest: Manifest) -> list[str]:
    """Lines about a data set for people: numbers of clips, verified clips, classes, recordings, folds and test clips; notes."""
    train = [clip for clip in manifest.clips if clip.split == "train"]
    test = [clip for clip in manifest.clips if clip.split == "test"]
    published = sorted({clip.fold for clip in train if clip.fold is not None})
    folds = f"published folds {', '.join(map(str, published))}" if published else f"{MADE_FOLDS} folds made"
    unlabelled = sum(not clip.labels and not clip.verified for clip in train)
    lines = [
        f"{manifest.source}: {len(train):,} train clips, {sum(clip.verified for clip in train):,} verified, "
        f"{len(manifest.labels)} classes, {len({clip.group for clip in train}):,} recordings, {folds}"
    ]
    if unlabelled:
        lines.append(f"{unlabelled:,} train clips are unlabelled")
    if test:
        usage = Counter(clip.extra.get("usage", "") for clip in test)
        by_usage = ", ".join(f"{name} {count:,}" for name, count in sorted(usage.items())) if set(usage) != {""} else ""
        lines.append(
            f"{len(test):,} test rows, {sum(clip.scored for clip in test):,} of them scored"
            + (f" ({by_usage})" if by_usage else "")
        )
    return [*lines, *manifest.notes]
