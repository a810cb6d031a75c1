"""Two runs on the same clips: which clips are compared, with which labels and recordings, and what comes of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import sklearn.metrics

from earmark.assess.compare import compare_runs, compare_scores, join_groups
from earmark.assess.comparison import Comparison
from earmark.data.table import ClipTable
from earmark.errors import EarmarkError
from earmark.labels import LabelSet
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import Block, write_predictions
from earmark.runs.run import Run, RunInfo

pytestmark = pytest.mark.slow  # together they take seconds

CLIPS, LABELS = 60, ("x", "y", "z")
Rows = list[dict[str, Any]]


def given_rows() -> Rows:
    """Clips of three classes, verified, two of a recording, in two folds."""
    return [
        {
            "clip_id": f"{i}.wav",
            "labels": [LABELS[i % 3]],
            "verified": True,
            "fold": i // 2 % 2,
            "group": f"g{i // 2}",
            "split": "train",
            "scored": True,
            "content_hash": f"{i:032x}",
            "sample_rate": 16000,
        }
        for i in range(CLIPS)
    ]


def make_store(path: Path, rows: Rows, labels: tuple[str, ...] = LABELS) -> Path:
    path.mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path / "clips.parquet")
    info = {"version": 1, "source": "manifest", "root": "m.csv", "options": [], "sample_rates": [16000], "labels": labels}
    info |= {"clips": len(rows), "bad": 0, "fingerprint": path.name, "licence": ""}
    (path / "store.json").write_text(json.dumps(info))
    return path


def make_run(path: Path, store: Path, scores: dict[str, np.ndarray], recipe: Recipe | None = None) -> Run:
    """A run whose nets have these scores of the clips, by name; what a fold holds out is as its store says."""
    recipe = recipe or load_recipe("tiny")
    path.mkdir()
    (path / "recipe.yaml").write_text(recipe.to_yaml())
    labels = json.loads((store / "store.json").read_text())["labels"]
    rows = [row for row in pyarrow.parquet.read_table(store / "clips.parquet").to_pylist() if row["clip_id"] in scores]
    Run(path, recipe).write_info(RunInfo("0.1.0", str(store.resolve()), store.name, "cpu", "float32", 1))
    for fold in (0, 1):
        names = [row["clip_id"] for row in rows if row["fold"] == fold]
        if not names:
            continue
        own = np.stack([scores[name] for name in names]).astype(np.float32)
        folder = path / f"members/logmel/fold{fold}"
        folder.mkdir(parents=True)
        write_predictions(
            folder / "oof.parquet", LabelSet(tuple(labels)), [Block(np.array(names), own, "logmel", fold, "last", "whole")]
        )
    return Run.open(path)


def guesses(right: float, seed: int, rows: Rows | None = None) -> dict[str, np.ndarray]:
    """Scores whose best guess is right for about a share of the clips."""
    rng, scores = np.random.default_rng(seed), {}
    for row in rows or given_rows():
        own = rng.dirichlet([2.0, 2.0, 2.0])
        label = LABELS.index(row["labels"][0])
        best = label if rng.random() < right else (label + rng.integers(1, 3)) % 3
        own[[best, own.argmax()]] = own[[own.argmax(), best]]
        scores[row["clip_id"]] = own
    return scores


Make = Callable[..., Comparison]


@pytest.fixture
def compared(tmp_path: Path) -> Make:
    """Compares guesses that are right for 50 % with others for 90 %, on stores with these rows."""

    def compare(first: Rows | None = None, second: Rows | None = None, labels: tuple[str, ...] = LABELS) -> Comparison:
        stores = make_store(tmp_path / "s1", first or given_rows()), make_store(tmp_path / "s2", second or given_rows(), labels)
        other = {name: own[[LABELS.index(label) for label in labels]] for name, own in guesses(0.9, 2).items()}
        return compare_runs(make_run(tmp_path / "r1", stores[0], guesses(0.5, 1)), make_run(tmp_path / "r2", stores[1], other))

    return compare


def test_figures_are_those_of_scikit_learn(compared: Make) -> None:
    found = compared()
    truth = np.array([LABELS.index(row["labels"][0]) for row in given_rows()])
    scores = [np.stack(list(guesses(right, seed).values())).astype(np.float32) for right, seed in ((0.5, 1), (0.9, 2))]
    best = [own.argmax(axis=1) for own in scores]
    accuracy = found.differences["accuracy"]
    assert (accuracy.first, accuracy.second) == pytest.approx([sklearn.metrics.accuracy_score(truth, own) for own in best])
    assert accuracy.value == pytest.approx(accuracy.second - accuracy.first)
    assert (accuracy.clips, accuracy.groups) == (60, 30)
    lwlrap = [sklearn.metrics.label_ranking_average_precision_score(np.eye(3)[truth], own) for own in scores]
    assert (found.differences["lwlrap"].first, found.differences["lwlrap"].second) == pytest.approx(lwlrap)
    recalls = [sklearn.metrics.recall_score(truth, own, average=None) for own in best]
    for row in found.classes:
        k = LABELS.index(row.label)
        assert (row.difference.first, row.difference.second) == pytest.approx((recalls[0][k], recalls[1][k]))
        assert (row.difference.clips, row.difference.groups) == (20, 20)  # two clips of a recording have two classes
    assert [row.difference.value for row in found.classes] == sorted((row.difference.value for row in found.classes), reverse=True)
    assert (found.metric, found.of_class, found.verdict) == ("accuracy", "recall", "better")
    assert found.left_out.lines == []
    # The sum of the classes' differences, weighted by their clips, is the whole difference.
    assert np.mean([row.difference.value for row in found.classes]) == pytest.approx(accuracy.value)


def test_several_labels_are_compared_by_lwlrap_and_so_are_the_classes() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random((80, 4)) < 0.4
    positive[np.arange(80), rng.integers(0, 3, 80)] = True  # the last class
    positive[:, 3] = False  # has no clip
    table = clips_of(positive)
    scores = rng.random((80, 4))
    better = scores + 0.4 * positive
    differences, classes = compare_scores(scores, better, table, np.arange(80))
    rank = sklearn.metrics.label_ranking_average_precision_score
    expected = [rank(positive, own, sample_weight=positive.sum(axis=1)) for own in (scores, better)]
    assert (differences["lwlrap"].first, differences["lwlrap"].second) == pytest.approx(expected)
    assert {row.label for row in classes} == {"a", "b", "c"}
    by_label = {row.label: row.difference for row in classes}
    for k, label in enumerate("abc"):
        precision = [  # the definition: of the classes that score as high as the label, the share that are labels
            np.mean([positive[i, own[i] >= own[i, k]].mean() for i in np.flatnonzero(positive[:, k])]) for own in (scores, better)
        ]
        assert (by_label[label].first, by_label[label].second) == pytest.approx(precision)


def clips_of(positive: np.ndarray) -> ClipTable:
    count = len(positive)
    true, text = np.ones(count, bool), np.full(count, "")
    return ClipTable(LabelSet(tuple("abcd")), text, positive, true, np.zeros(count, int), ~true, true, text, text)


def test_classes_that_are_equal_are_seldom_called_better_or_worse() -> None:
    """Of 40 classes two would be, time and again, by their own intervals."""
    rng = np.random.default_rng(1)
    table = replace(clips_of(np.eye(40, dtype=bool)[np.arange(800) % 40]), labels=LabelSet(tuple(f"{k:02}" for k in range(40))))
    alarms = alone = 0
    for _ in range(25):
        right = rng.random((2, 800)) < 0.5
        scores = [np.where(own[:, None], table.positive, np.roll(table.positive, 1, axis=1)) * 1.0 for own in right]
        classes = compare_scores(scores[0], scores[1], table, np.arange(800))[1]
        alarms += any(row.verdict != "cannot be told apart" for row in classes)
        alone += sum(row.difference.stands_out for row in classes)
    assert alarms <= 4  # of 25: 5 % at most are expected
    assert 25 <= alone <= 80  # of 1000: about 5 %


def test_clips_whose_labels_sound_or_marks_differ_are_left_out_and_counted(compared: Make) -> None:
    second = given_rows()
    for i in (0, 3, 6):
        second[i]["labels"] = ["y"]  # corrected
    second[9]["labels"] = []  # none of these, after hearing
    second[12]["content_hash"] = "f" * 32
    second[13]["content_hash"] = None  # unknown: taken for the same
    second[20]["verified"] = False
    first = given_rows()
    first[30]["verified"] = first[31]["verified"] = False  # heard before the second run
    first[40]["labels"] = second[40]["labels"] = []  # none of these in both: nothing to score
    del first[59]
    found = compared(first, second)
    assert found.decisive.clips == 60 - 4 - 1 - 1 - 2 - 1 - 1
    assert [line.split(":")[0] for line in found.left_out.lines] == [
        "4 clips whose labels differ between the stores",
        "1 clips that are another sound in the second store",
        "1 verified clips of the first run alone",
        "3 verified clips of the second run alone",
    ]
    assert "a corrected label is in the second store only" in found.left_out.lines[0]


def test_a_clip_counts_only_if_both_runs_held_it_out(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", given_rows())
    scores = guesses(0.6, 1)
    part = {name: own for i, (name, own) in enumerate(scores.items()) if i // 2 % 2 == 0}  # fold 0 is finished
    found = compare_runs(make_run(tmp_path / "r1", store, scores), make_run(tmp_path / "r2", store, part))
    assert (found.decisive.clips, found.decisive.value, found.verdict) == (30, 0, "cannot be told apart")
    assert found.left_out.lines[0].startswith("30 verified clips of the first run alone")


def test_classes_in_another_order_are_the_same_classes(compared: Make) -> None:
    found = compared(labels=("z", "x", "y"))
    assert found.decisive.second == pytest.approx(
        np.mean([own.argmax() == i % 3 for i, own in enumerate(guesses(0.9, 2).values())])
    )
    assert found.left_out.lines == []


def test_a_run_and_itself_cannot_be_told_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", make_store(tmp_path / "s", given_rows()), guesses(0.6, 1))
    found = compare_runs(run, run)
    for difference in [*found.differences.values(), *(row.difference for row in found.classes)]:
        assert (difference.value, difference.low, difference.high, difference.p) == (0, 0, 0, 1)
    assert found.verdict == "cannot be told apart"
    assert found.in_words.startswith(f"{run.path} and {run.path} cannot be told apart: accuracy")


def test_recordings_that_either_store_joins_are_drawn_together(compared: Make) -> None:
    second = given_rows()
    for i in (2, 3, 4, 5):
        second[i]["group"] = "long"
    assert compared(None, second).decisive.groups == 29


def test_joining_groups_is_finding_connected_clips() -> None:
    assert len(set(join_groups(list("aabbc"), list("vwwxy")).tolist())) == 2  # by way of the second and third clip
    rng = np.random.default_rng(3)
    for _ in range(50):
        first, second = rng.integers(0, 12, 20), rng.integers(0, 12, 20)
        joined = join_groups(first.astype(str), second.astype(str))
        together = (first[:, None] == first) | (second[:, None] == second)
        for _ in range(20):  # the slow way: whoever is reached by way of others
            together = together | (together.astype(int) @ together.astype(int) > 0)
        assert ((joined[:, None] == joined) == together).all()


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", given_rows())
    run = make_run(tmp_path / "r", store, guesses(0.6, 1))

    def refusal(other: Run, **stores: Path) -> str:
        with pytest.raises(EarmarkError) as caught:
            compare_runs(run, other, **stores)
        return str(caught.value)

    foreign = [row | {"labels": [row["labels"][0].replace("z", "w")]} for row in given_rows()]
    other = make_run(tmp_path / "r2", make_store(tmp_path / "s2", foreign, ("x", "y", "w")), guesses(0.6, 1))
    assert refusal(other) == (
        f"{run.path} and {other.path} have other classes (only in {run.path}: z; only in {other.path}: w); runs of the same classes are needed"
    )
    unverified = make_store(tmp_path / "s3", [row | {"verified": False} for row in given_rows()])
    other = make_run(tmp_path / "r3", unverified, guesses(0.6, 1))
    assert refusal(other) == (
        f"{run.path} and {other.path} have no clip to compare; 60 verified clips of the first run alone: in the other's store they are "
        "missing or not verified, or it did not hold them out"
    )
    with pytest.raises(EarmarkError, match="have no clip to compare; neither holds out any verified clip that has labels"):
        compare_runs(other, other)
    assert refusal(run, first_store=unverified) == (
        f"{run.path} learns from {store}, and {unverified} has other data: name the run's own store, or train into another --out"
    )
    two = load_recipe("tiny").model_dump(mode="json")
    two["members"]["second"] = two["members"]["logmel"]
    other = make_run(tmp_path / "r4", store, guesses(0.6, 1), Recipe.model_validate(two))
    assert refusal(other) == f"{other.path} is not finished: its ensemble lacks second; `earmark train` goes on with it"


def test_a_store_that_was_moved_is_named(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", given_rows())
    run = make_run(tmp_path / "r", store, guesses(0.6, 1))
    moved = store.rename(tmp_path / "moved")
    with pytest.raises(EarmarkError, match="is no store"):
        compare_runs(run, run)
    with pytest.raises(EarmarkError, match="is no store"):
        compare_runs(run, run, moved)
    assert compare_runs(run, run, moved, moved).first.store == moved
