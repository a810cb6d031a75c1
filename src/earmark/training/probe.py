"""Short measurements on this machine: which precision is faster, how long a batch takes."""

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

CLASSES = 8  # of the clips, and also the examples in a batch: enough to measure the net's speed
STEPS = 3  # the fastest is taken


def faster_precision(settings: MemberSettings, clips: ClipSet, device: str) -> str:
    """The precision that trains faster on this machine, ``float32`` or ``bfloat16``; for ``cuda`` nothing is measured."""
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    seconds = {
        precision: seconds_per_clip(settings, clips, make_fabric(device, precision)) for precision in ("float32", "bfloat16")
    }
    return min(seconds, key=lambda precision: seconds[precision])


def seconds_per_clip(settings: MemberSettings, clips: ClipSet, fabric: Fabric) -> float:
    """The training time of one clip of the first task, with the work on the noisy and soft streams that goes with it.

    Args:
        settings: settings of a member.
        clips: clips to train on; their labels do not matter.
        fabric: Lightning Fabric with the device and the precision.

    Returns:
        The seconds of the fastest of a few batches, divided by its clips. On a CPU the batches are small: they keep it busy.
    """
    few, batch = _few(clips), settings.batch
    size = batch_size(settings, len(clips.labels)) if fabric.device.type == "cuda" else CLASSES
    changes = {"size": min(batch.size, size)} if batch.sampling == "shuffled" else {"clips_per_class": -(-size // CLASSES)}
    probed = settings.model_copy(update={"batch": batch.model_copy(update=changes)})
    soft = None
    if probed.soft:
        soft = SoftClips(few.followed_by(few), np.tile(few.targets, (2, 1)), np.arange(2 * len(few)) >= len(few))
    seed = np.random.SeedSequence(0)
    piece = Piece("probe", Path(), probed, few, few, seed, noisy=few if probed.noisy else None, soft=soft)
    state = torch.random.get_rng_state()
    trainer = FoldTrainer(piece, fabric)
    seconds = []
    for _ in range(min(STEPS, trainer.schedule.batches)):
        begun = time.perf_counter()
        trainer.step()
        trainer.tally.tolist()  # this waits for the GPU
        seconds.append(time.perf_counter() - begun)
    torch.random.set_rng_state(state)
    return min(seconds) / batch_size(probed, len(few.labels))


def _few(clips: ClipSet) -> ClipSet:
    """The longest clips, with made-up labels of a few classes. Fewer classes make the last layer smaller, but hardly faster."""
    chosen = clips[np.argsort(-clips.length, kind="stable")[:64]]
    classes = min(CLASSES, len(clips.labels))
    positive = np.arange(len(chosen))[:, None] % classes == np.arange(classes)
    if len(chosen) < classes:
        chosen, positive = chosen[np.arange(classes) % len(chosen)], np.eye(classes, dtype=bool)
    return replace(chosen, labels=LabelSet(clips.labels.names[:classes]), positive=positive, verified=np.ones(len(chosen), bool))


def noise_clips(sample_rate: int, samples: int, seed: int = 0) -> ClipSet:
    """Clips of noise, for a measurement without a store.

    Args:
        sample_rate: sample rate of the clips, in Hz.
        samples: length of each clip, in samples.
        seed: seed of the noise.
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
