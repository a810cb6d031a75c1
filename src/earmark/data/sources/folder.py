"""A folder with a folder for each class (``ROOT/bark/1.wav``), or a Hugging Face AudioFolder with a ``metadata.csv``.

Both may have folders ``train`` and ``test`` above these (``ROOT/train/bark/1.wav``); ``validation`` counts as ``train``.
"""

from pathlib import Path

from earmark import audio
from earmark.data.manifest import Clip, Manifest, make_manifest, parse_row, read_table
from earmark.errors import ManifestError

SPLITS = {"train": "train", "validation": "train", "test": "test"}
LABEL_COLUMNS = ("labels", "label")


def scan(root: Path, label_separator: str) -> Manifest:
    """Reads file names. The label is the name of the class folder, or in the column ``label`` or ``labels`` of ``metadata.csv``."""
    if not root.is_dir():
        raise ManifestError(str(root), ["is a file; the folder that holds the class folders is needed"])
    metadata = [path for path in (root / "metadata.csv", *(root / name / "metadata.csv" for name in SPLITS)) if path.is_file()]
    if metadata:
        tables = [_from_metadata(path, root, label_separator) for path in metadata]
        clips = [clip for table_clips, _ in tables for clip in table_clips]
        return make_manifest("folder", root, clips, str(root), faults=[fault for _, faults in tables for fault in faults])
    clips, faults = [], []
    for path in audio.find_files(root):
        parts = path.relative_to(root).parts
        split = SPLITS.get(parts[0]) if len(parts) > 2 else None
        if split:
            parts = parts[1:]
        name = path.relative_to(root).as_posix()
        if not _is_text(name):
            faults.append(f"{name!r} is not named in UTF-8: rename it")
        elif len(parts) < 2:
            faults.append(f"{name!r} lies in no class folder")
        else:
            clips.append(Clip(name, (parts[0],), split=split or "train", group=name))
    if not clips and not faults:
        raise ManifestError(str(root), [f"no audio files below it (endings {', '.join(sorted(audio.SUFFIXES))})"])
    return make_manifest("folder", root, clips, str(root), faults=faults)


def _is_text(name: str) -> bool:
    """Whether a file name is valid UTF-8; names from old archives may not be, and a table cannot hold them."""
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
        clip, row_faults = parse_row({**cells, "file_name": name, "labels": row[column], "split": split}, label_separator)
        faults += [f"{path.relative_to(root)} row {number}: {fault}" for fault in row_faults]
        clips += [] if row_faults else [clip]
    return clips, faults
