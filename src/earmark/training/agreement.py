"""Agreement: how far nets that were taught by others agree with a clip's given labels, and what its labels probably are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.assess.label_noise import agreed_classes, agreed_labels, support
from earmark.data.clips import ClipSet
from earmark.data.table import Array
from earmark.recipe import AgreementSettings, MemberSettings
from earmark.runs.predictions import Block, read_scores_of, write_predictions
from earmark.scoring.clips import score_clips
from earmark.scoring.opened import open_scorer


def write_agreement(
    path: Path,
    clips: ClipSet,
    parts: Array,
    settings: AgreementSettings,
    member: MemberSettings,
    judges: Sequence[tuple[int | None, Sequence[Path]]],
    device: torch.device,
    *,
    title: str,
    fold: int,
) -> None:
    """Writes what the labels of clips probably are, in the format of ``oof.parquet`` with a further column ``support``.

    Args:
        path: the file to write.
        clips: the N clips whose given labels are judged.
        parts: the part of each clip, int64 ``[N]``.
        settings: settings of the agreement.
        member: settings of the member that judges.
        judges: for each of its nets, the part whose clips the net judges (None: all), and the files of its weights.
        device: the device to score on.
        title: title of the progress bar, and value of the column ``member``.
        fold: the fold that learns from the result.

    Raises:
        RunError: weights are missing or damaged, or some scores are not finite.
    """
    guesses = np.zeros((len(clips), len(clips.labels)))
    activation = "softmax"
    for number, (part, weights) in enumerate(judges, start=1):
        rows = np.arange(len(clips)) if part is None else np.flatnonzero(parts == part)
        for file in weights:
            scorer = open_scorer(member, len(clips.labels), file, device)
            activation, bar = scorer.activation, f"{title}: {number} of {len(judges)}"
            scores = score_clips(scorer, clips[rows], member.views, member.scoring, bar, net=f"{title}, by {file}")
            guesses[rows] += scores.mean(axis=0) / len(weights)
    agree = agreed_classes if activation == "softmax" else agreed_labels
    agreed = agree(guesses, clips.positive, settings.strength)
    path.parent.mkdir(parents=True, exist_ok=True)
    block = Block(clips.clip_id, agreed.astype(np.float32), title, fold, "", "whole")
    write_predictions(path, clips.labels, [block], {"support": support(agreed, clips.positive)})


def agreed_of(path: Path, clips: ClipSet) -> NDArray[np.float32]:
    """What the labels of clips probably are, as `write_agreement` wrote it: float32 ``[N, K]``; zeros for verified clips.

    Raises:
        RunError: the file is damaged, lacks clips, or has other classes.
    """
    agreed = np.zeros((len(clips), len(clips.labels)), np.float32)
    agreed[~clips.verified] = read_scores_of(path, clips.labels, clips.clip_id[~clips.verified])
    return agreed
