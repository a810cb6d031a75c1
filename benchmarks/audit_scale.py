"""Many clips: how long `earmark audit` takes and how much memory, and how soon `earmark review` answers.

    python benchmarks/audit_scale.py            stores of 25,000, 100,000 and 200,000 clips, made up in a temporary folder

The clips have 50 classes and one label each; 30 % are verified, and a fifth of the other labels is wrong. The scores are made up like those
of nets that are right nine times in ten. Nothing is decoded: the samples of all clips lie in a short piece of noise, at another place each.
"""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
from measure import RATE, options, rendered, show

from earmark import __version__
from earmark.data.manifest import read_manifest
from earmark.data.parquet import read_parquet, write_parquet
from earmark.data.prepare import prepare
from earmark.data.store import PCM, Store, pcm_name
from earmark.labels import LabelSet
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import Block, write_predictions
from earmark.runs.run import RunInfo
from earmark.training.begin import open_run

SIZES = (25_000, 100_000, 200_000)  # with fewer than 20,000, regressions on built-in statistics are trained as well
SMOKE_SIZES = (300,)
CLASSES = 50
FOLDS = 5
VERIFIED = 0.3  # of the clips
WRONG = 0.2  # of the other labels
RIGHT = 0.9  # of the best guesses
LENGTH = 400  # samples of a clip
STEP = 8  # samples from the beginning of a clip to that of the next
PATIENCE = 600.0  # seconds until the review page answers, at most


def make_store(pattern: Store, out: Path, clips: int) -> tuple[Store, np.ndarray]:
    """A store of noise whose clips lie one over the other, with columns like those of a real one, and the right class of each clip."""
    rng = np.random.default_rng(1)
    right, fold = rng.integers(0, CLASSES, clips), np.arange(clips) % FOLDS
    verified = rng.random(clips) < VERIFIED
    given = np.where(~verified & (rng.random(clips) < WRONG), rng.integers(0, CLASSES, clips), right)
    names = [f"class {k}" for k in range(CLASSES)]
    clip_id = [f"sounds/{number:06d}.wav" for number in range(clips)]
    columns = {
        "row": np.arange(clips),
        "clip_id": clip_id,
        "file_name": clip_id,
        "labels": [[names[k]] for k in given.tolist()],
        "verified": verified,
        "fold": fold,
        "group": clip_id,
        "content_hash": [f"{number:032x}" for number in range(clips)],
        "offset": STEP * np.arange(clips),
        "length": np.full(clips, LENGTH),
        "lead": np.zeros(clips, np.int64),
        "tail": np.zeros(clips, np.int64),
        "scale": np.ones(clips),
        "peak": rng.random(clips),
    }
    table = read_parquet(pattern.path / "clips.parquet")
    table = table.take(pyarrow.array(np.zeros(clips, np.int64)))
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pyarrow.array(values, table.schema.field(name).type))
    out.mkdir()
    write_parquet(table, out / "clips.parquet")
    rng.integers(-8000, 8000, STEP * clips + LENGTH).astype(PCM).tofile(out / pcm_name(RATE))
    (out / "bad.csv").write_bytes((pattern.path / "bad.csv").read_bytes())
    info = json.loads((pattern.path / "store.json").read_text(encoding="utf-8"))
    info |= {"labels": names, "clips": clips, "bad": 0, "fingerprint": f"{clips:032x}"}
    (out / "store.json").write_text(json.dumps(info), encoding="utf-8")
    return Store.open(out), right


def make_run(recipe: Recipe, store: Store, right: np.ndarray, out: Path) -> None:
    """A run directory with scores that nobody has computed, but no weights."""
    rng, member = np.random.default_rng(2), next(iter(recipe.members))
    out.mkdir()
    run = open_run(out, recipe)
    run.write_info(RunInfo(__version__, str(store.path), store.fingerprint, "cpu", "float32", 1, store.clip_count))
    clip_id = np.array(store.rows(RATE)["clip_id"].to_pylist())
    for fold in range(FOLDS):
        rows = np.flatnonzero(np.arange(len(right)) % FOLDS == fold)
        heard = np.where(rng.random(len(rows)) < RIGHT, right[rows], rng.integers(0, CLASSES, len(rows)))
        scores = rng.exponential(1.0, (len(rows), CLASSES))
        scores[np.arange(len(rows)), heard] += rng.exponential(100.0, len(rows))
        scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        path = run.scores_file(member, fold)
        path.parent.mkdir(parents=True)
        write_predictions(path, LabelSet(store.labels.names), [Block(clip_id[rows], scores, member, fold, "last", "whole")])


def measured(*command: object) -> tuple[float, float]:
    """Seconds and the highest memory (MB) of an earmark command."""
    process = subprocess.Popen([sys.executable, "-m", "earmark", *map(str, command)], stdout=subprocess.DEVNULL)
    begun = time.perf_counter()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"earmark {command[0]} ended with {process.returncode}")
    return seconds, megabytes(used)


def megabytes(used: resource.struct_rusage) -> float:
    """The highest memory of a process that has ended."""
    return used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, KiB elsewhere


def reviewed(folder: Path) -> tuple[float, float, float]:
    """Seconds from the command until the review page answers, then until it has said what the first clip is, and the highest memory (MB)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "earmark", "review", str(folder), "--no-browser", "--port", str(port)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answered(port, "/"):
            if process.poll() is not None or time.perf_counter() - begun > PATIENCE:
                raise SystemExit("earmark review does not answer")
            time.sleep(0.01)
        page = time.perf_counter() - begun
        for path in ("/api/state", "/api/queue"):
            if not answered(port, path):
                raise SystemExit(f"earmark review does not answer {path}")
        first = time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGINT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return page, first, megabytes(used)


def answered(port: int, path: str) -> bool:
    """Whether a page is there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except OSError:
        return False
    finally:
        connection.close()


def named(rows: Sequence[tuple]) -> list[tuple]:
    """Rows whose first cell, a number of clips, says so."""
    return [(f"{clips:,} clips", *cells) for clips, *cells in rows]


def main() -> None:
    parser = options(__doc__)
    parser.set_defaults(runs=3)
    given = parser.parse_args()
    recipe = load_recipe("tiny")
    audits, reviews = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pattern = prepare(read_manifest(rendered(folder / "sounds")), "benchmark", folder / "pattern", [RATE]).store
        for clips in SMOKE_SIZES if given.smoke else SIZES:
            store, right = make_store(pattern, folder / f"store-{clips}", clips)
            run, out = folder / f"run-{clips}", folder / f"audit-{clips}"
            make_run(recipe, store, right, run)
            turns = 1 if given.smoke else given.runs
            seconds, memory = np.median([measured("audit", run, "--out", out) for _ in range(turns)], axis=0).tolist()
            # Every process has some memory from the start, so that what clips take is the difference of two sizes.
            more = 1e5 * (memory - audits[-1][2]) / (clips - audits[-1][0]) if audits else "–"
            audits.append((clips, seconds, memory, more))
            reviews.append((clips, *np.median([reviewed(out) for _ in range(turns)], axis=0).tolist()))
    show("earmark audit, made-up scores of 50 classes", ("", "seconds", "memory, MB", "MB for 100,000 more"), named(audits))
    show("earmark review", ("", "page answers, seconds", "and the list, seconds", "memory, MB"), named(reviews))


if __name__ == "__main__":
    main()
