"""``audit.json``: what an audit says of itself, for all that goes on with the folder of an audit."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark import files
from earmark.errors import EarmarkError, one_line, shortened
from earmark.labels import LabelSet

NAME, SUSPECTS, GUESSES = "audit.json", "suspects.csv", "guesses.parquet"
VERSION = 1
MOST_BYTES = 2**30  # it has the names of all classes
SEPARATORS = (",", ";", "|")
TEXTS = ("run", "store", "store_fingerprint", "label_separator")


@dataclass(frozen=True)
class AuditInfo:
    """What the review and others need to know of an audit.

    Attributes:
        store: folder of the store, absolute.
        store_fingerprint: of the store that was audited.
        labels: the classes.
        label_separator: stands between the labels of a cell of ``suspects.csv``.
        several: whether a clip may have several labels.
        vectors: key of the embeddings that tell which clips sound alike; None if there are none.
        strategy: how the audit went about it, a sentence.
        cut: number of suspects that it proposes to hear.
    """

    store: str
    store_fingerprint: str
    labels: LabelSet
    label_separator: str
    several: bool
    vectors: str | None
    strategy: str
    cut: int


def label_separator(labels: LabelSet) -> str:
    """What separates labels in the cells of an audit's tables: a comma, unless a label has one."""
    for separator in SEPARATORS:
        if not any(separator in name for name in labels.names):
            return separator
    return "\t"


def read_audit(folder: Path) -> dict[str, Any]:
    """The content of ``audit.json``. Only `TEXTS` and the version are checked.

    Raises:
        EarmarkError: the folder is none of an audit, or the file is damaged or of another version.
    """
    path = folder / NAME
    try:
        content = files.read_json(path, MOST_BYTES)
        version = content["version"]
        if version == VERSION:
            for name in TEXTS:
                _text(content, name)
    except PermissionError:
        raise EarmarkError(f"{path}: no permission to read it") from None
    except (FileNotFoundError, NotADirectoryError):
        raise EarmarkError(f"{folder} is not the folder of an audit (it has no {NAME}); {_made(folder)} makes one") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from None
    if version != VERSION:
        what = f"of version {str(version)[:20]}; this earmark reads version {VERSION}"
        raise EarmarkError(f"{path} is {what}: remove that file, and {_made(folder)} makes it anew")
    known: dict[str, Any] = content
    return known


def read_info(folder: Path) -> AuditInfo:
    """What ``audit.json`` says, checked.

    Raises:
        EarmarkError: as in `read_audit`.
    """
    content = read_audit(folder)
    try:
        vectors = None if content["vectors"] is None else _text(content, "vectors")
        if vectors is not None and ("/" in vectors or vectors.startswith(".")):
            raise ValueError(f"vectors is {vectors!r}, no name of a folder")
        return AuditInfo(
            store=_text(content, "store"),
            store_fingerprint=_text(content, "store_fingerprint"),
            labels=LabelSet(tuple(map(str, content["labels"]))),
            label_separator=_text(content, "label_separator"),
            several=bool(content["several"]),
            vectors=vectors,
            strategy=_text(content, "strategy"),
            cut=int(content["cut"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(folder, error) from None


def audit_again(folder: Path) -> str:
    """The remedy where another file of the folder is damaged, for messages."""
    return f"{_made(folder)} writes it anew"


def _made(folder: Path) -> str:
    return f"`earmark audit RUN --out {shlex.quote(str(folder))}`"


def _damaged(folder: Path, error: Exception) -> EarmarkError:
    fault = f"it has no {error}" if isinstance(error, KeyError) else shortened(one_line(str(error)))
    # An audit does not write over what may be that of another run.
    return EarmarkError(f"{folder / NAME} is damaged ({fault}); remove that file, and {_made(folder)} makes it anew")


def _text(content: dict[str, Any], name: str) -> str:
    value = content[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {shortened(repr(value))}, no text")
    return value
