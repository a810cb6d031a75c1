"""``train --plan``: the published systems counted out, and a plan of small ones on real clips."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from earmark import cli
from earmark.data.store import Store
from earmark.recipe import MemberSettings, load_recipe
from earmark.training.plan import plan, plan_lines
from tests.conftest import SMALL
from tests.small import small_akiyama

SECONDS = {"resnet34": 0.01, "envnet_v2": 0.03, "densenet_se": 0.02}  # a clip, where nothing is tried out
MEMBERS = ("row1", "row2", "row3", "A", "B", "row6", "C", "row8", "D", "E", "F")


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    be_quick(monkeypatch)


def be_quick(patch: pytest.MonkeyPatch) -> None:
    """No net is timed: each takes what the table says."""

    def seconds(settings: MemberSettings, *_: object) -> float:
        return SECONDS[settings.backbone.name]

    patch.setattr("earmark.training.plan.seconds_per_clip", seconds)
    patch.setattr("earmark.training.plan.faster_precision", lambda *_: "bfloat16")


@pytest.fixture(scope="module")
def akiyama() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        return plan(load_recipe("akiyama2019"), None, device="cpu")


def by_title(planned: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["title"]: stage for stage in planned["stages"]}


@pytest.mark.slow
def test_the_2019_system_has_every_member_on_every_fold_and_its_pseudo_labels(akiyama: dict[str, Any]) -> None:
    expected = {f"{member} fold {fold}" for member in MEMBERS for fold in range(5)}
    expected |= {f"pseudo labels of-A fold {fold}" for fold in range(5)} | {"pseudo labels of-A-all-folds"}
    titles = [stage["title"] for stage in akiyama["stages"]]
    assert len(titles) == len(set(titles)) == 61
    assert set(titles) == expected
    assert akiyama["nets"] == 55


@pytest.mark.slow
def test_what_a_stage_needs_comes_before_it(akiyama: dict[str, Any]) -> None:
    stages = by_title(akiyama)
    done: set[str] = set()
    for title, stage in stages.items():  # in their order
        assert set(stage["needs"]) <= done, title
        done.add(title)
    for fold in range(5):
        needs = {name: set(stages[f"{name} fold {fold}"]["needs"]) for name in MEMBERS}
        assert needs["B"] == {f"row1 fold {fold}", "pseudo labels of-A-all-folds"}
        assert needs["row6"] == {f"row1 fold {fold}", f"pseudo labels of-A fold {fold}"}
        assert needs["D"] == needs["E"] == {f"row8 fold {fold}"}
        assert not any(needs[name] for name in ("row1", "row2", "row3", "A", "C", "row8", "F"))
        assert stages[f"pseudo labels of-A fold {fold}"]["needs"] == [f"A fold {fold}"]
    assert stages["pseudo labels of-A-all-folds"]["needs"] == [f"A fold {fold}" for fold in range(5)]


@pytest.mark.parametrize(
    ("member", "noisy", "soft", "epochs", "size"),
    [  # Tables 1 and 2
        ("row1", 0, 0, 512, 64),
        ("row2", 0, 0, 512, 64),
        ("row3", 0, 0, 8 * 64, 64),
        ("A", 19_815, 0, 8 * 64, 64),
        ("B", 19_815, 19_815, 7 * 64, 32),
        ("row6", 19_815, 19_815, 7 * 64, 32),
        ("C", 19_815, 0, 6 * 64, 64),
        ("row8", 19_815, 0, 400, 16),
        ("D", 19_815, 0, 3 * 80, 64),
        ("E", 19_815, 0, 5 * 80, 16),
        ("F", 19_815, 0, 10 * 80, 16),
    ],
)
def test_clips_batches_and_hours_of_the_2019_members(
    member: str, noisy: int, soft: int, epochs: int, size: int, akiyama: dict[str, Any]
) -> None:
    """3,976 of 4,970 curated clips are outside a fold: 63 batches of 64 an epoch."""
    batches = epochs * math.ceil(3976 / size)
    seconds = SECONDS["envnet_v2" if member in ("row8", "D", "E", "F") else "resnet34"]
    for fold in range(5):
        stage = by_title(akiyama)[f"{member} fold {fold}"]
        assert (stage["clips"], stage["noisy"], stage["soft"]) == (3976, noisy, soft)
        assert (stage["batches"], stage["batch_size"]) == (batches, size)
        assert stage["hours"] == pytest.approx(batches * size * seconds / 3600)
    assert member != "A" or batches == 8 * 64 * 63


@pytest.mark.slow
def test_guessing_is_a_third_of_training_for_each_net_and_clip(akiyama: dict[str, Any]) -> None:
    """Only forwards, by all snapshots of one net, or of five."""
    stages = by_title(akiyama)
    for title, nets in (("pseudo labels of-A fold 3", 8), ("pseudo labels of-A-all-folds", 40)):
        assert stages[title]["clips"] == 19_815
        assert stages[title]["hours"] == pytest.approx(nets * 19_815 * SECONDS["resnet34"] / 3 / 3600)
    assert akiyama["hours"] == pytest.approx(sum(stage["hours"] for stage in akiyama["stages"]))


@pytest.mark.slow
def test_the_submissions_of_2019_have_170_and_95_predictions(akiyama: dict[str, Any]) -> None:
    found = {ensemble["name"]: ensemble for ensemble in akiyama["ensembles"]}
    assert {name: (ensemble["predictions"], ensemble["leaks"]) for name, ensemble in found.items()} == {
        "leak-free": (170, False),
        "submission1": (170, True),
        "submission2": (95, True),
        # Tables 1 and 2: each fold's best (#8: last) weights. What pseudo labels of all folds have taught leaks: model B.
        **{f"table1-{row}": (5, row == 5) for row in range(1, 8)},
        **{f"table2-{row}": (5, False) for row in range(8, 12)},
        # Table 3: cycles × two paddings × folds, of A, B, C, D, E, F, A + C, A + B + C, D + E + F.
        **{f"table3-{row}": (cycles * 2 * 5, row in (2, 8)) for row, cycles in enumerate((8, 7, 6, 3, 5, 6, 14, 21, 14), start=1)},
    }
    assert found["submission1"]["members"] == {"A": 3, "B": 4, "C": 3, "D": 1, "E": 1, "F": 1}
    assert found["leak-free"]["members"] == {"A": 3, "row6": 4, "C": 3, "D": 1, "E": 1, "F": 1}
    assert {ensemble["rule"] for ensemble in found.values()} == {"arithmetic_mean"}


@pytest.mark.slow
def test_a_plan_for_people(akiyama: dict[str, Any]) -> None:
    lines = plan_lines(akiyama)
    assert lines[0] == "akiyama2019 on as published: 61 stages in this order"
    [of_a] = [line for line in lines if "  A fold 0 " in line]
    hours = f"{8 * 64 * 63 * 64 * 0.01 / 3600:.1f} h"
    assert of_a.endswith(f"  3,976 clips; 19,815 noisy; 8 × 64 epochs = 32,256 batches of 64; {hours}")
    [of_b] = [line for line in lines if "  B fold 2 " in line]
    assert of_b.endswith("h; after row1 fold 2, pseudo labels of-A-all-folds")
    assert any(line.startswith("55 models, ") and "cpu, float32" in line for line in lines)
    [own, first] = [n for n, line in enumerate(lines) if line.startswith(("ensemble leak-free:", "ensemble submission1:"))]
    assert lines[first] == (
        "ensemble submission1: 170 predictions a clip, arithmetic mean of A 3, B 4, C 3, D 1, E 1, F 1; validation labels leak into it"
    )
    assert "leak" not in lines[own].removeprefix("ensemble leak-free")


@pytest.mark.slow
@pytest.mark.usefixtures("untried")
def test_the_2018_system_is_30_models_of_300_000_batches(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "cochlear2018", "--plan", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cochlear2018 on as published: 30 stages in this order"
    hours = 30 * 300_000 * 41 * SECONDS["densenet_se"] / 3600
    assert lines[31].startswith(f"30 models, 300,000 batches each; about {hours:,.0f} h of training on this machine (cpu, ")
    for line in lines[1:31]:
        assert "7,578 clips; 150,000 batches + 100,000 batches + 50,000 batches = 300,000 batches of 41" in line  # 4/5 of 9,473
    assert lines[32].startswith("ensemble all: 30 predictions a clip, geometric mean of logmel-16k 1.5")
    assert len(lines) == 32 + 12  # the cells of table 1


@pytest.mark.slow
@pytest.mark.usefixtures("untried")
def test_members_and_folds_bring_what_they_need() -> None:
    planned = plan(small_akiyama(), None, ["row6"], [3], "cpu")
    assert [stage["title"] for stage in planned["stages"]] == [
        "row1 fold 3",
        "A fold 3",
        "pseudo labels of-A fold 3",
        "row6 fold 3",
    ]
    planned = plan(small_akiyama(), None, ["B"], [3], "cpu")  # its pseudo labels come from nets of all folds
    assert {stage["title"] for stage in planned["stages"]} == {
        "row1 fold 3",
        *(f"A fold {fold}" for fold in range(5)),
        "pseudo labels of-A-all-folds",
        "B fold 3",
    }


@pytest.mark.usefixtures("untried")
def test_the_clips_of_a_store_are_counted(store: Store, rendered: Path) -> None:
    with rendered.open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["split"] == "train"]

    def count(verified: str, *folds: str) -> int:
        return sum(row["verified"] == verified and row["fold"] in folds for row in table)

    sets = [f"members.{name}.schedule.0.{key}" for name in ("A", "row6") for key in ("batches=null", "epochs=2")]
    planned = plan(small_akiyama(*sets), store, ["row6"], None, "cpu")
    assert planned["data"] == str(store.path)
    stages = by_title(planned)
    unverified = count("0", "0", "1")  # `unverified: all`: a fold's own, too
    for fold, other in (("0", "1"), ("1", "0")):
        of_a, of_row6 = stages[f"A fold {fold}"], stages[f"row6 fold {fold}"]
        assert (of_a["clips"], of_a["noisy"], of_a["soft"]) == (count("1", other), unverified, 0)
        assert (of_row6["clips"], of_row6["noisy"], of_row6["soft"]) == (count("1", other), unverified, unverified)
        assert of_a["batches"] == 8 * 2 * math.ceil(count("1", other) / 6)
        assert of_row6["batches"] == 7 * 2 * math.ceil(count("1", other) / 6)
        assert stages[f"pseudo labels of-A fold {fold}"]["clips"] == unverified
    [tiny, _] = plan(load_recipe("tiny", SMALL), store, device="cpu")["stages"]
    assert tiny["clips"] == count("1", "1") + count("0", "1")


@pytest.mark.usefixtures("untried")
def test_a_plan_as_json_is_the_plan(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [part for setting in SMALL for part in ("--set", setting)]
    out = tmp_path / "run"
    command = ["train", "tiny", "--plan", "--store", str(store.path), "--out", str(out), "--device", "cpu", *sets]
    assert cli.run([*command, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned == plan(load_recipe("tiny", SMALL), store, device="cpu")
    assert cli.run(command) == 0
    assert capsys.readouterr().out.splitlines() == plan_lines(planned)
    assert not out.exists()  # nothing is begun


@pytest.mark.slow
def test_nets_are_really_tried_with_and_without_a_store(store: Store) -> None:
    """On the store's clips, or on noise; in the precision that is faster here."""
    published = "published={verified: 100, unverified: 50, classes: 6, folds: 5}"
    recipe = load_recipe("tiny", [*SMALL, "precision=auto", published])
    for planned, clips, nets in ((plan(recipe, store, device="cpu"), None, 2), (plan(recipe, None, device="cpu"), 120, 5)):
        assert planned["nets"] == len(planned["stages"]) == nets
        assert planned["precision"] in ("float32", "bfloat16")
        hours = {stage["hours"] for stage in planned["stages"]}
        assert len(hours) == 1  # the nets of all folds are alike, and are tried once
        examples = 12 * (6 if clips else 10)
        assert 1e-6 < hours.pop() * 3600 / examples < 1  # seconds a clip
        assert clips is None or {stage["clips"] for stage in planned["stages"]} == {clips}


@pytest.mark.slow
def test_every_stream_of_a_net_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member with noisy and soft clips takes longer than the first task alone."""
    from earmark.training import trainer

    tried: list[tuple[str, ...]] = []
    step = trainer.FoldTrainer.step

    def noted(self: trainer.FoldTrainer) -> None:
        tried.append(tuple(self.streams))
        step(self)

    monkeypatch.setattr(trainer.FoldTrainer, "step", noted)
    plan(small_akiyama(), None, ["row6"], [0], "cpu")
    assert list(dict.fromkeys(tried)) == [("curated",), ("curated", "noisy"), ("curated", "noisy", "soft")]
