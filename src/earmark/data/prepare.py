"""Building a store: decode in parallel, write in order, resume where it stopped."""

import csv
import hashlib
import json
import os
import shutil
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from earmark import audio, files
from earmark.data.folds import assign_folds, split_groups
from earmark.data.manifest import MADE_FOLDS, Clip, Manifest
from earmark.data.store import PCM, VERSION, Store, pcm_name
from earmark.errors import AudioError, EarmarkWarning, StoreError
from earmark.progress import progress_bar

FOLD_SEED = 0
FLUSH_BYTES = 1 << 25  # of samples, between two times that they are brought onto the disk
BASKET_CLIPS, BASKET_BYTES = 8, 1 << 20  # what a thread decodes before it hands anything over: more would take memory
AHEAD = 2  # baskets that a decoding thread may be ahead of the writer: bounds the memory

#: A clip's content hash, and at each rate its PCM and the columns that describe it; or why it is bad.
Decoded = tuple[str, dict[int, tuple[np.ndarray, dict[str, float | int]]]] | AudioError


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
    aside = out.with_name(f".{out.name}.old")
    if aside.exists():
        if out.exists():  # stopped before the very last step
            shutil.rmtree(aside)
        else:  # stopped between the two renames
            aside.rename(out)
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
        partial = _build(manifest, clips, sizes, fingerprint, out, [rate for rate in rates if rate not in kept], jobs)
        rows, bad = _read_journal(partial, fingerprint)[1:]
        table = _table(clips, rows)
        if previous and kept:
            # The columns are the same: they follow from the manifest, which the fingerprint covers.
            before = pyarrow.parquet.read_table(out / "clips.parquet").cast(table.schema)
            table = pyarrow.concat_tables([before, table])
            for rate in kept:
                _link(out / pcm_name(rate), partial / pcm_name(rate))
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
        (partial / "journal.jsonl").unlink()
        _swap(partial, out, aside)
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


def _build(
    manifest: Manifest,
    clips: Sequence[Clip],
    sizes: Sequence[tuple[int, int] | None],
    fingerprint: str,
    out: Path,
    rates: Sequence[int],
    jobs: int | None,
) -> Path:
    """Decodes every clip that the journal does not have yet into ``OUT.partial``, in order."""
    partial = out.with_name(f".{out.name}.partial")
    journal_of = json.dumps({"fingerprint": fingerprint, "sample_rates": list(rates)})
    header, rows, bad = _read_journal(partial, fingerprint)
    if header != journal_of:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / "journal.jsonl").write_text(journal_of + "\n", encoding="utf-8")
        rows, bad = {}, {}
    done = len(rows) + len(bad)
    ends = {rate: sum(row[str(rate)]["length"] for row in rows.values()) for rate in rates}
    threads = jobs or os.cpu_count() or 1
    unsettled = 0
    streams = {rate: (partial / pcm_name(rate)).open("ab", buffering=0) for rate in rates}
    try:
        for rate, stream in streams.items():
            stream.truncate(ends[rate] * PCM.itemsize)  # a clip that was being written when the last build stopped
        with (partial / "journal.jsonl").open("ab", buffering=0) as journal, progress_bar("prepare", len(clips)) as bar:
            number = done  # of the next clip
            for results in _decode_all(manifest, clips, sizes, done, rates, threads):
                lines = []
                samples: dict[int, list[memoryview]] = {rate: [] for rate in rates}
                for result in results:
                    line: dict[str, Any]
                    if isinstance(result, AudioError):
                        line = {"clip": number, "file_name": clips[number].file_name, "bad": str(result)}
                    else:
                        content_hash, encoded = result
                        line = {"clip": number, "content_hash": content_hash}
                        for rate, (pcm, columns) in encoded.items():
                            samples[rate].append(pcm.data)
                            unsettled += pcm.nbytes
                            line[str(rate)] = {"offset": ends[rate], **columns}
                            ends[rate] += len(pcm)
                    lines.append(json.dumps(line) + "\n")
                    number += 1
                for rate, stream in streams.items():
                    _write_all(stream, samples[rate])
                _write_all(journal, [memoryview("".join(lines).encode())])
                bar.update(number)
                if unsettled > FLUSH_BYTES:  # while others decode: at the end there is little left for `_settle` to wait for
                    unsettled = 0
                    for stream in streams.values():
                        os.fsync(stream.fileno())
    finally:
        for stream in streams.values():
            stream.close()
    return partial


def _decode_all(
    manifest: Manifest,
    clips: Sequence[Clip],
    sizes: Sequence[tuple[int, int] | None],
    first: int,
    rates: Sequence[int],
    threads: int,
) -> Iterator[list[Decoded]]:
    """Decodes the clips from the first on in parallel, and yields baskets of them in order.

    Threads do: libsndfile and soxr let go of the interpreter while they work. They take several small files at a time, which
    are read faster than threads can take turns.
    """
    hashes: dict[Path, str] = {}

    def decode(numbers: range) -> list[Decoded]:
        return [_decode(clips[i], None if sizes[i] is None else manifest.path(clips[i]), rates, hashes) for i in numbers]

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[Decoded]]] = deque()
        try:
            for numbers in _baskets(sizes, first):
                waiting.append(pool.submit(decode, numbers))
                if len(waiting) >= threads * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _baskets(sizes: Sequence[tuple[int, int] | None], first: int) -> Iterator[range]:
    """Neighbouring clips, as many as are small together; a large one alone."""
    begin, weight = first, 0
    for number in range(first, len(sizes)):
        own = (sizes[number] or (0, 0))[0]
        if number > begin and (number - begin == BASKET_CLIPS or weight + own > BASKET_BYTES):
            yield range(begin, number)
            begin, weight = number, 0
        weight += own
    if begin < len(sizes):
        yield range(begin, len(sizes))


