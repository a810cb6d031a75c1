"""One file a data set; the file's name is its name on the command line. Each has ``scan(root, label_separator) → Manifest``.

One whose data set was a competition's has ``submission(root) → SubmissionLayout``. One whose data set has clips known to be labelled wrongly lists them in a constant ``ERRATA``; its ``scan`` corrects them, and
takes ``errata=False`` to read them as published.
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
        root: the data set's folder; for ``manifest`` the file itself.
        label_separator: between the labels of one cell.
        errata: correct the labels that are known to be faulty.

    Raises:
        ManifestError: there is no such source, the folder is not one of its kind, or its tables are wrong; ``errata`` is False
            and the source has no list of faulty labels.
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
    """What the competition of a data set asked for.

    Args:
        source: its name.
        root: its folder.

    Raises:
        ManifestError: it had no competition, or its tables are not in the folder.
    """
    module = importlib.import_module(f"{__name__}.{source}")
    if not hasattr(module, "submission"):
        those = [name for name in source_names() if hasattr(importlib.import_module(f"{__name__}.{name}"), "submission")]
        raise ManifestError(source, [f"no competition asked for a submission file; {' and '.join(those)} had one"])
    layout: SubmissionLayout = module.submission(root)
    return layout
