from pathlib import Path

import pytest

from earmark.data.manifest import Clip
from earmark.data.sources import scan
from earmark.errors import ManifestError

HEADER = "filename,fold,target,category,esc10,src_file,take\n"
GOOD = "a.wav,1,7,dog,True,100,A\nb.wav,5,0,cat,False,101,B\n"


def lay(root: Path, rows: str, header: str = HEADER) -> Path:
    (root / "meta").mkdir()
    (root / "meta/esc50.csv").write_text(header + rows, encoding="utf-8")
    return root


def test_as_published(tmp_path: Path) -> None:
    manifest = scan("esc50", lay(tmp_path, GOOD))
    assert manifest.clips[0] == Clip(
        "audio/a.wav", ("dog",), fold=1, group="100", extra={"target": "7", "esc10": "True", "take": "A"}
    )
    assert manifest.labels.names == ("cat", "dog")  # in the order of the targets


@pytest.mark.parametrize(
    ("rows", "faults"),
    [
        ("c.wav,0,1,cow,,1,A\n", ["row 3: fold is '0', not 1 to 5"]),
        ("c.wav,6,1,cow,,1,A\n", ["row 3: fold is '6', not 1 to 5"]),
        ("c.wav,1.5,1,cow,,1,A\n", ["row 3: fold is '1.5', not 1 to 5"]),
        ("c.wav,,1,cow,,1,A\n", ["row 3: fold is '', not 1 to 5"]),
        ("c.wav,1,-1,cow,,1,A\n", ["row 3: target is '-1', not a whole number"]),
        ("c.wav,1,²,cow,,1,A\n", ["row 3: target is '²', not a whole number"]),
        (f"c.wav,1,{'9' * 5000},cow,,1,A\n", [f"row 3: target is '{'9' * 5000}', not a whole number"]),
        ("c.wav,1,7,cow,,1,A\n", ["row 3: target 7 is 'cow' here, but 'dog' in row 1"]),
        ("c.wav,1,1, dog ,,1,A\n", ["row 3: 'dog' has target 1 here, but 7 in row 1"]),
        ("c.wav,1,1,,,1,A\n", ["row 3: a label is empty"]),
        ("c.wav,1,1,co\x1bw,,1,A\n", ["row 3: label 'co\\x1bw' has a control character"]),
        ("c.wav,1,1,cow,, ,A\n", ["row 3: src_file is empty"]),
        (",1,1,cow,,1,A\n", ["row 3: file_name is empty"]),
        ("../c.wav,1,1,cow,,1,A\n", ["row 3: file_name 'audio/../c.wav' is not below the manifest's folder"]),
        ("/c.wav,1,1,cow,,1,A\n", ["row 3: file_name '/c.wav' is not below the manifest's folder"]),
        ("./a.wav,1,7,dog,,1,A\n", ["clip 'audio/a.wav' stands 2 times"]),
        ("c.wav,1,1,cow\n", ["row 3: 4 cells under 7 columns"]),
    ],
)
def test_odd_rows_are_refused(rows: str, faults: list[str], tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        scan("esc50", lay(tmp_path, GOOD + rows))
    assert list(caught.value.faults) == faults


def test_odd_cells_that_do_no_harm(tmp_path: Path) -> None:
    manifest = scan("esc50", lay(tmp_path, "a.wav,1.0,007,dog,maybe, no number ,\nb.wav,2,7,dog,,9,α\n"))
    assert [(clip.fold, clip.labels, clip.group, clip.extra["take"]) for clip in manifest.clips] == [
        (1, ("dog",), "no number", ""),
        (2, ("dog",), "9", "α"),
    ]


def test_a_column_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no column 'fold'; it has 'filename', 'target', 'category', 'src_file'"):
        scan("esc50", lay(tmp_path, "a.wav,7,dog,1\n", "filename,target,category,src_file\n"))
