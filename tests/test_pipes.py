"""Standard streams that nobody reads, and signals: in processes of their own, with real pipes."""

import csv
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import REPOSITORY

EARMARK = [sys.executable, "-m", "earmark"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a bash script in which ``earmark`` is this one."""
    text = f'earmark() {{ "{sys.executable}" -m earmark "$@"; }}; set -o pipefail; {script}'
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A manifest of four clips, one of them missing."""
    rng = np.random.default_rng(0)
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", rng.normal(0, 0.1, 8000), 8000)
    rows = "".join(f"{number}.wav,{'ab'[number % 2]}\n" for number in range(4))
    (tmp_path / "m.csv").write_text("file_name,labels\n" + rows)
    return tmp_path


STOPPED = "stopped; what is done is kept, and the same command goes on from there"
PREPARE = "earmark prepare manifest m.csv --out store --sample-rate 8000"


@pytest.mark.parametrize(
    "script",
    [
        f"{PREPARE} | true",
        f"{PREPARE} | head -0",
        f"{PREPARE} >&-",
        f"{PREPARE} 2>&-",
        f"{PREPARE} >&- 2>&- <&-",
        f"{PREPARE} 2>&1 | true",
        f"PYTHONIOENCODING=ascii LC_ALL=C PYTHONUTF8=0 {PREPARE}",
    ],
)
def test_the_work_and_its_status_are_the_same_whoever_reads(sounds: Path, script: str) -> None:
    done = shell(script, sounds)
    assert done.returncode == 3, done.stderr
    assert "Exception ignored" not in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in (sounds / "store").iterdir())[:2] == ["bad.csv", "clips.parquet"]
    assert (sounds / "store" / "pcm-8000.i16").stat().st_size == 3 * 8000 * 2


@pytest.mark.slow
def test_help_for_nobody_and_a_full_disk(tmp_path: Path, sounds: Path) -> None:
    assert shell("earmark --help | true", tmp_path).returncode == 0
    full = shell("earmark info tiny >/dev/full", tmp_path)
    assert (full.returncode, full.stderr) == (
        2,
        "error: cannot write to stdout: No space left on device; the work itself is done\n",
    )
    prepared = shell(f"{PREPARE} >/dev/full", sounds)
    assert prepared.returncode == 2 and prepared.stderr.endswith("the work itself is done\n")
    assert (sounds / "store" / "pcm-8000.i16").stat().st_size == 3 * 8000 * 2
    assert shell("earmark info tiny 2>/dev/full >/dev/null", tmp_path).returncode == 0


def test_error_that_nobody_reads_has_its_status(tmp_path: Path) -> None:
    for options in ("", "--debug"):
        assert shell(f"earmark {options} info nosuch 2>&1 | true", tmp_path).returncode == 2


@pytest.mark.slow
def test_streams_as_output_are_written_to_and_nothing_is_put_beside_them(sounds: Path, finished_run: Path) -> None:
    (sounds / "broken.wav").write_bytes(b"no sound")
    tag = f"earmark tag . --model '{finished_run}' --format csv --out"
    (sounds / "stdout").symlink_to("/proc/self/fd/1")  # as /dev/stdout is, which a fault here would replace
    for stream in ("stdout", "/dev/fd/1"):
        done = shell(f"echo before > tags.csv; {tag} {stream} >> tags.csv", sounds)
        assert done.returncode == 3
        assert "skipped: broken.wav" in done.stderr
        assert (sounds / "tags.csv").read_text().splitlines()[:2] == ["before", "file,start,end,label,score"]
        assert (sounds / "stdout").is_symlink()
    done = shell(f"{tag} >(head -1 >/dev/null)", sounds)  # its reader goes away
    assert done.returncode == 3, done.stderr
    assert "3 files tagged" in done.stderr
    assert not [path for path in sounds.iterdir() if path.suffix == ".csv" and path.name not in ("m.csv", "tags.csv")]


@pytest.mark.slow
def test_tags_go_on_for_nobody(sounds: Path, finished_run: Path) -> None:
    (sounds / "broken.wav").write_bytes(b"no sound")
    for form in ("table", "csv"):
        done = shell(f"earmark tag . --model '{finished_run}' --format {form} | head -1", sounds)
        assert done.returncode == 3
        assert len(done.stdout.splitlines()) == 1
        assert "skipped: broken.wav" in done.stderr


