"""Soft pseudo labels: what trained nets take unverified clips for (Akiyama & Sato §2.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data.clips import ClipSet
from earmark.data.table import Array
from earmark.errors import RunError
from earmark.recipe import MemberSettings
from earmark.runs.predictions import Block, read_predictions, write_predictions
from earmark.scoring.clips import score_clips
from earmark.scoring.torch_scorer import open_scorer


@dataclass(frozen=True)
class SoftClips:
    """What a soft stream draws from: verified clips with their own labels, unverified ones with guessed labels.

    Attributes:
        clips: both, N of them.
        guesses: float32 ``[N, K]``, the labels of the unverified ones; the other rows are not looked at.
        guessed: bool ``[N]``, which are the unverified ones.
    """

    clips: ClipSet
    guesses: Array
    guessed: Array


def sharpen(scores: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Each clip's scores to the power of the temperature, divided by their sum.

    Args:
        scores: ``[N, K]``, 0 and above; a row of zeros becomes uniform.
        temperature: T, above 0; 1 only divides.

    Returns:
        float32 ``[N, K]``, each row's sum 1.

    >>> sharpen(np.array([[0.6, 0.2]]), 2).round(3).tolist()
    [[0.8999999761581421, 0.10000000149011612]]
    """
    wide = np.asarray(scores, np.float64)
    highest = wide.max(axis=1, keepdims=True)
    powers = np.where(highest > 0, wide / np.where(highest > 0, highest, 1), 1.0) ** temperature  # 1 at the highest: no underflow
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def guess_labels(
    path: Path,
    clips: ClipSet,
    settings: MemberSettings,
    weights: Sequence[Path],
    temperature: float,
    device: torch.device,
    *,
    title: str,
    fold: int,
) -> None:
    """Writes the sharpened mean of nets' scores, in the format of ``oof.parquet``.

    Args:
        path: the file.
        clips: to guess the labels of.
        settings: of the member that guesses.
        weights: its nets' files.
        temperature: see `sharpen`.
        device: to score on.
        title: of the progress bar, and the name in the column ``member``.
        fold: in the column ``fold``.
    """
    total = np.zeros((len(clips), len(clips.labels)))
    for number, file in enumerate(weights, start=1):
        scorer = open_scorer(settings, len(clips.labels), file, device)
        total += score_clips(scorer, clips, grouping=settings.scoring, title=f"{title}: {number} of {len(weights)}")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    block = Block(clips.clip_id, sharpen(total / len(weights), temperature), title, fold, "", "whole")
    write_predictions(path, clips.labels, [block])


def soft_clips(path: Path, verified: ClipSet, unverified: ClipSet) -> SoftClips:
    """The clips of a soft stream: verified ones with their labels, unverified ones with those of `guess_labels`.

    Args:
        path: the file of the guessed labels.
        verified: clips of the training folds.
        unverified: clips that may be trained on.

    Raises:
        RunError: the file is damaged, has not all of the clips, or is of other classes.
    """
    labels, blocks = read_predictions(path)
    if labels != verified.labels:
        raise RunError(f"{path} has other classes than the store; remove it, and `earmark train` makes it anew")
    guess_of = {clip: scores for block in blocks for clip, scores in zip(block.clip_id.tolist(), block.scores, strict=True)}
    try:
        guessed_labels = [guess_of[clip] for clip in unverified.clip_id.tolist()]
    except KeyError as error:
        raise RunError(f"{path} has no labels for {error}; remove it, and `earmark train` makes it anew") from None
    guesses = np.concatenate([np.zeros((len(verified), len(verified.labels)), np.float32), np.stack(guessed_labels)])
    guessed = np.arange(len(guesses)) >= len(verified)
    return SoftClips(verified.followed_by(unverified), guesses, guessed)
