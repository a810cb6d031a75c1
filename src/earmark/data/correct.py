"""Applying corrections to a manifest: what was heard is verified, what is unusable is removed, and where it came from is kept."""

import posixpath
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earmark.data.cells import Cell, text_of
from earmark.data.corrections import NAME, Correction, Corrections, normal_time, read_corrections, separator_beside
from earmark.data.label_studio import read_export
from earmark.data.manifest import checked, make_manifest, parse_row
from earmark.data.names import from_root
from earmark.data.rows import ManifestRows, Row, require_same_files, table_columns
from earmark.data.tables import read_table, require_columns, require_ending, require_separable, write_table
from earmark.errors import NO_SUCH_FILE, ManifestError

BY, AT, BEFORE = "corrected_by", "corrected_at", "labels_before"  # the columns that say where labels come from
REASON = "reason"  # a clip was removed, in the table of removed clips
HASH_DIGITS = 32  # of a SHA-256 that a store keeps
LISTS = ("labels", BEFORE)


@dataclass(frozen=True)
class Corrected:
    """A manifest after corrections.

    Attributes:
        header: the columns.
        rows: the rows that are left, in the manifest's order.
        removed_header: the columns of the table of removed clips.
        removed: the rows of clips that were removed, now or before.
        changed: number of clips that got other labels.
        kept: number of clips whose labels were heard to be right.
        none: number of clips that are *none of these*.
        unusable: number of clips that are removed.
        disputed: number of clips that people disagree about.
        older: number of decisions that did not count, since the manifest has a later one.
        unlike: number of clips whose labels were others when they were heard.
    """

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    removed_header: tuple[str, ...]
    removed: tuple[Row, ...]
    changed: int
    kept: int
    none: int
    unusable: int
    disputed: int
    older: int
    unlike: int


def load_corrections(path: Path, label_separator: str) -> Corrections:
    """Reads corrections of any kind: the folder of an audit, a table, or an export of Label Studio (``.json``).

    Args:
        path: the folder or the file.
        label_separator: separates the labels in a cell; the folder of an audit says it itself.

    Raises:
        ManifestError: there is no such file, or it cannot be read at all. What is wrong in it is among the result's faults.
        EarmarkError: the audit in whose folder the corrections lie does not say what separates labels, since it is damaged.
    """
    if path.suffix.lower() == ".json" and not path.is_dir():
        return read_export(path)
    table = path / NAME if path.is_dir() else path
    if not table.exists():
        why = f"no {NAME} in it: `earmark review {shlex.quote(str(path))}` writes it" if path.is_dir() else NO_SUCH_FILE
        raise ManifestError(str(path), [why])
    return read_corrections(table, separator_beside(table, label_separator) if table.name == NAME else label_separator)


def removed_path(manifest: Path) -> Path:
    """The table of the clips that were removed from a manifest, which lies beside it."""
    return manifest.with_name(f"{manifest.stem}.removed{manifest.suffix}")


def correct(source: ManifestRows, corrections: Corrections, label_separator: str, new_labels: bool, unverified: bool) -> Corrected:
    """Applies corrections to the rows of a manifest. Applied to the result again, they change nothing.

    Args:
        source: the manifest.
        corrections: the corrections.
        label_separator: separates the labels in a cell of the manifest.
        new_labels: labels may be none of the manifest's.
        unverified: nobody checked the labels of a manifest that has no column ``verified``.

    Raises:
        ManifestError: lists all faults: those of the corrections, clips that are not in the manifest or belong to its test split, labels
            that it has not got, sounds that are not those that were heard; or the table of clips removed before is damaged.
    """
    before = _Before.read(source, label_separator)
    names = _Names(source)
    classes = set(source.labels.names)
    faults = [*corrections.faults]
    faults += [
        f"{word!r} is a class of {source.where}, and cannot stand for something else here"
        for word in sorted(classes)
        if word.lower() in corrections.words
    ]
    decided: dict[int, Correction] = {}
    gone = 0  # clips that are to be removed, and were
    for correction in corrections.corrections:
        number, fault = names.number_of(correction)
        if number is None and not before.clips.keys().isdisjoint(names.spellings(correction.clip_id)):
            if correction.unusable:
                gone += 1
                continue
            fault = (
                f"clip {correction.clip_id!r} was removed before; to take it back, put its row in {before.path} into the manifest"
            )
        if number is not None and number in decided and decided[number].decision != correction.decision:
            fault = f"clip {source.clips[number].clip_id!r} has another decision in {decided[number].place}"
        if fault:
            faults.append(f"{correction.place}: {fault}")
        elif number is not None:
            decided[number] = correction
        if not new_labels and not correction.unusable:
            faults += [
                f"{correction.place}: label {label!r} is none of the {len(classes)} labels of {source.where}; --new-labels allows it"
                for label in correction.labels
                if label not in classes
            ]
    if faults:
        raise ManifestError(corrections.where, faults)
    return _corrected(source, decided, before, gone, unverified)


