"""Every benchmark runs at its smallest size, so that none is tried for the first time on a machine that is lent for an hour."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
PARTS = ("measure.py", "trial.py", "esc50_pairs.py", "spoken.py", "tag_alone.py")  # of other scripts
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py") if path.name not in PARTS)


def test_there_is_one_a_question() -> None:
    assert SCRIPTS == [
        "audit.py",
        "audit_loop.py",
        "audit_pairs.py",
        "audit_scale.py",
        "batches.py",
        "bulk.py",
        "digits.py",
        "export.py",
        "jobs.py",
        "label_noise.py",
        "load.py",
        "long.py",
        "mel.py",
        "metrics.py",
        "odd_inputs.py",
        "precision.py",
        "prepare.py",
        "scale.py",
        "step.py",
        "tag.py",
        "thresholds.py",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_benchmark_prints_tables_of_numbers(script: str) -> None:
    done = subprocess.run([sys.executable, BENCHMARKS / script, "--smoke"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("### ")
    tables = [part for part in re.split(r"^### .*$", done.stdout, flags=re.M) if part.strip()]
    for table in tables:
        rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
        assert rows
        for row in rows:
            _, *cells = (cell.strip() for cell in row.strip("|").split("|"))
            assert any(re.fullmatch(r"[\d,.]+(e-?\d+)?%?", cell) for cell in cells), row
        assert "nan" not in table and re.search(r"^20\d\d-\d\d-\d\d; \d+ cores? of .+; PyTorch ", table, flags=re.M)
