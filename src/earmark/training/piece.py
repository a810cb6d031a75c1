"""What one net is trained on: one member of a recipe on one fold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.data.clips import ClipSet
from earmark.recipe import MemberSettings, Recipe
from earmark.runs.run import Run
from earmark.training import splits
from earmark.training.pseudo import SoftClips, soft_clips


@dataclass(frozen=True)
class Piece:
    """One member on one fold: what is trained, on what, and where it goes.

    Attributes:
        title: for the progress bar.
        path: the piece's folder.
        settings: of the member.
        training: clips that the first task is taught by, at the member's rate.
        validation: verified clips of the fold; may be empty.
        seed: of this piece alone.
        noisy: clips of the noisy task, where the member has one.
        soft: clips of the soft stream, where the member has one.
        start: weights to begin with, where the member says so.
    """

    title: str
    path: Path
    settings: MemberSettings
    training: ClipSet
    validation: ClipSet
    seed: np.random.SeedSequence
    noisy: ClipSet | None = None
    soft: SoftClips | None = None
    start: Path | None = None


def make_piece(run: Run, name: str, fold: int, clips: ClipSet) -> Piece:
    """What one net is trained on.

    Args:
        run: what the net needs of other stages is made.
        name: the member.
        fold: left out of the training.
        clips: of the store, at the member's rate.
    """
    recipe, settings = run.recipe, run.recipe.members[name]
    start = None
    if settings.start_from:
        start = run.weights(settings.start_from, fold, recipe.members[settings.start_from].unbiased_weights[-1])
    return Piece(
        title=f"{name} fold {fold}",
        path=run.net_folder(name, fold),
        settings=settings,
        training=clips[splits.first_task(clips, fold, recipe, settings)],
        validation=clips[splits.validation(clips, fold)],
        seed=np.random.SeedSequence([recipe.seed, list(recipe.members).index(name), fold]),
        noisy=clips[splits.noisy_task(clips, fold, recipe)] if settings.noisy else None,
        soft=_soft(run, recipe, settings, fold, clips),
        start=start,
    )


def _soft(run: Run, recipe: Recipe, settings: MemberSettings, fold: int, clips: ClipSet) -> SoftClips | None:
    if settings.soft is None:
        return None
    of_fold = recipe.pseudo_labels[settings.soft.labels].folds == "same"
    path = run.pseudo_labels(settings.soft.labels, fold if of_fold else None)
    verified = splits.labelled(clips, fold, recipe) & clips.verified
    return soft_clips(path, clips[verified], clips[splits.unverified(clips, fold, recipe)])
