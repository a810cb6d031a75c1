"""How far the work is, on stderr: bars if that is a terminal, else lines; see `earmark.progress_lines`."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from earmark.errors import one_line
from earmark.progress_lines import Work, tell_if_due

_hidden = False


def hide_bars() -> None:
    """Shows no more progress in this process, because another process shows its own."""
    global _hidden
    _hidden = True


class Bar:
    """Shows how far some work is; make one with `progress_bar`. This one is hidden."""

    def update(self, completed: int, note: str | None = None, speed: str = "") -> None:  # noqa: ARG002
        """Sets how much is done, and the note after the bar; without a new note, the old one stays.

        Args:
            completed: number of things that are done.
            note: stands after a bar; lines have no notes.
            speed: how fast the work is, in a bar and in lines.
        """
        tell_if_due()  # of the work that this is a part of


class _DrawnBar(Bar):
    """A bar on a terminal."""

    def __init__(self, progress: Progress, title: str, total: int | None, completed: int) -> None:
        self._progress = progress
        self._task = progress.add_task(one_line(title), total=total, completed=completed, note="")

    def update(self, completed: int, note: str | None = None, speed: str = "") -> None:
        """See `Bar.update`."""
        note = note or speed or None
        if note is None:
            self._progress.update(self._task, completed=completed)
        else:
            self._progress.update(self._task, completed=completed, note=one_line(note))


class _ToldBar(Bar):
    """Lines, which have no notes."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def update(self, completed: int, note: str | None = None, speed: str = "") -> None:  # noqa: ARG002
        """See `Bar.update`."""
        self._work.update(completed, speed)


@contextmanager
def progress_bar(title: str, total: int | None, completed: int = 0, hidden: bool = False, unit: str = "") -> Iterator[Bar]:
    """Shows how far some work is while the block runs: a bar, which is removed afterwards, or lines where there is no terminal.

    Args:
        title: the text before the bar.
        total: number of things to do, at which the bar is full; None if nobody knows yet.
        completed: number of things that are done at the beginning.
        hidden: show nothing, because something else is written to the terminal.
        unit: what the things are, in the plural: ``batches``.
    """
    console = Console(stderr=True)
    if hidden or _hidden:
        yield Bar()
    elif not console.is_terminal:
        work = Work(title, total, completed, unit)
        work.begin()
        try:
            yield _ToldBar(work)
        finally:
            work.end()
    else:
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=10),  # so that a line has at most 80 columns
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        )
        with progress:
            yield _DrawnBar(progress, title, total, completed)
