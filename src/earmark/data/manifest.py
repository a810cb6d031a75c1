"""The manifest: the table of a data set's clips and their labels. Reading, checking and writing it."""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from earmark.data.cells import Cell, fold_of, labels_of, seconds_of, text_of, verified_of
from earmark.data.names import REMEDY, from_root, leads_out, outside
from earmark.data.tables import read_table, require_columns, write_table
from earmark.errors import ManifestError
from earmark.labels import LabelSet, label_faults, normal_label

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
        extra: the cells of the table's other columns, by column name; a tuple is a list of texts.
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
    extra: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)

    @property
    def clip_id(self) -> str:
        """``file_name``, with ``#start-end`` where the clip is a part of its file."""
        if self.start is None and self.end is None:
            return self.file_name
        return f"{self.file_name}#{_seconds(self.start)}-{_seconds(self.end)}"


@dataclass(frozen=True, slots=True)
class Row:
    """A clip as a source has read it, not yet checked.

    Attributes:
        place: where the clip stands, such as ``row 3``, in error messages.
        clip: the clip.
        faults: what is wrong with cells that a clip cannot hold.
    """

    place: str
    clip: Clip
    faults: Sequence[str] = ()


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
        columns: the columns of its table; empty if it has none.
        options: what was said on the command line of how to read it, word for word.
    """

    source: str
    root: Path
    clips: tuple[Clip, ...]
    labels: LabelSet
    licence: str = ""
    notes: tuple[str, ...] = ()
    columns: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()

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
    rows: Sequence[Row | Clip],
    where: str,
    labels: Sequence[str] | None = None,
    licence: str = "",
    notes: Sequence[str] = (),
    faults: Sequence[str] = (),
) -> Manifest:
    """A manifest of clips that have been checked. Every source ends here, so that the same is right and wrong in all of them.

    Args:
        source: name of the source.
        root: the folder that the file names are relative to.
        rows: the clips, at least one; as rows, if there is a place in a table to name.
        where: the table, in error messages.
        labels: the classes in the data set's order; by default all labels of training clips, sorted.
        licence: licence of the data.
        notes: lines for the user.
        faults: faults that the caller has found; they are reported together with those found here.

    Raises:
        ManifestError: lists all faults: the caller's, those of single clips (see `checked`), no clips, a clip twice, no labels, a
            class twice, a label that is no class, a test label without a training clip, names that lead out of ``root``.
    """
    all_faults = list(faults)
    if not rows and not all_faults:
        all_faults.append("no clips")
    clips = []
    out: list[tuple[str, str]] = []  # of the folder: where each such name stands, and the name
    first_out = 0  # the place of their fault among the others
    for row in (row if isinstance(row, Row) else Row(repr(row.file_name), row) for row in rows):
        name = from_root(root, row.clip.file_name)
        clip, clip_faults = checked(row.clip if name == row.clip.file_name else replace(row.clip, file_name=name))
        all_faults += [f"{row.place}: {fault}" for fault in (*row.faults, *clip_faults)]
        if leads_out(clip.file_name):
            first_out = first_out if out else len(all_faults)
            out.append((row.place, name))
        elif not row.faults and not clip_faults:
            clips.append(clip)
    all_faults[first_out:first_out] = outside(out, REMEDY if source == "manifest" else "")
    all_faults += _twice(clips, root)
    used = sorted({label for clip in clips if clip.split == "train" for label in clip.labels})
    names = used if labels is None else [normal_label(label) for label in labels]
    if not used and not all_faults:
        all_faults.append("no training clip has a label")
    if labels is not None and not all_faults:
        all_faults += [fault for name in names for fault in label_faults(name)]
        all_faults += [f"class {name!r} stands {count} times" for name, count in Counter(names).items() if count > 1]
    for label in sorted({label for clip in clips for label in clip.labels} - set(names)):
        all_faults.append(f"label {label!r} is {'in the test split only' if labels is None else 'none of the classes'}")
    if all_faults:
        raise ManifestError(where, all_faults)
    return Manifest(source, root, tuple(clips), LabelSet(tuple(names)), licence, tuple(notes))


def checked(clip: Clip) -> tuple[Clip, list[str]]:
    """A clip in its normal form, and what is wrong with it; it must not be used if anything is, nor if its name leads out.

    The file name is without ``./`` but else as it is on the disk; labels are as in `normal_label`, each once; a recording's name is
    in Unicode form NFC; ``-0`` seconds are 0.
    """
    faults = []
    name = clip.file_name
    if not name.strip():
        faults.append("file_name is empty")
    elif "\0" in name:
        faults.append(f"file_name {name!r} has a NUL in it")
    elif not _is_utf8(name):
        faults.append(f"file_name {name!r} is not in UTF-8: rename the file")
    elif not leads_out(name) and (name := posixpath.normpath(name)) == ".":  # ./a.wav is a.wav
        faults.append("file_name is a folder, not a file")
    stripped = [label.strip() for label in clip.labels]
    labels = tuple(dict.fromkeys(map(normal_label, stripped)))
    for label in labels:
        faults += label_faults(label)
    if len(set(stripped)) < len(stripped):
        faults += [f"label {label!r} stands {count} times" for label, count in Counter(stripped).items() if label and count > 1]
    if clip.split not in ("train", "test"):
        faults.append(f"split is {clip.split!r}, not train or test")
    fold = NO_FOLD if clip.split == "test" and clip.fold is None else clip.fold
    if fold is not None and not 0 <= fold < 2**31 and (fold, clip.split) != (NO_FOLD, "test"):
        faults.append(f"fold is {fold}, not a whole number from 0")
    for what, seconds in (("start", clip.start), ("end", clip.end)):
        if seconds is not None and not 0 <= seconds < float("inf"):
            faults.append(f"{what} is {seconds:g}, not seconds from 0")
    if clip.end is not None and clip.end <= (clip.start or 0):
        faults.append(f"end {clip.end:g} is not after start {clip.start or 0:g}")
    normal = Clip(
        name,
        labels,
        clip.verified,
        NO_FOLD if clip.split == "test" else fold,
        normalize("NFC", clip.group or name),
        clip.split,
        None if clip.start is None else clip.start + 0.0,
        None if clip.end is None else clip.end + 0.0,
        clip.scored,
        clip.extra,
    )
    return normal, faults


def _is_utf8(name: str) -> bool:
    """Whether a name is valid UTF-8; names of files from old archives may not be, and a table cannot hold them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _twice(clips: Sequence[Clip], root: Path) -> list[str]:
    """Faults: clips that have the same id, are the same part of a file, or whose file has two names that look the same."""
    parts: dict[tuple[str, float, float | None], list[str]] = defaultdict(list)
    for clip in clips:
        parts[clip.file_name, clip.start or 0.0, clip.end].append(clip.clip_id)
    called = [(list(dict.fromkeys(ids)), len(ids)) for ids in parts.values() if len(ids) > 1]
    called += [([name], count) for name, count in Counter(name for ids in parts.values() for name in set(ids)).items() if count > 1]
    faults = [f"clip {', also called '.join(map(repr, names))} stands {count} times" for names, count in called]
    forms: dict[str, set[str]] = defaultdict(set)
    for name in {clip.file_name for clip in clips if not clip.file_name.isascii()}:
        forms[normalize("NFC", name)].add(name)
    for names in forms.values():
        if len(names) > 1 and len({_file_on_disk(root / name) for name in names}) < len(names):  # as on macOS
            faults.append(f"file_name {' and '.join(map(ascii, sorted(names)))} are two Unicode forms of one file's name")
    return faults


