"""Corrections with any cells, for any manifest; any exports of Label Studio; any audits to make tasks of."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.store import Store
from tests.bad_inputs.properties.judge import examples, judge
from tests.bad_inputs.properties.test_any_manifest import parquet_columns, seldom, tables
from tests.bad_inputs.properties.values import changed

pytestmark = pytest.mark.slow  # together they take seconds

HEADERS = (
    ["clip_id", "labels"],
    ["clip", "labels", "by"],
    ["clip_id", "given", "labels", "action", "by", "when", "sha256", "disagrees"],
)
USUAL = {
    "clip_id": st.sampled_from(["a.wav", "b.wav", "c.wav", "./deep/d.wav", "a.wav#0-0.05", "none.wav"]),
    "labels": st.sampled_from(["x", "y", "x,y", "z", "", "remove"]),
    "given": st.sampled_from(["x", "y,x", ""]),
    "action": st.sampled_from(["keep", "accept", "relabel", "none", "unusable"]),
    "by": st.sampled_from(["R1", "R2", ""]),
    "when": st.sampled_from(["2026-01-31T12:00:00Z", "2026-02-01", ""]),
    "sha256": st.sampled_from(["", "00ff"]),
    "disagrees": st.sampled_from(["", "R1;R2"]),
}
USUAL["clip"] = USUAL["clip_id"]
ODD = st.one_of(
    st.text(max_size=4), st.sampled_from(["/etc/passwd", "\0", "\ud800", "../a.wav", "x,x", "0001-01-01T00:00:00+14:00", "Remove"])
)


@st.composite
def heard(draw: st.DrawFn) -> list[list[str]]:
    header = list(draw(st.sampled_from(HEADERS)))
    rows = draw(st.lists(st.tuples(*(USUAL[name] for name in header)).map(list), max_size=4))
    for row in rows:
        if seldom(draw, 12):
            row[draw(st.integers(0, len(row) - 1))] = draw(ODD)
    if seldom(draw, 20):
        header[draw(st.integers(0, len(header) - 1))] = draw(st.text(max_size=4))
    return [header, *rows]


def write(path: Path, table: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        csv.writer(file).writerows(table)


def judge_corrections(manifest: Path, corrections: Path) -> None:
    """Applied to its own result, what was applied changes nothing; what was refused has written nothing."""
    one, two = (manifest.with_name(f"m{number}{manifest.suffix}") for number in (1, 2))
    for path in manifest.parent.glob("m[12].*"):
        path.unlink()
    before = manifest.read_bytes()
    if judge("apply-corrections", manifest, corrections, "--out", one, "--new-labels") == 0:
        assert judge("apply-corrections", one, corrections, "--out", two, "--new-labels") == 0
        assert one.read_bytes() == two.read_bytes()
    else:
        assert not list(manifest.parent.glob("m[12].*"))
    assert manifest.read_bytes() == before


@pytest.mark.slow
@given(table=tables(), corrections=heard())
@examples(150)
def test_any_cells_of_csv(tmp_path: Path, table: list[list[str]], corrections: list[list[str]]) -> None:
    write(tmp_path / "m.csv", table)
    write(tmp_path / "heard.csv", corrections)
    judge_corrections(tmp_path / "m.csv", tmp_path / "heard.csv")


@pytest.mark.slow
@given(columns=parquet_columns(), corrections=heard())
@examples(100)
def test_any_cells_of_parquet(tmp_path: Path, columns: dict[str, list[object]], corrections: list[list[str]]) -> None:
    try:
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "m.parquet")
    except (pyarrow.ArrowException, OverflowError, ValueError, TypeError, UnicodeEncodeError):  # no kind of column
        return
    write(tmp_path / "heard.csv", corrections)
    judge_corrections(tmp_path / "m.parquet", tmp_path / "heard.csv")


CHOICES = {"type": "choices", "from_name": "labels", "to_name": "audio", "value": {"choices": ["x"]}}
EXPORTS: tuple[dict[str, Any], ...] = (
    {
        "tasks": [
            {
                "id": 1,
                "data": {"clip_id": "a.wav", "sha256": "00ff"},
                "annotations": [
                    {
                        "id": 3,
                        "completed_by": {"id": 1, "email": "r1@example.org"},
                        "result": [CHOICES],
                        "updated_at": "2026-01-31T12:00:00Z",
                    },
                    {"id": 4, "completed_by": 2, "result": [], "was_cancelled": True},
                ],
            },
            {"id": 2, "data": {"file_name": "b.wav"}, "annotations": []},
        ]
    },
    {
        "tasks": [
            {"clip_id": "a.wav", "id": 1, "labels": "y", "annotator": 3, "annotation_id": 4, "updated_at": "2026-01-31T12:00:00Z"},
            {"clip_id": "b.wav", "id": 2, "labels": {"choices": ["x", "y"]}, "annotator": "r1@example.org", "annotation_id": 5},
        ]
    },
)


@pytest.mark.slow
@given(export=st.sampled_from(EXPORTS).flatmap(changed))
@examples(200)
def test_any_export(tmp_path: Path, export: Any) -> None:
    (tmp_path / "m.csv").write_text("file_name,labels\na.wav,x\nb.wav,y\nc.wav,x\nd.wav,y\n")
    (tmp_path / "export.json").write_text(json.dumps(export.get("tasks", export) if isinstance(export, dict) else export))
    judge_corrections(tmp_path / "m.csv", tmp_path / "export.json")


@given(
    audit=changed({"labels": ["x", "y"], "label_separator": ",", "several": False, "cut": 1}),
    cell=st.one_of(st.just(""), ODD),
    place=st.integers(0, 60),
)
@examples(100)
def test_any_audit(store: Store, tmp_path: Path, audit: dict[str, Any], cell: str, place: int) -> None:
    clip = store.rows(8000)["clip_id"][0].as_py()
    row = ["1", clip, "x", "y", "1.0", "0.9", "0", "wrong label"]
    if cell and place < len(row):
        row[place] = cell
    write(tmp_path / "suspects.csv", [["rank", "clip_id", "given", "suggested", "score", "probability", "verified", "reason"], row])
    place_of = {"store": str(store.path), "store_fingerprint": store.fingerprint}
    (tmp_path / "audit.json").write_text(json.dumps(audit | place_of))
    for path in tmp_path.glob("tasks.*"):
        path.unlink()
    status = judge("data", "label-studio", tmp_path, "--out", tmp_path / "tasks.json")
    assert (tmp_path / "tasks.json").exists() == (tmp_path / "tasks.xml").exists() == (status == 0)
