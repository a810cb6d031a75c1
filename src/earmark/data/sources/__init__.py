"""One file a data set; the file's name is its name on the command line. Each has ``scan(root, label_separator) → Manifest``."""

import importlib
import pkgutil
from pathlib import Path

from earmark.data.manifest import Manifest
from earmark.errors import ManifestError


def source_names() -> list[str]:
    """The names that `scan` knows."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def scan(source: str, root: Path, label_separator: str = ",") -> Manifest:
    """Reads a data set's tables; no audio is opened.

    Args:
        source: one of `source_names`.
        root: the data set's folder; for ``manifest`` the file itself.
        label_separator: between the labels of one cell.

    Raises:
        ManifestError: there is no such source, the folder is not one of its kind, or its tables are wrong.
    """
    if source not in source_names():
        raise ManifestError(source, [f"no such source; the sources are {', '.join(source_names())}"])
    if not root.exists():
        raise ManifestError(str(root), ["no such file or folder"])
    manifest: Manifest = importlib.import_module(f"{__name__}.{source}").scan(root, label_separator)
    return manifest