def _file_on_disk(path: Path) -> tuple[str, int, int]:
    """The same for two paths of the same file; of its own for a path without a file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return str(path), 0, 0
    return "", status.st_dev, status.st_ino


def read_manifest(path: Path, label_separator: str = ",") -> Manifest:
    """Reads a manifest from a CSV file, or from a Parquet file if its name ends in ``.parquet``.

    Raises:
        ManifestError: lists all faults: an unreadable file, missing columns, invalid cells, clips that stand twice.
    """
    header, lines = read_table(path)
    require_columns(path, header, ("file_name", "labels"))
    rows = [parse_row(f"row {number}", cells, label_separator) for number, cells in lines]
    return replace(make_manifest("manifest", path.parent, rows, str(path)), columns=frozenset(header))


def write_manifest(path: Path, clips: Iterable[Clip], label_separator: str = ",") -> None:
    """Writes clips as a CSV or Parquet manifest, by the ending of its name, completely or not at all.

    Raises:
        ManifestError: the name ends otherwise, or it is CSV and a label holds the separator.
    """
    clips = list(clips)
    columns: dict[str, list[object]] = {
        "file_name": [clip.file_name for clip in clips],
        "labels": [clip.labels for clip in clips],
        "verified": [clip.verified for clip in clips],
        "fold": [None if clip.fold == NO_FOLD else clip.fold for clip in clips],
        # the file is the group by default, and its name may have spaces around it
        "group": [None if clip.group == normalize("NFC", clip.file_name) else clip.group for clip in clips],
        "split": [clip.split for clip in clips],
        "start": [clip.start for clip in clips],
        "end": [clip.end for clip in clips],
    }
    extra = dict.fromkeys(name for clip in clips for name in clip.extra)
    write_table(path, columns | {name: [clip.extra.get(name) for clip in clips] for name in extra}, label_separator)


def parse_row(place: str, row: Mapping[str, Cell], label_separator: str) -> Row:
    """Reads one row of a manifest.

    Args:
        place: where the row stands, in error messages.
        row: the cells by column name.
        label_separator: separates the labels in a cell that is text.

    Raises:
        ManifestError: the separator is empty.
    """
    if not label_separator:
        raise ManifestError("--label-separator", ["is empty"])
    faults: list[str] = []

    def text(column: str) -> str:
        cell = row.get(column, "")
        if isinstance(cell, tuple):
            faults.append(f"{column} is a list, not text")
            return "-"
        return text_of(cell) if column == "file_name" else text_of(cell).strip()

    if isinstance(name := row["file_name"], bool | int | float):
        faults.append(f"file_name is {name}, not text")
    clip = Clip(
        file_name=text("file_name"),
        labels=labels_of(row["labels"], label_separator, faults),
        verified=verified_of(row.get("verified", ""), faults),
        fold=fold_of(row.get("fold", ""), faults),
        group=text("group"),
        split=text("split") or "train",
        start=seconds_of("start", row.get("start", ""), faults),
        end=seconds_of("end", row.get("end", ""), faults),
        extra={key: cell if isinstance(cell, tuple) else text_of(cell) for key, cell in row.items() if key not in COLUMNS},
    )
    return Row(place, clip, faults)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else repr(seconds).removesuffix(".0")
