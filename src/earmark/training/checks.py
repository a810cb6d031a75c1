"""Checks that members can be built and trained as their settings say. The nets take no memory here."""

import warnings
from collections.abc import Iterable

import torch

from earmark import machine
from earmark.data.shuffled import check_augmentations
from earmark.errors import EarmarkWarning, RecipeError
from earmark.nets.member import planned_net
from earmark.nets.memory import in_words, scoring_bytes, step_bytes
from earmark.nets.tagnet import TagNet
from earmark.recipe import MemberSettings, Recipe
from earmark.runs.votes import needed_scores
from earmark.scoring.groups import check_padding, check_views, padding_of, variation_of
from earmark.training.schedule import batch_size
from earmark.training.start import take_weights


def check_buildable(settings: MemberSettings, classes: int) -> TagNet:
    """Checks that a member's net can be built, and that its losses and augmentations fit the net.

    Args:
        settings: settings of the member.
        classes: number of classes K.

    Returns:
        The net, on the meta device.

    Raises:
        RecipeError: the net cannot be built, or something does not fit.
    """
    net, head = planned_net(settings, classes), settings.head.name
    check_augmentations(settings.batch, net.frontend)
    if net.frontend.takes_vectors:
        _check_input_of_vectors(settings)
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
    return net


def _check_input_of_vectors(settings: MemberSettings) -> None:
    """Checks that nothing is asked of the sounds of a net that only gets their vectors."""
    input = settings.input
    wanted = {
        "input.fill_short": input.fill_short,
        "input.peak_normalised": input.peak_normalised,
        "input.trim_silence": input.trim_silence,
    }
    if wrong := [name for name, value in wanted.items() if value]:
        raise RecipeError(f"{', '.join(wrong)}: must be false, since the front end embedding takes clips as they are")


def _check_views(recipe: Recipe, member: str, net: TagNet) -> None:
    """Checks that a member's net knows all views that it is asked for, and that the store has the vectors of them."""
    settings = recipe.members[member]
    views = {view for _, view in needed_scores(recipe, member)} | {settings.validation.view}
    check_views(views, net.frontend.takes_vectors)
    variations = settings.frontend.arguments.get("variations", 0)
    if net.frontend.takes_vectors and (highest := max(map(variation_of, views))) > variations:
        raise RecipeError(f"view varied{highest}: frontend.variations is {variations}, and must be {highest} or more")


def check_start(recipe: Recipe, member: str, classes: int) -> None:
    """Checks that a member's net can start from the weights of the member that ``start_from`` names.

    Raises:
        RecipeError: the other member's net has not the same front end and backbone.
    """
    if (source := recipe.members[member].start_from) is not None:
        weights = planned_net(recipe.members[source], classes).state_dict()
        take_weights(planned_net(recipe.members[member], classes), weights, f"member {source}")


def check_memory(net: TagNet, settings: MemberSettings, examples: int, precision: str) -> None:
    """Checks that a training step, and scoring a clip of the window's length, do not need more memory than there is.

    What they need is counted from below, so that nothing is refused that could work: without the front end's spectra and the head.

    Args:
        net: the member's net, on the meta device; its mode changes.
        settings: settings of the member.
        examples: number of examples in a batch.
        precision: the recipe's; in ``float32`` numbers between the layers have 4 bytes, else they may have 2.

    Raises:
        RecipeError: they need more, and the message says how much, and how much there is; or a view has too many zeros.
    """
    batch, window, has = settings.batch, settings.input.window, available_memory()
    longest = max((window, *batch.windows)) if batch.sampling == "shuffled" else window
    states = 2 if settings.optimiser.name == "adam" else 1
    if (needs := step_bytes(net, examples, longest, states, 4 if precision == "float32" else 2)) > has:
        raise RecipeError(
            f"a batch of {examples:,} examples of {longest:,} samples needs at least {in_words(needs)} of memory, and this machine "
            f"has {in_words(has)}; make batch.{'size' if batch.sampling == 'shuffled' else 'clips_per_class'}, input.window or the "
            "net smaller"
        )
    padding = max(map(padding_of, (*settings.views, settings.validation.view)))
    check_padding(padding, net.frontend.hop_length, settings.input.sample_rate)
    if (needs := scoring_bytes(net, window, padding)) > has:
        raise RecipeError(
            f"scoring with {padding:,} frames of padding needs at least {in_words(needs)} of memory, and this machine has "
            f"{in_words(has)}; take smaller views"
        )


def has_room(settings: MemberSettings, classes: int) -> bool:
    """Whether the memory is large enough for whole batches of a member."""
    try:
        check_memory(planned_net(settings, classes), settings, batch_size(settings, classes), "float32")
    except RecipeError:
        return False
    return True


def available_memory() -> int:
    """Bytes of the machine's memory, or of its GPU's if that has more."""
    gpu = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
    return max(machine.memory(), gpu)


def check_members(recipe: Recipe, names: Iterable[str], classes: int, examples: int | None = None) -> None:
    """Checks that each of these members can be built and trained as its settings say, in the memory that there is.

    Args:
        recipe: the whole recipe.
        names: names of members.
        classes: number of classes K.
        examples: if given, batches of so many examples must have room, and of larger ones there is only a warning: a plan may be
            made for a larger machine.

    Raises:
        RecipeError: a member cannot be built or trained.
    """
    for name in names:
        settings = recipe.members[name]
        whole = batch_size(settings, classes)
        try:
            net = check_buildable(settings, classes)
            _check_views(recipe, name, net)
            check_start(recipe, name, classes)
            check_memory(net, settings, min(whole, examples or whole), recipe.precision)
        except RecipeError as error:
            raise RecipeError(f"members.{name}: {error}") from None
        try:
            check_memory(net, settings, whole, recipe.precision)
        except RecipeError as error:
            warnings.warn(f"members.{name}: {error}", EarmarkWarning, stacklevel=2)
