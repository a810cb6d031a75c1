"""Running a command in this process, and the claims that hold for any input."""

import csv
import io
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, settings

from earmark.cli import run
from tests.bad_inputs.arrange import read_rows, stored

SECONDS = 20  # for a command of milliseconds: only what hangs takes as long, even on a busy machine
MEMORY = 1 << 29  # bytes more in use than before the command, at most
ADDRESSES = 4 << 30  # bytes of address space more than before: what asks for more is refused by the system


class Hangs(BaseException):
    """A command took longer than `SECONDS`. No `Exception`, so that the command cannot take it for an error of its own."""


def examples(count: int) -> settings:
    """So many examples, the same ones every time."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],  # not explain: it traces every line, which takes many times as long
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def judge(*command: object) -> int:
    """Runs a command; it must end soon with status 0, 2 or 3, in little memory, and say why if not 0. Returns the status."""
    out, err = Text(), Text()
    with _bounded(), redirect_stdout(out), redirect_stderr(err):
        status = run([str(word) for word in command])
    said = err.getvalue()
    assert status in (0, 2, 3), f"status {status}: {said}"
    errors = [line for line in said.split("\n") if line.startswith("error: ")]
    assert len(errors) == (status == 2), f"status {status}: {said}"
    assert all(line.isprintable() for line in said.split("\n")), said
    assert status != 3 or "skipped: " in said
    return status


def judge_store(folder: Path, status: int, rows: int) -> None:
    """Every row of the manifest is a clip of the store or a row of its ``bad.csv``."""
    if status == 2:
        assert not folder.exists()
        return
    bad = read_rows(folder / "bad.csv")
    assert len(stored(folder)) + len(bad) == rows
    assert status == (3 if bad else 0)


def judge_tags(out: Path, status: int, files: list[Path]) -> None:
    """Every file has tags or is a row of the ledger."""
    ledger = out.with_name(out.name + ".bad.csv")
    bad = [row["file_name"] for row in read_rows(ledger)] if ledger.exists() else []
    tagged: list[str] = []
    if out.exists():
        with out.open(encoding="utf-8", newline="") as file:
            tagged = list(dict.fromkeys(row["file"] for row in csv.DictReader(file)))
    assert sorted([*tagged, *bad]) == sorted(map(str, files))
    assert status == (2 if not tagged else 3 if bad else 0)


class Text(io.TextIOWrapper):
    """A stream that keeps what is written to it, whatever characters it is."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="surrogateescape", newline="")

    def getvalue(self) -> str:
        self.flush()
        content: bytes = self.buffer.getvalue()  # type: ignore[attr-defined]
        return content.decode("utf-8", errors="surrogateescape")


@contextmanager
def _bounded() -> Iterator[None]:
    def hang(_: int, frame: FrameType | None) -> None:
        raise Hangs(f"still at work after {SECONDS} s, in {frame}")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = _forget_peak()
    old = signal.signal(signal.SIGALRM, hang)
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (_kib("VmSize") * 1024 + ADDRESSES, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    grown = _kib("VmHWM") * 1024 - before
    assert grown < MEMORY, f"{grown:,} bytes more in use"


def _forget_peak() -> int:
    """Has the system count the peak of used memory anew; bytes in use now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # a system without it: the peak of all commands so far is compared
        pass
    return _kib("VmHWM") * 1024


def _kib(name: str) -> int:
    """A figure of this process in KiB, as Linux has it; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
