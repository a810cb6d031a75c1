"""Signals that ask a program to stop: Ctrl-C, and those of a system that shuts down or of a terminal that is closed."""

import signal
import threading
import time
from types import FrameType

ASKING = (signal.SIGTERM, signal.SIGHUP)
REPEATED = 1.0  # seconds; a terminal that is closed sends SIGHUP twice, which is no wish to stop without saving

_come = threading.Event()


def interrupted() -> bool:
    """Whether a signal has asked the program to stop: signals reach the main thread alone, so another that waits has to ask."""
    return _come.is_set()


class Interrupts:
    """Makes the signals of `ASKING` do what Ctrl-C does, and remembers which signal has come.

    Ctrl-C raises `KeyboardInterrupt`, or saves a training first. Libraries may turn that exception into one of their own, so what has
    come is noted here.

    Attributes:
        number: number of the first signal that has come; None before.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._asked_at = -REPEATED

    def listen(self) -> None:
        """Begins to listen. A signal that the program was told to ignore, as by ``nohup``, stays ignored."""
        _come.clear()
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._on_interrupt)
        for number in ASKING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_asked)

    @property
    def status(self) -> int:
        """The exit status, as shells have it: 128 and the number of the signal."""
        return 128 + (self.number or signal.SIGINT)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        _come.set()
        signal.default_int_handler(number, frame)

    def _on_asked(self, number: int, frame: FrameType | None) -> None:
        before, self._asked_at = self._asked_at, time.monotonic()
        if self._asked_at - before < REPEATED:
            return
        self.number = self.number or number
        _come.set()
        on_interrupt = signal.getsignal(signal.SIGINT)  # a training's own, while there is one
        if callable(on_interrupt):
            on_interrupt(signal.SIGINT, frame)
        else:
            signal.default_int_handler(number, frame)
