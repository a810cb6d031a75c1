"""An audit of rendered clips in which labels were made wrong: what it finds, and what it leaves alone."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from earmark import files
from earmark.data.clips import load_clips
from earmark.data.plant import planted_store
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable, load_table
from earmark.errors import EarmarkError, RunError
from earmark.runs.predictions import read_predictions
from earmark.runs.run import Run
from earmark.training import audit as module
from earmark.training.audit import audit_run

pytestmark = pytest.mark.slow  # together they take seconds

FILES = {"suspects.csv", "guesses.parquet", "audit.json", "audit.html"}
WRONG = 10


def planted(truth: ClipTable) -> Array:
    """The labels of the clips, of which ten unverified training clips have another."""
    positive = truth.positive.copy()
    rows = np.flatnonzero(~truth.verified & ~truth.test)
    rows = rows[:: len(rows) // WRONG][:WRONG]
    positive[rows] = np.roll(positive[rows], 3, axis=1)
    return positive


def run_of(store: Store, finished_run: Path, path: Path) -> Run:
    """The finished run, as if it had learned from this store."""
    shutil.copytree(finished_run, path)
    info = json.loads((path / "run.json").read_text())
    info |= {"store": str(store.path.resolve()), "store_fingerprint": store.fingerprint}
    (path / "run.json").write_text(json.dumps(info))
    return Run.open(path)


@pytest.fixture(scope="module")
def noisy(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The rendered clips with the planted labels."""
    truth = load_table(store)
    return planted_store(store, tmp_path_factory.mktemp("noisy") / "store", planted(truth), truth.verified)


