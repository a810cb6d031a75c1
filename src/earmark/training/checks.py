"""Checks that members can be built and trained as their settings say. The nets take no memory here."""

from collections.abc import Iterable

from earmark.data.shuffled import check_augmentations
from earmark.errors import RecipeError
from earmark.nets.member import planned_net
from earmark.recipe import MemberSettings, Recipe
from earmark.training.start import take_weights


def check_buildable(settings: MemberSettings, classes: int) -> None:
    """Checks that a member's net can be built, and that its losses and augmentations fit the net.

    Args:
        settings: settings of the member.
        classes: number of classes K.

    Raises:
        RecipeError: the net cannot be built, or something does not fit.
    """
    net, head = planned_net(settings, classes), settings.head.name
    check_augmentations(settings.batch, net.frontend)
    kinds = {settings.loss.kind} | ({settings.soft.loss} if settings.soft else set())
    if net.activation != "softmax" and (wrong := kinds & {"cross_entropy", "kl"}):
        raise RecipeError(f"loss {', '.join(sorted(wrong))}: needs a softmax; the head {head} has a {net.activation} here")
    if net.activation != "sigmoid" and "bce" in kinds:
        raise RecipeError(f"loss bce: needs a sigmoid; the head {head} has a {net.activation} here")
    if net.head.outputs != "logits" and (settings.loss.kind != "cross_entropy" or settings.soft):
        raise RecipeError(f"loss {settings.loss.kind}: needs a head with logits, which {head} has not")
    if settings.noisy and "noisy" not in net.head.tasks:
        raise RecipeError(f"noisy: the head {head} has no noisy task here; curated_noisy with noisy: true has one")
    if not settings.noisy and "noisy" in net.head.tasks:
        raise RecipeError("head: it has a noisy task that nothing would teach; say noisy: false in it, or give the member one")


def check_start(recipe: Recipe, member: str, classes: int) -> None:
    """Checks that a member's net can start from the weights of the member that ``start_from`` names.

    Raises:
        RecipeError: the other member's net has not the same front end and backbone.
    """
    if (source := recipe.members[member].start_from) is not None:
        weights = planned_net(recipe.members[source], classes).state_dict()
        take_weights(planned_net(recipe.members[member], classes), weights, f"member {source}")


def check_members(recipe: Recipe, names: Iterable[str], classes: int) -> None:
    """Checks that each of these members can be built and trained as its settings say.

    Raises:
        RecipeError: a member cannot be built or trained.
    """
    for name in names:
        try:
            check_buildable(recipe.members[name], classes)
            check_start(recipe, name, classes)
        except RecipeError as error:
            raise RecipeError(f"members.{name}: {error}") from None
