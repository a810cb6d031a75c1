"""Which clips may train in a fold, and which are validated on: the rules that keep validation labels out of the training.

The functions return masks, bool ``[N]``, over the clips of a store.
"""

import hashlib
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from earmark.data.manifest import NO_FOLD
from earmark.data.table import Array, ClipTable
from earmark.errors import EarmarkWarning, RunError
from earmark.recipe import MemberSettings, Recipe

PARTS = 4  # of the clips whose labels are judged
SHOWN = 5  # names in a message, at most
DRAWN_SEED = 1  # of the order in which some clips are drawn from many


def allowed(clips: ClipTable, fold: int | None, recipe: Recipe) -> Array:
    """Clips that may train in a fold; ``None``: clips for pseudo labels that all folds share.

    These are the training clips of the other folds. With ``unverified: all`` the fold's own unverified clips are allowed too,
    except those of a recording that also has verified clips in the fold: no net is validated on a recording that it was trained on.
    """
    in_other_folds: Array = clips.fold != fold if fold is not None else np.ones(len(clips), bool)
    if recipe.unverified == "all" and fold is not None:
        validated_recordings = clips.group[(clips.fold == fold) & clips.verified]
        own_unverified = ~clips.verified & ~np.isin(clips.group, validated_recordings)
        in_other_folds = in_other_folds | own_unverified
    mask: Array = in_other_folds & ~clips.test
    return mask


def labelled(clips: ClipTable, fold: int, recipe: Recipe) -> Array:
    """Allowed clips that are labelled (also those labelled *none of these*)."""
    mask: Array = allowed(clips, fold, recipe) & clips.labelled
    return mask


def unverified(clips: ClipTable, fold: int | None, recipe: Recipe) -> Array:
    """Allowed clips that are unverified, labelled or not. Their pseudo labels are guessed."""
    mask: Array = allowed(clips, fold, recipe) & ~clips.verified
    return mask


def first_task(clips: ClipTable, fold: int, recipe: Recipe, settings: MemberSettings) -> Array:
    """Clips that a member's first task learns from: allowed, labelled, and verified if the member asks for it."""
    chosen: Array = clips.verified.copy()
    if settings.clips == "labelled":
        chosen[:] = True
    elif settings.clips == "trusted":
        chosen |= clips.positive[:, not_verified(clips)].any(axis=1)
    mask: Array = labelled(clips, fold, recipe) & chosen
    return mask


def not_verified(clips: ClipTable) -> Array:
    """The classes that verified clips alone cannot teach, bool ``[K]``: outside some fold they have none."""
    can_train = clips.verified & ~clips.test
    taught = np.ones(len(clips.labels), bool)
    for fold in folds_of(clips):
        taught &= clips.positive[can_train & (clips.fold != fold)].any(axis=0)
    return ~taught


def verified_suffice(clips: ClipTable) -> bool:
    """Whether verified clips alone can teach: outside every fold each class has one."""
    return not not_verified(clips).any()


def unverified_labels(clips: ClipTable) -> bool:
    """Whether some training clips have labels that nobody has verified."""
    return bool((clips.labelled & ~clips.verified & ~clips.test).any())


def learns_from_unverified(settings: MemberSettings, verified_suffice: bool) -> bool:
    """Whether a member's first task learns from unverified clips.

    Args:
        settings: settings of the member.
        verified_suffice: whether verified clips alone can teach; this decides for members with ``clips: trusted``.
    """
    return settings.clips == "labelled" or (settings.clips == "trusted" and not verified_suffice)


def parts(clips: ClipTable) -> Array:
    """The part that each clip belongs to, int64 ``[N]``: `PARTS` parts, of which a net judges one and learns from the others."""
    return deal(clips, PARTS)


