"""Sounds from stdin and from pipes: their bytes go into a temporary file first, since formats of sound lie at more than one place."""

import os
import select
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from earmark.audio.opening import OpenFile, mode_of, open_ordinary
from earmark.errors import AudioError, MachineError
from earmark.interrupts import interrupted

STDIN = Path("-")  # the name of stdin where a file is named
_STDIN_NUMBER = 0  # the system's number of it
_BLOCK = 1 << 20  # bytes
_PATIENCE = 0.2  # seconds between two looks at whether the program was asked to stop


@contextmanager
def opened_or_spooled(path: Path | str) -> Iterator[OpenFile]:
    """Opens an audio file; stdin (``-``) and pipes too, whose bytes are kept in a temporary file until the block ends.

    Raises:
        AudioError: the file is missing, is no ordinary file and no pipe, or cannot be read; stdin is closed, or is a terminal.
        MachineError: there is no place for temporary files.
        OSError: the system failed.
        KeyboardInterrupt: the program was asked to stop while it waited for the pipe.
    """
    if os.fspath(path) == str(STDIN):
        with _spooled(path, _stdin()) as file:
            yield file
    elif stat.S_ISFIFO(mode_of(path)):
        # Opening it in the usual way would wait for a writer, and a thread that waits there cannot be stopped.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with _spooled(path, number) as file:
                yield file
        finally:
            os.close(number)
    else:
        with open_ordinary(path, at_once=False) as file:
            yield file


def _stdin() -> int:
    try:
        if os.isatty(_STDIN_NUMBER):
            raise AudioError("stdin is a terminal; give it a sound: earmark tag - --model M < FILE")
        os.fstat(_STDIN_NUMBER)
    except OSError:
        raise AudioError("stdin is closed; give it a sound: earmark tag - --model M < FILE") from None
    return _STDIN_NUMBER


@contextmanager
def _spooled(path: Path | str, number: int) -> Iterator[OpenFile]:
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:  # which would be taken for the sound's
        raise MachineError(f"{os.fspath(path)}: nowhere to keep its bytes meanwhile: {error.strerror}") from error
    with tempfile.TemporaryFile(buffering=0) as kept:  # it has no name, so nothing of it is left however the program ends
        ready = select.poll()
        ready.register(number, select.POLLIN)
        while True:
            if interrupted():
                raise KeyboardInterrupt
            if not ready.poll(_PATIENCE * 1000):
                continue
            try:
                block = os.read(number, _BLOCK)
            except BlockingIOError:
                continue
            if not block:
                break
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(kept.fileno(), rest) :]
        yield OpenFile(path, kept, kept.fileno())
