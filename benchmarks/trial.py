"""Runs of ``earmark tag`` that are watched: what is said, with which exit status, how long it takes, and what is left behind."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.cli import run as run_command

PATIENCE = 60  # seconds
FINE = (0, 2, 3)  # exit statuses: done, unusable, some skipped


@dataclass(frozen=True)
class Outcome:
    """What a run of the command did.

    Attributes:
        status: exit status; −1 if it took too long or raised an exception.
        line: the first line on stderr, or on stdout where it was done.
        fault: what must not be; empty if all is well.
        seconds: how long it took.
    """

    status: int
    line: str
    fault: str
    seconds: float


class Trial:
    """Runs of ``earmark tag`` in a scratch folder.

    Args:
        folder: an empty folder; what is tagged lies in ``inputs`` below it.
        model: the model.
    """

    def __init__(self, folder: Path, model: Path) -> None:
        self.inputs, self._room, self._model = folder / "inputs", folder / "room", model
        self.inputs.mkdir()
        self._room.mkdir()
        tempfile.tempdir = str(self._room)  # so that nothing may be left there
        self.rows: list[tuple[str, int, str]] = []
        self.faults: list[str] = []
        self.count, self.seconds = 0, 0.0

    def path(self, name: str) -> Path:
        """A place for an input."""
        return self.inputs / name

    def tag(self, *inputs: str | Path) -> Outcome:
        """Tags inputs in this process."""
        begun, out, err = time.perf_counter(), io.StringIO(), io.StringIO()
        status = -1
        try:
            with _no_longer_than(PATIENCE), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = run_command(self._arguments(inputs))
        except BaseException as error:  # whatever comes through is what this looks for
            if isinstance(error, KeyboardInterrupt):
                raise
            err.write(f"Traceback: {error!r}")
        return self._judged(status, out.getvalue(), err.getvalue(), time.perf_counter() - begun)

    def shell(self, command: str) -> Outcome:
        """Runs a line of bash, in which ``$TAG`` is the command and ``$MODEL`` the model."""
        begun = time.perf_counter()
        variables = {"TAG": f"{sys.executable} -m earmark tag", "MODEL": str(self._model), "TMPDIR": str(self._room)}
        places = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path)}
        how = {"capture_output": True, "timeout": PATIENCE, "check": False, "cwd": self.inputs, "env": places}
        try:
            done = subprocess.run(["bash", "-c", command], **how)  # type: ignore[call-overload]
        except subprocess.TimeoutExpired:
            return self._judged(-1, "", f"more than {PATIENCE} s", time.perf_counter() - begun)
        shown = (stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
        return self._judged(done.returncode, *shown, time.perf_counter() - begun)

    def add(self, title: str, outcome: Outcome) -> None:
        """Adds a row to the table."""
        self.rows.append((_cell(title), outcome.status, _cell(self._shown(outcome.line))))
        if outcome.fault:
            self.faults.append(f"{title}: {outcome.fault}")

    def add_tenths(self, title: str, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Adds a row for neighbouring tenths that came out alike."""
        alike: list[tuple[list[int], Outcome]] = []
        for tenth, outcome in outcomes:
            if alike and _pattern(alike[-1][1]) == _pattern(outcome):
                alike[-1][0].append(tenth)
            else:
                alike.append(([tenth], outcome))
            if outcome.fault:
                self.faults.append(f"{title}, {tenth}0 %: {outcome.fault}")
        for tenths, outcome in alike:
            share = f"{tenths[0]}0 %" if len(tenths) == 1 else f"{tenths[0]}0 to {tenths[-1]}0 %"
            self.rows.append((_cell(f"{title}, {share}"), outcome.status, _cell(self._shown(outcome.line))))

    def _arguments(self, inputs: Sequence[str | Path]) -> list[str]:
        return ["tag", "--model", str(self._model), "--", *(str(path) for path in inputs)]

    def _judged(self, status: int, out: str, err: str, seconds: float) -> Outcome:
        self.count, self.seconds = self.count + 1, self.seconds + seconds
        # PyTorch makes an empty folder for a cache of its own.
        left = [path.name for path in self._room.iterdir() if not path.name.startswith("torchinductor")]
        shutil.rmtree(self._room)
        self._room.mkdir()
        first = next((line for line in (err if status else out).splitlines() if line.strip()), "")
        if "Traceback" in err + out or status not in FINE:
            return Outcome(status, first, err.strip()[-400:] or f"exit status {status}", seconds)
        return Outcome(status, first, f"left {', '.join(left)}" if left else "", seconds)

    def _shown(self, line: str) -> str:
        """A line without the scratch folder's name, and a tone's tags without their scores."""
        line = line.replace(f"{self.inputs}/", "").replace(str(self.inputs), ".")
        return re.sub(r"(  |\t)\S.*\d\.\d\d.*", "  its tags", line)


def _cell(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text).replace("|", r"\|")


def _pattern(outcome: Outcome) -> tuple[int, str]:
    return outcome.status, re.sub(r"[\d.]+", "0", outcome.line)


@contextlib.contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
