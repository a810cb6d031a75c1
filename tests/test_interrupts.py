import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from earmark.interrupts import ASKING, Interrupts


@pytest.fixture(autouse=True)
def _handlers_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ASKING)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, *ASKING])
def test_signals_that_ask_do_what_ctrl_c_does(number: signal.Signals) -> None:
    interrupts = Interrupts()
    interrupts.listen()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert interrupts.status == 128 + number


def test_training_is_told_once_though_a_closed_terminal_tells_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts, told = Interrupts(), []
    interrupts.listen()

    def save(number: int, _: FrameType | None) -> None:
        told.append(number)

    signal.signal(signal.SIGINT, save)  # as the training loop does
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert told == [signal.SIGINT]
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 5)
    signal.raise_signal(signal.SIGTERM)  # somebody has lost patience
    assert told == [signal.SIGINT] * 2
    assert interrupts.status == 128 + signal.SIGHUP


def test_what_is_ignored_stays_ignored() -> None:
    for number in (signal.SIGINT, *ASKING):
        signal.signal(number, signal.SIG_IGN)
    interrupts = Interrupts()
    interrupts.listen()
    for number in (signal.SIGINT, *ASKING):
        signal.raise_signal(number)
    assert interrupts.number is None


STOPPED = """
import multiprocessing
import earmark.cli
lock = multiprocessing.get_context("spawn").Lock()
earmark.cli.run = lambda *_, **__: 130
from earmark.__main__ import main
main()
"""


def test_stopped_process_gives_its_locks_back_and_says_nothing_of_them() -> None:
    """At its end at once, Python's tracker of such locks said that some had leaked, after our own last line."""
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
