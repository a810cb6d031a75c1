"""A folder of class folders (``ROOT/bark/1.wav``), or an AudioFolder with a ``metadata.csv``.

In both, folders named ``train`` and ``test`` (or ``validation``, taken for training) may stand in between.
"""

from pathlib import Path

from earmark import audio
from earmark.data.manifest import Clip, Manifest, make_manifest, parse_row, read_table
from earmark.errors import ManifestError

SPLITS = {"train": "train", "validation": "train", "test": "test"}
LABEL_COLUMNS = ("labels", "label")


def scan(root: Path, label_separator: str) -> Manifest:
    """Labels are the names of the class folders, or the ``label`` or ``labels`` column of ``metadata.csv``."""
    if not root.is_dir():
        raise ManifestError(str(root), ["is a file; the folder that holds the class folders is needed"])
    metadata = [path for path in (root / "metadata.csv", *(root / name / "metadata.csv" for name in SPLITS)) if path.is_file()]
    if metadata:
        tables = [_from_metadata(path, root, label_separator) for path in metadata]
        clips = [clip for found, _ in tables for clip in found]
        return make_manifest("folder", root, clips, str(root), faults=[fault for _, faults in tables for fault in faults])
    clips, loose = [], []
    for path in audio.find_files(root):
        parts = path.relative_to(root).parts
        split = SPLITS.get(parts[0]) if len(parts) > 2 else None
        if split:
            parts = parts[1:]
        name = path.relative_to(root).as_posix()
        if not _is_text(name):
            loose.append(f"{name!r} is not named in UTF-8: rename it")
        elif len(parts) < 2:
            loose.append(f"{name!r} lies in no class folder")
        else:
            clips.append(Clip(name, (parts[0],), split=split or "train", group=name))
    if not clips and not loose:
        raise ManifestError(str(root), [f"no audio files below it (endings {', '.join(sorted(audio.SUFFIXES))})"])
    return make_manifest("folder", root, clips, str(root), faults=loose)


def _is_text(name: str) -> bool:
    """Old archives leave names in other encodings, which a table cannot hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_metadata(path: Path, root: Path, label_separator: str) -> tuple[list[Clip], list[str]]:
    header, rows = read_table(path)
    column = next((name for name in LABEL_COLUMNS if name in header), None)
    if "file_name" not in header or column is None:
        raise ManifestError(str(path), [f"needs the columns file_name and label or labels; it has {', '.join(header)}"])
    folder = path.parent.relative_to(root)
    clips, faults = [], []
    for number, row in rows:
        name = (folder / row["file_name"]).as_posix() if row["file_name"] else ""
        split = row.get("split") or SPLITS.get(name.split("/")[0], "train")
        cells = {key: value for key, value in row.items() if key != column}
        clip, wrong = parse_row({**cells, "file_name": name, "labels": row[column], "split": split}, label_separator)
        faults += [f"{path.relative_to(root)} row {number}: {fault}" for fault in wrong]
        clips += [] if wrong else [clip]
    return clips, faults
