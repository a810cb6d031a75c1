"""The recipe of all methods, made of a net of another recipe."""

from pathlib import Path

import pytest

from earmark.errors import RecipeError
from earmark.recipe import Recipe, load_recipe
from earmark.training.methods import METHODS, derive_methods
from earmark.training.splits import learns_from_unverified

#: The methods with the net of `quick`, as somebody would write them down.
BY_HAND = """
name: by-hand
title: By hand
extends: quick
members:
  given: {like: teacher, clips: labelled}
  masking: {like: given, loss: {masking: 0.8}}
  multitask:
    like: given
    clips: verified
    head: {name: linear, noisy: true}
    loss: {kind: kl}
    noisy: {weight: 1.0}
  pseudo:
    like: given
    clips: verified
    loss: {kind: kl}
    soft: {labels: by-verified, weight: 1.0, loss: kl}
pseudo_labels:
  by-verified: {member: teacher, temperature: 2.0}
"""


def test_methods_of_quick_are_those_that_somebody_would_write_down(tmp_path: Path) -> None:
    (tmp_path / "by-hand.yaml").write_text(BY_HAND)
    by_hand = load_recipe(str(tmp_path / "by-hand.yaml"))
    derived = derive_methods(load_recipe("quick"), 10)
    assert not derived.refused
    for name in ("given", "masking", "multitask", "pseudo"):
        assert derived.recipe.members[name] == by_hand.members[name]
        assert derived.members([name]) == [name]
    assert next(iter(derived.recipe.ensembles)) == "agreement"  # a run's own ensemble is the first one
    assert set(derived.recipe.ensembles) == set(METHODS) - {"clean"}
    # Agreement is quick's own, under other names; what it begins with is the method `verified`.
    assert derived.members(["verified"]) == ["agreement-teacher"]
    own = {
        name: by_hand.members[name.removeprefix("agreement-")] for name in derived.recipe.members if name.startswith("agreement-")
    }
    assert len(own) >= 2
    for name, member in own.items():
        renamed = None if member.agreement is None else f"agreement-{member.agreement}"
        assert derived.recipe.members[name] == member.model_copy(update={"agreement": renamed})
    assert derived.recipe.pseudo_labels["by-verified"].member == "agreement-teacher"
    ensemble = by_hand.ensembles["quick"]
    assert derived.members(["agreement"]) == [f"agreement-{name}" for name in ensemble.members]


def test_a_net_from_scratch_borrows_the_agreement_of_quick_and_cannot_have_all_methods() -> None:
    tiny, quick = load_recipe("tiny"), load_recipe("quick")
    derived = derive_methods(tiny, 10)
    assert set(derived.refused) == {"multitask", "pseudo"}
    assert (
        derived.refused["pseudo"].startswith("tiny's logmel cannot: noisy and soft tasks")
        and "multitask" not in derived.recipe.ensembles
    )
    given = derived.recipe.members["given"]
    assert given == tiny.members["logmel"].model_copy(update={"loss": given.loss}) and given.loss.masking is None
    assert derived.recipe.members["masking"].loss.masking == 0.8
    borrowed = {name: member for name, member in derived.recipe.members.items() if name.startswith("agreement-")}
    for name, member in borrowed.items():
        model = quick.members[name.removeprefix("agreement-")]
        assert member == given.model_copy(update={"clips": model.clips, "agreement": member.agreement})
        assert (member.agreement is None) == (model.agreement is None)
    strengths = {name: settings.strength for name, settings in derived.recipe.agreements.items()}
    assert strengths == {f"agreement-{name}": settings.strength for name, settings in quick.agreements.items()}


