"""Scoring the clips of a store."""

from collections.abc import Sequence

import numpy as np

from earmark import audio
from earmark.data.clips import ClipSet
from earmark.data.table import Array
from earmark.errors import RecipeError, RunError
from earmark.progress import progress_bar
from earmark.recipe import ScoringSettings
from earmark.scoring.finite import is_broken, not_finite
from earmark.scoring.groups import check_views, variation_of
from earmark.scoring.scorer import Scorer, Scores, Sounds, net_input


def score_clips(
    scorer: Scorer,
    clips: ClipSet,
    views: Sequence[str] = ("whole",),
    grouping: ScoringSettings | None = None,
    title: str = "",
    *,
    net: str = "the net",
) -> Scores:
    """Scores the clips of a store.

    Args:
        scorer: a net that takes the clips' sample rate.
        clips: N clips.
        views: V versions of each clip: ``whole``, ``padN`` or ``variedN``.
        grouping: which clips go through the net together; by default only clips of equal length.
        title: title of the progress bar; no bar is shown if it is empty.
        net: which net scores, in an error message: its member, fold and weights.

    Returns:
        float32 ``[V, N, K]``, in the order of the clips.

    Raises:
        RecipeError: the net does not know a view, or the store has no vectors of it.
        RunError: some scores are not finite. The message names the clips; or the net, if its weights are at fault.
    """
    check_views(views, scorer.takes_vectors)
    if clips.vectors is not None:
        if (highest := max(map(variation_of, views))) >= clips.vectors.shape[1]:
            raise RecipeError(f"{net}: view varied{highest}: frontend.variations is {clips.vectors.shape[1] - 1}")
        scores = np.stack([scorer.score_vectors(clips.vectors[clips.row, variation_of(view)]) for view in views])
    else:
        scores = _of_sounds(scorer, clips, views, grouping, title)
    if (broken := np.flatnonzero(not_finite(scores))).size:
        raise _not_finite_error(scorer, clips, broken, net)
    return scores


def _of_sounds(scorer: Scorer, clips: ClipSet, views: Sequence[str], grouping: ScoringSettings | None, title: str) -> Scores:
    settings = scorer.input
    trimmed = audio.sounding_part(clips.length, clips.lead, clips.tail)[1] if settings.trim_silence else clips.length
    lengths = np.maximum(trimmed, settings.window if settings.fill_short else 1)
    sounds = Sounds(lengths, lambda number: net_input(clips.samples(number), settings))
    with progress_bar(title, len(clips), hidden=not title, unit="clips") as bar:
        return scorer.scores(sounds, views, grouping, bar.update)


def named_clips(clips: ClipSet, chosen: Array) -> str:
    """The first of some clips, given by their indices, and the number of the others, in words for an error message."""
    first = int(chosen[0])
    more = f" and {len(chosen) - 1:,} more" if len(chosen) > 1 else ""
    peak = f" (its largest sample is {clips.peak[first]:g}, where 1 is full scale)" if not clips.peak[first] <= 1 else ""
    return f"clip {str(clips.clip_id[first])!r}{peak}{more}"


def _not_finite_error(scorer: Scorer, clips: ClipSet, broken: Array, net: str) -> RunError:
    if is_broken(scorer):
        return RunError(
            f"{net}: its scores of every sound are not finite: its weights are at fault; the training diverged, or their file is "
            "damaged: train into another --out, with a lower rate if it diverged"
        )
    return RunError(
        f"{net}: its scores of {named_clips(clips, broken)} are not finite; take what is wrong out of the data set, prepare it again "
        "and train into another --out"
    )
