"""The errors that are a user's to mend: each message says what is wrong, where, and what would be valid."""

from collections.abc import Iterable, Sequence

SHOWN_FAULTS = 20


def one_line(text: str) -> str:
    """Control characters escaped: a name from outside cannot break a line of ours."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def listed(names: Iterable[str]) -> str:
    """Names in order, with commas between them."""
    return ", ".join(sorted(names))


class EarmarkError(Exception):
    """The request or its inputs are unusable (exit status 2)."""


class AudioError(EarmarkError):
    """One audio file cannot be used; the reason, without the file's name, in one line."""


class ManifestError(EarmarkError):
    """A table of clips is wrong. All faults are found before this is raised; the first 20 are shown, the rest counted.

    Args:
        where: the table.
        faults: one line each.
    """

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        shown = list(faults[:SHOWN_FAULTS])
        if len(faults) > SHOWN_FAULTS:
            shown.append(f"and {len(faults) - SHOWN_FAULTS} more")
        super().__init__(f"{where}: " + "; ".join(shown))


class RecipeError(EarmarkError):
    """A recipe, or a setting given on the command line, is wrong."""


class StoreError(EarmarkError):
    """A store cannot be built, or is not what is asked for."""


class RunError(EarmarkError):
    """A run directory cannot be used, or its run cannot go on."""


class BundleError(EarmarkError):
    """A model cannot be loaded."""


class EarmarkWarning(UserWarning):
    """Something that a user should know, though the work goes on."""
