from pathlib import Path
from typing import Any

import pytest
import yaml

from earmark.errors import RecipeError
from earmark.recipe import load_recipe
from earmark.recipe.explain import settings_at

MEMBER = [
    "input", "frontend", "backbone", "head", "start_from", "clips", "agreement", "batch", "loss", "noisy", "soft", "optimiser", "schedule",
    "validation", "views", "scoring",
]  # fmt: skip
BALANCED = ["sampling", "clips_per_class", "partner", "mix_alpha", "gain", "peak", "verified_by", "speed", "frequency_mask"]
SHUFFLED = ["sampling", "size", "windows", "speed", "edge", "additional_crop", "mix", "gain", "frequency_mask"]
VOTER = ["weight", "weights", "snapshots", "views"]


@pytest.mark.parametrize(
    ("location", "names"),
    [
        (
            (),
            [
                "name",
                "title",
                "about",
                "source",
                "seed",
                "unverified",
                "precision",
                "published",
                "members",
                "pseudo_labels",
                "agreements",
                "ensembles",
            ],
        ),
        (("published",), ["verified", "unverified", "classes", "folds"]),
        (("members", "A"), MEMBER),
        (("members", "batch"), MEMBER),  # a member may be called as a setting is
        (("members", "members"), MEMBER),
        (("members", "balanced"), MEMBER),
        (("members", "batch", "batch", "balanced"), BALANCED),
        (("members", "optimiser", "batch", "shuffled"), SHUFFLED),
        (
            ("members", "A", "batch", "shuffled", "mix"),
            ["kind", "chance", "alpha", "self_mix", "level_frame", "level_hop", "level_floor"],
        ),
        (("members", "A", "batch", "shuffled", "gain"), ["chance", "unit", "range"]),
        (("members", "mix", "batch", "balanced", "frequency_mask"), ["chance", "width"]),
        (("members", "A", "optimiser", "sgd"), ["name", "momentum", "nesterov"]),
        (("members", "A", "optimiser", "adam"), ["name", "epsilon", "epsilon_added"]),
        (("members", "A", "schedule", 0), ["batches", "epochs", "rate", "final_rate", "cycles"]),
        (("members", "A", "validation"), ["every", "epochs", "metric", "keep", "view"]),
        (("members", "A", "scoring"), ["patience", "patience_step", "groups", "clips_per_group", "samples", "clips"]),
        (("pseudo_labels", "of-A"), ["member", "temperature", "folds"]),
        (("ensembles", "all"), ["title", "quoted", "rule", "members"]),
        (("ensembles", "members"), ["title", "quoted", "rule", "members"]),
        (("ensembles", "all", "members", "A"), VOTER),
        (("ensembles", "members", "members", "members"), VOTER),
    ],
)
def test_the_names_at_a_place(location: tuple[str | int, ...], names: list[str]) -> None:
    assert settings_at(location) == names


def member_called(name: str, **changed: Any) -> dict[str, Any]:
    data = load_recipe("tiny").model_dump(mode="json")
    return {**data, "members": {name: {**data["members"]["logmel"], **changed}}, "ensembles": {"all": {}}}


def said_of(data: dict[str, Any], tmp_path: Path) -> str:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path / "r.yaml"))
    return str(caught.value)


@pytest.mark.parametrize("name", ["m", "batch", "optimiser", "balanced", "adam"])
def test_a_place_is_told_as_it_is_written_whatever_the_member_is_called(name: str, tmp_path: Path) -> None:
    batch = {"sampling": "balanced", "gian": 1}
    said = said_of(member_called(name, batch=batch, optimiser={"name": "adam", "betas": 1}), tmp_path)
    assert said == (
        f"r.yaml: members.{name}.batch.gian: no such setting; there are {', '.join(BALANCED)}; "
        f"members.{name}.optimiser.betas: no such setting; there are name, epsilon, epsilon_added"
    )


def test_every_fault_is_told_at_once_with_what_there_is(tmp_path: Path) -> None:
    data = member_called("m", batch={"sampling": "sorted"}, schedule=[{"rate": -1, "batches": 2}], head="wide")
    data["ensembles"] = {"all": {"members": {"m": {"weigth": 2}}, "quote": 1}}
    parts = said_of(data, tmp_path).removeprefix("r.yaml: ").split("; ")
    assert "members.m.batch: no kind 'sorted'" in parts
    assert "there are balanced, shuffled" in parts
    assert "members.m.schedule.0.rate: Input should be greater than 0" in parts
    assert "ensembles.all.members.m.weigth: no such setting" in parts
    assert "there are weight, weights, snapshots, views" in parts
    assert "ensembles.all.quote: no such setting" in parts
    assert [part for part in parts if part.startswith("members.m.head")]
    assert not [part for part in parts if part.startswith("members.m.schedule:")]  # an item is wrong, not the list too short
