"""What bash offers where Tab is pressed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from earmark import cli
from earmark.commands.complete import complete_recipe, complete_recipes, complete_source
from earmark.data.sources import source_names
from earmark.recipe import built_in_recipes

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``earmark`` is a program, and the home is empty."""
    program = tmp_path / "bin" / "earmark"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m earmark "$@"\n')
    program.chmod(0o755)
    (tmp_path / "home").mkdir()
    path = f"{program.parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}


def bash(script: str, environment: dict[str, str], shell: str = "bash") -> subprocess.CompletedProcess[str]:
    return subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_names_are_those_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert complete_recipe("") == built_in_recipes()
    assert complete_source("") == source_names()
    assert complete_source("fsd") == ["fsdkaggle2018", "fsdkaggle2019"]


def test_recipes_are_files_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("tiny-2.yaml", "mine/a.yml", "mine/b.yaml", "mine/c.csv"):
        (tmp_path / name).touch()
    assert complete_recipe("ti") == ["tiny", "tiny-2.yaml"]
    assert complete_recipe("mine/") == ["mine/a.yml", "mine/b.yaml"]
    assert complete_recipe(f"{tmp_path}/mine/b") == [f"{tmp_path}/mine/b.yaml"]
    assert complete_recipe("nowhere/") == complete_recipe("tiny/") == []
    assert complete_recipes("quick,ti") == ["quick,tiny", "quick,tiny-2.yaml"]


def test_bash_completes_once_completion_is_installed(environment: dict[str, str]) -> None:
    asked = 'COMP_WORDS=(%s); COMP_CWORD=%d; _earmark_completion earmark; echo "${COMPREPLY[@]}"'
    script = "; ".join(
        [
            "earmark --install-completion >/dev/null && source ~/.bashrc",
            asked % ("earmark pre", 1),
            asked % ("earmark prepare fo", 2),
            asked % ("earmark train q", 2),
            asked % ("earmark prepare folder x --for tiny,co", 5),
        ]
    )
    done = bash(script, environment)
    assert done.stdout.splitlines() == ["prepare", "folder", "quick", "tiny,cochlear2018"], done.stderr


def test_a_shell_without_completion_is_told_so(environment: dict[str, str]) -> None:
    done = bash("earmark --install-completion; echo $?", environment, "sh")
    if "installed" in done.stdout:
        pytest.skip("sh is bash here")
    assert done.stdout.endswith("2\n")
    said = "completion can be had in bash, zsh, fish and PowerShell, and earmark was not started from any of them"
    assert done.stderr == f"error: {said}\n"


def test_fish_is_told_whether_a_file_may_stand_there(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.COMPLETION, "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "is-args")
    for line, status in (("earmark prepare ", 0), ("earmark prepare folder x", 1)):
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        assert cli.run([]) == status
    assert capsys.readouterr() == ("", "")


def test_nothing_slow_is_loaded_to_complete(environment: dict[str, str]) -> None:
    slow = {"torch", "numpy", "pyarrow", "yaml", "onnxruntime", "soundfile", "earmark.recipe", "earmark.data"}
    code = f"import sys; from earmark import cli; status = cli.run([]); sys.exit(status or bool({slow!r} & set(sys.modules)))"
    asked = {"COMP_WORDS": "earmark train ti", "COMP_CWORD": "2", cli.COMPLETION: "complete_bash"}
    done = subprocess.run([sys.executable, "-c", code], env={**environment, **asked}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "tiny\n", "")