@pytest.mark.slow
def test_data_is_utf8_on_a_terminal_that_is_not(sounds: Path, finished_run: Path) -> None:
    (sounds / "0.wav").rename(sounds / "ä–.wav")
    ascii_only = "PYTHONIOENCODING=ascii LC_ALL=C PYTHONUTF8=0"
    for form in ("csv", "table"):
        done = shell(f"{ascii_only} earmark tag ä–.wav --model '{finished_run}' --format {form}", sounds)
        assert done.returncode == 0, done.stderr
        assert ("ä–.wav" in done.stdout) == (form == "csv")
        assert done.stdout.isascii() == (form == "table")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_and_leaves_nothing_half_written(sounds: Path, finished_run: Path, number: signal.Signals) -> None:
    for copy in range(200):
        os.link(sounds / "1.wav", sounds / f"copy{copy}.wav")
    arguments = [*EARMARK, "tag", ".", "--model", str(finished_run), "--out", "tags.csv", "--format", "csv", "--threads", "1"]
    with subprocess.Popen(arguments, cwd=sounds, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        while not (sounds / "tags.csv").exists() or (sounds / "tags.csv").stat().st_size < 100:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        error = process.communicate(timeout=30)[1]
    if process.returncode != 3:  # 3: it was faster than the signal
        assert (process.returncode, error) == (128 + number, f"{STOPPED}\n")
    assert subprocess.run(arguments, cwd=sounds, env=ENVIRONMENT, capture_output=True, check=False).returncode == 0
    with (sounds / "tags.csv").open(newline="") as file:
        files = Counter(row["file"] for row in csv.DictReader(file))
    assert len(files) == 203 and set(files.values()) == {3}
    assert not [path for path in sounds.iterdir() if path.name.startswith(".tags")]


PROGRAM = """import re
import sys
from earmark.__main__ import main
if __name__ == '__main__':
    sys.exit(main())
"""  # what pip makes of the entry point


def test_the_entry_point_is_the_one_that_listens_first() -> None:
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["scripts"] == {"earmark": "earmark.__main__:main"}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["module", "program"])
def test_interrupt_while_it_starts_shows_no_traceback_of_ours(form: str, tmp_path: Path) -> None:
    """From the first moment to the end; what the interpreter does before the first line of earmark is its own."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = EARMARK if form == "module" else [sys.executable, "program.py"]
    for moment in range(20):
        with subprocess.Popen(
            [*command, "info", "tiny"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=ENVIRONMENT
        ) as process:
            time.sleep(0.02 * moment)
            process.send_signal(signal.SIGINT)
            error = process.communicate(timeout=30)[1]
        assert not ("Traceback" in error and "earmark/" in error), error
        assert process.returncode in (0, 130, -signal.SIGINT, 1 if "Traceback" in error else 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_impatience_shows_no_traceback(sounds: Path, finished_run: Path, number: signal.Signals) -> None:
    for copy in range(100):
        os.link(sounds / "1.wav", sounds / f"copy{copy}.wav")
    arguments = [*EARMARK, "tag", ".", "--model", str(finished_run), "--out", "tags.csv", "--threads", "1"]
    with subprocess.Popen(arguments, cwd=sounds, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        while not (sounds / "tags.csv").exists() or (sounds / "tags.csv").stat().st_size < 100:
            assert process.poll() is None
            time.sleep(0.01)
        for _ in range(4):
            process.send_signal(number)
            time.sleep(0.03)
        error = process.communicate(timeout=30)[1]
    assert "Traceback" not in error
    assert process.returncode in (128 + number, -number, 0)
    assert not [path for path in sounds.iterdir() if path.name.startswith(".tags")]


@pytest.mark.slow
def test_two_writers_of_one_file_never_mix(sounds: Path, finished_run: Path) -> None:
    for copy in range(50):
        os.link(sounds / "1.wav", sounds / f"copy{copy}.wav")
    arguments = [*EARMARK, "tag", ".", "--model", str(finished_run), "--out", "tags.csv", "--format", "csv", "--threads", "1"]
    both = [subprocess.Popen(arguments, cwd=sounds, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert {process.returncode for process in both} <= {0, 2}
    assert 0 in {process.returncode for process in both}
    for process, error in zip(both, errors, strict=True):
        if process.returncode == 2:
            assert error == "error: tags.csv is being written by another earmark process\n"
    lines = (sounds / "tags.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 53
    assert not [path for path in sounds.iterdir() if path.name.startswith(".")]
