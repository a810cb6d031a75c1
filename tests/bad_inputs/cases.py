"""A command that cannot do all it was asked for, what it says, and the check of both.

Exit status 0: all done. 3: done, but some inputs were skipped, each named with its reason. 2: the request or its inputs are
unusable, one line ``error: …``. Never a traceback, and never 1, which would be a fault of earmark's own.

In the tables ``{…}`` is filled in from the places of the `places` fixture, ``{here}`` being the case's own empty folder;
``<…>`` stands for words that are libsndfile's or the system's, or that may be chosen freely. A table's text is the whole of
stderr.
"""

import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from earmark.cli import run

RATE = 16000
FAST = (
    "--device cpu --set precision=float32 --set members.*.schedule.0.batches=2 --set members.*.batch.clips_per_class=1 "
    "--set members.*.input.window=4000 --set members.*.backbone.growth=[4,4]"
)
WEIGHTS = "logmel-fold0.safetensors"  # of the only net in the bundle
Places = dict[str, Any]
Capture = pytest.CaptureFixture[str]
Arrange = Callable[[Places], object]

PREPARE = "prepare manifest {here}/m.csv {to_store}"
PREPARE_MADE = "prepare manifest {manifest} {to_store}"
TRAIN = "train tiny --store {store} --out {here}/run {fast}"
TRAIN_ON = "train tiny --store {store} --out {here}/run --folds 0 {fast}"
TAG = "tag {sound} --model {bundle}"
CORRUPT = "data corrupt {here}/m.csv --kind symmetric"
NO_RECIPE = "neither a YAML file nor one of {recipes}"


def no_change(_: object) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A command that cannot do all it was asked for.

    Attributes:
        name: what is wrong.
        command: what is typed after ``earmark``.
        said: all of stderr.
        status: the exit status.
        arrange: puts the bad thing into the case's own folder.
        within: what the command runs in: fewer rights, a full disk.
    """

    name: str
    command: str
    said: str
    status: int = 2
    arrange: Arrange = no_change
    within: Callable[[], AbstractContextManager[None]] = nullcontext


def matches(text: str, said: str, places: Places) -> bool:
    parts = re.split(r"<[^<>\n]+>", said.format(**places))
    return re.fullmatch(".*".join(map(re.escape, parts)), text) is not None


def check(case: Case, places: Places, capsys: Capture) -> str:
    """Runs a case; returns what it wrote to stdout."""
    case.arrange(places)
    quoted = {name: shlex.quote(str(value)) for name, value in places.items()}
    to_store = f"--out {quoted['here']}/store --sample-rate {RATE}"
    command = shlex.split(case.command.format(**{**quoted, "fast": FAST, "to_store": to_store}))
    capsys.readouterr()
    with case.within():
        status = run(command)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    errors = [line for line in err.split("\n") if line.startswith("error:")]
    assert len(errors) == (1 if case.status == 2 else 0), f"status {status}, stderr {err!r}"
    as_said = matches(err.removesuffix("\n"), case.said, places)
    assert as_said, f"{err!r}\nis not\n{case.said.format(**places)!r}"
    assert status == case.status, err
    return out


def check_request(case: Case, places: Places, capsys: Capture) -> None:
    """Runs a case that is refused before anything is begun."""
    check(case, places, capsys)
    if case.command.startswith("train"):
        assert not (places["here"] / "run").exists()


def table(*cases: Case) -> pytest.MarkDecorator:
    assert len({case.name for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def refused(name: str, command: str, fault: str, arrange: Arrange = no_change) -> Case:
    return Case(name, command, f"error: {fault}", arrange=arrange)


def no_store(path: str) -> str:
    return f"{path} is no store; `earmark prepare SOURCE ROOT --out {path} --sample-rate HZ` makes one"


def no_run(path: str) -> str:
    return f"{path} is no run directory; `earmark train RECIPE --store STORE --out {path}` makes one"


def no_model(path: str) -> str:
    return f"{path} is no model: no config.json in it; a finished run has one in RUN/bundle"
