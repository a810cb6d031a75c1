"""What the README tells a reader to type is typed here."""

import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from tests.conftest import REPOSITORY
from tests.embedding.models import write_model

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SHORT = ["--set", "members.*.schedule.0.batches=3", "--set", "members.*.validation.every=3", "--set", "precision=float32"]


def commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    return [shlex.split(line[2:]) for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.slow
def test_the_tour_runs_as_written(rendered: Path, tmp_path: Path) -> None:
    """Only the length of the training is cut."""
    shutil.copytree(rendered.parent / "audio", tmp_path / "sounds")
    rows = list(csv.DictReader(rendered.read_text().replace("audio/", "sounds/").splitlines()))
    for number, row in enumerate(rows):
        row["verified"] = str(int(number % 8 != 0))  # thresholds want 50 verified clips
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    night = np.concatenate([soundfile.read(path)[0] for path in sorted((tmp_path / "sounds").glob("*.wav"))[:20]])
    soundfile.write(tmp_path / "night.mp3", night, 16000)
    (tmp_path / "files.txt").write_text("sounds\n")
    write_model(tmp_path / "model.onnx", facts={"sample_rate": "32000"})
    quick, tour = ["prepare", "train", "tag"], ["prepare", "train", "evaluate", "tag", "info"]
    tags = ["tag", "tag", "-L", "tag", "export"]
    loop = ["audit", "review", "apply-corrections", "prepare", "train", "compare"]
    assert [command[1] for command in commands()] == quick + tour + tags + loop
    for command in commands():
        sound = None
        if command[0] == "curl":  # … URL | earmark tag -
            command, sound = command[command.index("|") + 1 :], (tmp_path / "night.mp3").open("rb")
        assert command[0] == "earmark"
        if command[1] == "review":
            look_at(command[1:], tmp_path)
            continue
        arguments = command[1:] + (SHORT if command[1] == "train" else [])
        done = subprocess.run(
            [sys.executable, "-m", "earmark", *arguments],
            cwd=tmp_path,
            stdin=sound,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
    assert len((tmp_path / "tags.csv").read_text().splitlines()) == 1 + 3 * 80
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "night.txt").read_text().startswith("Selection\tView")
    assert (tmp_path / "onnx" / "logmel-fold0.onnx").is_file()
    assert (tmp_path / "corrected.csv").is_file()


def look_at(arguments: list[str], folder: Path) -> None:
    """Starts a review, and ends it as a person does."""
    words = [sys.executable, "-m", "earmark", *arguments, "--no-browser"]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split("to review: ")[1].strip()
        for _ in range(200):
            with suppress(httpx.TransportError):
                assert "earmark" in httpx.get(address).text
                break
            time.sleep(0.05)
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0


def test_the_example_manifest_and_the_python_lines_work(finished_run: Path, rendered: Path, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from earmark.data.manifest import read_manifest

    (tmp_path / "labels.csv").write_text(re.search(r"```csv\n(.*?)```", README, flags=re.DOTALL).group(1))  # type: ignore[union-attr]
    clips = read_manifest(tmp_path / "labels.csv").clips
    assert [clip.labels for clip in clips] == [("Bark",), ("Bark", "Growling"), ()]
    shutil.copytree(rendered.parent / "audio", tmp_path / "sounds")
    (tmp_path / "run").symlink_to(finished_run)
    samples, rate = soundfile.read(tmp_path / "sounds" / "0001.wav")
    soundfile.write(tmp_path / "night.mp3", np.tile(samples, 8), rate)
    monkeypatch.chdir(tmp_path)
    lines = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL).group(1)  # type: ignore[union-attr]
    names: dict[str, object] = {}
    exec(lines, names)
    assert isinstance(names["label"], str)
    assert names["part"].end > 5  # type: ignore[attr-defined]


def test_make_does_what_the_readme_says() -> None:
    for target, expected in (("demo", "earmark demo --out demo-run"), ("test", "-m pytest")):
        assert f"make {target}" in README
        shown = subprocess.run(["make", "-n", target], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
        assert expected in shown


def test_every_recipe_is_listed_and_every_link_leads_somewhere() -> None:
    from earmark.recipe import built_in_recipes

    for name in built_in_recipes():
        assert f"| `{name}` |" in README
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (REPOSITORY / target).is_file(), target