def test_several_labels_have_losses_of_their_own_and_no_validation_label_chooses_weights() -> None:
    published = load_recipe("akiyama2019")
    recipe = derive_methods(published, 10).recipe
    assert published.unverified == "all" and recipe.unverified == "other_folds"  # every clip needs nets that never heard it
    row1 = published.members["row1"]
    assert row1.validation.keep == "best" and all(member.validation.keep == "last" for member in recipe.members.values())
    multitask, pseudo = recipe.members["multitask"], recipe.members["pseudo"]
    assert multitask.loss.kind == pseudo.loss.kind == "bce"
    assert multitask.head.arguments["noisy"] and not recipe.members["given"].head.arguments["noisy"]
    assert pseudo.soft is not None and (pseudo.soft.loss, pseudo.soft.weight) == ("mse", 20.0)
    for member in recipe.members.values():
        assert (member.input, member.frontend, member.backbone) == (row1.input, row1.frontend, row1.backbone)
        assert (member.batch, member.schedule, member.optimiser) == (row1.batch, row1.schedule, row1.optimiser)
    assert not learns_from_unverified(multitask, verified_suffice=True)


def test_nor_does_one_in_an_agreement_of_the_recipes_own() -> None:
    sets = ["members.*.validation.keep=best", "ensembles.quick.members.third.weights=best"]
    derived = derive_methods(load_recipe("quick", sets), 10)
    assert all(member.validation.keep == "last" for member in derived.recipe.members.values())
    assert [voter.weights for voter in derived.recipe.ensembles["agreement"].members.values()] == ["last"]
    assert derived.members(["verified"]) == ["agreement-teacher"]


def test_a_head_that_has_the_noisy_task_loses_it_where_nothing_would_teach_it() -> None:
    recipe = load_recipe(
        "akiyama2019", ["members.row1.head.noisy=true", "members.row1.head.split=layer3", "members.row1.noisy={weight: 0.5}"]
    )
    derived = derive_methods(recipe, 10).recipe
    assert derived.members["given"].head.arguments["noisy"] is False and derived.members["given"].head.arguments["split"] is None
    assert derived.members["given"].noisy is None
    multitask = derived.members["multitask"]
    assert multitask.head.arguments["split"] == "layer3" and multitask.noisy is not None and multitask.noisy.weight == 0.5


def test_what_agreement_stands_on_comes_with_it(tmp_path: Path) -> None:
    """Weights to start from and pseudo labels, under names that cannot be those of methods."""
    (tmp_path / "own.yaml").write_text(
        "name: own\ntitle: Own\nextends: quick\nmembers:\n"
        "  given: {like: teacher}\n"
        "  masking: {like: teacher, clips: verified, loss: {kind: kl}, soft: {labels: guessed, loss: kl}}\n"
        "  last: {like: second, start_from: given, agreement: third}\n"
        "pseudo_labels: {guessed: {member: given}}\n"
        "agreements: {third: {member: masking, strength: 5.0}}\n"
        "ensembles: {quick: {rule: arithmetic_mean, members: {teacher: {}, last: {weight: 2.0}, third: {}}}}\n"
    )
    recipe = derive_methods(load_recipe(str(tmp_path / "own.yaml")), 10).recipe
    last = recipe.members["agreement-last"]
    assert (last.start_from, last.agreement) == ("agreement-given", "agreement-third")
    assert recipe.agreements["agreement-third"].member == "agreement-masking"
    soft = recipe.members["agreement-masking"].soft
    assert soft is not None and recipe.pseudo_labels[soft.labels].member == "agreement-given"
    voters = recipe.ensembles["agreement"].members
    assert recipe.ensembles["agreement"].rule == "arithmetic_mean"
    assert {name: voter.weight for name, voter in voters.items()} == {"agreement-last": 2.0, "agreement-third": 1.0}


def test_the_net_is_one_that_starts_from_no_other() -> None:
    recipe = load_recipe("akiyama2019", ["members.row1.start_from=row2"])
    assert derive_methods(recipe, 10).recipe.members["given"].batch == recipe.members["row2"].batch


def without_logits() -> Recipe:
    return load_recipe("quick", ["members.*.head={name: mean_of_softmax}"])


def test_a_head_of_probabilities_learns_no_further_tasks() -> None:
    refused = derive_methods(without_logits(), 10).refused
    assert set(refused) == {"multitask", "pseudo"}
    assert "needs a head with logits" in refused["pseudo"]


def test_a_net_that_cannot_be_built_is_refused_with_its_name() -> None:
    with pytest.raises(RecipeError, match=r"^quick: members\.teacher: .*sigmoid"):
        derive_methods(load_recipe("quick", ["members.*.head.activation=sigmoid"]), 10)
