"""Planting wrong labels in a store: the same sounds, with other labels and marks, for measurements."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow

from earmark import files
from earmark.data.contents import NAME as CONTENTS
from earmark.data.embeddings import copy_vectors
from earmark.data.parquet import read_parquet, write_parquet
from earmark.data.store import Store, pcm_name
from earmark.data.table import Array, ClipTable, load_table
from earmark.errors import ManifestError

KINDS = ("symmetric", "related")


def plant(
    truth: ClipTable, kind: str, rate: float, verified_share: float, seed: int, related: Array | None = None
) -> tuple[Array, Array]:
    """Draws which clips stay verified, and wrong labels among the others.

    Args:
        truth: N clips whose given labels are right.
        kind: ``symmetric``: a wrong label is any other class, all equally likely; ``related``: any other class of the same kin.
        rate: share of the clips that are not verified whose label becomes wrong, 0..1.
        verified_share: share of the clips of each class that stay verified, 0..1.
        seed: the same seed draws the same.
        related: the kin of each class, int ``[K]``; for ``related``.

    Returns:
        The given labels, bool ``[N, K]``, and whether each clip is verified, bool ``[N]``.

    Raises:
        ManifestError: a class has no other class to become.
    """
    rng = np.random.default_rng(seed)
    classes = len(truth.labels)
    first = truth.positive.argmax(axis=1)
    verified = np.zeros(len(truth), bool)
    for k in range(classes):
        rows = rng.permutation(np.flatnonzero(first == k))
        verified[rows[: round(verified_share * len(rows))]] = True
    kin = np.zeros(classes, np.int64) if related is None or kind == "symmetric" else related
    positive = truth.positive.copy()
    unverified = np.flatnonzero(~verified & truth.positive.any(axis=1))
    for row in rng.choice(unverified, round(rate * len(unverified)), replace=False):
        label = int(rng.choice(np.flatnonzero(positive[row])))
        others = np.flatnonzero((kin == kin[label]) & ~positive[row])
        if not len(others):
            raise ManifestError("plant", [f"label {truth.labels.names[label]!r} has no other class of its kin to become"])
        positive[row, label], positive[row, int(rng.choice(others))] = False, True
    return positive, verified


def planted_store(store: Store, out: Path, positive: Array, verified: Array) -> Store:
    """A store with the same sounds as another, and other labels. Sounds and embeddings are links; nothing is decoded.

    Args:
        store: the store.
        out: the new folder.
        positive: the labels of each clip of the store, bool ``[N, K]``.
        verified: whether each clip is verified, bool ``[N]``.
    """
    clips = load_table(store)
    names = np.array(clips.labels.names)
    labels_of = {clip: names[row].tolist() for clip, row in zip(clips.clip_id.tolist(), positive, strict=True)}
    verified_of = dict(zip(clips.clip_id.tolist(), verified.tolist(), strict=True))
    table = read_parquet(store.path / "clips.parquet")
    ids = table["clip_id"].to_pylist()
    for name, values in (("labels", [labels_of[clip] for clip in ids]), ("verified", [verified_of[clip] for clip in ids])):
        column = table.schema.get_field_index(name)
        table = table.set_column(column, name, pyarrow.array(values, table.schema.field(name).type))
    partial = out.with_name(f".{out.name}.partial")
    partial.mkdir(parents=True)
    write_parquet(table, partial / "clips.parquet")
    for name in ("bad.csv", CONTENTS, *(pcm_name(rate) for rate in store.sample_rates)):
        if (store.path / name).is_file():
            files.link_or_copy(store.path / name, partial / name)
    info = json.loads((store.path / "store.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(store.fingerprint.encode() + np.packbits(positive).tobytes() + np.packbits(verified).tobytes())
    info["fingerprint"] = digest.hexdigest()[:32]
    copy_vectors(store.path, partial, info["fingerprint"])
    files.write_text(partial / "store.json", json.dumps(info, indent=1, ensure_ascii=False) + "\n")
    files.put_folder(partial, out)
    return Store.open(out)