def deal(clips: ClipTable, count: int, first_dealt: Array | None = None) -> Array:
    """The part that each clip belongs to, int64 ``[N]``, if clips are dealt into some parts.

    Recordings are whole, and those of a class are dealt out evenly, in an order that only depends on their names.

    Args:
        clips: the N clips.
        count: number of parts.
        first_dealt: clips whose recordings come first in their class, so that these too are dealt out evenly, bool ``[N]``.
    """
    groups, first, group_of = np.unique(clips.group, return_index=True, return_inverse=True)
    label = clips.positive[first].argmax(axis=1)
    name_hash = [hashlib.sha256(str(name).encode()).digest() for name in groups]
    later = np.ones(len(groups), bool)
    if first_dealt is not None:
        later[group_of[first_dealt]] = False
    order = sorted(range(len(groups)), key=lambda group: (label[group], later[group], name_hash[group]))
    part_of_group = np.zeros(len(groups), np.int64)
    part_of_group[order] = np.arange(len(groups)) % count
    part: Array = part_of_group[group_of]
    return part


def beside(clips: ClipTable, part: int | None) -> Array:
    """Clips that a net which judges a part of the labels may learn from: those of the other parts, and all verified ones.

    ``None``: all clips, for a net that judges nothing.
    """
    mask: Array = (parts(clips) != part) | clips.verified if part is not None else np.ones(len(clips), bool)
    return mask


def judged(clips: ClipTable, fold: int, recipe: Recipe) -> Array:
    """Clips whose given labels an agreement judges: allowed, labelled, unverified."""
    mask: Array = labelled(clips, fold, recipe) & ~clips.verified
    return mask


def noisy_task(clips: ClipTable, fold: int, recipe: Recipe) -> Array:
    """Clips that the noisy task learns from: allowed, labelled, unverified."""
    mask: Array = labelled(clips, fold, recipe) & ~clips.verified
    return mask


def validation(clips: ClipTable, fold: int) -> Array:
    """Clips that a net is validated on: verified, judgeable clips of the fold that it is not trained on."""
    mask: Array = (clips.fold == fold) & clips.verified & clips.judgeable
    return mask


def held_out(clips: ClipTable, fold: int, recipe: Recipe, settings: MemberSettings) -> Array:
    """Held-out clips: those of the fold that a member's net is not trained on. Its scores of them are its out-of-fold scores.

    With ``unverified: all``, unverified clips of the fold that are allowed are trained on, so they are not held out.
    """
    trained = labelled(clips, fold, recipe)
    if settings.soft is not None:
        trained = trained | unverified(clips, fold, recipe)
    mask: Array = (clips.fold == fold) & ~trained
    return mask


def folds_of(clips: ClipTable) -> list[int]:
    """The numbers of the folds of a store's training clips, in ascending order."""
    return sorted({int(fold) for fold in clips.fold if fold != NO_FOLD})


def choose_folds(folds: Sequence[int], requested: Sequence[int] | None, data_name: str = "the store") -> list[int]:
    """The requested folds in the order of ``folds``; all folds by default.

    Args:
        folds: numbers of all folds of the data.
        requested: numbers of the folds that the user asked for.
        data_name: name of the data in the error message.

    Raises:
        RunError: there is no such fold.
    """
    if unknown := sorted(set(requested or ()) - set(folds)):
        raise RunError(f"no fold {', '.join(map(str, unknown))}; {data_name} has the folds {', '.join(map(str, folds))}")
    return [fold for fold in folds if requested is None or fold in requested]


def drawn(indices: Array, clips: ClipTable, most: int) -> Array:
    """Some of the clips with these indices, in the same order, if there are more than ``most``: of each class about the same share.

    Where clips have several labels, the first counts.
    """
    if len(indices) <= most:
        return indices
    shuffled = np.random.default_rng(DRAWN_SEED).permutation(indices)
    label = np.where(clips.positive[shuffled].any(axis=1), clips.positive[shuffled].argmax(axis=1), -1)
    place = np.zeros(len(shuffled))
    for name in np.unique(label):
        own = np.flatnonzero(label == name)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)  # of a class the same share comes before every place
    return np.sort(shuffled[np.argsort(place, kind="stable")[:most]])