@pytest.fixture(scope="module")
def run(noisy: Store, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(noisy, finished_run, tmp_path_factory.mktemp("noisy") / "run")


@pytest.fixture(scope="module")
def out(run: Run, noisy: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an audit. Not to be written to."""
    folder = tmp_path_factory.mktemp("audit") / "out"
    audit_run(run, noisy, folder)
    return folder


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "suspects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    """Of all files of an audit; the sounds in its page are left out, since every stream of Ogg has a number drawn by chance."""
    return {
        path.name: re.sub(rb'(?<=data:audio/ogg;base64,)[^"]+', b"", path.read_bytes())
        for path in out.iterdir()
        if not path.name.startswith(".")
    }


def test_planted_labels_come_first(out: Path, store: Store, noisy: Store) -> None:
    truth, given = load_table(store), load_table(noisy)
    wrong = set(truth.clip_id[(truth.positive != given.positive).any(axis=1)].tolist())
    assert len(wrong) == WRONG and set(contents(out)) == FILES
    rows = [row for row in rows_of(out) if row["verified"] == "0"]
    hits = [row for row in rows[:WRONG] if row["clip_id"] in wrong]
    assert len(hits) >= 8
    right = dict(zip(truth.clip_id.tolist(), np.array(truth.labels.names)[truth.positive.argmax(axis=1)].tolist(), strict=True))
    assert sum(row["suggested"] == right[row["clip_id"]] for row in hits) >= 7


def test_every_training_clip_is_in_the_list_and_no_test_clip_in_any_file(out: Path, noisy: Store) -> None:
    clips = load_table(noisy)
    assert clips.test.any()
    assert sorted(row["clip_id"] for row in rows_of(out)) == sorted(clips.clip_id[~clips.test].tolist())
    _, (block,) = read_predictions(out / "guesses.parquet")
    assert block.clip_id.tolist() == clips.clip_id[~clips.test].tolist()
    for clip in clips.clip_id[clips.test].tolist():
        assert not any(clip.encode() in content for content in contents(out).values())


def test_labels_of_the_test_split_change_nothing(out: Path, run: Run, noisy: Store, finished_run: Path, tmp_path: Path) -> None:
    clips = load_table(noisy)
    positive, verified = clips.positive.copy(), clips.verified.copy()
    positive[clips.test] = np.roll(positive[clips.test], 1, axis=1)
    verified[clips.test] ^= True
    other = planted_store(noisy, tmp_path / "store", positive, verified)
    assert other.fingerprint != noisy.fingerprint
    audit_run(run_of(other, finished_run, tmp_path / "run"), other, tmp_path / "out")
    before, after = contents(out), contents(tmp_path / "out")
    for name in ("suspects.csv", "guesses.parquet"):
        assert after[name] == before[name]
    one, two = (json.loads(named["audit.json"]) for named in (before, after))
    assert {name for name in one if one[name] != two[name]} == {"run", "store", "store_fingerprint"}
    assert run.path != tmp_path / "run"


@pytest.mark.slow
def test_a_second_audit_is_bit_equal_and_keeps_decisions(out: Path, run: Run, noisy: Store, tmp_path: Path) -> None:
    audit_run(run, noisy, tmp_path / "new")
    for name in ("review.sqlite", "corrections.csv"):
        (tmp_path / "new" / name).write_text("a person's work")
    before = contents(tmp_path / "new")
    audit_run(run, noisy, tmp_path / "new")
    assert contents(tmp_path / "new") == before
    same = FILES - {"audit.html"}  # which names its folder
    assert {name: before[name] for name in same} == {name: content for name, content in contents(out).items() if name in same}


def test_the_run_and_the_store_stay_as_they_are(out: Path, run: Run, noisy: Store, tmp_path: Path) -> None:
    """The first audit has computed the vectors; now nothing is left to write."""
    assert out.is_dir()
    before = {path: path.read_bytes() for place in (run.path, noisy.path) for path in place.rglob("*") if path.is_file()}
    audit_run(run, noisy, tmp_path / "out")
    assert {path: path.read_bytes() for place in (run.path, noisy.path) for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_the_strategy_says_what_the_judges_learned_from(
    out: Path, store: Store, finished_run: Path, tmp_path: Path, noisy: Store
) -> None:
    strategy = json.loads((out / "audit.json").read_text())["strategy"]
    clips = load_table(noisy)
    verified = int((clips.verified & ~clips.test).sum())
    assert strategy == (
        f"{verified} verified clips say what is right, and how sure to be. The clips are judged by regressions on built-in statistics and "
        "the run's own nets, of other folds."
    )
    for count, said in (
        (0, "No label is verified."),
        (20, "10 of 10|No class has enough verified clips"),
        (31, r"\d of 10 classes"),
    ):
        mask = np.zeros(len(clips), bool)
        mask[np.flatnonzero(clips.verified & ~clips.test)[:count]] = True
        if count == 20:  # two a class
            mask = np.zeros(len(clips), bool)
            for k in range(10):
                mask[np.flatnonzero(clips.verified & ~clips.test & clips.positive[:, k])[:2]] = True
        other = planted_store(store, tmp_path / f"store{count}", clips.positive, mask)
        audit = audit_run(run_of(other, finished_run, tmp_path / f"run{count}"), other, tmp_path / f"out{count}")
        assert re.search(said, audit.strategy), audit.strategy
        assert audit.lines()[0] == audit.strategy


def refused(work: Callable[[], object], said: str, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(EarmarkError, match=said) as caught:
        work()
    assert "\n" not in str(caught.value) and sorted(folder.rglob("*")) == before


def test_what_cannot_be_audited_is_refused_and_nothing_is_written(
    run: Run, noisy: Store, store: Store, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(lambda: audit_run(run, store, tmp_path / "out"), "has other data: name the run's own store", tmp_path)
    refused(lambda: audit_run(run, noisy, run.path / "out"), "lies in a store or a run", run.path)
    refused(lambda: audit_run(run, noisy, noisy.path / "out"), "lies in a store or a run", noisy.path)
    begun = run_of(noisy, finished_run, tmp_path / "begun")
    for path in (tmp_path / "begun").rglob("oof.parquet"):
        path.unlink()
    refused(lambda: audit_run(begun, noisy, tmp_path / "out"), "no net of it is finished", tmp_path)

    def prepared_anew(*_: object) -> None:
        raise RunError("the store was prepared anew")

    monkeypatch.setattr(module, "check_store", prepared_anew)  # while the judges were at work
    refused(lambda: audit_run(run, noisy, tmp_path / "out"), "prepared anew", tmp_path)


def test_an_audit_in_a_folder_that_is_in_use_is_refused(run: Run, noisy: Store, tmp_path: Path) -> None:
    with (
        files.locked(tmp_path / "out/.lock", tmp_path / "out"),
        pytest.raises(EarmarkError, match="out is in use by another earmark process"),
    ):
        audit_run(run, noisy, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_clips_with_several_labels_are_audited(store: Store, finished_run: Path, tmp_path: Path) -> None:
    clips = load_clips(store, 8000)
    positive = clips.positive.copy()
    positive[np.arange(len(clips)) % 2 == 0] |= np.roll(clips.positive, 1, axis=1)[np.arange(len(clips)) % 2 == 0]
    several = planted_store(store, tmp_path / "store", positive, clips.verified)
    audit = audit_run(run_of(several, finished_run, tmp_path / "run"), several, tmp_path / "out")
    assert audit.several and json.loads((tmp_path / "out/audit.json").read_text())["several"]
    assert any("," in row["given"] for row in rows_of(tmp_path / "out"))


def test_a_full_disk_is_named_and_what_was_there_stays(
    run: Run, noisy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    audit_run(run, noisy, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_rows", full)
    monkeypatch.setattr(module, "write_audit_page", lambda *_: None)
    with pytest.raises(
        EarmarkError, match=f"cannot write {re.escape(str(out))}: No space left on device; start the same command again"
    ):
        audit_run(run, noisy, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
