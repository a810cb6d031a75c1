"""A run learns from one store: what is opened for it is held against that, wherever it is opened."""

import ast
import json
from pathlib import Path

import pytest

from earmark.data.store import Store
from earmark.errors import RunError, StoreError
from earmark.recipe import load_recipe
from earmark.runs import data
from earmark.runs.run import Run, RunInfo
from tools import house

READERS = {"open", "load_clips", "load_table", "rows_and_pcm"}  # what reads a store by its name
#: Who reads stores but for a run: the room that makes them, the plan of a training, commands that pass on what a user names, the demo its own, the review
#: that of an audit.
OTHERS = {
    "training.plan": {"load_clips"},
    "commands.train": {"open"},
    "commands.noise": {"open"},
    "training.demo": {"open", "load_table"},
    "training.demo_loop": {"open"},
    "web.folder": {"open"},
    "runs.data": READERS,
}


def readers_in(path: Path) -> set[str]:
    """The names in `READERS` that a file calls, `Store.open` as ``open``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            last = called.rpartition(".")[2]
            if last in READERS and (last != "open" or called == "Store.open"):
                found.add(last)
    return found


def test_only_one_file_opens_stores_for_runs() -> None:
    modules = {house.module_of(path): readers_in(path) for path in house.source_files()}
    assert modules["runs.data"] >= {"open", "load_clips", "load_table"}  # the search finds what is there
    outside = {name: found for name, found in modules.items() if found and house.room_of(name) != "data"}
    assert {name: found - OTHERS.get(name, set()) for name, found in outside.items()} == {name: set() for name in outside}


def write_store(path: Path, fingerprint: str = "of the data", clips: int = 3) -> Store:
    path.mkdir(exist_ok=True)
    info = {"version": 1, "source": "manifest", "root": "m.csv", "sample_rates": [8000], "labels": ["x", "y"], "bad": 0}
    (path / "store.json").write_text(json.dumps({**info, "clips": clips, "fingerprint": fingerprint, "licence": ""}))
    return Store.open(path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has begun on the store in ``tmp_path / "store"``."""
    store = write_store(tmp_path / "store")
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run", load_recipe("tiny"))
    run.write_info(RunInfo("1", str(store.path), store.fingerprint, "cpu", "float32", 1, store.clip_count))
    return run


def test_a_runs_own_store_is_opened_also_where_it_was_moved(run: Run, tmp_path: Path) -> None:
    assert data.open_store(run).path == tmp_path / "store"
    (tmp_path / "store").rename(tmp_path / "moved")
    assert data.open_store(run, tmp_path / "moved").path == tmp_path / "moved"
    assert data.open_store_to_test(run, write_store(tmp_path / "other", "another").path).fingerprint == "another"


@pytest.mark.parametrize(("fingerprint", "clips"), [("another", 3), ("of the data", 2)])
def test_a_store_that_was_prepared_anew_is_refused(run: Run, tmp_path: Path, fingerprint: str, clips: int) -> None:
    """Also to a process that has opened it before."""
    opened = data.open_store(run)
    write_store(tmp_path / "store", fingerprint, clips)
    said = (
        f"{run.path} learns from {tmp_path / 'store'}, which was prepared anew since the run began: train into another --out, or "
        "prepare the earlier data again"
    )
    for attempt in (
        lambda: data.open_store(run),
        lambda: data.open_store(run, tmp_path / "store"),
        lambda: data.open_store_to_test(run),
        lambda: data.check_store(run, opened),
    ):
        with pytest.raises(RunError) as caught:
            attempt()
        assert str(caught.value) == said
    with pytest.raises(StoreError, match="was prepared anew while this command read it; start the command again"):
        data.check_unchanged(opened)


def test_another_store_is_refused(run: Run, tmp_path: Path) -> None:
    write_store(tmp_path / "other", "another")
    with pytest.raises(RunError) as caught:
        data.open_store(run, tmp_path / "other")
    assert str(caught.value) == (
        f"{run.path} learns from {tmp_path / 'store'}, and {tmp_path / 'other'} has other data: name the run's own store, or train "
        "into another --out"
    )


def test_runs_of_earlier_versions_go_on_without_the_number_of_clips(run: Run) -> None:
    info = json.loads((run.path / "run.json").read_text())
    del info["store_clips"]
    (run.path / "run.json").write_text(json.dumps(info))
    assert data.open_store(run).clip_count == 3


def test_a_store_that_is_replaced_while_its_files_are_opened_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = data.open_store(run)

    def replaced_meanwhile(store: Store, *_: object) -> None:
        write_store(store.path, "another")

    monkeypatch.setattr(data, "load_clips", replaced_meanwhile)
    monkeypatch.setattr(data, "load_inputs", replaced_meanwhile)
    monkeypatch.setattr(data, "load_table", replaced_meanwhile)
    for attempt in (
        lambda: data.load_run_clips(run, opened, 8000),
        lambda: data.load_run_inputs(run, opened, "logmel"),
        lambda: data.load_unchanged_inputs(opened, run.recipe, ["logmel"]),
        lambda: data.load_unchanged_table(opened),
    ):
        write_store(tmp_path / "store")
        with pytest.raises((RunError, StoreError), match="was prepared anew"):
            attempt()
