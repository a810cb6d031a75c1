"""The training of one net: its settings, its clips and its folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.data.clips import ClipSet
from earmark.data.table import Array
from earmark.recipe import MemberSettings, Recipe
from earmark.runs.run import Run
from earmark.training import splits
from earmark.training.agreement import agreed_of
from earmark.training.pseudo import SoftClips, soft_clips


@dataclass(frozen=True)
class Piece:
    """A piece of a run's training: one member's net for one fold.

    Attributes:
        title: title of the progress bar.
        path: folder of the net.
        settings: settings of the member.
        training: clips that the first task learns from, at the member's sample rate.
        validation: verified clips of the fold that is left out; may be empty.
        seed: seed of this training; no other net has the same.
        noisy: clips that the noisy task learns from; None if the member has no such task.
        soft: clips of the soft stream; None if the member has no such stream.
        start: file of the weights to start from; None for new weights.
        agreed: what the labels of the unverified training clips probably are, float ``[N, K]``; the rows of verified clips are not used;
            None to learn the given labels.
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
    agreed: Array | None = None


def make_piece(run: Run, name: str, fold: int, clips: ClipSet, part: int | None = None) -> Piece:
    """The training of one net of a run.

    Args:
        run: the run; the stages that the net needs are made.
        name: name of the member.
        fold: the fold that is left out of the training.
        clips: all clips of the store, as the member's net takes them.
        part: a part of the clips that is left out, whose labels the net is to judge.
    """
    recipe, settings = run.recipe, run.recipe.members[name]
    start = None
    if settings.start_from:
        start = run.weights(settings.start_from, fold, recipe.members[settings.start_from].unbiased_weights[-1], part)
    learned = splits.beside(clips, part)
    training = clips[splits.first_task(clips, fold, recipe, settings) & learned]
    return Piece(
        title=f"{name} fold {fold}" + ("" if part is None else f" part {part}"),
        path=run.net_folder(name, fold, part),
        settings=settings,
        training=training,
        validation=clips[splits.validation(clips, fold)],
        seed=np.random.SeedSequence([recipe.seed, list(recipe.members).index(name), fold, *([] if part is None else [1 + part])]),
        noisy=clips[splits.noisy_task(clips, fold, recipe) & learned] if settings.noisy else None,
        soft=_soft(run, recipe, settings, fold, clips[learned]),
        start=start,
        agreed=agreed_of(run.agreement(settings.agreement, fold), training) if settings.agreement else None,
    )


def _soft(run: Run, recipe: Recipe, settings: MemberSettings, fold: int, clips: ClipSet) -> SoftClips | None:
    if settings.soft is None:
        return None
    for_one_fold = recipe.pseudo_labels[settings.soft.labels].folds == "same"
    path = run.pseudo_labels(settings.soft.labels, fold if for_one_fold else None)
    verified = splits.labelled(clips, fold, recipe) & clips.verified
    return soft_clips(path, clips[verified], clips[splits.unverified(clips, fold, recipe)])
