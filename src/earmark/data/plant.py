"""Planting wrong labels in a store: the same sounds, with other labels and marks, for measurements."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow

from earmark import files
from earmark.data.contents import NAME as CONTENTS
from earmark.data.embeddings import copy_vectors
from earmark.data.manifest import NO_FOLD
from earmark.data.parquet import read_parquet, write_parquet
from earmark.data.store import Store, pcm_name
from earmark.data.table import Array, ClipTable, load_table
from earmark.errors import EarmarkError, ManifestError
from earmark.labels import LabelSet

KINDS = ("symmetric", "class", "related")


@dataclass(frozen=True)
class Protocol:
    """Which labels are made wrong, and how many.

    Attributes:
        kind: one of `KINDS`; see `plant`.
        rate: share of the clips that are not verified whose label becomes wrong, above 0, up to 1.
        verified: share of the clips of each class that stay verified, from 0, below 1.
    """

    kind: Literal["symmetric", "class", "related"]
    rate: float
    verified: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``KIND:RATE:VERIFIED``.

        Raises:
            EarmarkError: it is something else.

        >>> Protocol.parse("symmetric:0.3:0.4")
        Protocol(kind='symmetric', rate=0.3, verified=0.4)
        """
        kind, *numbers = text.split(":")
        try:
            rate, verified = (float(number) for number in numbers)
        except ValueError:
            rate = verified = float("nan")
        if kind not in KINDS or not (0 < rate <= 1 and 0 <= verified < 1):
            raise EarmarkError(
                f"--protocol {text[:100]!r}: KIND:RATE:VERIFIED is needed, such as symmetric:0.3:0.4; KIND is {', '.join(KINDS)}, RATE the "
                "share of wrong labels among the unverified clips (above 0, up to 1), VERIFIED the share of clips that stay verified "
                "(from 0, below 1)"
            )
        return cls(kind, rate, verified)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        return f"{self.kind}:{self.rate:.12g}:{self.verified:.12g}"

    @property
    def name(self) -> str:
        """A name for files: ``symmetric-0.3-0.4``."""
        return self.text.replace(":", "-")

    @property
    def title(self) -> str:
        """The same for people."""
        return f"{100 * self.verified:g} % verified, {100 * self.rate:g} % of the other labels wrong ({self.kind})"


def _dealt(rows: Array, fold: Array, rng: np.random.Generator) -> Array:
    """Rows of clips in another order: one of each fold, in a random order of the folds, then the next of each fold …"""
    _, fold_of = np.unique(fold[rows], return_inverse=True)
    place_of = rng.permutation(fold_of.max(initial=0) + 1)
    count = np.bincount(fold_of)
    turn = np.zeros(len(rows), np.int64)  # how many of the same fold come before
    turn[np.argsort(fold_of, kind="stable")] = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return rows[np.lexsort((place_of[fold_of], turn))]


def plant(
    truth: ClipTable, kind: str, rate: float, verified_share: float, seed: int, related: Array | None = None
) -> tuple[Array, Array]:
    """Draws which clips stay verified, and wrong labels among the others.

    Args:
        truth: N clips whose given labels are right.
        kind: ``symmetric``: a wrong label is any other class, all equally likely; ``class``: it is the one class that its class is always
            mistaken for, drawn once (any other, if the clip has that label already); ``related``: any other class of the same kin.
        rate: share of the clips that are not verified whose label becomes wrong, 0..1.
        verified_share: share of the clips of each class that stay verified, 0..1; they are spread evenly over the folds.
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
        rows = _dealt(rng.permutation(np.flatnonzero(first == k)), truth.fold, rng)
        verified[rows[: round(verified_share * len(rows))]] = True
    kin = np.zeros(classes, np.int64) if related is None or kind != "related" else related
    circle = rng.permutation(classes) if kind == "class" else np.zeros(0, np.int64)
    partner = dict(zip(circle.tolist(), np.roll(circle, -1).tolist(), strict=True))
    positive = truth.positive.copy()
    unverified = np.flatnonzero(~verified & truth.positive.any(axis=1))
    for row in rng.choice(unverified, round(rate * len(unverified)), replace=False):
        label = int(rng.choice(np.flatnonzero(positive[row])))
        others = np.flatnonzero((kin == kin[label]) & ~positive[row])
        if not len(others):
            raise ManifestError("plant", [f"label {truth.labels.names[label]!r} has no other class of its kin to become"])
        wrong = partner.get(label, -1)
        positive[row, label], positive[row, wrong if wrong in others else int(rng.choice(others))] = False, True
    return positive, verified


def planted_store(
    store: Store, out: Path, positive: Array, verified: Array, left_out: Array | None = None, labels: LabelSet | None = None
) -> Store:
    """A store with the same sounds as another, and other labels. Sounds and embeddings are links; nothing is decoded.

    Args:
        store: the store.
        out: the new folder, which takes the place of one that is there.
        positive: the labels of each clip of the store, bool ``[N, K]``.
        verified: whether each clip is verified, bool ``[N]``.
        left_out: clips that nothing is to learn from or to be scored on, bool ``[N]``: they go to the test split, so that all clips
            keep their places.
        labels: the classes that ``positive`` has columns for; by default those of the store.
    """
    clips = load_table(store)
    labels = labels or store.labels
    left_out = np.zeros(len(clips), bool) if left_out is None else left_out
    names = np.array(labels.names)
    labels_of = {clip: names[row].tolist() for clip, row in zip(clips.clip_id.tolist(), positive, strict=True)}
    verified_of = dict(zip(clips.clip_id.tolist(), verified.tolist(), strict=True))
    table = read_parquet(store.path / "clips.parquet")
    ids = table["clip_id"].to_pylist()
    away = set(clips.clip_id[left_out].tolist())
    columns = {
        "labels": [labels_of[clip] for clip in ids],
        "verified": [verified_of[clip] for clip in ids],
        "split": ["test" if clip in away else split for clip, split in zip(ids, table["split"].to_pylist(), strict=True)],
        "fold": [NO_FOLD if clip in away else fold for clip, fold in zip(ids, table["fold"].to_pylist(), strict=True)],
    }
    for name, values in columns.items():
        column = table.schema.get_field_index(name)
        table = table.set_column(column, name, pyarrow.array(values, table.schema.field(name).type))
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_parquet(table, partial / "clips.parquet")
    for name in ("bad.csv", CONTENTS, *(pcm_name(rate) for rate in store.sample_rates)):
        if (store.path / name).is_file():
            files.link_or_copy(store.path / name, partial / name)
    info = json.loads((store.path / "store.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(store.fingerprint.encode())
    for mask in (positive, verified, left_out) if left_out.any() else (positive, verified):
        digest.update(np.packbits(mask).tobytes())
    if labels != store.labels:
        info["labels"] = list(labels.names)
        digest.update("\n".join(labels.names).encode())
    info["fingerprint"] = digest.hexdigest()[:32]
    copy_vectors(store.path, partial, info["fingerprint"])
    files.write_text(partial / "store.json", json.dumps(info, indent=1, ensure_ascii=False) + "\n")
    files.put_folder(partial, out)
    return Store.open(out)
