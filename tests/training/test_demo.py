import csv
import json
from pathlib import Path

import pytest

from earmark.assess.audit_files import check_audit_out
from earmark.data.store import Store
from earmark.data.synth import KINDS, TONAL
from earmark.data.table import load_table
from earmark.errors import EarmarkError, RunError
from earmark.recipe import Recipe, load_recipe
from earmark.training import demo, demo_loop
from earmark.training.methods import METHODS
from tests.embedding.models import write_model

SHORTER = ["members.*.schedule=[{batches: 4, rate: 3.0e-3}]", "members.*.validation.every=4", "members.*.batch.size=16"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer sounds and shorter trainings; `make demo` is the real one."""

    def shorter(name: str) -> Recipe:
        return load_recipe(name, SHORTER)

    monkeypatch.setattr(demo, "PER_KIND", 10)
    monkeypatch.setattr(demo, "VERIFIED_SHARE", 0.6)  # so that each kind has some in both folds
    monkeypatch.setattr(demo, "load_recipe", shorter)
    monkeypatch.setattr(demo_loop, "HEARD", 10)
    monkeypatch.setattr(demo_loop, "MOST_JOBS", 1)  # processes take longer to start than so small nets to train


def weights(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("**/members/**/*.safetensors")}


@pytest.mark.slow
def test_the_demo_from_rendering_to_tags(tmp_path: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    table = demo.run_demo(out, said.append)
    assert [row.name for row in table.rows] == list(METHODS.values())
    assert [row.name for row in table.rows if row.this] == ["agreement"]
    assert all(row.figures["accuracy"]["clips"] == 100 for row in table.rows)  # type: ignore[index]  # verified or not

    rows = {row["file_name"]: row["labels"] for row in csv.DictReader((out / "demo" / "manifest.csv").open())}
    clips = load_table(Store.open(out / "demo" / "store"))
    given = {name: clips.labels.names[k] for name, k in zip(clips.clip_id.tolist(), clips.positive.argmax(axis=1), strict=True)}
    wrong = [name for name in rows if rows[name] != given[name]]
    unverified = set(clips.clip_id[~clips.verified].tolist())
    assert (len(rows), len(unverified), len(wrong)) == (100, 40, 24)  # 60 % of the unverified ones
    assert unverified.issuperset(wrong)
    assert all((rows[name] in TONAL) == (given[name] in TONAL) for name in wrong)

    metrics = json.loads((out / "metrics.json").read_text())
    assert (
        next(iter(metrics["ensembles"])) == "agreement" and metrics["map@3"]["clips"] == 60
    )  # every verified sound is held out once
    page = (out / "report.html").read_text()
    assert table.title in page and table.in_words in page
    for row in table.rows:
        assert any(line.startswith(f"  {row.name} ") for line in said)
    assert table.in_words in said
    assert len([line for line in said if ".wav  " in line]) == 5
    assert said[-1] == f"report: {out / 'report.html'}"
    wrong_of = dict.fromkeys(rows, False) | dict.fromkeys(wrong, True)
    heard = {name: check_heard(out, name, rows, wrong_of, said) for name in ("list", "random")}
    listed = [row["clip_id"] for row in csv.DictReader((out / "demo" / "audit" / "suspects.csv").open()) if row["verified"] == "0"]
    assert heard["list"] == set(listed[:10]) and heard["random"] < unverified
    assert "What it brings to hear 10 sounds" in page

    before, said_again = weights(out), list[str]()
    assert len(before) > 2 * len(METHODS) + 2
    assert demo.run_demo(out, said_again.append) == table
    assert weights(out) == before  # nothing is trained twice
    assert said_again == said[1:]  # but for the rendering


def check_heard(out: Path, name: str, right: dict[str, str], wrong: dict[str, bool], said: list[str]) -> set[str]:
    """Checks the store of a listener, and the line that counts what was met; returns what was heard."""
    old, new = (load_table(Store.open(out / "demo" / folder)) for folder in ("store", f"{name}-store"))
    assert new.clip_id.tolist() == old.clip_id.tolist() and (new.verified >= old.verified).all()
    changed = new.verified != old.verified
    names = dict(zip(new.clip_id.tolist(), (new.labels.names[k] for k in new.positive.argmax(axis=1)), strict=True))
    heard = set(new.clip_id[changed].tolist())
    assert len(heard) == 10 and all(names[clip] == right[clip] for clip in heard)
    assert (new.positive[~changed] == old.positive[~changed]).all()
    met = sum(wrong[clip] for clip in heard)
    title = {"list": "by the audit's list", "random": "in random order"}[name]
    line = next(line for line in said if line.startswith(f"  agreement, {title}"))
    assert line.split()[len(title.split()) + 1 :][:4] == ["10", str(met), f"{met / 10:.2f}", str(sum(wrong.values()) - met)]
    return heard


@pytest.mark.slow
def test_the_demo_on_a_model_file(tmp_path: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    model = write_model(tmp_path / "model.onnx", facts={"sample_rate": "8000"})
    table = demo.run_demo(out, said.append, model)
    assert [row.name for row in table.rows] == list(METHODS.values())
    assert Store.open(out / "demo" / "store").sample_rates == (8000,)
    assert any("a linear net on model.onnx" in line for line in said)
    with pytest.raises(RunError, match="holds a run of another recipe"):  # without the model it is another demo
        demo.run_demo(out, said.append)


def test_a_folder_of_something_else_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(RunError, match="is no run directory and has precious already"):
        demo.run_demo(tmp_path, print)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_run_has_room_for_the_audit_of_its_demo_alone(tmp_path: Path) -> None:
    run, store = tmp_path / "run", tmp_path / "run" / "demo" / "store"
    store.mkdir(parents=True)
    (run / "recipe.yaml").touch()
    (store / "store.json").touch()
    check_audit_out(run / "demo" / "audit", run)
    for place in (run, run / "audit", run / "demolition", store / "audit", run / "demo" / ".." / "audit"):
        with pytest.raises(EarmarkError, match="lies in a store or a run"):
            check_audit_out(place, run)


def test_the_kinds_that_are_mixed_up_are_kinds() -> None:
    assert set(TONAL) < set(KINDS) and 2 <= len(TONAL) <= len(KINDS) - 2
