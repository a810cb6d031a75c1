"""earmark's own table of clips, CSV or Parquet: see `earmark.data.manifest`."""

from pathlib import Path

from earmark.data.manifest import Manifest, read_manifest
from earmark.data.said import NOTHING, Said


def scan(root: Path, label_separator: str, said: Said = NOTHING) -> Manifest:
    """Reads the manifest file ``root``. What is said of its clips stands for columns that it has not got."""
    return said.complete(read_manifest(root, label_separator), root.name)
