"""``earmark audit``: the lines that it prints, and what it refuses in one."""

import json
import shutil
from pathlib import Path

import pytest

from earmark import cli
from earmark.data.store import Store
from earmark.runs.run import Run
from tests.training.test_audit import run_of

pytestmark = pytest.mark.slow  # together they take seconds

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def places(store: Store, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Store]:
    """A run and its store, both of their own: vectors are written into the store."""
    folder = tmp_path_factory.mktemp("places")
    shutil.copytree(store.path, folder / "store")
    own = Store.open(folder / "store")
    return run_of(own, finished_run, folder / "run"), own


def test_what_it_finds_is_printed_and_as_json(places: tuple[Run, Store], tmp_path: Path, capsys: Capture) -> None:
    run, _ = places
    out = tmp_path / "what it says"
    assert cli.run(["audit", str(run.path), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    data = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert lines[0] == data["strategy"]
    whole = data["whole"]
    assert lines[1] == (
        f"unverified: {whole['first']} labels, about {whole['wrong']:,.0f} ({whole['low']:,.0f}–{whole['high']:,.0f}) of them wrong"
    )
    first = {0: "no label is", 1: "the first is"}.get(data["cut"], f"the first {data['cut']} are")
    assert f"{first} wrong rather than right" in lines
    assert lines[-3:] == [
        f"suspects: {out / 'suspects.csv'}",
        f"page: {out / 'audit.html'}",
        f"to hear and correct them: earmark review '{out}'",
    ]
    assert (out / "audit.html").is_file() and (out / "suspects.csv").is_file()
    assert cli.run(["audit", str(run.path), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == data


def test_a_store_that_has_been_moved_is_named(places: tuple[Run, Store], tmp_path: Path, capsys: Capture) -> None:
    run, store = places
    shutil.copytree(store.path, tmp_path / "moved")
    assert cli.run(["audit", str(run.path), "--out", str(tmp_path / "out"), "--store", str(tmp_path / "moved")]) == 0
    assert json.loads((tmp_path / "out/audit.json").read_text())["store"] == str(tmp_path / "moved")
    assert capsys.readouterr().err == ""


def refused(arguments: list[str], said: str, folder: Path, capsys: Capture) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert cli.run(["audit", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert said in captured.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_what_cannot_be_audited_is_refused_in_a_line(places: tuple[Run, Store], tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(places[0].path, tmp_path / "run")
    shutil.copytree(places[1].path, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    run, out = str(tmp_path / "run"), str(tmp_path / "out")
    info = json.loads((tmp_path / "run/run.json").read_text()) | {"store": str(store.path)}
    (tmp_path / "run/run.json").write_text(json.dumps(info))
    refused([str(store.path), "--out", out], "is no run directory", tmp_path, capsys)
    refused([str(tmp_path / "nowhere"), "--out", out], "is no run directory", tmp_path, capsys)
    refused([run, "--out", str(tmp_path / "run")], "lies in a store or a run; choose another --out", tmp_path, capsys)
    refused([run, "--out", str(tmp_path / "run/audit")], "lies in a store or a run; choose another --out", tmp_path, capsys)
    refused([run, "--out", str(tmp_path / "store/audit")], "lies in a store or a run; choose another --out", tmp_path, capsys)
    refused([run, "--out", str(tmp_path)], "is no audit and has run, store already; choose another --out", tmp_path, capsys)
    refused([run, "--out", out, "--store", str(tmp_path / "nowhere")], "nowhere", tmp_path, capsys)
    shutil.move(tmp_path / "run/members", tmp_path / "members")
    refused([run, "--out", out], "no net of it is finished", tmp_path, capsys)
    shutil.move(tmp_path / "members", tmp_path / "run/members")
    changed = json.loads((tmp_path / "store/store.json").read_text()) | {"fingerprint": "changed"}
    (tmp_path / "store/store.json").write_text(json.dumps(changed))
    refused([run, "--out", out], "was prepared anew since the run began", tmp_path, capsys)
    shutil.copytree(tmp_path / "store", tmp_path / "another")
    refused([run, "--out", out, "--store", str(tmp_path / "another")], "has other data", tmp_path, capsys)


def test_an_out_is_needed(places: tuple[Run, Store], capsys: Capture) -> None:
    assert cli.run(["audit", str(places[0].path)]) == 2
    assert "--out" in capsys.readouterr().err
