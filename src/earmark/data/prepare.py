"""Building a store: only what is missing is decoded, and the store appears under its name only when it is finished."""

import csv
import functools
import hashlib
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow

from earmark import files
from earmark.data import contents, journal
from earmark.data.contents import FileState, Kept
from earmark.data.decode import Undecoded, decode_clips
from earmark.data.embeddings import copy_vectors
from earmark.data.folds import assign_folds, split_groups
from earmark.data.journal import Journal
from earmark.data.manifest import MADE_FOLDS, Clip, Manifest
from earmark.data.parquet import read_parquet, write_parquet
from earmark.data.place import Place
from earmark.data.store import VERSION, Store, pcm_name
from earmark.errors import EarmarkWarning, MachineError, StoreError
from earmark.progress import progress_bar

FOLD_SEED = 0  # of the folds that are made
GOES_ON = "what is done is kept, and the same command goes on from there"


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Attributes:
        store: the finished store.
        unchanged: whether there was nothing to do.
        bad: ``(file_name, reason)`` of each clip that could not be used.
    """

    store: Store
    unchanged: bool
    bad: tuple[tuple[str, str], ...]


def prepare(
    manifest: Manifest,
    root: str,
    out: Path,
    sample_rates: Sequence[int],
    jobs: int | None = None,
    verify: bool = False,
) -> Prepared:
    """Builds a store, or adds missing sample rates to it.

    If the store was made from the same data and has the sample rates, nothing is done. Sample rates that it has already stay. A
    build that was interrupted goes on where it stopped.

    Args:
        manifest: the clips of the data set; training clips without a fold get one.
        root: the folder or file of the data set as the user wrote it.
        out: folder of the store, or a link to it.
        sample_rates: sample rates that the store must have, in Hz.
        jobs: number of decoding threads; by default one for each core.
        verify: read all files to see whether they are the same, not only those whose size or times have changed.

    Raises:
        EarmarkError: another process is building the store.
        StoreError: ``out`` is something else or cannot be written to, no clip at all can be used, files changed meanwhile, or the
            system failed.
    """
    out = out.absolute()
    place = Place.of(out)
    with files.locked(place.lock, out):
        try:
            return _prepare(manifest, root, out, place, sample_rates, jobs or os.cpu_count() or 1, verify)
        except MachineError as error:
            raise StoreError(f"{error}; {GOES_ON}") from error
        except MemoryError as error:
            raise StoreError(f"not enough memory; {GOES_ON}") from error


def _prepare(
    manifest: Manifest, root: str, out: Path, place: Place, sample_rates: Sequence[int], threads: int, verify: bool
) -> Prepared:
    place.tidy()
    previous = None if place.is_free() else Store.open(out)
    clips = assign_folds(manifest.clips, MADE_FOLDS, FOLD_SEED)
    _warn_of_split_groups(clips)
    states = contents.take_states(manifest, clips)
    kept, kept_bad = _kept_if_same(previous, manifest, clips, states, verify, threads) if previous else ({}, {})
    kept_contents = {name: of_file.content for name, of_file in kept.items()}
    rates = sorted({*sample_rates, *(previous.sample_rates if previous else ())})
    kept_rates = previous.sample_rates if previous and kept else ()
    if previous and set(rates) == set(kept_rates):
        if any(kept[name].state != state.text for name, state in states.items()):
            _renew_states(out, states, kept_contents)
        return Prepared(previous, True, read_bad(out))

    @functools.cache
    def has_content(name: str, content: str) -> bool:
        return contents.same_content(manifest.root / name, content)

    def unchanged(number: int, state: str, content: str) -> bool:
        name = clips[number].file_name
        return (state == states[name].text and not verify) or has_content(name, content)

    try:
        partial = place.partial
        new_rates = [rate for rate in rates if rate not in kept_rates]
        texts = [states[clip.file_name].text for clip in clips]
        sizes = [states[clip.file_name].size for clip in clips]
        table_alone = _fingerprint(manifest, clips, {})
        with (
            Journal.open(partial, table_alone, new_rates, texts, unchanged) as build,
            progress_bar("prepare", len(clips), unit="clips") as bar,
        ):
            for results in decode_clips(manifest, clips, sizes, build.clips_done, new_rates, threads):
                build.add(clips, results)
                bar.update(build.clips_done)
        new_contents = _contents(clips, build)
        if kept and new_contents != kept_contents:
            changed = next(name for name in new_contents if new_contents[name] != kept_contents[name])
            raise StoreError(f"{changed} changed while it was read; the same command makes the store anew")
        bad = {number: (clips[number].file_name, str(line["bad"])) for number, line in build.bad.items()}
        table = _table(clips, build.rows)
        if previous and kept_rates:
            # The columns are the same, since they depend only on the manifest, which the fingerprint covers.
            previous_rows = read_parquet(out / "clips.parquet").cast(table.schema)
            table = pyarrow.concat_tables([previous_rows, table])
            for rate in kept_rates:
                files.link_or_copy(out / pcm_name(rate), partial / pcm_name(rate))
            # A clip may be too short for one rate only, but a store has the same clips at every rate.
            rates_of = Counter(table["row"].to_pylist())
            table = table.filter(pyarrow.array([rates_of[row] == len(rates) for row in table["row"].to_pylist()], pyarrow.bool_()))
            bad = {number: (clips[number].file_name, reason) for number, reason in kept_bad.items()} | bad
        if not table.num_rows:
            shown = "; ".join(f"{name}: {reason}" for name, reason in list(bad.values())[:3])
            shutil.rmtree(partial)
            raise StoreError(f"none of the {len(clips)} clips of {root} can be used: {shown}{'; …' if len(bad) > 3 else ''}")
        table = table.sort_by([("row", "ascending"), ("sample_rate", "ascending")]).combine_chunks()
        if previous and kept_rates and len(set(table["row"].to_pylist())) == previous.clip_count:
            copy_vectors(out, partial, previous.fingerprint)
        write_parquet(table, partial / "clips.parquet")
        contents.write_kept(partial / contents.NAME, states, new_contents)
        _write_bad(partial / "bad.csv", bad)
        info = {
            "version": VERSION,
            "source": manifest.source,
            "root": root,
            "folder": str(manifest.root.resolve()),
            "options": manifest.options,
            "sample_rates": rates,
            "labels": manifest.labels.names,
            "clips": len(set(table["row"].to_pylist())),
            "bad": len(bad),
            "fingerprint": _fingerprint(manifest, clips, new_contents),
            "licence": manifest.licence,
        }
        (partial / "store.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _flush_to_disk(partial)
        (partial / journal.NAME).unlink()
        place.put()
    except OSError as error:
        file_name = f" ({name})" if (name := error.filename2 or error.filename) else ""
        raise StoreError(f"cannot write the store {out}: {error.strerror or error}{file_name}; {GOES_ON}") from error
    return Prepared(Store.open(out), False, read_bad(out))


def read_bad(store: Path) -> tuple[tuple[str, str], ...]:
    """The rows ``(file_name, reason)`` of the ``bad.csv`` in a store's folder."""
    with (store / "bad.csv").open(encoding="utf-8", newline="") as file:
        return tuple((row["file_name"], row["reason"]) for row in csv.DictReader(file))


