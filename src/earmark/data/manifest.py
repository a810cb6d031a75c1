"""The manifest: which clips there are, what they are labelled, who checked it; read, checked whole, and written."""

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from earmark import files
from earmark.errors import ManifestError
from earmark.labels import LabelSet

TRUE, FALSE = {"1", "true", "yes"}, {"0", "false", "no"}
COLUMNS = ("file_name", "labels", "verified", "fold", "group", "split", "start", "end")
NO_FOLD = -1  # of test clips, which train in no fold
MADE_FOLDS = 5  # where the data has none published


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip and what its table says of it.

    Attributes:
        file_name: relative to the manifest's root, with ``/``.
        labels: none means *unlabelled* where unverified, *none of these* where verified.
        verified: a person checked the labels.
        fold: None where none is published and none made yet; `NO_FOLD` for test clips.
        group: the recording that the clip is a part of; itself where the table says nothing.
        split: ``train`` or ``test``.
        start: first second of the clip in its file; the file's beginning where None.
        end: the second it stops at; the file's end where None.
        scored: whether its labels may be scored against; False where a data set keeps them back.
        extra: the table's other columns.
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
        source: the name of the source that read it.
        root: the folder that the file names are relative to.
        clips: in the table's order.
        labels: every label that a training clip has, in the data set's order.
        licence: of the data, where known.
        notes: what a reader of the data set should know, one line each.
    """

    source: str
    root: Path
    clips: tuple[Clip, ...]
    labels: LabelSet
    licence: str = ""
    notes: tuple[str, ...] = ()

    def path(self, clip: Clip) -> Path:
        """Where a clip's file is."""
        return self.root / clip.file_name


@dataclass(frozen=True)
class SubmissionLayout:
    """The file that a competition asked for.

    Attributes:
        kind: ``best_labels`` (the three best a clip, with spaces between them) or ``scores`` (a column a class).
        file_names: of the test clips, without folders, in the file's order.
        classes: in the order of the columns; none for ``best_labels``.
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
    """A manifest of clips after the checks that concern all of them together.

    Args:
        source: the source's name.
        root: the folder that file names are relative to.
        clips: at least one.
        where: the table, for messages.
        labels: the classes in the data set's own order; sorted by default.
        licence: of the data.
        notes: for the reader.
        faults: found by the caller already, to be told together with those found here.

    Raises:
        ManifestError: with every fault: a clip stands twice, nothing is labelled, a test label has no training clip.
    """
    found = list(faults)
    if not clips and not found:
        found.append("no clips")
    for clip_id, count in Counter(clip.clip_id for clip in clips).items():
        if count > 1:
            found.append(f"clip {clip_id!r} stands {count} times")
    used = sorted({label for clip in clips if clip.split == "train" for label in clip.labels})
    names = list(labels) if labels is not None else used
    if not names and not found:
        found.append("no training clip has a label")
    for label in sorted({label for clip in clips for label in clip.labels if clip.scored} - set(names)):
        found.append(f"label {label!r} is in the test split only")
    if found:
        raise ManifestError(where, found)
    return Manifest(source, root, tuple(clips), LabelSet(tuple(names)), licence, tuple(notes))


def read_manifest(path: Path, label_separator: str = ",") -> Manifest:
    """Reads a manifest, CSV or Parquet (by its ending).

    Raises:
        ManifestError: with all its faults: unreadable, a column missing, cells that are not what their column holds, rows twice.
    """
    header, rows = read_table(path, label_separator)
    require_columns(path, header, ("file_name", "labels"))
    clips, faults = [], []
    for number, row in rows:
        clip, wrong = parse_row(row, label_separator)
        faults += [f"row {number}: {fault}" for fault in wrong]
        clips += [] if wrong else [clip]
    return make_manifest("manifest", path.parent, clips, str(path), faults=faults)


def write_manifest(path: Path, clips: Iterable[Clip], label_separator: str = ",") -> None:
    """Writes clips as a CSV manifest, whole or not at all."""
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
    """A CSV or Parquet table as text.

    Returns:
        The column names, and for each row its number (1 is the first after the header) and its cells.

    Raises:
        ManifestError: it cannot be read as a table, or rows are longer or shorter than its header.
    """
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path, label_separator)
        with path.open(encoding="utf-8-sig", newline="") as file:  # a name may hold any line end
            text = file.read()
    except FileNotFoundError:
        raise ManifestError(str(path), ["no such file"]) from None
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
    """Refuses a table without the columns that are needed.

    Raises:
        ManifestError: naming every column that is missing, and those that the table has.
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
    """One row of a manifest as a clip, and what is wrong with it (the clip is of use only where that is nothing)."""
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
    """What a data set's tables hold, a line each; no audio is looked at.

    Counts of train clips and how many are verified, classes, folds, recordings; of the test split and how much is scored.
    """
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
