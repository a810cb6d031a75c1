"""The ways to learn from labels of which some are wrong, as one recipe: the same net in each, made of a net of any recipe."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from earmark.errors import RecipeError
from earmark.nets.heads import HEADS
from earmark.recipe import MemberSettings, Recipe, load_recipe
from earmark.recipe.explain import faults, words
from earmark.training.checks import check_buildable

#: The methods, and what they are called. ``given`` and ``clean`` are the two ends that the others lie between.
METHODS = {
    "given": "all labels as given",
    "masking": "loss masking",
    "multitask": "multitask",
    "verified": "verified only",
    "pseudo": "soft pseudo labels",
    "agreement": "agreement",
    "clean": "no wrong labels",
}
ON_VERIFIED = ("multitask", "verified", "pseudo")  # methods whose first task learns from verified clips alone
MASKING = 0.8  # α of Jeong & Lim
TEMPERATURE = 2.0  # of pseudo labels, as Akiyama & Sato's
OWN = "agreement-"  # begins the names of what agreement trains

Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Methods:
    """The methods that a net can have.

    Attributes:
        recipe: a recipe with an ensemble of each method's name, whose members are trained for it. What ``clean`` trains is ``given``.
        refused: the methods that the net cannot have, and why.
    """

    recipe: Recipe
    refused: dict[str, str]

    def members(self, names: Iterable[str]) -> list[str]:
        """The members whose scores make those of some methods, in the recipe's order."""
        wanted = {member for name in names for member in self.recipe.ensembles[name].members}
        return [member for member in self.recipe.members if member in wanted]


def derive_methods(recipe: Recipe, classes: int) -> Methods:
    """The methods, each with the net of the recipe's first member that starts from no other: its input, front end, backbone, head,
    batches, schedule and optimiser. Its clips, tasks and loss are those of the method.

    Agreement is the recipe's own, where its first ensemble has some: all members behind it are as they are. Else it is that of the
    recipe ``quick``, with the net. But weights are those at the end: ``best`` would be chosen with the very labels that are scored.

    Args:
        recipe: any recipe; the models of its embeddings are resolved.
        classes: number of classes K.

    Raises:
        RecipeError: the net cannot learn from the given labels, or from verified clips alone.
    """
    name, base = next((name, member) for name, member in recipe.members.items() if member.start_from is None)
    head = _without_noisy_task(base)
    keep = "last" if base.validation.keep == "best" else base.validation.keep
    plain = {"agreement": None, "noisy": None, "soft": None, "loss": {"masking": None}, "head": head, "validation": {"keep": keep}}
    # The loss from logits; a first task and further ones can only share such a one.
    exact = "kl" if base.loss.kind == "cross_entropy" else base.loss.kind
    soft = {"loss": "kl", "weight": 1.0} if exact == "kl" else {"loss": "mse", "weight": 20.0}  # the second as published
    changes: dict[str, Changes] = {
        "given": {"clips": "labelled"},
        "masking": {"clips": "labelled", "loss": {"masking": base.loss.masking or MASKING}},
        "multitask": {
            "clips": "verified",
            "loss": {"kind": exact},
            "head": {"noisy": True} | {key: value for key, value in base.head.arguments.items() if key == "split"},
            "noisy": base.noisy.model_dump() if base.noisy else {"weight": 1.0},
        },
        "verified": {"clips": "trusted"},
        "pseudo": {"clips": "verified", "loss": {"kind": exact}, "soft": {"labels": "by-verified", **soft}},
    }
    members: dict[str, MemberSettings] = {}
    refused: dict[str, str] = {}
    for method, change in changes.items():
        try:
            members[method] = _changed(_changed(base, plain), change)
            check_buildable(members[method], classes)
        except RecipeError as error:
            if method in ("given", "verified"):
                raise RecipeError(f"{recipe.name}: members.{name}: {error}") from None
            members.pop(method, None)
            refused[method] = f"{recipe.name}'s {name} cannot: {error}"
    agreement = _agreement_of(recipe, members["given"])
    twin = next((own for own in agreement["members"] if agreement["members"][own] == members["verified"]), None)
    ensembles: dict[str, Any] = {method: {"members": {method: {}}} for method in members}
    if twin is not None:  # what agreement begins with is the same as ``verified``, and is trained once
        del members["verified"]
        ensembles["verified"] = {"members": {twin: {}}}
    guesser = {"member": twin or "verified", "temperature": TEMPERATURE}
    data = {
        "name": recipe.name,
        "title": f"Ways to learn from labels of which some are wrong, with the net of {recipe.name}",
        "seed": recipe.seed,
        "precision": recipe.precision,
        "members": _plain(agreement["members"]) | _plain(members),
        "pseudo_labels": _plain(agreement["pseudo_labels"]) | ({"by-verified": guesser} if "pseudo" in members else {}),
        "agreements": _plain(agreement["agreements"]),
        "ensembles": {"agreement": agreement["ensemble"]} | ensembles,  # the first one is the run's own
    }
    try:
        return Methods(Recipe.model_validate(data), refused)
    except ValidationError as error:
        raise RecipeError(f"{recipe.name}: " + "; ".join(faults(error))) from None


