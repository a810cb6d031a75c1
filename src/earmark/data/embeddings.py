"""The vectors of a store's clips, computed once for each embedder, in ``STORE/embeddings/KEY/``.

``vectors.f32`` is float32 (little-endian) ``[clips, 1 + variations, D]``: of each clip as it is, then of its variations. The clips
are those of ``clips.parquet`` at the embedder's rate, in its order; of them only the verified training clips where KEY ends in
``-verified``. ``embedding.json`` says which embedder, store and clips they are of.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark import files
from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.data.table import Array
from earmark.embedding.embedder import Embedder, Vector
from earmark.embedding.opened import open_embedder
from earmark.errors import AudioError, EarmarkError, EmbeddingError, StoreError
from earmark.parallel import in_order
from earmark.progress import progress_bar
from earmark.recipe import MemberSettings

VERSION = 2  # 1: other variations
FOLDER, INFO, VECTORS = "embeddings", "embedding.json", "vectors.f32"
VERIFIED = "-verified"  # ends the key of vectors of the verified training clips alone
KIND = np.dtype("<f4")
BASKET = 16  # clips that a thread takes at a time


def embed_store(store: Store, embedder: Embedder, variations: int, jobs: int | None = None) -> Path:
    """Computes the vectors of a store's clips that are not there yet; a computation that was stopped goes on where it was.

    Args:
        store: a store with the embedder's sample rate.
        embedder: makes the vectors.
        variations: number of variations of each clip, besides the clip as it is.
        jobs: threads; by default one for each core.

    Returns:
        The folder of the vectors.

    Raises:
        StoreError: the store has not that sample rate, or cannot be written to.
        EmbeddingError: the vector of a clip is not finite.
        EarmarkError: another process computes the same vectors.
    """
    clips = load_clips(store, embedder.sample_rate)
    return _embed(store, clips, embedder, embedder.key, variations, jobs)


def load_inputs(store: Store, settings: MemberSettings) -> ClipSet:
    """All clips of a store as a member's net takes them: at its sample rate, and with their vectors if it stands on an embedding.

    Vectors that are not there yet are computed.

    Raises:
        StoreError: the store does not have that rate, is damaged, or cannot be written to.
        EmbeddingError: the member's model cannot be used, is another one than it was trained with, or fails for a clip.
    """
    clips = load_clips(store, settings.input.sample_rate)
    if settings.frontend.name != "embedding":
        return clips
    embedder = open_embedder(settings.frontend.arguments, settings.input.sample_rate)
    variations = settings.frontend.arguments.get("variations", 0)
    embed_store(store, embedder, variations)
    return replace(clips, vectors=load_vectors(store, embedder.key, variations, len(clips)))


def load_verified(store: Store, embedder: Embedder) -> tuple[ClipSet, Array]:
    """The verified training clips of a store, and their vectors, float32 ``[N, D]``.

    Vectors that are not there yet are computed, and kept in the store if it can be written to.

    Args:
        store: a store with the embedder's sample rate.
        embedder: makes the vectors.

    Raises:
        StoreError: the store has not that sample rate, or is damaged.
        EmbeddingError: the vector of a clip is not finite.
    """
    clips = load_clips(store, embedder.sample_rate)
    chosen = clips[clips.verified & ~clips.test]
    if _is_of(store.path / FOLDER / embedder.key, _info(store, clips, embedder, embedder.key, 0)):
        return chosen, load_vectors(store, embedder.key, 0, len(clips))[chosen.row, 0]
    if not len(chosen):
        return chosen, np.zeros((0, embedder.size), np.float32)
    key = embedder.key + VERIFIED
    try:
        _embed(store, chosen, embedder, key, 0, None)
        return chosen, load_vectors(store, key, 0, len(chosen))[:, 0]
    except EmbeddingError:
        raise
    except EarmarkError:  # the store may only be read, there is no room, or another process computes the same
        return chosen, np.concatenate(list(_computed(chosen, embedder, 0, os.cpu_count() or 1)))[:, 0]


def load_vectors(store: Store, key: str, variations: int, clips: int) -> Array:
    """The vectors of a store's clips, float32 ``[clips, 1 + variations, D]``, memory-mapped.

    Args:
        store: the store.
        key: of the embedder.
        variations: number of variations.
        clips: number of clips that the store has at the embedder's sample rate.

    Raises:
        StoreError: they are not there, or damaged.
    """
    folder = store.path / FOLDER / key
    info = _read_info(folder)
    if info is None or info.get("store") != store.fingerprint or info.get("clips") != clips or info["variations"] < variations:
        raise StoreError(f"{folder}: the embeddings of {store.path} are not there; `earmark train` computes them")
    shape = (clips, 1 + info["variations"], info["size"])
    try:
        vectors = np.memmap(folder / VECTORS, dtype=KIND, mode="c", shape=shape)
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder} is damaged ({error}); remove it, and `earmark train` computes it anew") from None
    return vectors[:, : 1 + variations]


def copy_vectors(old: Path, new: Path, fingerprint: str) -> None:
    """Gives the vectors of a store to another store of the same sounds. Those of verified clips alone stay: others may be verified there.

    Args:
        old: folder of the store.
        new: folder of the other store.
        fingerprint: of the other store.
    """
    shutil.rmtree(new / FOLDER, ignore_errors=True)
    for folder in (old / FOLDER).glob("[!.]*"):
        if not folder.name.endswith(VERIFIED) and (info := _read_info(folder)) is not None:
            (new / FOLDER / folder.name).mkdir(parents=True)
            files.link_or_copy(folder / VECTORS, new / FOLDER / folder.name / VECTORS)
            _write_info(new / FOLDER / folder.name, info | {"store": fingerprint})


def _info(store: Store, clips: ClipSet, embedder: Embedder, key: str, variations: int) -> dict[str, Any]:
    """What ``embedding.json`` says."""
    return {
        "version": VERSION,
        "key": key,
        "title": embedder.title,
        "licence": embedder.licence,
        "sample_rate": embedder.sample_rate,
        "window": embedder.window,
        "size": embedder.size,
        "variations": variations,
        "store": store.fingerprint,
        "clips": len(clips),
    }


def _embed(store: Store, clips: ClipSet, embedder: Embedder, key: str, variations: int, jobs: int | None) -> Path:
    """Computes the vectors of some clips that are not there yet into the folder of a key; see `embed_store`."""
    final = store.path / FOLDER / key
    info = _info(store, clips, embedder, key, variations)
    if _is_of(final, info):
        return final
    try:
        with files.locked(final.with_name(f".{key}.lock"), final):
            partial = final.with_name(f".{key}.partial")
            _compute(partial, info, clips, embedder, variations, jobs or os.cpu_count() or 1)
            files.put_folder(partial, final)
    except OSError as error:
        raise StoreError(
            f"cannot write {final}: {error.strerror or error}; what is done is kept, and the same command goes on from there"
        ) from error
    return final


def _is_of(folder: Path, info: dict[str, Any]) -> bool:
    """Whether a folder has all these vectors; further variations do not matter."""
    present = _read_info(folder)
    if present is None or present["variations"] < info["variations"]:
        return False
    size = KIND.itemsize * info["clips"] * (1 + present["variations"]) * info["size"]
    return present | {"variations": info["variations"]} == info and (folder / VECTORS).stat().st_size == size


def _read_info(folder: Path) -> dict[str, Any] | None:
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return info if isinstance(info, dict) and isinstance(info.get("variations"), int) and (folder / VECTORS).is_file() else None


def _write_info(folder: Path, info: dict[str, Any]) -> None:
    files.write_text(folder / INFO, json.dumps(info, indent=1, ensure_ascii=False) + "\n")


def _compute(partial: Path, info: dict[str, Any], clips: ClipSet, embedder: Embedder, variations: int, jobs: int) -> None:
    """Writes all vectors into a folder; those that an earlier call has written there stay."""
    row_bytes = KIND.itemsize * (1 + variations) * embedder.size
    if _read_info(partial) != info:
        partial.mkdir(parents=True, exist_ok=True)
        (partial / VECTORS).write_bytes(b"")
        _write_info(partial, info)
    with (partial / VECTORS).open("r+b") as file:
        done = min(file.seek(0, os.SEEK_END) // row_bytes, len(clips))
        file.truncate(done * row_bytes)  # the last row may be cut off
        file.seek(0, os.SEEK_END)
        for rows in _computed(clips, embedder, variations, jobs, done):
            file.write(rows.astype(KIND).tobytes())
            file.flush()
        os.fsync(file.fileno())


def _computed(clips: ClipSet, embedder: Embedder, variations: int, jobs: int, first: int = 0) -> Iterator[Vector]:
    """The vectors of all clips from the first one on, some at a time: ``[clips, 1 + variations, D]``."""
    begun, done = time.monotonic(), first
    with progress_bar("embed", len(clips), done, unit="clips") as bar, ThreadPoolExecutor(jobs) as pool:
        baskets = (range(start, min(start + BASKET, len(clips))) for start in range(done, len(clips), BASKET))
        for rows in in_order(pool, lambda basket: _vectors(clips, basket, embedder, variations), baskets, ahead=2 * jobs):
            yield rows
            done += len(rows)
            bar.update(done, f"{(done - first) / max(time.monotonic() - begun, 1e-9):.0f} clips/s")


def _vectors(clips: ClipSet, basket: Sequence[int], embedder: Embedder, variations: int) -> Vector:
    """The vectors of some clips, ``[clips, 1 + variations, D]``."""
    return np.stack([np.stack(list(_of_clip(clips, number, embedder, variations))) for number in basket])


def _of_clip(clips: ClipSet, number: int, embedder: Embedder, variations: int) -> Iterator[Vector]:
    samples = clips.samples(number)
    try:
        for variation in range(1 + variations):
            yield embedder.vector(samples, variation)
    except AudioError as error:
        raise EmbeddingError(f"clip {clips.clip_id[number]}: {error}; leave it out of the data, or take another model") from None
