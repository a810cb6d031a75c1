"""Killed at any moment, a run ends with the same weights as one that was never stopped."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet

from earmark.data.store import Store
from tests.conftest import SMALL

OVERRIDES = (
    *SMALL,
    "members.*.batch.speed=[0.9, 1.1]",
    "members.*.schedule=[{batches: 160, rate: 3.0e-3, final_rate: 1.0e-5}]",
    "members.*.validation.every=4",
    "members.*.validation.keep=best",
)
KILLS = 5


def command(store: Store, out: Path) -> list[str]:
    sets = [part for override in OVERRIDES for part in ("--set", override)]
    return [
        sys.executable,
        "-m",
        "earmark",
        "train",
        "tiny",
        "--store",
        str(store.path),
        "--out",
        str(out),
        "--folds",
        "1",
        "--device",
        "cpu",
        *sets,
    ]


def weights(run: Path) -> dict[str, str]:
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(run.rglob("*.safetensors"))
    }


def test_five_kills_change_no_bit(store: Store, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(store, tmp_path / "whole"), check=True, env=environment, capture_output=True)

    rng = random.Random(11)
    run = tmp_path / "killed"
    piece = run / "members" / "logmel" / "fold1"
    kills = 0
    for _ in range(40):  # starts; more than the kills only where one came before the first checkpoint
        process = subprocess.Popen(command(store, run), env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        if kills < KILLS:
            log = piece / "metrics.csv"
            known = log.stat().st_size if log.exists() else 0
            while process.poll() is None and (not log.exists() or log.stat().st_size <= max(known, 70)):
                time.sleep(0.002)  # until this start has trained at least a few batches
            time.sleep(rng.uniform(0, 0.15))  # then any moment: within a batch, a validation, a checkpoint
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
        if process.wait() == 0:
            break
    assert kills == KILLS
    assert weights(run) == weights(tmp_path / "whole")
    scores = [pyarrow.parquet.read_table(r / "oof.parquet") for r in (run, tmp_path / "whole")]
    assert scores[0].equals(scores[1])
    logs = [(r / "members" / "logmel" / "fold1" / "metrics.csv").read_text().splitlines() for r in (run, tmp_path / "whole")]
    timeless = [[line.split(",")[:4] + line.split(",")[6:] for line in log] for log in logs]
    assert timeless[0] == timeless[1]


def test_ctrl_c_saves_and_says_so(store: Store, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command(store, tmp_path / "run"), env=environment, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "members" / "logmel" / "fold1" / "metrics.csv"
    while process.poll() is None and (not log.exists() or log.stat().st_size <= 70):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "stopped; what is done is kept, and the same command goes on from there"
    assert (log.parent / "checkpoint.safetensors").is_file()
    assert subprocess.run(command(store, tmp_path / "run"), check=False, env=environment, capture_output=True).returncode == 0
