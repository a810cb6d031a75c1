"""Killed at any moment, a run ends with the same weights as one that was never stopped."""

import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from earmark.data.store import Store
from earmark.training.log import COLUMNS
from earmark.training.train import TrainRequest, train
from tests.conftest import SMALL
from tests.small import small_akiyama

pytestmark = pytest.mark.slow

OVERRIDES = (
    *SMALL,
    "members.*.batch.speed=[0.9, 1.1]",
    "members.*.schedule=[{batches: 160, rate: 3.0e-3, final_rate: 1.0e-5}]",
    "members.*.validation.every=4",
    "members.*.validation.keep=best",
)
KILLS = 3
HEADER = len(",".join(COLUMNS)) + 1  # of metrics.csv


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


def timeless(log: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without what the clock says."""
    with log.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in ("seconds", "clips_per_second")} for row in csv.DictReader(file)]


def test_kills_change_no_bit(store: Store, tmp_path: Path) -> None:
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
            while process.poll() is None and (not log.exists() or log.stat().st_size <= max(known, HEADER)):
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
    logs = [timeless(r / "members" / "logmel" / "fold1" / "metrics.csv") for r in (run, tmp_path / "whole")]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 45  # 40 validations, and every 25th batch that is none


def test_kills_between_stages_and_streams_change_no_bit(store: Store, tmp_path: Path) -> None:
    """Curated, noisy and soft streams, snapshots, pseudo labels and another member's weights: row 6, small."""
    recipe = small_akiyama(
        "ensembles={all: {rule: arithmetic_mean}}",
        "members.*.validation.every=4",
        "members.*.views=[whole]",
        "members.A.schedule.0.cycles=2",
        "members.row6.schedule.0.cycles=2",
        cycle=10,
    )
    train(TrainRequest(recipe, store, tmp_path / "whole", ["row6"], [1], device="cpu"))

    (tmp_path / "small.yaml").write_text(recipe.to_yaml())
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "earmark", "train", str(tmp_path / "small.yaml"), "--store", str(store.path)]
    command += ["--out", str(run), "--members", "row6", "--folds", "1", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    rng = random.Random(5)
    for member in ("A", "row6"):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        piece = run / "members" / member / "fold1"
        while process.poll() is None and not (piece / "checkpoint.safetensors").exists():
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (piece / "last.safetensors").exists()
    subprocess.run(command, check=True, env=environment, capture_output=True)

    assert weights(run) == weights(tmp_path / "whole")
    for file in ("oof.parquet", "pseudo/of-A/fold1/pseudo.parquet"):
        tables = [pyarrow.parquet.read_table(r / file) for r in (run, tmp_path / "whole")]
        assert tables[0].equals(tables[1])
    for member in ("row1", "A", "row6"):
        logs = [timeless(r / "members" / member / "fold1" / "metrics.csv") for r in (run, tmp_path / "whole")]
        assert logs[0] == logs[1]


def test_ctrl_c_saves_and_says_so(store: Store, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command(store, tmp_path / "run"), env=environment, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "members" / "logmel" / "fold1" / "metrics.csv"
    while process.poll() is None and (not log.exists() or log.stat().st_size <= HEADER):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "stopped; what is done is kept, and the same command goes on from there"
    assert (log.parent / "checkpoint.safetensors").is_file()
    assert subprocess.run(command(store, tmp_path / "run"), check=False, env=environment, capture_output=True).returncode == 0
