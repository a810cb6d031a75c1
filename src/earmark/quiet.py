"""Keeping what C libraries print away from the terminal."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2  # the system's number of the stream

_shown = False


def show_libraries() -> None:
    """Lets C libraries print on stderr in this process, to look for a fault."""
    global _shown
    _shown = True


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drops what C libraries print on stderr while the block runs; what Python prints there still comes through.

    libsndfile's decoder of MP3 prints notes about odd tags and headers, in the middle of a progress bar and without the file's name,
    and libsndfile has no setting against it. What makes a file unusable is reported by earmark itself. The stream belongs to the
    whole process, so this is for a command, not for a function that others call from several threads.
    """
    python_stream = sys.stderr
    try:
        if _shown or python_stream.fileno() != STDERR:  # replaced, by a test for example: then stderr is nobody's business
            raise OSError
        real = os.dup(STDERR)
    except (OSError, ValueError, AttributeError):  # closed
        yield
        return
    python_stream.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    os.close(nowhere)
    sys.stderr = io.TextIOWrapper(
        io.FileIO(real, "w", closefd=False),  # a raw stream will do: nothing waits in a buffer
        encoding=python_stream.encoding,
        errors=python_stream.errors,
        line_buffering=True,
        write_through=True,
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = python_stream
        os.dup2(real, STDERR)
        os.close(real)
