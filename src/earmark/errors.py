"""Errors that the user can correct. Each message says what is wrong, where, and what would be valid."""

from collections.abc import Iterable, Sequence

NO_SUCH_FILE = "no such file"  # the reason of every file that is missing
SHOWN_FAULTS = 20  # in the message of a `ManifestError`, at most
SHOWN_CHARACTERS = 400  # of a fault: a cell may be very long


def one_line(text: str) -> str:
    """The text with control characters escaped, so that no name of a file or label can break a line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def listed(names: Iterable[str]) -> str:
    """The names in alphabetical order, with commas between them."""
    return ", ".join(sorted(names))


def shortened(text: str) -> str:
    """The text without its middle, if it is very long."""
    half = SHOWN_CHARACTERS // 2
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:half]} … {text[-half:]}"


class EarmarkError(Exception):
    """The request or its inputs are unusable (exit status 2)."""


class AudioError(EarmarkError):
    """One audio file cannot be used. The message is the reason in one line, without the file's name."""


class MachineError(EarmarkError):
    """The system failed: too many open files, a disk error, no memory. It says nothing about the file that was being read."""


class ManifestError(EarmarkError):
    """A table of clips is wrong. The message has the first 20 faults and the number of the others.

    Args:
        where: the table, or the command or option that is wrong.
        faults: all faults, one line each.
    """

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        shown = [shortened(fault) for fault in faults[:SHOWN_FAULTS]]
        if len(faults) > SHOWN_FAULTS:
            shown.append(f"and {len(faults) - SHOWN_FAULTS} more")
        super().__init__(f"{where}: " + "; ".join(shown))


class RecipeError(EarmarkError):
    """A recipe, or a setting given on the command line, is wrong."""


class StoreError(EarmarkError):
    """A store cannot be built or opened, or does not have what is needed."""


class RunError(EarmarkError):
    """A run directory cannot be used, or its run cannot go on."""


class EmbeddingError(EarmarkError):
    """A pre-trained model cannot be used."""


class NoRateError(EmbeddingError):
    """The file of a pre-trained model does not say its sample rate."""


class WindowError(EarmarkError, ValueError):
    """A timeline that cannot be made: its window, its hop, or what is asked of its parts."""


class BundleError(EarmarkError):
    """A model cannot be loaded."""


class EarmarkWarning(UserWarning):
    """Something that a user should know, though the work goes on."""
