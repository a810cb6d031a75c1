"""``audit.html``."""

from pathlib import Path

from earmark.assess.audit_result import Audit
from earmark.data.clips import ClipSet


def write_audit_page(path: Path, audit: Audit, clips: ClipSet) -> Path:  # noqa: ARG001  (a placeholder until the page is here)
    """Nothing yet."""
    return path
