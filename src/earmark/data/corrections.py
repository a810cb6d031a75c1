"""Corrections: what people who listened to clips say about their labels. Reading and writing them as tables.

``corrections.csv`` has the columns `COLUMNS`. A plain table needs only a clip and its labels in each row: the column ``clip``,
``clip_id`` or ``file_name``, and ``labels``, which is empty for *none of these*, or the word ``remove``. All other columns of
`COLUMNS` are read where a table has them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from earmark import files
from earmark.data.audit_info import NAME as AUDIT
from earmark.data.audit_info import read_info
from earmark.data.cells import Cell, labels_of, split_text, text_of
from earmark.data.tables import read_table, require_columns, require_separable
from earmark.errors import ManifestError
from earmark.labels import label_faults, normal_label

NAME = "corrections.csv"  # in the folder of an audit
COLUMNS = ("clip_id", "given", "labels", "action", "by", "when", "sha256", "disagrees")
CLIP_COLUMNS = ("clip_id", "clip", "file_name")  # a table names its clips in the first of these that it has
NONE, UNUSABLE = "none", "unusable"
ACTIONS = ("keep", "accept", "relabel", NONE, UNUSABLE)
REMOVE = "remove"  # in the place of labels, in a table without a column `action`
NAMES_SEPARATOR = ";"  # between the names in a cell of `disagrees`
EXAMPLE_TIME = "2026-01-31T12:00:00Z"


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person decided about a clip.

    Attributes:
        clip_id: the clip.
        labels: its labels; none for *none of these*, and of no meaning where the clip is unusable.
        action: one of `ACTIONS`.
        given: the labels that the clip had when it was heard; None if nothing says so.
        by: who heard it.
        when: the time of the decision as `normal_time` has it; empty if nothing says so.
        sha256: content hash of the clip's file as a store has it; empty if nothing says so.
        disagrees: names of those who decided otherwise.
        place: where the decision stands, such as ``row 3``, in error messages.
    """

    clip_id: str
    labels: tuple[str, ...]
    action: str
    given: tuple[str, ...] | None = None
    by: str = ""
    when: str = ""
    sha256: str = ""
    disagrees: tuple[str, ...] = ()
    place: str = ""

    @property
    def unusable(self) -> bool:
        """Whether the clip is to be removed."""
        return self.action == UNUSABLE

    @property
    def decision(self) -> frozenset[str] | None:
        """Equal for equal decisions: the labels; None if the clip is to be removed."""
        return None if self.unusable else frozenset(self.labels)


@dataclass(frozen=True)
class Corrections:
    """The corrections of one table or export.

    Attributes:
        where: the table, in error messages.
        corrections: one a clip, in the table's order; where there are faults, as far as they could be read.
        faults: what is wrong in the table; it must not be used if anything is.
        words: texts that stood in the place of labels and were taken for something else, such as ``remove``; as they were taken, in
            lower case. Where a class is called so, it is not clear what is meant.
    """

    where: str
    corrections: tuple[Correction, ...]
    faults: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()


def normal_time(text: str) -> str:
    """A time in ISO 8601 as corrections have it: in UTC, whole seconds. A time that names no zone is taken for UTC.

    >>> normal_time("2026-03-09T23:16:08.728+01:00")
    '2026-03-09T22:16:08Z'

    Raises:
        ValueError: it is no such time.
    """
    time = datetime.fromisoformat(text)
    try:
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")[:-6] + "Z"
    except OverflowError:
        raise ValueError(f"{text} lies in no year from 1 to 9999") from None


def read_corrections(path: Path, label_separator: str) -> Corrections:
    """Reads ``corrections.csv``, or a plain table of clips and labels; CSV or Parquet, by the ending of its name.

    Args:
        path: the table.
        label_separator: separates the labels in a cell.

    Raises:
        ManifestError: the file cannot be read as a table, or lacks a column. Rows that are wrong are among the result's faults.
    """
    if not label_separator:
        raise ManifestError("--label-separator", ["is empty"])
    header, lines = read_table(path)
    column = next((name for name in CLIP_COLUMNS if name in header), CLIP_COLUMNS[0])
    require_columns(path, header, (column, "labels"))
    corrections, faults = [], []
    words = set()
    for number, row in lines:
        place = f"row {number}"
        correction, row_faults = _correction(place, row, column, label_separator, path.name)
        faults += [f"{place}: {fault}" for fault in row_faults]
        corrections.append(correction)
        if "action" not in header and correction.unusable:
            words.add(REMOVE)
    kept, twice = _each_clip_once(corrections)
    return Corrections(str(path), kept, (*faults, *twice), frozenset(words))