def write_corrected(out: Path, source: ManifestRows, corrected: Corrected, label_separator: str) -> None:
    """Writes a corrected manifest, and beside it the table of the clips that were removed, if any was.

    Each of the two is written completely or not at all.

    Raises:
        ManifestError: what is left is no manifest, such as where a class is left in the test split only; ``out`` lies where its file names
            would lead to other files, or would replace what it is made from; or it is CSV and a label holds the separator.
    """
    require_place(out, source)
    parsed = [parse_row(f"row {number}", row, label_separator) for number, row in enumerate(corrected.rows, start=1)]
    make_manifest("manifest", out.parent, parsed, str(out))
    written = {out: table_columns(out, corrected.header, corrected.rows, label_separator, LISTS)}
    beside = removed_path(out)
    if corrected.removed:
        removed = table_columns(beside, corrected.removed_header, corrected.removed, label_separator, LISTS)
        written = {beside: removed, **written}
    for path, columns in written.items():
        require_separable(path, columns, label_separator)  # of both, before either is written
    for path, columns in written.items():
        write_table(path, columns, label_separator)
    if not corrected.removed:  # an earlier one is of no use any more
        beside.unlink(missing_ok=True)


def require_place(out: Path, source: ManifestRows, *read: Path) -> None:
    """Refuses a place for a corrected manifest.

    Args:
        out: the place.
        source: what is corrected.
        read: other files that it is made from, or the folder of an audit with the corrections.

    Raises:
        ManifestError: its name ends neither in ``.csv`` nor in ``.parquet``; it, or the table of removed clips beside it, would replace
            what it is made from; or it lies where its file names would lead to other files.
    """
    require_ending(out)
    tables = (path / NAME if path.is_dir() else path for path in read)
    own = [path for path in (source.where, source.table, *tables) if path is not None]
    for written in (out, removed_path(out)):
        for path in own:
            if written.exists() and path.exists() and written.samefile(path):
                what = "the manifest" if path in (source.where, source.table) else "the table of corrections"
                raise ManifestError(str(written), [f"is {what} itself; write to another file"])
    if source.where.is_dir() and out.resolve().is_relative_to(source.where.resolve()):
        raise ManifestError(str(out), [f"lies in the store {source.where}; write it beside the sounds"])
    require_same_files(out, source)


@dataclass(frozen=True)
class _Before:
    """The clips that were removed from a manifest before: their table, its columns, and the rows by clip."""

    path: Path | None
    header: tuple[str, ...]
    clips: Mapping[str, Row]

    @classmethod
    def read(cls, source: ManifestRows, label_separator: str) -> "_Before":
        path = removed_path(source.table) if source.table is not None else None
        if path is None or not path.exists():
            return cls(path, (), {})
        header, lines = read_table(path)
        require_columns(path, header, ("file_name", "labels", REASON))
        rows = list(lines)
        clips: dict[str, Row] = {}
        faults: list[str] = []
        for number, row in rows:
            parsed = parse_row(f"row {number}", row, label_separator)
            clip, more = checked(replace(parsed.clip, file_name=from_root(source.folder, parsed.clip.file_name)))
            faults += [f"{parsed.place}: {fault}" for fault in (*parsed.faults, *more)]
            clips[clip.clip_id] = row
        if faults:
            raise ManifestError(str(path), faults)
        return cls(path, tuple(header), clips)


