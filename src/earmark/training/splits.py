"""What may train where, and what is scored: the contract that keeps validation labels out of the training.

Masks are bool ``[N]`` over the clips of a store.
"""

from collections.abc import Sequence

import numpy as np

from earmark.data.manifest import NO_FOLD
from earmark.data.table import Array, ClipTable
from earmark.errors import RunError
from earmark.recipe import MemberSettings, Recipe


def allowed(clips: ClipTable, fold: int | None, recipe: Recipe) -> Array:
    """Clips that may train in a fold; ``None``: in pseudo labels of all folds.

    They are the training clips of the other folds; with ``unverified: all`` the fold's own unverified ones too, but never those
    of a recording that the fold's verified clips are of: no net is scored on a recording that it was trained on.
    """
    in_other_folds: Array = clips.fold != fold if fold is not None else np.ones(len(clips), bool)
    if recipe.unverified == "all" and fold is not None:
        validated_recordings = clips.group[(clips.fold == fold) & clips.verified]
        own_unverified = ~clips.verified & ~np.isin(clips.group, validated_recordings)
        in_other_folds = in_other_folds | own_unverified
    mask: Array = in_other_folds & ~clips.test
    return mask


def labelled(clips: ClipTable, fold: int, recipe: Recipe) -> Array:
    """Allowed clips that are labelled."""
    mask: Array = allowed(clips, fold, recipe) & clips.labelled
    return mask


def unverified(clips: ClipTable, fold: int | None, recipe: Recipe) -> Array:
    """Allowed clips that are unverified, labelled or not: pseudo labels are guessed for them."""
    mask: Array = allowed(clips, fold, recipe) & ~clips.verified
    return mask


def first_task(clips: ClipTable, fold: int, recipe: Recipe, settings: MemberSettings) -> Array:
    """Clips that a member's first task learns from."""
    mask: Array = labelled(clips, fold, recipe) & (clips.verified | (settings.clips == "labelled"))
    return mask


def noisy_task(clips: ClipTable, fold: int, recipe: Recipe) -> Array:
    """Clips that the noisy task learns from."""
    mask: Array = labelled(clips, fold, recipe) & ~clips.verified
    return mask


def validation(clips: ClipTable, fold: int) -> Array:
    """Clips that a net is validated on: the fold's verified ones that have labels."""
    mask: Array = (clips.fold == fold) & clips.verified & clips.judgeable
    return mask


def held_out(clips: ClipTable, fold: int, recipe: Recipe, settings: MemberSettings) -> Array:
    """Clips of the fold that a member's net was not trained on: its scores of them are out of fold.

    With ``unverified: all`` the fold's own unverified clips were trained on.
    """
    trained = labelled(clips, fold, recipe)
    if settings.soft is not None:
        trained = trained | unverified(clips, fold, recipe)
    mask: Array = (clips.fold == fold) & ~trained
    return mask


def folds_of(clips: ClipTable) -> list[int]:
    """The folds of a store's training clips, in order."""
    return sorted({int(fold) for fold in clips.fold if fold != NO_FOLD})


def choose_folds(folds: Sequence[int], asked: Sequence[int] | None, whose: str = "the store") -> list[int]:
    """The folds asked for, all by default, in order.

    Args:
        folds: of the data.
        asked: some of them.
        whose: the data, in the message.

    Raises:
        RunError: no such fold.
    """
    if unknown := sorted(set(asked or ()) - set(folds)):
        raise RunError(f"no fold {', '.join(map(str, unknown))}; {whose} has the folds {', '.join(map(str, folds))}")
    return [fold for fold in folds if asked is None or fold in asked]


def refuse_unlearnable(clips: ClipTable, fold: int, recipe: Recipe, member: str) -> None:
    """Every class must have a clip to learn from, and every stream clips at all.

    Raises:
        RunError: something has none.
    """
    if len(clips.labels) < 2:
        raise RunError("training needs at least two classes")
    settings = recipe.members[member]
    verified = " verified" if settings.clips == "verified" else ""
    without_clip = np.flatnonzero(~clips[first_task(clips, fold, recipe, settings)].positive.any(axis=0))
    if len(without_clip):
        names = [clips.labels.names[i] for i in without_clip]
        shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise RunError(
            f"fold {fold}: no{verified} training clip outside it has the label {shown}; give every label{verified} clips in two "
            "folds or more"
        )
    if settings.noisy and not noisy_task(clips, fold, recipe).any():
        raise RunError(f"fold {fold}: member {member} has a noisy task, and no unverified clip with labels is there to train on")
    if settings.soft and not unverified(clips, fold, recipe).any():
        raise RunError(f"fold {fold}: member {member} learns from pseudo labels, and no unverified clip is there to train on")
