"""Sources: one file for each kind of data set. The file's name is the name of the source on the command line.

Each file has ``scan(root, label_separator) → Manifest``. If the data set was made for a competition, the file also has
``submission(root) → SubmissionLayout``. If some published labels are known to be wrong, a constant ``ERRATA`` lists their clips,
``scan`` corrects them, and ``scan(…, errata=False)`` reads them as published.
"""

import importlib
import pkgutil
from pathlib import Path

from earmark.data.manifest import Manifest, SubmissionLayout
from earmark.errors import ManifestError


def source_names() -> list[str]:
    """The names that `scan` knows."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def scan(source: str, root: Path, label_separator: str = ",", errata: bool = True) -> Manifest:
    """Reads a data set's tables; no audio is opened.

    Args:
        source: one of `source_names`.
        root: folder of the data set; for ``manifest`` the file.
        label_separator: separates the labels in a cell.
        errata: correct the labels that are known to be wrong.

    Raises:
        ManifestError: there is no such source, the folder has another kind of data set, or its tables are wrong; or ``errata`` is
            False for a source without a list of wrong labels.
    """
    if source not in source_names():
        raise ManifestError(source, [f"no such source; the sources are {', '.join(source_names())}"])
    if not root.exists():
        raise ManifestError(str(root), ["no such file or folder"])
    module = importlib.import_module(f"{__name__}.{source}")
    manifest: Manifest
    if errata:
        manifest = module.scan(root, label_separator)
    elif hasattr(module, "ERRATA"):
        manifest = module.scan(root, label_separator, errata=False)
    else:
        raise ManifestError("--no-errata", [f"{source} has no list of faulty labels that could be left as published"])
    return manifest


def submission_layout(source: str, root: Path) -> SubmissionLayout:
    """The layout of the submission file that a data set's competition asked for.

    Args:
        source: name of the data set's source.
        root: folder of the data set.

    Raises:
        ManifestError: there was no competition, or the tables are not in the folder.
    """
    module = importlib.import_module(f"{__name__}.{source}")
    if not hasattr(module, "submission"):
        with_competition = [name for name in source_names() if hasattr(importlib.import_module(f"{__name__}.{name}"), "submission")]
        raise ManifestError(source, [f"no competition asked for a submission file; {' and '.join(with_competition)} had one"])
    layout: SubmissionLayout = module.submission(root)
    return layout