def _without_noisy_task(member: MemberSettings) -> dict[str, Any]:
    """What to change in a member's head so that it has the first task alone."""
    takes = inspect.signature(HEADS[member.head.name].__init__).parameters if member.head.name in HEADS else {}
    has = {name: member.head.arguments.get(name, takes[name].default) for name in ("noisy", "split") if name in takes}
    return {name: value for name, value in (("noisy", False), ("split", None)) if has.get(name)}


def _agreement_of(recipe: Recipe, net: MemberSettings) -> dict[str, Any]:
    """The parts of a recipe that make up its agreement, with names that begin with `OWN`; of `quick`, with another net, if it has none."""
    voters = _agreeing(recipe)
    own = bool(voters)
    source = recipe if own else load_recipe("quick")
    voters = voters or _agreeing(source)
    names = list(voters)
    for name in names:
        names += [needed for needed in source.needs(name) if needed not in names]
    members = {}
    for name in [name for name in source.members if name in names]:
        member = source.members[name]
        if not own:
            member = net.model_copy(update={"clips": member.clips, "agreement": member.agreement})
        changes: dict[str, Any] = {"validation": {"keep": "last"}} if member.validation.keep == "best" else {}
        for field in ("start_from", "agreement"):
            if (value := getattr(member, field)) is not None:
                changes[field] = OWN + value
        if member.soft is not None:
            changes["soft"] = {"labels": OWN + member.soft.labels}
        members[OWN + name] = _changed(member, changes)
    used = {"agreements": {member.agreement for member in members.values()}, "pseudo_labels": set()}
    used["pseudo_labels"] = {member.soft.labels for member in members.values() if member.soft}
    first = next(iter(source.ensembles.values()))
    parts: dict[str, Any] = {
        kind: {
            OWN + name: settings.model_copy(update={"member": OWN + settings.member})
            for name, settings in getattr(source, kind).items()
            if OWN + name in used[kind]
        }
        for kind in ("agreements", "pseudo_labels")
    }
    votes = {OWN + name: voter.model_dump(mode="json") for name, voter in voters.items()}
    for vote in votes.values():
        vote["weights"] = "last" if vote["weights"] == "best" else vote["weights"]
    ensemble = {"rule": first.rule, "members": votes}
    return parts | {"members": members, "ensemble": ensemble}


def _agreeing(recipe: Recipe) -> dict[str, Any]:
    """The voters of a recipe's first ensemble that learn from an agreement."""
    return {name: voter for name, voter in recipe.voters(next(iter(recipe.ensembles))).items() if recipe.members[name].agreement}


def _changed(member: MemberSettings, changes: Changes) -> MemberSettings:
    """A member with other settings; of a group of settings, those that are named.

    Raises:
        RecipeError: they do not go together.
    """
    data = member.model_dump(mode="json")
    for name, value in changes.items():
        data[name] = {**data[name], **value} if isinstance(value, Mapping) and isinstance(data[name], dict) else value
    try:
        return MemberSettings.model_validate(data)
    except ValidationError as error:
        raise RecipeError("; ".join(words(fault) for fault in error.errors(include_url=False, include_input=False))) from None


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.model_dump(mode="json") for name, value in settings.items()}
