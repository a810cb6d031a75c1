"""A folder with a folder for each class (``ROOT/bark/1.wav``), or a Hugging Face AudioFolder with a ``metadata.csv``.

Both may have folders ``train`` and ``test`` above these (``ROOT/train/bark/1.wav``); ``validation`` counts as ``train``.
"""

from pathlib import Path

from earmark import audio
from earmark.data.cells import Cell
from earmark.data.manifest import Clip, Manifest, Row, make_manifest, parse_row
from earmark.data.tables import read_csv
from earmark.errors import ManifestError

SPLITS = {"train": "train", "validation": "train", "test": "test"}
LABEL_COLUMNS = ("labels", "label")


def scan(root: Path, label_separator: str) -> Manifest:
    """Reads file names. The label is the name of the class folder, or in the column ``label`` or ``labels`` of ``metadata.csv``."""
    if not root.is_dir():
        raise ManifestError(str(root), ["is a file; the folder that holds the class folders is needed"])
    metadata = [path for path in (root / "metadata.csv", *(root / name / "metadata.csv" for name in SPLITS)) if path.is_file()]
    if metadata:
        rows = [row for path in metadata for row in _from_metadata(path, root, label_separator)]
        return make_manifest("folder", root, rows, str(root))
    clips, faults = [], []
    for path in audio.find_files(root):
        parts = path.relative_to(root).parts
        split = SPLITS.get(parts[0]) if len(parts) > 2 else None
        if split:
            parts = parts[1:]
        name = path.relative_to(root).as_posix()
        if len(parts) < 2:
            faults.append(f"{name!r} lies in no class folder")
        else:
            clips.append(Clip(name, (parts[0],), split=split or "train"))
    if not clips and not faults:
        raise ManifestError(str(root), [f"no audio files below it (endings {', '.join(sorted(audio.SUFFIXES))})"])
    return make_manifest("folder", root, clips, str(root), faults=faults)


def _from_metadata(path: Path, root: Path, label_separator: str) -> list[Row]:
    header, lines = read_csv(path)
    column = next((name for name in LABEL_COLUMNS if name in header), None)
    if "file_name" not in header or column is None:
        raise ManifestError(str(path), [f"needs the columns file_name and label or labels; it has {', '.join(header)}"])
    folder = path.parent.relative_to(root)
    rows = []
    for number, row in lines:
        name = (folder / row["file_name"]).as_posix() if row["file_name"].strip() else ""
        split = row.get("split") or SPLITS.get(name.split("/")[0], "train")
        cells: dict[str, Cell] = {key: value for key, value in row.items() if key != column}
        cells |= {"file_name": name, "labels": row[column], "split": split}
        rows.append(parse_row(f"{path.relative_to(root)} row {number}", cells, label_separator))
    return rows
