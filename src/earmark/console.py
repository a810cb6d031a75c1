"""What is printed: lines on stdout and stderr, whoever reads them, and for as long as somebody does."""

import io
import os
import sys
from typing import TextIO

from earmark.errors import one_line

STDIN, STDOUT, STDERR = 0, 1, 2

_lost: str | None = None


def open_missing() -> None:
    """Opens the null device for standard streams that were closed when the program was started.

    Else the next file that is opened, a store's perhaps, would get the number of the stream, and what is printed.
    """
    for number, mode in ((STDIN, os.O_RDONLY), (STDOUT, os.O_WRONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdout is None:
        sys.stdout = open(STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  (for as long as the program runs)
    if sys.stderr is None:
        sys.stderr = open(STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def escape_what_cannot_be_shown() -> None:
    """Makes a terminal that has not all characters show the others as escapes: ``\\u2013`` for a dash."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Prints a line of the command's result, on stdout. Control characters in it are escaped."""
    write(one_line(text) + "\n")


def say_data(text: str) -> None:
    """Prints text for programs, such as JSON, on stdout: as it is."""
    write(text + "\n")


def tell(text: str) -> None:
    """Prints a line about the command's work, on stderr. Control characters in it are escaped."""
    try:
        sys.stderr.write(one_line(text) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it, or there is no room: that is no reason to stop the work
        _let_go(sys.stderr, STDERR)


def write(text: str) -> None:
    """Writes text to stdout. If nobody reads it any more, as in ``earmark … | head -1``, it goes nowhere, and the work goes on.

    The work also goes on where stdout is a file that cannot be written to; `lost_output` says so at the end.
    """
    global _lost
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):  # ValueError: the stream is closed
        _let_go(sys.stdout, STDOUT)
    except OSError as error:
        _let_go(sys.stdout, STDOUT)
        _lost = _lost or f"cannot write to stdout: {error.strerror or error}"


def lost_output() -> str | None:
    """Why some of the output since the last call was lost that somebody wanted, as on a full disk; None if nothing was."""
    global _lost
    reason, _lost = _lost, None
    return reason


def _let_go(stream: TextIO, number: int) -> None:
    """Has what is still to be printed go nowhere; else the interpreter's last flush would fail, and change the exit status."""
    try:
        own = stream.fileno() == number
    except (OSError, ValueError):  # no file: a test's, or closed
        return
    if own:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
