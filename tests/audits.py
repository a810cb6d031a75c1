"""Folders of audits for tests of the review page, made from a store without training anything."""

import json
from pathlib import Path

import numpy as np

from earmark.data.store import Store
from earmark.data.tables import write_table
from earmark.runs.predictions import Block, write_predictions

LABELLED, UNLABELLED = ("wrong label", ""), "unlabelled"


def make_audit(store: Store, out: Path, *, several: bool = False, vectors: str | None = None, seed: int = 1) -> Path:
    """An audit of the training clips of a store, with scores drawn at random; clips with labels first, the most doubtful at the top."""
    rng = np.random.default_rng(seed)
    rows = store.rows(max(store.sample_rates))
    trains = np.flatnonzero(np.array(rows["split"].to_pylist()) == "train")
    names = store.labels.names
    clip_id, labels, verified = (rows.take(trains)[name].to_pylist() for name in ("clip_id", "labels", "verified"))
    scores = rng.dirichlet(np.full(len(names), 0.3), len(clip_id)).astype(np.float32)
    odds = np.where(
        [bool(given) or checked for given, checked in zip(labels, verified, strict=True)], rng.normal(-1, 2, len(clip_id)), np.nan
    )
    order = np.argsort(-np.nan_to_num(odds, nan=-np.inf), kind="stable")
    probability = 1 / (1 + np.exp(-odds))
    columns: dict[str, list[object]] = {
        name: [] for name in ("rank", "clip_id", "given", "suggested", "score", "probability", "verified", "reason")
    }
    separator = next(mark for mark in (",", ";", "|") if not any(mark in name for name in names))
    for rank, clip in enumerate(order.tolist(), start=1):
        best = [names[number] for number in np.argsort(-scores[clip])[:2]]
        known = not np.isnan(odds[clip])
        cells = (
            rank,
            clip_id[clip],
            separator.join(labels[clip]),
            next((name for name in best if name not in labels[clip]), ""),
            round(float(odds[clip]), 4) if known else None,
            round(float(probability[clip]), 4) if known else None,
            int(verified[clip]),
            LABELLED[int(probability[clip] < 0.5)] if known else UNLABELLED,
        )
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "suspects.csv", columns, separator)
    write_predictions(out / "guesses.parquet", store.labels, [Block(np.array(clip_id), scores, "audit", 0, "last", "whole")])
    info = {
        "version": 1,
        "earmark": "0",
        "run": "/nowhere",
        "store": str(store.path.resolve()),
        "store_fingerprint": store.fingerprint,
        "clips": len(clip_id),
        "labels": list(names),
        "label_separator": separator,
        "several": several,
        "vectors": vectors,
        "strategy": "Scores were drawn at random.",
        "promise": [],
        "classes": [],
        "duplicates": [],
        "cut": len(clip_id) // 10,
    }
    (out / "audit.json").write_text(json.dumps(info, ensure_ascii=False), encoding="utf-8")
    return out