def _decode(clip: Clip, path: Path | None, rates: Sequence[int], hashes: dict[Path, str]) -> Decoded:
    """Samples and content hash; ``hashes`` keeps those of files that clips are parts of, since there may be many of one."""
    if path is None:
        return AudioError("no such file")
    try:
        whole = clip.start is None and clip.end is None
        with audio.opened(path, at_once=whole) as file:
            stored, rate = audio.read_stored(file, clip.start, clip.end)
            content_hash = hashes.get(path) or audio.content_hash(file)
            if not whole:
                hashes[path] = content_hash
        # 16-bit samples that neither a mean nor a resampler touches go into the store as they are.
        mono = stored[0] if len(stored) == 1 else audio.to_mono(audio.full_scale(stored))
        encoded = {}
        for to_rate in rates:
            encoded[to_rate] = _encode(mono if to_rate == rate else audio.resample(audio.full_scale(mono), rate, to_rate))
        return content_hash, encoded
    except AudioError as error:
        return error


def _encode(samples: audio.Samples | audio.Steps) -> tuple[np.ndarray, dict[str, float | int]]:
    """16-bit PCM and the columns that describe it.

    The scale is the power of two that lets the clip fill 16 bits without passing them: over-full audio is not clipped, quiet
    audio keeps its digits, and what was 16-bit before stays exactly as it was.
    """
    of_16_bits = samples.dtype == np.int16
    high, low = (float(each) / (32768 if of_16_bits else 1) for each in (samples.max(), samples.min()))
    reach = max(high * 32768 / 32767, -low)
    scale = 2.0 ** np.ceil(np.log2(reach)) if reach > 0 else 1.0
    if of_16_bits:
        pcm = np.left_shift(samples, round(-np.log2(scale))) if scale < 1 else samples
    else:
        steps = samples * np.float32(32768 / scale)
        pcm = np.rint(steps, out=steps).clip(-32768, 32767, out=steps)
    pcm = pcm.astype(PCM, copy=False)
    lead, tail = audio.silent_ends(samples)
    return pcm, {"length": len(pcm), "scale": float(scale), "peak": max(high, -low), "lead": lead, "tail": tail}


def _write_all(file: FileIO, pieces: Sequence[memoryview]) -> None:
    """Writes them one after the other, at one go as far as the file takes them."""
    waiting = [piece.cast("B") for piece in pieces if piece.nbytes]
    while waiting:
        taken = os.writev(file.fileno(), waiting)
        while waiting and taken >= len(waiting[0]):
            taken -= len(waiting.pop(0))
        if taken:
            waiting[0] = waiting[0][taken:]


def _read_journal(partial: Path, fingerprint: str) -> tuple[str | None, dict[int, dict[str, Any]], dict[int, tuple[str, str]]]:
    """Header; rows of good clips, and name and reason of bad ones, by clip number. Stops at the first line whose samples are not all there."""
    try:
        lines = (partial / "journal.jsonl").read_bytes().split(b"\n")[:-1]  # the last is empty, or was cut off
        header = lines[0].decode()
        info = json.loads(header)
    except (OSError, IndexError, ValueError):
        return None, {}, {}
    if info.get("fingerprint") != fingerprint:
        return None, {}, {}
    there = {str(r): _size(partial / pcm_name(r)) // PCM.itemsize for r in info["sample_rates"]}
    rows: dict[int, dict[str, Any]] = {}
    bad: dict[int, tuple[str, str]] = {}
    whole = 1
    for text in lines[1:]:
        try:
            line = json.loads(text)
            if "bad" in line:
                bad[line["clip"]] = (line["file_name"], line["bad"])
            elif all(line[rate]["offset"] + line[rate]["length"] <= samples for rate, samples in there.items()):
                rows[line["clip"]] = line
            else:
                break
        except (ValueError, KeyError, TypeError):
            break
        whole += 1
    # What follows was cut off: the disk was full, or the machine, not only the program, went down.
    os.truncate(partial / "journal.jsonl", sum(len(text) + 1 for text in lines[:whole]))
    return header, rows, bad


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


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


def _link(old: Path, new: Path) -> None:
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:  # a file system without hard links
        shutil.copyfile(old, new)


def _settle(folder: Path) -> None:
    """Brings every file onto the disk itself, so that a power cut after the rename finds what the rename says."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _swap(partial: Path, out: Path, aside: Path) -> None:
    if out.exists():
        shutil.rmtree(aside, ignore_errors=True)
        out.rename(aside)
    partial.rename(out)
    shutil.rmtree(aside, ignore_errors=True)
