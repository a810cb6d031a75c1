import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from earmark.cli import run
from earmark.tagging import bulk
from tests.tagging.stand_in import StandIn, stand_in


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return stand_in(monkeypatch)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("rec").mkdir()
    for number in range(4):
        Path(f"rec/{number}.wav").write_text("bad" if number == 2 else f"tag {number}")
    return tmp_path


def test_what_is_said_and_the_status(
    finished_run: Path, model: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tag", "rec/*.wav", "--model", str(finished_run), "--format", "csv", "--out", "tags.csv", "--threads", "1"]
    assert run(command) == 3
    assert capsys.readouterr().err == "3 files tagged: tags.csv\nskipped: rec/2.wav: bad\n"
    assert run(command) == 3
    assert capsys.readouterr().err == "nothing to do: 3 files are tagged: tags.csv\nskipped: rec/2.wav: bad\n"
    assert len(model.read) == 4
    assert run([*command, "--top-k", "2", "--window", "1", "--hop", "0.5", "--merge", "--threshold", "0.25"]) == 3
    monkeypatch.setattr("earmark.commands.tag.TOLD_FROM", 0.0)
    assert run([*command[:1], "rec/1.wav", *command[2:]]) == 0
    told = capsys.readouterr().err
    assert re.search(
        r"1 files tagged: tags.csv\n1 files, 0.0 hours of sound, in \d+ s: [\d,]+ files/s, [\d,]+ × real time\n$", told
    ), told
    assert run(["tag", "rec/2.wav", *command[2:]]) == 2
    assert capsys.readouterr().err.endswith("error: none of the 1 files could be used\n")


def test_a_long_list_of_bad_files_is_in_the_ledger(
    finished_run: Path, model: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bulk, "SHOWN_BAD", 2)
    Path("list.txt").write_text("\n".join(["rec/1.wav", "gone1.wav", "rec/2.wav", "gone2.wav", "gone3.wav"]))
    command = ["tag", "@list.txt", "--model", str(finished_run), "--format", "csv"]
    assert run([*command, "--out", "tags.csv"]) == 3
    assert capsys.readouterr().err.splitlines()[1:] == [
        "skipped: rec/2.wav: bad",  # what is not there comes last
        "skipped: gone1.wav: no such file",
        "skipped: 2 more; all are in tags.csv.bad.csv",
    ]
    assert run(command) == 3
    assert capsys.readouterr().err.count("skipped: ") == 4
    assert len(model.read) == 10


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--shard", "9/8"], "--shard '9/8': the number of the shard and how many there are is needed, such as 3/64"),
        (["--slurm", "2"], "--slurm: every shard needs a place for its tags; give --out"),
        (["--slurm", "2", "--out", "o", "--shard", "1/2"], "--slurm shares the sounds out itself; leave --shard out"),
        (["--slurm", "2", "--out", "o", "@-"], "--slurm: stdin can be read once, not by every shard; give a file"),
    ],
)
def test_shards_that_cannot_be(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tag", "rec", "--model", "m", *options]) == 2
    assert capsys.readouterr().err == f"error: {reason}\n"


def test_the_script_has_the_options_that_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--top-k", "5", "--threshold", "auto", "--window", "2", "--merge", "--format", "csv", "--threads", "4"]
    assert run(["tag", "--model", "my model", *options, "--slurm", "8", "--out", "tags.csv", "rec", "@my list.txt"]) == 0
    script = capsys.readouterr().out.splitlines()
    assert script[:4] == ["#!/bin/bash", "#SBATCH --job-name=earmark-tag", "#SBATCH --array=1-8", "#SBATCH --cpus-per-task=4"]
    assert script[4] == (
        f"{sys.executable} -m earmark tag --model 'my model' --top-k 5 --threshold auto --window 2.0 --merge --format csv --threads 4 "
        '--shard "$SLURM_ARRAY_TASK_ID"/8 --out tags-"$SLURM_ARRAY_TASK_ID"-of-8.csv -- rec \'@my list.txt\' || [ $? -eq 3 ]'
    )
    assert script[5].endswith("{ head -n 1 tags-1-of-8.csv; tail -q -n +2 tags-{1..8}-of-8.csv; } > tags.csv")
    assert not list(Path().glob("tags*"))


@pytest.mark.slow
def test_the_script_runs(finished_run: Path, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds = [str(path) for path in sorted((rendered.parent / "audio").glob("*.wav"))[:6]]
    Path("list.txt").write_text("\n".join([*sounds, "gone.wav"]))
    options = ["--model", str(finished_run), "--format", "csv"]
    assert run(["tag", "@list.txt", *options, "--out", "whole.csv"]) == 3
    capsys.readouterr()
    assert run(["tag", "@list.txt", *options, "--out", "tags.csv", "--slurm", "2"]) == 0
    script = capsys.readouterr().out
    for task in ("1", "2"):
        subprocess.run(["bash", "-c", script], env={**os.environ, "SLURM_ARRAY_TASK_ID": task}, check=True, cwd=tmp_path)
    subprocess.run(["bash", "-c", script.splitlines()[-1].partition("join the parts: ")[2]], check=True, cwd=tmp_path)

    def rows(name: str) -> list[tuple[str, str]]:
        with open(name, newline="") as file:
            return sorted((row["file"], row["label"]) for row in csv.DictReader(file))

    assert rows("tags.csv") == rows("whole.csv") and len(rows("tags.csv")) == 18


@pytest.mark.usefixtures("model")
def test_classes_that_no_sound_can_be_given_are_named(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("earmark.tagging.thresholds.out_of_reach", lambda *_: [f"c{number}" for number in range(12)])
    assert run(["tag", "rec/0.wav", "--model", str(finished_run), "--threshold", "0.3"]) == 0
    assert capsys.readouterr().err == (
        "no sound is given c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more: --threshold 0.3 is out of their reach\n"
    )
