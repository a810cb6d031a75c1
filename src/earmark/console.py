"""What is printed: lines on stdout and stderr, whoever reads them, and for as long as somebody does."""

import errno
import io
import json
import os
import stat
import sys
import traceback
from typing import Any, TextIO

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
            os.set_inheritable(number, True)  # processes that are started from here need the streams as well
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


def say_data(data: Any) -> None:
    """Prints JSON for programs, on stdout: with the characters as they are, or with JSON's escapes where those cannot be shown."""
    text = json.dumps(data, ensure_ascii=False)
    write((text if _can_be_shown(text) else json.dumps(data)) + "\n")


def tell(text: str) -> None:
    """Prints a line about the command's work, on stderr. Control characters in it are escaped."""
    _tell(one_line(text) + "\n")


def tell_traceback() -> None:
    """Prints the traceback of the exception that is being handled, on stderr."""
    _tell(traceback.format_exc())


def _tell(text: str) -> None:
    try:
        write_to(sys.stderr, text)
    except OSError:  # no room: that is no reason to stop the work
        pass


def write(text: str) -> None:
    """Writes text to stdout. If nobody reads it any more, as in ``earmark … | head -1``, it goes nowhere, and the work goes on.

    The work also goes on where stdout is a file that cannot be written to; `lost_output` says so at the end.
    """
    global _lost
    try:
        write_to(sys.stdout, text)
    except OSError as error:
        _lost = _lost or f"cannot write to stdout: {error.strerror or error}"


def lost_output() -> str | None:
    """Why some of the output since the last call was lost that somebody wanted, as on a full disk; None if nothing was."""
    global _lost
    reason, _lost = _lost, None
    return reason


def write_to(stream: TextIO, text: str) -> None:
    """Writes text to a stream at once. If nobody reads it any more, it goes nowhere, and so does all that follows.

    Raises:
        OSError: there is a reader or a file, but it cannot be written to. What follows goes nowhere.
    """
    if stream.closed:
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        unread = isinstance(error, ConnectionError) or (error.errno == errno.EIO and _is_terminal(stream))
        _let_go(stream)
        if not unread:
            raise


def _is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal, be it one that is closed by now: ``isatty`` says no of such a terminal."""
    return stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)


def _let_go(stream: TextIO) -> None:
    """Has what is still to be printed go nowhere; else the interpreter's last flush would fail, and change the exit status."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # no file: a test's
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)


def _can_be_shown(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return text.isprintable()
