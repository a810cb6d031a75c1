"""ESC-50 (Piczak, 2015): 2,000 clips of 50 classes in five published folds, as WAV or in the original Ogg release."""

from pathlib import Path

from earmark.data.manifest import Clip, Manifest, make_manifest, read_table, require_columns
from earmark.errors import ManifestError

TABLES = ("meta/esc50.csv", "esc50.csv")
COLUMNS = ("filename", "fold", "target", "category", "src_file")


def scan(root: Path, label_separator: str) -> Manifest:
    """Reads the table of clips. The folds are the published ones, 1–5; a group is a recording on Freesound (``src_file``)."""
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is None:
        raise ManifestError(str(root), [f"is not ESC-50: no {' or '.join(TABLES)}"])
    header, rows = read_table(table)
    require_columns(table, header, COLUMNS)
    faults = [
        f"row {number}: {name} is {row[name]!r}, not a whole number"
        for number, row in rows
        for name in ("target", "fold")
        if not row[name].isdecimal()
    ]
    if faults:
        raise ManifestError(str(table), faults)
    names = {int(row["target"]): row["category"] for _, row in rows}
    clips = [
        Clip(
            f"audio/{row['filename']}",
            (row["category"],),
            fold=int(row["fold"]),
            group=row["src_file"],
            extra={key: row[key] for key in header if key not in ("filename", "fold", "category", "src_file")},
        )
        for _, row in rows
    ]
    return make_manifest(
        "esc50",
        root,
        clips,
        str(table),
        labels=[names[target] for target in sorted(names)],
        licence="CC BY-NC 3.0 (the ESC-10 subset CC BY)",
    )
