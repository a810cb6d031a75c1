"""Where a training diverged, and because of which clip, if one stands out."""

import numpy as np
import torch

from earmark.data.clips import ClipSet
from earmark.data.table import Array
from earmark.errors import RunError
from earmark.nets.member import new_net
from earmark.scoring.clips import named_clips
from earmark.scoring.finite import not_finite
from earmark.scoring.scorer import Sounds, net_input
from earmark.scoring.torch_scorer import TorchScorer
from earmark.training.piece import Piece

LOOKED_AT = 500  # clips, the loudest of each stream
LOUD = 1000.0  # times full scale: nobody records that, a damaged header or a wrong unit makes it


def divergence(piece: Piece, batch: int, batches: int) -> RunError:
    """The error to raise when a loss, a score or a weight is not finite.

    Args:
        piece: what is trained.
        batch: number of the batch by which it was noticed, from 1.
        batches: number of all batches.
    """
    where = f"{piece.title}: the training diverged by batch {batch:,} of {batches:,}"
    streams = [piece.training, piece.noisy, piece.soft.clips if piece.soft else None]
    for clips in streams:
        if clips is not None and len(wrong := culprits(piece, clips)):
            return RunError(
                f"{where} because of {named_clips(clips, wrong)}; take what is wrong out of the data set, prepare it again and "
                "train into another --out"
            )
    return RunError(
        f"{where}: its loss or its weights are not finite, and no clip stands out; train into another --out with a lower rate"
    )


def culprits(piece: Piece, clips: ClipSet) -> Array:
    """The clips, by index, of which even an untrained net has scores that are not finite; else those that are far too loud.

    Only the `LOOKED_AT` loudest clips are looked at.
    """
    settings = piece.settings
    peak = np.where(np.isfinite(clips.peak), clips.peak, np.inf)
    loudest = np.argsort(-peak, kind="stable")[:LOOKED_AT]
    with torch.random.fork_rng(devices=[]):
        net = new_net(settings, len(clips.labels)).eval()
    scorer = TorchScorer(net, settings.input, len(clips.labels))
    waveforms = [net_input(clips.samples(int(number))[: settings.input.window], settings.input) for number in loudest]
    sounds = Sounds(np.array([len(waveform) for waveform in waveforms], np.int64), waveforms.__getitem__)
    wrong: Array = loudest[not_finite(scorer.scores(sounds))]
    if not len(wrong) and not settings.input.peak_normalised:
        wrong = loudest[peak[loudest] > LOUD]
    return wrong
