"""Building a store: what is new is decoded, what is unchanged stays, and the finished store appears at once."""

import csv
import hashlib
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from earmark import files
from earmark.data import journal
from earmark.data.decode import decode_clips
from earmark.data.folds import assign_folds, split_groups
from earmark.data.journal import Journal
from earmark.data.manifest import MADE_FOLDS, Clip, Manifest
from earmark.data.store import VERSION, Store, pcm_name
from earmark.errors import EarmarkWarning, StoreError
from earmark.progress import progress_bar

FOLD_SEED = 0


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Attributes:
        store: the finished store.
        unchanged: there was nothing to do.
        bad: ``(file_name, reason)`` of each clip that could not be used.
    """

    store: Store
    unchanged: bool
    bad: tuple[tuple[str, str], ...]


def prepare(manifest: Manifest, root: str, out: Path, sample_rates: Sequence[int], jobs: int | None = None) -> Prepared:
    """Builds a store, or adds to it what is missing.

    Nothing is done when the store is of the same inputs and has the rates. Rates that it has already stay. A build that was
    interrupted is taken up where it stopped; the finished store appears at once, under its name.

    Args:
        manifest: of the data; folds are made where it has none.
        root: the source's place as the user wrote it, for messages.
        out: the store's folder.
        sample_rates: in Hz.
        jobs: decoding threads; one a core by default.

    Raises:
        EarmarkError: another process is building it.
        StoreError: ``out`` is something else, it cannot be written, or no clip at all can be used.
    """
    out = out.absolute()
    with files.locked(out.with_name(f".{out.name}.lock"), out):
        return _prepare(manifest, root, out, sample_rates, jobs)


def _prepare(manifest: Manifest, root: str, out: Path, sample_rates: Sequence[int], jobs: int | None) -> Prepared:
    files.take_back(out)
    previous = _open_previous(out)
    clips = assign_folds(manifest.clips, MADE_FOLDS, FOLD_SEED)
    _warn_of_split_groups(clips)
    sizes = [_file_state(manifest.path(clip)) for clip in clips]
    fingerprint = _fingerprint(manifest, clips, sizes)
    kept: tuple[int, ...] = ()
    rates = sorted({*sample_rates, *(previous.sample_rates if previous else ())})
    if previous and previous.fingerprint == fingerprint and not previous.damage():
        kept = previous.sample_rates
        if set(rates) == set(kept):
            return Prepared(previous, True, read_bad(out))
    try:
        partial = out.with_name(f".{out.name}.partial")
        new = [rate for rate in rates if rate not in kept]
        with Journal.open(partial, fingerprint, new) as done, progress_bar("prepare", len(clips)) as bar:
            of_files = [None if state is None else state[0] for state in sizes]
            for results in decode_clips(manifest, clips, of_files, done.done, new, jobs or os.cpu_count() or 1):
                done.add(clips, results)
                bar.update(done.done)
        bad = done.bad
        table = _table(clips, done.rows)
        if previous and kept:
            # The columns are the same: they follow from the manifest, which the fingerprint covers.
            before = pyarrow.parquet.read_table(out / "clips.parquet").cast(table.schema)
            table = pyarrow.concat_tables([before, table])
            for rate in kept:
                files.link_or_copy(out / pcm_name(rate), partial / pcm_name(rate))
            # A clip may be too short for one rate only: a store has the same clips at every rate.
            times = Counter(table["row"].to_pylist())
            table = table.filter(pyarrow.array([times[row] == len(rates) for row in table["row"].to_pylist()], pyarrow.bool_()))
            known = dict(read_bad(out))
            for number in set(range(len(clips))) - {*table["row"].to_pylist(), *bad}:
                bad[number] = (clips[number].file_name, known[clips[number].file_name])
        if not table.num_rows:
            shown = "; ".join(f"{name}: {reason}" for name, reason in list(bad.values())[:3])
            shutil.rmtree(partial)
            raise StoreError(f"none of the {len(clips)} clips of {root} can be used: {shown}{'; …' if len(bad) > 3 else ''}")
        table = table.sort_by([("row", "ascending"), ("sample_rate", "ascending")]).combine_chunks()
        pyarrow.parquet.write_table(table, partial / "clips.parquet")
        _write_bad(partial / "bad.csv", bad)
        info = {
            "version": VERSION,
            "source": manifest.source,
            "root": root,
            "sample_rates": rates,
            "labels": manifest.labels.names,
            "clips": len(set(table["row"].to_pylist())),
            "bad": len(bad),
            "fingerprint": fingerprint,
            "licence": manifest.licence,
        }
        (partial / "store.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _settle(partial)
        (partial / journal.NAME).unlink()
        files.put_folder(partial, out)
    except OSError as error:
        at = f" ({name})" if (name := error.filename2 or error.filename) else ""
        raise StoreError(
            f"cannot write the store {out}: {error.strerror or error}{at}; what is done is kept, and the same command goes on from there"
        ) from error
    return Prepared(Store.open(out), False, read_bad(out))


def read_bad(store: Path) -> tuple[tuple[str, str], ...]:
    """``(file_name, reason)`` rows of a store's ``bad.csv``."""
    with (store / "bad.csv").open(encoding="utf-8", newline="") as file:
        return tuple((row["file_name"], row["reason"]) for row in csv.DictReader(file))


