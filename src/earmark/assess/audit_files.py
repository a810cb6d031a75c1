"""The folder of an audit: ``suspects.csv``, ``guesses.parquet``, ``audit.json`` and ``audit.html``; what a person decides lies beside them."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from earmark import __version__, files
from earmark.assess.audit import Judged
from earmark.assess.audit_result import Audit
from earmark.data.audit_info import GUESSES, NAME, SUSPECTS, VERSION, label_separator, read_audit
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.errors import EarmarkError
from earmark.runs.predictions import NO_VIEW, Block, write_predictions

COLUMNS = ("rank", "clip_id", "given", "suggested", "score", "probability", "verified", "reason")
DEMO = "demo"  # folder in a run where the demo has its own things, an audit too
#: What an audit and a review put into its folder, finished or stopped on the way.
OWN_FILES = frozenset({SUSPECTS, GUESSES, NAME, "audit.html", "corrections.csv", "lost+found"})
OWN_FILES |= {f"review.sqlite{ending}" for ending in ("", "-wal", "-shm")}


def check_audit_out(out: Path, run: Path, fingerprint: str = "") -> None:
    """Checks that a folder can take an audit: a new or empty one, or that of an earlier audit of the same run. Nothing is written.

    Args:
        out: the folder.
        run: the run.
        fingerprint: that of the run's store: if the run of the earlier audit is gone, as where all was moved, and was of this store, its
            folder is taken, so that what was decided there stays.

    Raises:
        EarmarkError: it is something else, or the audit of another run.
    """
    if out.is_symlink() and not out.exists():
        raise EarmarkError(f"{out} is a link to {out.readlink()}, which is not there; choose another --out")
    folder = out.resolve()
    for above in (folder, *folder.parents):
        in_run = (above / "recipe.yaml").is_file() and not folder.is_relative_to(above / DEMO)
        if (above / "store.json").is_file() or in_run:
            raise EarmarkError(f"{out} lies in a store or a run; choose another --out")
    if not out.exists():
        return
    if not out.is_dir():
        raise EarmarkError(f"{out} is no folder; choose another --out")
    if (out / NAME).exists():
        earlier = read_audit(out)
        owner = earlier["run"]
        moved = not os.path.exists(owner) and earlier["store_fingerprint"] == fingerprint
        if owner != str(run.resolve()) and not moved:
            raise EarmarkError(f"{out} has the audit of {owner}; choose another --out")
        return
    names = sorted(child.name for child in out.iterdir() if not child.name.startswith(".") and child.name not in OWN_FILES)
    if names:
        raise EarmarkError(f"{out} is no audit and has {', '.join(names[:3])} already; choose another --out")


def write_audit(out: Path, audit: Audit, judged: Judged, store: Store, vectors: str | None) -> None:
    """Writes all files of an audit but the page, which comes before; ``audit.json`` is the last of all.

    Args:
        out: the folder.
        audit: what the audit says.
        judged: what it stands on.
        store: the store.
        vectors: key of the store's vectors that tell which clips sound alike; None if there are none.
    """
    out.mkdir(parents=True, exist_ok=True)
    labels = judged.clips.labels
    write_predictions(out / GUESSES, labels, [Block(judged.clips.clip_id, judged.guesses, "audit", NO_FOLD, "", NO_VIEW)])
    separator = label_separator(labels)
    with files.replacing(out / SUSPECTS) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        files.write_rows(file, _rows(audit, separator))
    data = {
        "version": VERSION,
        "earmark": __version__,
        "run": str(audit.run.resolve()),
        "store": str(store.path.resolve()),
        "store_fingerprint": store.fingerprint,
        "clips": len(audit.suspects),
        "labels": list(labels.names),
        "label_separator": separator,
        "several": audit.several,
        "vectors": vectors,
        "strategy": audit.strategy,
        "notes": audit.notes,
        "cut": audit.cut,
        "whole": asdict(audit.whole) if audit.whole else None,
        "promise": [asdict(promise) for promise in audit.promise],
        "curve": [asdict(promise) for promise in audit.curve],
        "classes": [_plain(asdict(row)) for row in audit.classes],
        "mix_ups": [asdict(row) for row in audit.mix_ups],
        "duplicates": [asdict(row) for row in audit.duplicates],
    }
    files.write_text(out / NAME, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _rows(audit: Audit, separator: str) -> Iterator[Sequence[object]]:
    yield COLUMNS
    suspects = audit.suspects
    columns = zip(
        suspects.clip_id.tolist(),
        suspects.given,
        suspects.suggested,
        suspects.score.tolist(),
        suspects.probability.tolist(),
        suspects.verified.tolist(),
        suspects.reasons,
        strict=True,
    )
    for rank, (clip_id, given, suggested, score, probability, verified, reasons) in enumerate(columns, start=1):
        known = not math.isnan(score)
        yield (
            rank,
            clip_id,
            separator.join(given),
            separator.join(suggested),
            f"{score:.5f}" if known else "",
            f"{probability:.5g}" if known else "",
            int(verified),
            "; ".join(reasons),
        )
