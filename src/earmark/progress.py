"""Progress bars: on stderr, only on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_hidden = False


def hide_bars() -> None:
    """Shows no bars in this process from now on: another one has the terminal."""
    global _hidden
    _hidden = True


class Bar:
    """One bar; see `progress_bar`."""

    def __init__(self, progress: Progress, total: int, completed: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total, completed=completed, note="")

    def update(self, completed: int, note: str | None = None) -> None:
        """Sets how much is done, and what stands behind the bar; the old note stays where there is no new one."""
        if note is None:
            self._progress.update(self._task, completed=completed)
        else:
            self._progress.update(self._task, completed=completed, note=note)


@contextmanager
def progress_bar(title: str, total: int, completed: int = 0, hidden: bool = False) -> Iterator[Bar]:
    """A bar that shows while the block runs, and is gone after it.

    Args:
        title: in front of it.
        total: when it is full.
        completed: where it begins.
        hidden: show nothing, because something else is being written to the terminal.
    """
    console = Console(stderr=True)
    progress = Progress(
        TextColumn(title, markup=False),
        BarColumn(bar_width=10),  # all of it fits into 80 columns
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        disable=hidden or _hidden or not console.is_terminal,
    )
    with progress:
        yield Bar(progress, total, completed)
