"""Scoring the clips of a store."""

from collections.abc import Sequence

import numpy as np

from earmark import audio
from earmark.data.clips import ClipSet
from earmark.errors import RunError
from earmark.progress import progress_bar
from earmark.recipe import ScoringSettings
from earmark.scoring.scorer import Scorer, Scores, Sounds, net_input


def score_clips(
    scorer: Scorer, clips: ClipSet, views: Sequence[str] = ("whole",), grouping: ScoringSettings | None = None, title: str = ""
) -> Scores:
    """Scores the clips of a store.

    Args:
        scorer: a net that takes the clips' sample rate.
        clips: N clips.
        views: V versions of each clip: ``whole`` or ``padN``.
        grouping: which clips go through the net together; by default only clips of equal length.
        title: title of the progress bar; no bar is shown if it is empty.

    Returns:
        float32 ``[V, N, K]``, in the order of the clips.

    Raises:
        RunError: some scores are not finite.
    """
    settings = scorer.input
    trimmed = audio.sounding_part(clips.length, clips.lead, clips.tail)[1] if settings.trim_silence else clips.length
    lengths = np.maximum(trimmed, settings.window if settings.fill_short else 1)
    sounds = Sounds(lengths, lambda number: net_input(clips.samples(number), settings))
    with progress_bar(title, len(clips), hidden=not title) as bar:
        scores = scorer.scores(sounds, views, grouping, bar.update)
    if not np.isfinite(scores).all():
        raise RunError("the net's scores are not numbers: the training diverged; start it anew with a lower rate")
    return scores
