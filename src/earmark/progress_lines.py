"""How far the work of a command is, in lines on stderr, for where there is no terminal to draw bars on."""

from time import monotonic

from earmark.console import tell

EVERY = 30.0  # seconds between two lines

_told_at: float | None = None  # when the last line was printed, or the command began; None: no lines
_works: list["Work"] = []  # at work now, the innermost last


def tell_progress() -> None:
    """Has lines printed, the first `EVERY` seconds from now if something is at work then.

    For a command, which would else be silent for hours; a program that calls earmark gets no lines that it did not ask for. The
    clock is one for all works, so that many short ones are told of as often as a long one.
    """
    global _told_at
    _told_at = monotonic()


def tell_if_due() -> None:
    """Prints a line about the innermost work if it is time."""
    global _told_at
    if _works and _told_at is not None and (now := monotonic()) - _told_at >= EVERY:
        _told_at = now
        tell(_works[-1].line)


class Work:
    """Work that lines tell of, from `begin` to `end`.

    Args:
        title: what is done.
        total: number of things to do; None if nobody knows yet.
        completed: number of things that are done at the beginning.
        unit: what the things are, in the plural: ``batches``.
    """

    def __init__(self, title: str, total: int | None, completed: int, unit: str) -> None:
        self._title, self._total, self._unit, self._speed = title, total, unit, ""
        self._first = self._completed = completed
        self._begun = monotonic()

    def begin(self) -> None:
        """Has lines tell of this work."""
        _works.append(self)
        tell_if_due()

    def update(self, completed: int, speed: str = "") -> None:
        """Sets how much is done, and how fast that is in words."""
        self._completed, self._speed = completed, speed
        tell_if_due()

    def end(self) -> None:
        """Has no more lines tell of this work."""
        _works.remove(self)

    @property
    def line(self) -> str:
        """How far the work is, and about how long the rest takes at the speed so far."""
        of_all = "" if self._total is None else f" of {self._total:,}"
        line = f"{self._title}: {self._completed:,}{of_all} {self._unit}".rstrip() + (f", {self._speed}" if self._speed else "")
        if self._total is None:
            return line
        done, left = self._completed - self._first, self._total - self._completed
        return f"{line}, about {_words((monotonic() - self._begun) * left / done)} left" if done and left else line


def _words(seconds: float) -> str:
    """A length of time as text for people.

    >>> _words(3), _words(61), _words(200), _words(9000)
    ('10 s', '70 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{10 * max(-(-seconds // 10), 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:,.1f} h"
