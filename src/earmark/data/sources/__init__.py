"""Sources: one file for each kind of data set. The file's name is the name of the source on the command line.

Each file has ``scan(root, label_separator) → Manifest``. If the data set was made for a competition, the file also has
``submission(root) → SubmissionLayout``. If some published labels are known to be wrong, a constant ``ERRATA`` lists their clips,
``scan`` corrects them, and ``scan(…, errata=False)`` reads them as published. A source of data sets that need not say which labels
were checked, and which clips are of one recording, has ``scan(…, said=…)``, what the user says about it.
"""

import importlib
import inspect
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from earmark.data.manifest import Manifest, SubmissionLayout
from earmark.data.said import NOTHING, Said
from earmark.errors import ManifestError


def source_names() -> list[str]:
    """The names that `scan` knows."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def scan(source: str, root: Path, label_separator: str = ",", errata: bool = True, said: Said = NOTHING) -> Manifest:
    """Reads a data set's tables; no audio is opened.

    Args:
        source: one of `source_names`.
        root: folder of the data set; for ``manifest`` the file.
        label_separator: separates the labels in a cell.
        errata: correct the labels that are known to be wrong.
        said: what the user says of the clips where the data set does not.

    Raises:
        ManifestError: there is no such source, the folder has another kind of data set, or its tables are wrong; ``errata`` is
            False for a source without a list of wrong labels; something is said of a data set that says it itself.
    """
    if source not in source_names():
        raise ManifestError(source, [f"no such source; the sources are {', '.join(source_names())}"])
    if not root.exists():
        raise ManifestError(str(root), ["no such file or folder"])
    module = importlib.import_module(f"{__name__}.{source}")
    takes = inspect.signature(module.scan).parameters
    more: dict[str, Any] = {}
    if not errata:
        if "errata" not in takes:
            raise ManifestError("--no-errata", [f"{source} has no list of faulty labels that could be left as published"])
        more["errata"] = False
    if "said" in takes:
        more["said"] = said
    else:
        said.refuse(f"{source} says itself which labels were checked", f"{source} says itself which clips are of one recording")
    manifest: Manifest = module.scan(root, label_separator, **more)
    separator = () if label_separator == "," else ("--label-separator", label_separator)
    return replace(manifest, options=(*separator, *(() if errata else ("--no-errata",)), *said.options))


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
