"""Progress bars, on stderr, and only if that is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from earmark.errors import one_line

_hidden = False


def hide_bars() -> None:
    """Shows no more progress bars in this process, because another process shows its own."""
    global _hidden
    _hidden = True


class Bar:
    """A progress bar; make one with `progress_bar`."""

    def __init__(self, progress: Progress, title: str, total: int, completed: int) -> None:
        self._progress = progress
        self._task = progress.add_task(one_line(title), total=total, completed=completed, note="")

    def update(self, completed: int, note: str | None = None) -> None:
        """Sets how much is done, and the note after the bar; without a new note, the old one stays."""
        if note is None:
            self._progress.update(self._task, completed=completed)
        else:
            self._progress.update(self._task, completed=completed, note=one_line(note))


@contextmanager
def progress_bar(title: str, total: int, completed: int = 0, hidden: bool = False) -> Iterator[Bar]:
    """Shows a progress bar while the block runs, and removes it afterwards.

    Args:
        title: the text before the bar.
        total: number of things to do, at which the bar is full.
        completed: number of things that are done at the beginning.
        hidden: show nothing, because something else is written to the terminal.
    """
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=10),  # so that a line has at most 80 columns
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        disable=hidden or _hidden or not console.is_terminal,
    )
    with progress:
        yield Bar(progress, title, total, completed)
