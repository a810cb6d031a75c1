"""ESC-50 (Piczak, 2015): 2,000 clips of 50 classes in five published folds, as WAV or in the original Ogg release."""

from pathlib import Path

from earmark.data.cells import whole_number
from earmark.data.manifest import Clip, Manifest, Row, make_manifest
from earmark.data.sources.fsdkaggle2018 import clip_file
from earmark.data.tables import read_csv, require_columns
from earmark.errors import ManifestError
from earmark.labels import normal_label

TABLES = ("meta/esc50.csv", "esc50.csv")
COLUMNS = ("filename", "fold", "target", "category", "src_file")
FOLDS = range(1, 6)


def scan(root: Path, label_separator: str) -> Manifest:
    """Reads the table of clips. The folds are the published ones, 1–5; a group is a recording on Freesound (``src_file``)."""
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is None:
        raise ManifestError(str(root), [f"is not ESC-50: no {' or '.join(TABLES)}"])
    header, lines = read_csv(table)
    require_columns(table, header, COLUMNS)
    rows = []
    categories: dict[int, tuple[str, int]] = {}  # of each target the category, and the row that says so first
    targets: dict[str, tuple[int, int]] = {}
    for number, row in lines:
        faults = []
        category, target, fold = normal_label(row["category"]), whole_number(row["target"]), whole_number(row["fold"])
        if target is None:
            faults.append(f"target is {row['target']!r}, not a whole number")
        elif categories.setdefault(target, (category, number))[0] != category:
            faults.append(f"target {target} is {category!r} here, but {categories[target][0]!r} in row {categories[target][1]}")
        elif targets.setdefault(category, (target, number))[0] != target:
            faults.append(f"{category!r} has target {target} here, but {targets[category][0]} in row {targets[category][1]}")
        if fold not in FOLDS:
            faults.append(f"fold is {row['fold']!r}, not 1 to 5")
        if not row["src_file"].strip():
            faults.append("src_file is empty")
        clip = Clip(
            clip_file("audio", row["filename"]),
            (category,),
            fold=fold,
            group=row["src_file"].strip(),
            extra={key: row[key] for key in header if key not in ("filename", "fold", "category", "src_file")},
        )
        rows.append(Row(f"row {number}", clip, faults))
    return make_manifest(
        "esc50",
        root,
        rows,
        str(table),
        labels=[categories[target][0] for target in sorted(categories)],
        licence="CC BY-NC 3.0 (the ESC-10 subset CC BY)",
    )
