from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from earmark.errors import RecipeError
from earmark.recipe import Recipe, VoterSettings, load_recipe

PUBLISHED = ("cochlear2018", "akiyama2019")


@pytest.mark.parametrize(
    "change",
    [
        "title=Another",
        "source=somewhere else",
        "published={verified: 1, unverified: 2, classes: 3, folds: 4}",
        "ensembles={all: {}}",
        "ensembles.leak-free.members.A.weight=7",
        "ensembles.leak-free.members.A.snapshots=[1]",
        "ensembles.leak-free.rule=geometric_mean",
        "ensembles.table1-1.quoted=0.5",
        "ensembles.new={members: {F: {weights: best, views: [pad3]}}}",
        "members.*.views=[whole, pad8]",
        "members.A.views=[pad8]",
    ],
)
def test_what_only_says_what_is_scored_does_not_change_the_fingerprint(change: str) -> None:
    changed, plain = load_recipe("akiyama2019", [change]), load_recipe("akiyama2019")
    assert changed != plain
    assert changed.fingerprint() == plain.fingerprint()
    assert changed.training_settings() == plain.training_settings()


def test_views_of_a_member_that_judges_labels_are_a_part_of_the_training() -> None:
    plain = load_recipe("quick")
    assert load_recipe("quick", ["members.third.views=[whole]"]).fingerprint() == plain.fingerprint()
    for judge in ("teacher", "second"):
        assert load_recipe("quick", [f"members.{judge}.views=[whole]"]).fingerprint() != plain.fingerprint()


def other_values(value: Any) -> list[Any]:
    """Values that a setting might have instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [other for other in (value * 2, value / 2, value + 1) if other != value]
    return []


def changed_at_each_place(place: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], list[Any]]]:
    """Every number and flag below a place, by its path, with other values for it."""
    children = place.items() if isinstance(place, dict) else enumerate(place) if isinstance(place, list) else ()
    for key, child in children:
        yield from changed_at_each_place(child, (*at, key))
    if values := other_values(place):
        yield at, values


@pytest.mark.parametrize("name", PUBLISHED)
def test_any_number_or_flag_that_training_depends_on_changes_it(name: str) -> None:
    """Each by itself, in the data of the whole recipe."""
    plain = load_recipe(name)
    data = plain.model_dump(mode="json")
    fingerprint, seen = plain.fingerprint(), 0
    # Its members differ in few settings; two of each kind have them all.
    members = ("logmel-16k", "waveform-16k") if name == "cochlear2018" else ("B", "F")
    for path, values in changed_at_each_place(data):
        if path[0] == "members" and path[1] not in members:
            continue
        *parents, last = path
        place = data
        for part in parents:
            place = place[part]
        before = place[last]
        for value in values:
            place[last] = value
            try:
                changed = Recipe.model_validate(data).fingerprint()
            except ValidationError:
                continue
            finally:
                place[last] = before
            told = path[0] in ("published", "ensembles")
            assert (changed == fingerprint) == told, path
            seen += not told
            break
    assert seen > 60


def test_the_fingerprint_is_that_of_the_settings_not_of_how_they_are_written() -> None:
    plain = load_recipe("tiny")
    assert len(plain.fingerprint()) == 32
    assert load_recipe("tiny", ["members.*.loss.masking=0.8", "unverified=other_folds"]).fingerprint() == plain.fingerprint()
    turned = plain.model_dump(mode="json")
    turned["members"]["logmel"] = dict(reversed(turned["members"]["logmel"].items()))
    assert Recipe.model_validate(turned).fingerprint() == plain.fingerprint()


def test_what_a_member_needs_and_whether_it_leaks() -> None:
    recipe = load_recipe("akiyama2019")
    assert {name: recipe.needs(name) for name in ("row1", "A", "B", "row6", "E")} == {
        "row1": [],
        "A": [],
        "B": ["row1", "A"],
        "row6": ["row1", "A"],
        "E": ["row8"],
    }
    after_b = load_recipe("akiyama2019", ["members.row6.start_from=B"])
    assert after_b.leaks("row6")  # through the weights that it starts from
    assert not recipe.leaks("row6")
    with pytest.raises(RecipeError, match="members need each other in a circle: row1 → C → row1"):
        load_recipe("akiyama2019", ["members.row1.start_from=C", "members.C.start_from=row1"])


def test_voters_come_in_the_recipes_order_and_are_all_where_none_is_named() -> None:
    recipe = load_recipe(
        "cochlear2018", ["ensembles.all.members={waveform-16k: {weight: 2}, logmel-44k: {}}", "ensembles.every={}"]
    )
    assert recipe.voters("all") == {"logmel-44k": VoterSettings(), "waveform-16k": VoterSettings(weight=2)}
    assert list(recipe.voters("all")) == ["logmel-44k", "waveform-16k"]
    assert recipe.voters("every") == dict.fromkeys(recipe.members, VoterSettings())


def test_the_weights_that_a_member_keeps_and_those_that_others_go_on_from() -> None:
    recipe = load_recipe("akiyama2019")
    kept = {name: (recipe.members[name].kept_weights, recipe.members[name].unbiased_weights) for name in ("row1", "row8", "D")}
    assert kept == {
        "row1": (["best"], ["last"]),  # the best were chosen on the fold's own validation clips
        "row8": (["last"], ["last"]),
        "D": (["1", "2", "3"], ["1", "2", "3"]),
    }
    assert recipe.members["A"].schedule_words == "8 × 64 epochs"
    assert load_recipe("cochlear2018").members["logmel-16k"].schedule_words == "150,000 batches + 100,000 batches + 50,000 batches"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ensembles.all.members.logmel.views=[whole, whole]", "one of the views stands twice"),
        ("ensembles.all.members.logmel={weights: best, snapshots: [1]}", "snapshots are named, but weights are best"),
        (
            "ensembles.all.members.logmel={weights: snapshots}",
            "ensembles.all.members.logmel.snapshots: the schedule of logmel takes none",
        ),
        ("ensembles.all.members.logmel.weight=0", "greater than or equal to 1e-06"),
        ("ensembles={}", "at least 1 item"),
        ("members.logmel.views=[]", "at least 1 item"),
        ("members.logmel.views=[pad8, pad8]", "a view stands twice"),
        ("members.logmel.views=[pad-8]", "should match pattern"),
    ],
)
def test_ensembles_that_cannot_be_are_refused(change: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("tiny", [change])
    assert said in str(caught.value)
