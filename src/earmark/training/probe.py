"""Short measured trials on this machine: which precision is faster, how long a batch takes."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from earmark.data.clips import ClipSet
from earmark.labels import LabelSet
from earmark.recipe import MemberSettings
from earmark.training.piece import Piece
from earmark.training.pseudo import SoftClips
from earmark.training.schedule import batch_size
from earmark.training.trainer import FoldTrainer, make_fabric

CLASSES = 8  # and as many examples a batch: enough to see the net's speed
STEPS = 3


def faster_precision(settings: MemberSettings, clips: ClipSet, device: str) -> str:
    """``float32`` or ``bfloat16``, whichever trains a few clips faster here."""
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    seconds = {
        precision: seconds_per_clip(settings, clips, make_fabric(device, precision)) for precision in ("float32", "bfloat16")
    }
    return min(seconds, key=lambda precision: seconds[precision])


def seconds_per_clip(settings: MemberSettings, clips: ClipSet, fabric: Fabric) -> float:
    """Training time of a clip of the first task, with all that goes beside it (the noisy and soft streams' shares).

    Args:
        settings: of a member.
        clips: some to train on; labels do not matter.
        fabric: where.

    Returns:
        The fastest of a few batches, over its clips; small ones on a CPU, which they fill.
    """
    few, batch = _few(clips), settings.batch
    size = batch_size(settings, len(clips.labels)) if fabric.device.type == "cuda" else CLASSES
    smaller = {"size": min(batch.size, size)} if batch.sampling == "shuffled" else {"clips_per_class": -(-size // CLASSES)}
    small = batch.model_copy(update=smaller)
    own = settings.model_copy(update={"batch": small})
    soft = SoftClips(few.followed_by(few), np.tile(few.targets, (2, 1)), np.arange(2 * len(few)) >= len(few)) if own.soft else None
    seed = np.random.SeedSequence(0)
    piece = Piece("probe", Path(), own, few, few, seed, noisy=few if own.noisy else None, soft=soft)
    state = torch.random.get_rng_state()
    trainer = FoldTrainer(piece, fabric)
    seconds = []
    for _ in range(min(STEPS, trainer.schedule.batches)):
        begun = time.perf_counter()
        trainer.step()
        trainer.tally.tolist()  # waits for a GPU
        seconds.append(time.perf_counter() - begun)
    torch.random.set_rng_state(state)
    return min(seconds) / batch_size(own, len(few.labels))


def _few(clips: ClipSet) -> ClipSet:
    """A few long clips of a few classes, one each in turn; the net's last layer is then smaller, which is not felt."""
    chosen = clips[np.argsort(-clips.length, kind="stable")[:64]]
    classes = min(CLASSES, len(clips.labels))
    positive = np.arange(len(chosen))[:, None] % classes == np.arange(classes)
    if len(chosen) < classes:
        chosen, positive = chosen[np.arange(classes) % len(chosen)], np.eye(classes, dtype=bool)
    return replace(chosen, labels=LabelSet(clips.labels.names[:classes]), positive=positive, verified=np.ones(len(chosen), bool))


def noise_clips(sample_rate: int, samples: int, seed: int = 0) -> ClipSet:
    """Clips of noise, for a probe where there is no data.

    Args:
        sample_rate: in Hz.
        samples: of each clip.
        seed: of the noise.
    """
    count = CLASSES
    noise = np.random.default_rng(seed).integers(-8000, 8000, count * samples, dtype=np.int16)
    zeros, ones = np.zeros(count, np.int64), np.ones(count, bool)
    names = np.array([f"noise{i}" for i in range(count)])
    return ClipSet(
        pcm=noise,
        sample_rate=sample_rate,
        labels=LabelSet(tuple(names.tolist())),
        clip_id=names,
        offset=np.arange(count) * samples,
        length=zeros + samples,
        scale=np.ones(count),
        peak=np.ones(count),
        lead=zeros,
        tail=zeros,
        positive=np.eye(count, dtype=bool),
        verified=ones,
        fold=zeros,
        test=~ones,
        scored=ones,
        group=names,
        usage=np.array([""] * count),
    )