def _open_previous(out: Path) -> Store | None:
    if not out.exists():
        return None
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
        return None
    if not (out / "store.json").is_file():
        raise StoreError(f"{out} is there already and is no store; choose another --out")
    return Store.open(out)


def _warn_of_split_groups(clips: Sequence[Clip]) -> None:
    if groups := split_groups(clips):
        shown = ", ".join(groups[:5]) + (", …" if len(groups) > 5 else "")
        what = "recording lies" if len(groups) == 1 else "recordings lie"
        warnings.warn(f"{len(groups)} {what} in more than one published fold, which is kept: {shown}", EarmarkWarning, stacklevel=3)


def _file_state(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change; None where there is no such file, zeros where it cannot be seen (reading says why)."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return 0, 0
    # Who may read it changes neither size nor time, but it changes what can be decoded.
    return (status.st_size, status.st_mtime_ns) if os.access(path, os.R_OK, effective_ids=True) else (0, 0)


def _fingerprint(manifest: Manifest, clips: Sequence[Clip], sizes: Sequence[tuple[int, int] | None]) -> str:
    digest = hashlib.sha256(json.dumps([VERSION, manifest.source, manifest.labels.names, manifest.licence]).encode())
    names = [field.name for field in fields(Clip)]
    for clip, size in zip(clips, sizes, strict=True):
        said = {name: getattr(clip, name) for name in names}
        digest.update(json.dumps([said | {"extra": dict(clip.extra)}, size], sort_keys=True).encode())
    return digest.hexdigest()[:32]


def _table(clips: Sequence[Clip], rows: dict[int, dict[str, Any]]) -> pyarrow.Table:
    """The rows of ``clips.parquet``: one for each good clip and rate."""
    long = [
        (number, int(rate), row["content_hash"], row[rate])
        for number, row in sorted(rows.items())
        for rate in row
        if rate.isdigit()
    ]
    chosen = [clips[number] for number, *_ in long]
    own: dict[str, tuple[list[Any], pyarrow.DataType]] = {
        "row": ([number for number, *_ in long], pyarrow.int64()),  # of the manifest, from 0
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
        "content_hash": ([content_hash for _, _, content_hash, _ in long], pyarrow.string()),
        "sample_rate": ([rate for _, rate, _, _ in long], pyarrow.int64()),
    }
    for name in ("offset", "length", "lead", "tail"):
        own[name] = ([columns[name] for *_, columns in long], pyarrow.int64())
    for name in ("scale", "peak"):
        own[name] = ([columns[name] for *_, columns in long], pyarrow.float64())
    for name in dict.fromkeys(name for clip in clips for name in clip.extra):
        kept = f"{name}_given" if name in own else name
        own[kept] = ([clip.extra.get(name) for clip in chosen], pyarrow.string())
    return pyarrow.table({name: pyarrow.array(values, kind) for name, (values, kind) in own.items()})


def _write_bad(path: Path, bad: dict[int, tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        files.write_rows(file, [("file_name", "reason"), *(fault for _, fault in sorted(bad.items()))])


def _settle(folder: Path) -> None:
    """Brings every file onto the disk itself, so that a power cut after the rename finds what the rename says."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
