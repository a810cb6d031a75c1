from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.errors import RecipeError
from earmark.recipe import load_recipe
from earmark.training.stages import plan_stages
from earmark.training.train import TrainRequest, train
from tests.small import small_akiyama

FOLDS = [0, 1, 2, 3, 4]


def titles(*members: str, folds: list[int]) -> list[str]:
    return [stage.title for stage in plan_stages(load_recipe("akiyama2019"), members, folds, FOLDS)]


def test_row_6_on_a_fold_brings_what_it_needs_of_that_fold_only() -> None:
    found = titles("row6", folds=[1])
    assert sorted(found) == ["A fold 1", "pseudo labels of-A fold 1", "row1 fold 1", "row6 fold 1"]
    assert found[-1] == "row6 fold 1"
    assert found.index("A fold 1") < found.index("pseudo labels of-A fold 1")


def test_model_b_on_a_fold_brings_model_a_on_all_of_them() -> None:
    found = titles("B", folds=[1])
    assert sorted(found) == [*(f"A fold {k}" for k in FOLDS), "B fold 1", "pseudo labels of-A-all-folds", "row1 fold 1"]
    assert found[-1] == "B fold 1"
    assert found[-2] == "pseudo labels of-A-all-folds"


def test_pseudo_labels_of_all_folds_are_made_once() -> None:
    found = titles("B", folds=[0, 3])
    assert found.count("pseudo labels of-A-all-folds") == 1
    assert len(found) == 5 + 1 + 2 * 2


def test_a_member_that_needs_nothing_comes_alone() -> None:
    assert titles("F", folds=[4]) == ["F fold 4"]
    assert titles("D", folds=[4]) == ["row8 fold 4", "D fold 4"]


def test_the_whole_system_has_every_stage_once_and_after_what_it_needs() -> None:
    recipe = load_recipe("akiyama2019")
    stages = plan_stages(recipe, list(recipe.members), FOLDS, FOLDS)
    assert len(stages) == 11 * 5 + 5 + 1
    made: set[tuple[str, str, int | None]] = set()
    for stage in stages:
        assert {(need.kind, need.name, need.fold) for need in stage.needs} <= made, stage.title
        assert (stage.kind, stage.name, stage.fold) not in made
        made.add((stage.kind, stage.name, stage.fold))
    needs = {stage.title: {need.title for need in stage.needs} for stage in stages}
    assert needs["row6 fold 2"] == {"row1 fold 2", "pseudo labels of-A fold 2"}
    assert needs["pseudo labels of-A fold 2"] == {"A fold 2"}
    assert needs["B fold 2"] == {"row1 fold 2", "pseudo labels of-A-all-folds"}
    assert needs["pseudo labels of-A-all-folds"] == {f"A fold {k}" for k in FOLDS}
    assert needs["E fold 2"] == {"row8 fold 2"}
    assert needs["A fold 2"] == set()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("members.row1.start_from=row1", "in a circle: row1 → row1"),
        ("members.row1.start_from=row6", "in a circle: row1 → row6 → row1"),
        ("members.A.start_from=row6", "in a circle: A → row6 → A"),  # through the pseudo labels
        ("pseudo_labels.of-A.member=row6", "in a circle: row6 → row6"),
        ("members.D.start_from=nobody", r"members.D.start_from: no member 'nobody'; the members are A, B, C"),
        ("members.B.soft.labels=of-Z", "members.B.soft.labels: no pseudo labels 'of-Z'; there are of-A, of-A-all-folds"),
        ("pseudo_labels.of-A.member=nobody", "pseudo_labels.of-A.member: no member 'nobody'"),
        ("pseudo_labels.of-A.folds=some", "'same' or 'all'"),
    ],
)
def test_needs_that_cannot_be_met_are_refused_in_the_recipe(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("akiyama2019", [override])


@pytest.mark.slow
def test_a_run_makes_the_stages_of_what_was_asked_for_and_makes_none_twice(store: Store, tmp_path: Path) -> None:
    recipe = small_akiyama("ensembles={all: {rule: arithmetic_mean}}", "members.A.schedule.0.cycles=2")
    request = TrainRequest(recipe, store, tmp_path / "run", ["row6"], [1], device="cpu")
    metrics = train(request)
    assert metrics["folds"] == {"row1": [1], "A": [1], "row6": [1]}
    there = [path for kind in ("members", "pseudo") for path in (request.out / kind).glob("*/*")]
    assert sorted(str(path.relative_to(request.out)) for path in there) == [
        "members/A/fold1",
        "members/row1/fold1",
        "members/row6/fold1",
        "pseudo/of-A/fold1",
    ]
    snapshots = sorted(path.name for path in (request.out / "members" / "A" / "fold1").glob("snapshot*"))
    assert snapshots == ["snapshot1.safetensors", "snapshot2.safetensors"]
    clips = load_clips(store, 8000)
    guessed = pyarrow.parquet.read_table(request.out / "pseudo" / "of-A" / "fold1" / "pseudo.parquet")
    assert sorted(guessed["clip_id"].to_pylist()) == sorted(clips.clip_id[~clips.verified & ~clips.test])
    assert np.allclose(np.array(guessed["scores"].to_pylist()).sum(axis=1), 1)

    before = {path: path.stat().st_mtime_ns for kind in ("members", "pseudo") for path in (request.out / kind).rglob("*.*")}
    train(request)
    assert {path: path.stat().st_mtime_ns for path in before} == before