def _kept_if_same(
    previous: Store, manifest: Manifest, clips: Sequence[Clip], states: Mapping[str, FileState], verify: bool, threads: int
) -> tuple[dict[str, Kept], dict[int, str]]:
    """What a store keeps if it is whole and was made from the same data; else nothing.

    Returns:
        What it keeps of each file, by file name, and why clips are bad, by their number.
    """
    if previous.damage() or (bad := _bad_of(previous, clips)) is None:
        return {}, {}
    kept = contents.read_kept(previous.path)
    same_table = previous.fingerprint == _fingerprint(manifest, clips, {name: of_file.content for name, of_file in kept.items()})
    if not (same_table and contents.all_same(manifest, states, kept, verify, threads)):
        return {}, {}
    # What stood in the way of a clip need not lie in the content of its file: touching the file has the clip tried again.
    again = [number for number in bad if verify or kept[name := clips[number].file_name].state != states[name].text]
    sizes = [states[clips[number].file_name].size for number in again]
    baskets = decode_clips(manifest, [clips[number] for number in again], sizes, 0, previous.sample_rates, threads)
    reasons = [result.reason if isinstance(result, Undecoded) else None for basket in baskets for result in basket]
    return (kept, bad) if reasons == [bad[number] for number in again] else ({}, {})


def _bad_of(store: Store, clips: Sequence[Clip]) -> dict[int, str] | None:
    """Why clips are bad, by their number, since several may be of one file; None if the ``bad.csv`` of the store is damaged."""
    good = set(store.rows(store.sample_rates[0])["row"].to_pylist())
    numbers = [number for number in range(len(clips)) if number not in good]  # their rows are in this order, too
    try:
        rows = read_bad(store.path)
    except (OSError, ValueError, KeyError, csv.Error):
        return None
    if [clips[number].file_name for number in numbers] != [file_name for file_name, _ in rows] or not all(why for _, why in rows):
        return None
    return {number: reason for number, (_, reason) in zip(numbers, rows, strict=True)}