def refuse_unlearnable(clips: ClipTable, fold: int, recipe: Recipe, member: str, part: int | None = None) -> None:
    """Refuses a fold in which a class has no clip to learn from, or a stream of the member has no clips.

    Args:
        clips: all clips of the store.
        fold: the fold that the member's net is not trained on.
        recipe: the whole recipe.
        member: name of the member.
        part: the part of the labels that the net judges, which it is not trained on either: then only class-balanced batches need a
            clip of each class, others some clip.

    Raises:
        RunError: something has no clips, or there are fewer than two classes.
    """
    if len(clips.labels) < 2:
        raise RunError("training needs at least two classes")
    settings = recipe.members[member]
    if part is not None and settings.batch.sampling == "shuffled":
        learned = first_task(clips, fold, recipe, settings)
        if not (learned & clips.verified).any() and not (learned & beside(clips, part)).any():
            raise RunError(
                f"fold {fold}: {member} judges a quarter of the labels by nets that learn from the others, and there are none: the clips "
                "outside the fold are of too few recordings"
            )
        return
    verified = " verified" if settings.clips == "verified" else ""
    learned = first_task(clips, fold, recipe, settings) & beside(clips, part)
    without_clip = np.flatnonzero(~clips[learned].positive.any(axis=0))
    if len(without_clip):
        shown = _shown(clips.labels.names[i] for i in without_clip)
        if part is not None:
            raise RunError(
                f"fold {fold}: {member} judges a quarter of the labels by nets that learn from the others, and none of these is {shown}; "
                "give every label more clips, or take batches of sampling shuffled"
            )
        raise RunError(
            f"fold {fold}: no{verified} training clip outside it has the label {shown}; give every label{verified} clips in two "
            "folds or more"
        )
    if settings.noisy and not noisy_task(clips, fold, recipe).any():
        raise RunError(f"fold {fold}: member {member} has a noisy task, and no unverified clip with labels is there to train on")
    if settings.soft and not unverified(clips, fold, recipe).any():
        raise RunError(f"fold {fold}: member {member} learns from pseudo labels, and no unverified clip is there to train on")


def _shown(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    return ", ".join(map(repr, names[:SHOWN])) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def warn_of_few_verified(clips: ClipTable, recipe: Recipe, members: Sequence[str]) -> None:
    """Warns where members that trust the verified clips alone must learn unverified labels, too."""
    leaning = [name for name in members if recipe.members[name].clips == "trusted"]
    if leaning and (lacking := not_verified(clips)).any():
        if lacking.all():
            which = "no class has verified clips enough"
        else:
            which = f"too few verified clips of {_shown(clips.labels.names[k] for k in np.flatnonzero(lacking))}"
        warnings.warn(
            f"{which}: {', '.join(leaning)} learns from unverified labels of theirs too, and labels are judged by nets that have not "
            "learned them",
            EarmarkWarning,
            stacklevel=3,
        )


def warn_of_nothing_to_score(clips: ClipTable, recipe: Recipe, nets: Sequence[tuple[str, int]]) -> None:
    """Warns of folds in which a net, given by its member and fold, holds out no clip that it can be judged by.

    Such a net learns, and votes in the bundle, but there are no figures of it.
    """
    silent = [
        f"{name} fold {fold}"
        for name, fold in nets
        if not (held_out(clips, fold, recipe, recipe.members[name]) & clips.judgeable).any()
    ]
    if silent:
        shown = ", ".join(silent[:SHOWN]) + (f" and {len(silent) - SHOWN} more" if len(silent) > SHOWN else "")
        none = "; the run will have no figures at all" if len(silent) == len(nets) else ""
        warnings.warn(f"no clip with labels is held out to score {shown} with{none}", EarmarkWarning, stacklevel=3)
