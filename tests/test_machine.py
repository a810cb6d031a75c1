"""What the machine is told, part of it in processes of their own, since OpenMP reads the environment once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from earmark import machine
from earmark.errors import EarmarkError
from earmark.machine import arithmetic_threads, choose_device

WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def shown_by_openmp(code: str, **said: str) -> dict[str, str]:
    """What GNU OpenMP says that it has read, in a process that runs a piece of code."""
    environment = {name: value for name, value in os.environ.items() if name not in WAITING}
    environment |= {"OMP_DISPLAY_ENV": "verbose", **said}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    pairs = [line.strip().removeprefix("[host] ").partition(" = ") for line in done.stderr.splitlines() if " = " in line]
    shown = {name: value.strip("'") for name, _, value in pairs}
    if "GOMP_SPINCOUNT" not in shown:
        pytest.skip("this torch has another OpenMP than GNU's")
    return shown


COMMAND = "from earmark.cli import run; assert run(['info', 'tiny']) == 0; import torch"
LOAD = """
import sys, earmark
assert 'torch' not in sys.modules
try:
    earmark.load('nothing')
except earmark.errors.BundleError:
    pass
import torch
"""
WORKER = """
import importlib, multiprocessing
from earmark.machine import share_the_cores

if __name__ == '__main__':
    share_the_cores()
    worker = multiprocessing.get_context('spawn').Process(target=importlib.import_module, args=('torch',))
    worker.start()
    worker.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [COMMAND, LOAD, WORKER], ids=["a command", "load", "a process of --jobs"])
def test_threads_that_wait_sleep_soon(code: str) -> None:
    plain = shown_by_openmp("import torch")
    assert plain["GOMP_SPINCOUNT"] != "10000"
    assert shown_by_openmp(code)["GOMP_SPINCOUNT"] == "10000"


@pytest.mark.slow
@pytest.mark.parametrize("said", [{"GOMP_SPINCOUNT": "77"}, {"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "passive"}])
def test_what_the_user_says_holds(said: dict[str, str]) -> None:
    assert shown_by_openmp(COMMAND, **said) == shown_by_openmp("import torch", **said)


def test_importing_sets_nothing() -> None:
    code = "import os; before = dict(os.environ); import earmark, earmark.cli, earmark.machine; assert os.environ == before"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("asked", "gpu", "chosen"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")]
)
def test_the_gpu_is_taken_where_there_is_one_unless_the_cpu_is_asked_for(
    asked: str, gpu: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert choose_device(asked) == chosen


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EarmarkError, match="--device cuda: there is no GPU here; leave it out, or say --device cpu"):
        choose_device("cuda")


def test_threads_are_as_before_after_the_block_also_where_it_fails() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), arithmetic_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_memory_is_the_smallest_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "GROUP_LIMITS", (tmp_path / "max", tmp_path / "none", tmp_path / "limit"))
    (tmp_path / "max").write_text("max\n")
    whole = machine.memory()
    assert 2**27 < whole <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "limit").write_text("1000000\n")
    assert machine.memory() == 1_000_000
