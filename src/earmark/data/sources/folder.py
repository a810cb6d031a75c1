"""A folder with a folder for each class (``ROOT/bark/1.wav``), or a Hugging Face AudioFolder with a ``metadata.csv``.

Both may have folders ``train`` and ``test`` above these (``ROOT/train/bark/1.wav``); ``validation`` counts as ``train``. Folders
``verified`` and ``unverified`` above the class folders, or a list ``ROOT/verified.txt``, say which labels were checked.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from earmark import audio, files
from earmark.data.cells import Cell
from earmark.data.manifest import Clip, Manifest, Row, make_manifest, parse_row
from earmark.data.names import from_root
from earmark.data.said import NOTHING, Said
from earmark.data.tables import read_csv
from earmark.errors import ManifestError

SPLITS = {"train": "train", "validation": "train", "test": "test"}
CHECKED = {"verified": True, "unverified": False}
LIST = "verified.txt"
LARGEST_LIST = 1 << 28  # bytes
LABEL_COLUMNS = ("labels", "label")


def scan(root: Path, label_separator: str, said: Said = NOTHING) -> Manifest:
    """Reads file names. The label is the name of the class folder, or in the column ``label`` or ``labels`` of ``metadata.csv``.

    What lies below a folder ``verified`` or stands in ``verified.txt`` is verified, and then nothing else is. What is said of the
    clips stands for what else the folder does not say.
    """
    if not root.is_dir():
        raise ManifestError(str(root), ["is a file; the folder that holds the class folders is needed"])
    metadata = [path for path in (root / "metadata.csv", *(root / name / "metadata.csv" for name in SPLITS)) if path.is_file()]
    manifest, checked = (_from_metadata(metadata, root, label_separator), {}) if metadata else _from_folders(root)
    if (root / LIST).exists():
        if "verified" in manifest.columns:
            raise ManifestError(str(root / LIST), ["the metadata.csv has a column verified as well; keep one of the two"])
        checked |= dict.fromkeys(_listed(root, manifest.clips), True)
    if checked:
        others = not said.unverified and True not in checked.values()
        clips = tuple(replace(clip, verified=checked.get(clip.file_name, others)) for clip in manifest.clips)
        manifest = replace(manifest, clips=clips, columns=manifest.columns | {"verified"})
        said = replace(said, unverified=False)
    return said.complete(manifest, "metadata.csv")


def _from_folders(root: Path) -> tuple[Manifest, dict[str, bool]]:
    """The clips of class folders, and whether their labels were checked, by file name, where a folder says so."""
    clips, loose = [], []
    checked: dict[str, bool] = {}
    for path in audio.find_files(root):
        name, parts = path.relative_to(root).as_posix(), path.relative_to(root).parts
        split = verified = None
        while len(parts) > 2:  # the last two are the class and the file, whatever they are called
            if split is None and parts[0] in SPLITS:
                split = SPLITS[parts[0]]
            elif verified is None and parts[0] in CHECKED:
                verified = checked[name] = CHECKED[parts[0]]
            else:
                break
            parts = parts[1:]
        if len(parts) < 2:
            loose.append(name)
        else:
            clips.append(Clip(name, (parts[0],), split=split or "train"))
    if not clips and not loose:
        raise ManifestError(str(root), [f"no audio files below it (endings {', '.join(sorted(audio.SUFFIXES))})"])
    faults = []
    if loose:
        more = {1: "", 2: ", nor does 1 other"}.get(len(loose), f", nor do {len(loose) - 1:,} others")
        faults.append(f"{loose[0]!r} lies in no class folder{more}: {root}/CLASS/FILE is needed")
    return make_manifest("folder", root, clips, str(root), faults=faults), checked


def _from_metadata(paths: Sequence[Path], root: Path, label_separator: str) -> Manifest:
    rows, columns = [], set()
    for path in paths:
        header, lines = read_csv(path)
        column = next((name for name in LABEL_COLUMNS if name in header), None)
        if "file_name" not in header or column is None:
            raise ManifestError(str(path), [f"needs the columns file_name and label or labels; it has {', '.join(header)}"])
        columns |= set(header)
        rows += [_row(root, path.relative_to(root), number, row, column, label_separator) for number, row in lines]
    return replace(make_manifest("folder", root, rows, str(root)), columns=frozenset(columns))


def _row(root: Path, table: Path, number: int, row: dict[str, str], label_column: str, label_separator: str) -> Row:
    name = from_root(root, (table.parent / row["file_name"]).as_posix()) if row["file_name"].strip() else ""
    split = row.get("split") or SPLITS.get(name.split("/")[0], "train")
    cells: dict[str, Cell] = {key: value for key, value in row.items() if key != label_column}
    cells |= {"file_name": name, "labels": row[label_column], "split": split}
    return parse_row(f"{table} row {number}", cells, label_separator)


def _listed(root: Path, clips: Sequence[Clip]) -> list[str]:
    """The file names of the clips that the list names, a line a file or a folder.

    Raises:
        ManifestError: it cannot be read, names nothing, or names what is no clip and no folder of clips.
    """
    path = root / LIST
    try:
        lines = files.read_small(path, LARGEST_LIST).removeprefix("\ufeff").split("\n")
    except OSError as error:
        raise ManifestError(str(path), [str(error.strerror)]) from None
    except ValueError:
        raise ManifestError(str(path), ["is not UTF-8 text"]) from None
    below: dict[str, list[str]] = {}  # the clips that a name stands for
    for clip in clips:
        whole = PurePosixPath(normalize("NFC", clip.file_name))
        for named in (whole, *whole.parents):
            below.setdefault(named.as_posix(), []).append(clip.file_name)
    listed, faults = [], []
    names = {number: name for number, line in enumerate(lines, start=1) if (name := line.removesuffix("\r")).strip()}
    for number, name in names.items():
        clips_of = below.get(normalize("NFC", posixpath.normpath(from_root(root, name))))
        if clips_of is None:
            faults.append(f"line {number}: {name!r} is no clip and no folder of clips below {root}")
        else:
            listed += clips_of
    if not names:
        faults.append("names no clip; if nobody checked any, remove it and say --unverified")
    elif len(faults) > 1 and not listed:  # it is meant for another folder
        faults = [f"none of its {len(names):,} lines is a clip or a folder of clips below {root}, such as {clips[0].file_name!r}"]
    if faults:
        raise ManifestError(str(path), faults)
    return listed
