"""earmark's own table of clips, CSV or Parquet: see `earmark.data.manifest`."""

from pathlib import Path

from earmark.data.manifest import Manifest, read_manifest


def scan(root: Path, label_separator: str) -> Manifest:
    """Reads the manifest file ``root``."""
    return read_manifest(root, label_separator)
