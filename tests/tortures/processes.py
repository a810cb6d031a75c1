"""Starting earmark in a process with limits of time and memory; its end, and whether anything of it is left over."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EARMARK = (sys.executable, "-m", "earmark")
SECONDS = 120  # for a command, at most
MEMORY = 6 << 30  # bytes of address space: more than any of the commands needs here
GRACE = 5.0  # seconds that helpers of a process which was killed have to end
ROOM = 1 << 20  # bytes of output that nobody has to read meanwhile
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
LIMITS = {"memory": resource.RLIMIT_AS, "files": resource.RLIMIT_NOFILE, "file size": resource.RLIMIT_FSIZE}


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        words: what was typed.
        status: exit status; −N if signal N ended it; None if it had to be killed because its time was over.
        out: what it wrote to stdout.
        err: what it wrote to stderr.
        left: the processes of its session that lived on.
    """

    words: Sequence[str]
    status: int | None
    out: str
    err: str
    left: Sequence[str]

    def faults(self, allowed: Sequence[int]) -> list[str]:
        """What no command may do: another status than these, a traceback, an error that is not one line, processes left over."""
        shown = f"`earmark {' '.join(map(str, self.words))}`"
        faults = []
        if self.status is None:
            faults.append(f"{shown}: did not end")
        elif self.status not in allowed:
            faults.append(
                f"{shown}: status {self.status}, not {' or '.join(map(str, sorted(set(allowed))))}: {last_lines(self.err)}"
            )
        if "Traceback" in self.err:
            faults.append(f"{shown}: a traceback: {last_lines(self.err)}")
        if self.status == 2 and sum(line.startswith("error: ") for line in self.err.splitlines()) != 1:
            faults.append(f"{shown}: status 2 without one line `error: …`: {last_lines(self.err)}")
        if self.left:
            faults.append(f"{shown}: left over: {', '.join(self.left)}")
        return faults


def last_lines(text: str, count: int = 3) -> str:
    return " | ".join(text.strip().splitlines()[-count:])[-500:]


class Running:
    """A command that runs, in a session of its own."""

    started = 0  # how many, of all

    def __init__(
        self, words: Sequence[str], limits: Mapping[str, int] | None = None, plumb: Callable[[], object] | None = None
    ) -> None:
        """Starts it.

        Args:
            words: what is typed after ``earmark``.
            limits: limits of the process, by the names in `LIMITS`.
            plumb: called in the new process before the command; it may close or replace the streams.
        """
        Running.started += 1
        self.words = words
        self.began = time.monotonic()
        limits = {"memory": MEMORY, **(limits or {})}

        def begin() -> None:
            # A shell starts what runs in the background deaf to Ctrl-C, and that would be inherited.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            for name, limit in limits.items():
                resource.setrlimit(LIMITS[name], (limit, limit))
            if plumb is not None:
                plumb()

        self.process = subprocess.Popen(
            [*EARMARK, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=begin,
            env={**os.environ, **ENVIRONMENT},
        )
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, ROOM)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def is_over(self, seconds: float) -> bool:
        """Waits so long, or until it is over."""
        try:
            self.process.wait(max(seconds, 0.001))
        except subprocess.TimeoutExpired:
            return False
        return True

    def send(self, number: int, group: bool) -> None:
        """Sends a signal to the process, or to its whole group, as a terminal does."""
        if self.process.poll() is None:
            (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self, seconds: float = SECONDS) -> Ended:
        """Waits for the end, for so many seconds at most; then everything of it is killed."""
        over = self.is_over(seconds)
        session = self.process.pid
        until = time.monotonic() + GRACE
        while over and processes_of(session) and time.monotonic() < until:
            time.sleep(0.02)
        left = processes_of(session)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        out, err = (stream.decode(errors="replace") for stream in self.process.communicate())
        return Ended(self.words, self.process.returncode if over else None, out, err, list(left.values()) if over else [])


def run(words: Sequence[str], seconds: float = SECONDS, limits: Mapping[str, int] | None = None) -> Ended:
    """Runs a command to its end."""
    return Running(words, limits).end(seconds)


def processes_of(session: int) -> dict[int, str]:
    """The living processes of a session: their command lines by number."""
    alive = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                alive[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:  # it has ended meanwhile
            continue
    return alive