def _warn_of_split_groups(clips: Sequence[Clip]) -> None:
    if groups := split_groups(clips):
        shown = ", ".join(groups[:5]) + (", …" if len(groups) > 5 else "")
        what = "recording lies" if len(groups) == 1 else "recordings lie"
        warnings.warn(f"{len(groups)} {what} in more than one published fold, which is kept: {shown}", EarmarkWarning, stacklevel=3)


def _contents(clips: Sequence[Clip], build: Journal) -> dict[str, str]:
    """The content of each file; where a clip of a large file is bad and another good, the hash of its bytes."""
    of_files: dict[str, str] = {}
    for number, clip in enumerate(clips):
        content = str((build.rows if number in build.rows else build.bad)[number]["content"])
        if clip.file_name not in of_files or contents.is_hash(content):
            of_files[clip.file_name] = content
    return of_files


def _renew_states(store: Path, states: Mapping[str, FileState], of_files: Mapping[str, str]) -> None:
    """Writes the states of files that have been read and are the same, so that they need not be read again."""
    try:
        with files.replacing(store / contents.NAME) as path:
            contents.write_kept(path, states, of_files)
    except OSError:  # no right to write, no room: it saves time only
        pass


def _fingerprint(manifest: Manifest, clips: Sequence[Clip], of_files: Mapping[str, str]) -> str:
    """What identifies the data of a store: all that its table says, and the content of every file, given by file name."""
    digest = hashlib.sha256(json.dumps([VERSION, manifest.source, manifest.labels.names, manifest.licence]).encode())
    names = [field.name for field in fields(Clip)]
    for clip in clips:
        values = {name: getattr(clip, name) for name in names} | {"extra": dict(clip.extra)}
        digest.update(json.dumps([values, of_files.get(clip.file_name)], sort_keys=True).encode())
    return digest.hexdigest()[:32]


def _table(clips: Sequence[Clip], rows: dict[int, dict[str, Any]]) -> pyarrow.Table:
    """The rows of ``clips.parquet``: one for each good clip and rate."""
    rows_of_rates = [
        (number, int(rate), row["content"], row[rate]) for number, row in sorted(rows.items()) for rate in row if rate.isdigit()
    ]
    chosen = [clips[number] for number, *_ in rows_of_rates]
    data: dict[str, tuple[list[Any], pyarrow.DataType]] = {
        "row": ([number for number, *_ in rows_of_rates], pyarrow.int64()),  # of the clip in the manifest, from 0
        "clip_id": ([clip.clip_id for clip in chosen], pyarrow.string()),
        "file_name": ([clip.file_name for clip in chosen], pyarrow.string()),
        "labels": ([list(clip.labels) for clip in chosen], pyarrow.list_(pyarrow.string())),
        "verified": ([clip.verified for clip in chosen], pyarrow.bool_()),
        "fold": ([clip.fold for clip in chosen], pyarrow.int64()),
        "group": ([clip.group for clip in chosen], pyarrow.string()),
        "split": ([clip.split for clip in chosen], pyarrow.string()),
        "start": ([clip.start for clip in chosen], pyarrow.float64()),
        "end": ([clip.end for clip in chosen], pyarrow.float64()),
        "scored": ([clip.scored for clip in chosen], pyarrow.bool_()),
        "content_hash": ([content_hash for _, _, content_hash, _ in rows_of_rates], pyarrow.string()),
        "sample_rate": ([rate for _, rate, _, _ in rows_of_rates], pyarrow.int64()),
    }
    for name in ("offset", "length", "lead", "tail"):
        data[name] = ([columns[name] for *_, columns in rows_of_rates], pyarrow.int64())
    for name in ("scale", "peak"):
        data[name] = ([columns[name] for *_, columns in rows_of_rates], pyarrow.float64())
    for name in dict.fromkeys(name for clip in clips for name in clip.extra):
        column_name = name
        while column_name in data:
            column_name += "_given"
        # The type depends on all clips, not only on the good ones, so that every rate has the same.
        lists = any(isinstance(clip.extra.get(name), tuple) for clip in clips)
        kind = pyarrow.list_(pyarrow.string()) if lists else pyarrow.string()
        data[column_name] = ([clip.extra.get(name) for clip in chosen], kind)
    return pyarrow.table({name: pyarrow.array(values, kind) for name, (values, kind) in data.items()})


def _write_bad(path: Path, bad: dict[int, tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        files.write_rows(file, [("file_name", "reason"), *(row for _, row in sorted(bad.items()))])


def _flush_to_disk(folder: Path) -> None:
    """Has the system write every file to the disk, so that after a power cut no renamed folder has incomplete files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