class _Names:
    """Finds the clips of a manifest by what corrections call them."""

    def __init__(self, source: ManifestRows) -> None:
        self.source = source
        self.numbers = {clip.clip_id: number for number, clip in enumerate(source.clips)}
        self.of_files: dict[str, list[str]] = defaultdict(list)
        self.of_hashes: dict[str, list[str]] = defaultdict(list)
        for clip in source.clips:
            self.of_files[clip.file_name].append(clip.clip_id)
        for clip_id, content in source.hashes.items():
            self.of_hashes[content].append(clip_id)

    def number_of(self, correction: Correction) -> tuple[int | None, str]:
        """The number of the clip, None if there is none; and why the correction cannot be of it."""
        name = correction.clip_id
        number = next((self.numbers[spelt] for spelt in self.spellings(name) if spelt in self.numbers), None)
        if number is None:
            return None, f"clip {name!r} is not in {self.source.where}{self._hint(correction)}"
        clip = self.source.clips[number]
        if clip.split == "test":
            return number, f"clip {name!r} belongs to the test split, which is never changed"
        content = self.source.hashes.get(clip.clip_id)
        if correction.sha256 and content and not correction.sha256.startswith(content):
            return number, f"clip {name!r} is not the sound that was heard: the content of its file has changed"
        return number, ""

    def spellings(self, name: str) -> tuple[str, str]:
        """The name as it is, and as a manifest has it if it is ``./a.wav`` or a whole path."""
        return name, posixpath.normpath(from_root(self.source.folder, name))

    def _hint(self, correction: Correction) -> str:
        if parts := self.of_files.get(correction.clip_id):
            return f", but parts of that file are: {parts[0]!r}{', …' if len(parts) > 1 else ''}"
        if same := self.of_hashes.get(correction.sha256[:HASH_DIGITS]):
            return f", but its sound is, as {same[0]!r}"
        return ""


def _corrected(source: ManifestRows, decided: Mapping[int, Correction], before: _Before, gone: int, unverified: bool) -> Corrected:
    """The rows after the corrections, which are all good, by the numbers of their rows."""
    has_verified = "verified" in source.header
    header = list(source.header)
    if not has_verified:
        header.insert(header.index("labels") + 1, "verified")
    header += [name for name in (BY, AT, BEFORE) if name not in header]
    yes = _verified(source.rows)
    rows, removed = [], dict(before.clips)
    changed = kept = none = older = unlike = 0
    unusable = gone
    for number, (row, clip) in enumerate(zip(source.rows, source.clips, strict=True)):
        removed.pop(clip.clip_id, None)  # somebody has put it back
        new = dict(row) if has_verified else {**row, "verified": not unverified}
        correction = decided.get(number)
        if correction is None:
            rows.append(new)
            continue
        if correction.when and correction.when < _time_of(row):
            older += 1
            rows.append(new)
            continue
        first = new.get(BEFORE, clip.labels) if new.get(BY, "") != "" else clip.labels
        new |= {BY: correction.by, AT: correction.when, BEFORE: first}
        same = frozenset(clip.labels) == correction.decision
        if correction.given is not None and not same and not row.get(BY) and set(correction.given) != set(clip.labels):
            unlike += 1
        if correction.unusable:
            unusable += 1
            removed[clip.clip_id] = new | {REASON: correction.action}
            continue
        none += not correction.labels
        kept += same and bool(correction.labels)
        changed += not same and bool(correction.labels)
        rows.append(new | {"verified": yes} | ({} if same else {"labels": correction.labels}))
    removed_header = tuple(dict.fromkeys([*(name for name in (*header, *before.header) if name != REASON), REASON]))
    return Corrected(
        tuple(header),
        tuple(rows),
        removed_header,
        tuple(removed.values()),
        changed,
        kept,
        none,
        unusable,
        sum(bool(correction.disagrees) for correction in decided.values()),
        older,
        unlike,
    )


def _verified(rows: Sequence[Row]) -> Cell:
    """What says in the column ``verified`` that a person checked the labels, as the cells there say such things."""
    cell = next((row["verified"] for row in rows if row.get("verified", "") != ""), True)
    if isinstance(cell, bool | int | float):
        return type(cell)(1)
    return "1"


def _time_of(row: Row) -> str:
    """When a row was corrected; empty if it says no time."""
    try:
        return normal_time(text_of(row.get(AT, "")).strip())
    except ValueError:
        return ""