def write_corrections(path: Path, corrections: Iterable[Correction], label_separator: str) -> int:
    """Writes a ``corrections.csv``, a row a correction in the given order, completely or not at all.

    Args:
        path: the table.
        corrections: the corrections; asked for only while no other process writes the table, so that none of them is older than what is
            written over.
        label_separator: stands between labels.

    Returns:
        The number of corrections.

    Raises:
        ManifestError: a label holds the separator.
        EarmarkError: another process is writing the table.
        OSError: it cannot be written.
    """
    with files.replacing(path) as partial:
        written = list(corrections)
        labels = {name: [getattr(said, name) for said in written] for name in ("given", "labels")}
        require_separable(path, labels, label_separator)
        rows: list[tuple[str, ...]] = [COLUMNS]
        for said in written:
            given, after = (label_separator.join(names or ()) for names in (said.given, said.labels))
            others = NAMES_SEPARATOR.join(said.disagrees)
            rows.append((said.clip_id, given, after, said.action, said.by, said.when, said.sha256, others))
        with partial.open("w", encoding="utf-8", newline="") as file:
            files.write_rows(file, rows)
    return len(written)


def labels_in(texts: Sequence[str], faults: list[str]) -> tuple[str, ...]:
    """Labels as they are kept; what is wrong with them is added to the faults."""
    labels = tuple(map(normal_label, texts))
    counts = Counter(labels)
    faults += [fault for label in counts for fault in label_faults(label)]
    faults += [f"label {label!r} stands {count} times" for label, count in counts.items() if count > 1]
    return labels


def _correction(place: str, row: Mapping[str, Cell], column: str, separator: str, table: str) -> tuple[Correction, list[str]]:
    """The correction in a row, and what is wrong with it."""
    faults: list[str] = []

    def text(name: str) -> str:
        cell = row.get(name, "")
        if isinstance(cell, tuple):
            faults.append(f"{name} is a list, not text")
            return ""
        return text_of(cell)

    clip_id = text(column)
    if not clip_id.strip():
        faults.append(f"{column} is empty")
    cell = row["labels"]
    if "action" in row:
        action = text("action").strip()
        if action not in ACTIONS:
            faults.append(f"action is {action!r}, not one of {', '.join(ACTIONS)}")
    else:
        texts = cell if isinstance(cell, tuple) else (cell,)
        removed = [text.strip().lower() for text in texts if isinstance(text, str)] == [REMOVE]
        action = UNUSABLE if removed else "relabel"
    labels = () if action == UNUSABLE else labels_in(labels_of(cell, separator, faults), faults)
    if action == NONE and labels:
        faults.append(f"action is {NONE}, and yet there are labels: {', '.join(labels)}")
    when = text("when").strip()
    try:
        when = normal_time(when) if when else ""
    except ValueError:
        faults.append(f"when is {when!r}, not a time such as {EXAMPLE_TIME}")
    return (
        Correction(
            clip_id,
            labels,
            action,
            tuple(map(normal_label, labels_of(row["given"], separator, faults))) if "given" in row else None,
            text("by").strip() or table,
            when,
            text("sha256").strip().lower(),
            split_text(text("disagrees"), NAMES_SEPARATOR),
            place,
        ),
        faults,
    )


def _each_clip_once(corrections: Sequence[Correction]) -> tuple[tuple[Correction, ...], list[str]]:
    """The first correction of each clip, and faults: clips that stand twice and differ."""
    of_clips: dict[str, list[Correction]] = defaultdict(list)
    for correction in corrections:
        of_clips[correction.clip_id].append(correction)
    faults = []
    for clip_id, of_clip in of_clips.items():
        other = next((later for later in of_clip if later.decision != of_clip[0].decision), None)
        if other is not None:
            both = " and ".join(f"{in_words(said)} ({said.place})" for said in (of_clip[0], other))
            faults.append(f"clip {clip_id!r} stands {len(of_clip)} times: {both}")
    return tuple(of_clip[0] for of_clip in of_clips.values()), faults


def in_words(correction: Correction) -> str:
    """A decision in words: the labels, *none of these*, or *unusable*."""
    return UNUSABLE if correction.unusable else ", ".join(correction.labels) or "none of these"


def separator_beside(path: Path, label_separator: str) -> str:
    """What separates the labels in the tables of an audit's folder; where there is no audit, what the user says.

    Raises:
        EarmarkError: it is the folder of an audit whose ``audit.json`` is damaged or of another version.
    """
    return read_info(path.parent).label_separator if (path.parent / AUDIT).exists() else label_separator
