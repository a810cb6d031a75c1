"""File names in tables: paths from the data set's folder down, with ``/``."""

import os
from pathlib import Path, PurePosixPath

REMEDY = "put the manifest above the sounds, and write the paths from its folder down"


def from_root(root: Path, name: str) -> str:
    """The path from the data set's folder to a file that is named by its absolute path; any other name as it is.

    >>> from_root(Path("/data/birds"), "/data/birds/wren/1.wav")
    'wren/1.wav'
    """
    if not name.startswith("/") or "\0" in name:
        return name
    path = PurePosixPath(name)
    for folder in (os.path.abspath(root), os.path.realpath(root)):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    real = PurePosixPath(os.path.realpath(path.parent)) / path.name  # the folder may be called by two links, here and there
    return real.relative_to(folder).as_posix() if real.is_relative_to(folder) else name


def leads_out(name: str) -> bool:
    """Whether a name leads out of the data set's folder, or might."""
    return name.startswith("/") or ".." in name.split("/")


def outside(places: list[tuple[str, str]], remedy: str) -> list[str]:
    """The fault of all names that lead out of the data set's folder; none if none does.

    Args:
        places: where each of them stands, and the name.
        remedy: what to do about it; may be empty.
    """
    if not places:
        return []
    place, name = places[0]
    more = {1: "", 2: ", nor is 1 other"}.get(len(places), f", nor are {len(places) - 1:,} others")
    return [f"{place}: file_name {name!r} is not below the manifest's folder{more}{f': {remedy}' if remedy else ''}"]
