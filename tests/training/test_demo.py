import csv
import json
from pathlib import Path

import pytest

from earmark.recipe import Recipe, load_recipe
from earmark.training import demo
from tests.conftest import SMALL


@pytest.mark.slow
def test_the_demo_from_rendering_to_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer clips and a smaller net; `make demo` is the real one."""

    def smaller(name: str, overrides: tuple[str, ...] | list[str] = ()) -> Recipe:
        return load_recipe(name, [*SMALL, *overrides])

    monkeypatch.setattr(demo, "PER_KIND", 10)
    monkeypatch.setattr(demo, "load_recipe", smaller)
    said: list[str] = []
    metrics, other = demo.run_demo(tmp_path / "out", said.append)

    rows = list(csv.DictReader((tmp_path / "out" / "demo" / "manifest.csv").open()))
    unverified = [row for row in rows if row["verified"] == "0"]
    assert (len(rows), len(unverified)) == (100, 60)
    assert sum(row["labels"] != row["true_labels"] for row in unverified) == 18  # 30 %
    assert all(row["labels"] == row["true_labels"] for row in rows if row["verified"] == "1")

    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["map@3"] == metrics["map@3"]
    assert written["map@3"]["clips"] == 40  # every verified clip is held out once
    plain = json.loads((tmp_path / "out" / "demo" / "without-masking" / "metrics.json").read_text())
    assert plain["map@3"] == other["map@3"]

    def masked(run: Path) -> float:
        log = run / "members" / "logmel" / "fold0" / "metrics.csv"
        return sum(float(row["masked"]) for row in csv.DictReader(log.open()))

    assert masked(tmp_path / "out") > 0
    assert masked(tmp_path / "out" / "demo" / "without-masking") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Loss masking against none" in page
    assert f"{plain['map@3']['value']:.3f}" in page
    assert len([line for line in said if ".wav  " in line]) == 5

    before = (tmp_path / "out" / "members" / "logmel" / "fold0" / "last.safetensors").stat().st_mtime_ns
    assert demo.run_demo(tmp_path / "out", said.append)[0]["map@3"] == metrics["map@3"]  # again: nothing is trained twice
    assert (tmp_path / "out" / "members" / "logmel" / "fold0" / "last.safetensors").stat().st_mtime_ns == before
