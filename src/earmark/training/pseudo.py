"""Soft pseudo labels: labels of unverified clips that trained nets guess (Akiyama & Sato §2.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.data.clips import ClipSet
from earmark.data.table import Array
from earmark.recipe import MemberSettings
from earmark.runs.predictions import Block, read_scores_of, write_predictions
from earmark.scoring.clips import score_clips
from earmark.scoring.opened import open_scorer


@dataclass(frozen=True)
class SoftClips:
    """The clips of a soft stream: verified clips with their own labels, unverified clips with guessed labels.

    Attributes:
        clips: N clips, verified and unverified.
        guesses: guessed labels of the unverified clips, float32 ``[N, K]``; the rows of the verified clips are not used.
        guessed: whether a clip has a guessed label, that is, is unverified; bool ``[N]``.
    """

    clips: ClipSet
    guesses: Array
    guessed: Array


def sharpen(scores: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Each clip's scores to the power of the temperature, divided by their sum.

    Args:
        scores: ``[N, K]``, 0 and above; a row of zeros becomes uniform.
        temperature: T, above 0; with 1 the scores are only divided by their sum.

    Returns:
        float32 ``[N, K]``; the sum of each row is 1.

    >>> sharpen(np.array([[0.6, 0.2]]), 2).round(3).tolist()
    [[0.8999999761581421, 0.10000000149011612]]
    """
    float64_scores = np.asarray(scores, np.float64)
    highest = float64_scores.max(axis=1, keepdims=True)
    relative = np.where(highest > 0, float64_scores / np.where(highest > 0, highest, 1), 1.0)  # the highest is 1: no underflow
    powers = relative**temperature
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
    """Writes guessed labels: the sharpened mean of several nets' scores, in the format of ``oof.parquet``.

    Args:
        path: the file to write.
        clips: the clips whose labels are guessed.
        settings: settings of the member that guesses.
        weights: files with the weights of the member's nets.
        temperature: temperature of `sharpen`.
        device: the device to score on.
        title: title of the progress bar, and value of the column ``member``.
        fold: value of the column ``fold``.

    Raises:
        RunError: weights are missing or damaged, or some scores are not finite.
    """
    total = np.zeros((len(clips), len(clips.labels)))
    for number, file in enumerate(weights, start=1):
        scorer = open_scorer(settings, len(clips.labels), file, device)
        bar = f"{title}: {number} of {len(weights)}"
        total += score_clips(scorer, clips, grouping=settings.scoring, title=bar, net=f"{title}, by {file}")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    block = Block(clips.clip_id, sharpen(total / len(weights), temperature), title, fold, "", "whole")
    write_predictions(path, clips.labels, [block])


def soft_clips(path: Path, verified: ClipSet, unverified: ClipSet) -> SoftClips:
    """The clips of a soft stream, with the labels that `guess_labels` wrote.

    Args:
        path: file of the guessed labels.
        verified: verified clips that may train.
        unverified: unverified clips that may train.

    Raises:
        RunError: the file is damaged, lacks clips, or has other classes.
    """
    guessed_labels = read_scores_of(path, verified.labels, unverified.clip_id)
    guesses = np.concatenate([np.zeros((len(verified), len(verified.labels)), np.float32), guessed_labels])
    guessed = np.arange(len(guesses)) >= len(verified)
    return SoftClips(verified.followed_by(unverified), guesses, guessed)
