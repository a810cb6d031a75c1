"""Short measurements on this machine: which precision is faster, one thread or several, how long a batch takes."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from earmark.data.clips import ClipSet
from earmark.labels import LabelSet
from earmark.machine import arithmetic_threads
from earmark.recipe import MemberSettings
from earmark.training.checks import has_room
from earmark.training.piece import Piece
from earmark.training.pseudo import SoftClips
from earmark.training.schedule import batch_size
from earmark.training.trainer import FoldTrainer, make_fabric

CLASSES = 8  # of the clips, and also the examples in a small batch
STEPS = 3  # measured at least, and for at least so many seconds: on a busy machine a single step says little
SECONDS = 0.5
QUICK = 0.1  # seconds of a small batch: where it takes no longer, whole batches are measured
# How many times as fast as one thread several must be: two are 1.6 times on a quiet machine, and on a busy one now and then as fast
# as one, but not for long.
WORTH_IT = 1.25


def faster_precision(settings: MemberSettings, clips: ClipSet, device: str) -> str:
    """The precision that trains faster on this machine, ``float32`` or ``bfloat16``; for ``cuda`` nothing is measured."""
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    seconds = {
        precision: seconds_per_clip(settings, clips, make_fabric(device, precision)) for precision in ("float32", "bfloat16")
    }
    return min(seconds, key=lambda precision: seconds[precision])


def faster_threads(settings: MemberSettings, clips: ClipSet, device: str, precision: str, jobs: int = 1) -> int:
    """The number of threads for each net: PyTorch's, divided among the jobs, or one where those are not clearly faster now.

    Several threads wait for each other in every step. Beside other busy programs one thread, which waits for nobody, is twice
    as fast. The environment variable ``OMP_NUM_THREADS`` is a choice of the user's that holds.

    Args:
        settings: settings of a member.
        clips: clips to train on; their labels do not matter.
        device: ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
        jobs: number of nets that train at once.
    """
    most = max(torch.get_num_threads() // jobs, 1)
    if most == 1 or device != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return most
    fabric = make_fabric(device, precision)
    size = _size_to_measure(settings, clips, fabric)
    seconds = {most: 0.0, 1: 0.0}
    for threads in (most, 1, most, 1):  # in turns, so that a disturbed moment is not one side's alone
        with arithmetic_threads(threads):
            seconds[threads] += _seconds_per_step(settings, clips, fabric, size, steps=1)
    return most if seconds[1] > WORTH_IT * seconds[most] else 1


def seconds_per_clip(settings: MemberSettings, clips: ClipSet, fabric: Fabric) -> float:
    """The training time of one clip of the first task, with the work on the noisy and soft streams that goes with it.

    Args:
        settings: settings of a member.
        clips: clips to train on; their labels do not matter.
        fabric: Lightning Fabric with the device and the precision.

    Returns:
        The mean seconds of a few batches, divided by their clips.
    """
    size = _size_to_measure(settings, clips, fabric)
    return _seconds_per_step(settings, clips, fabric, size) / batch_size(
        _with_batches_of(settings, size), min(CLASSES, len(clips.labels))
    )


def _size_to_measure(settings: MemberSettings, clips: ClipSet, fabric: Fabric) -> int:
    """Examples in a batch that is measured: the whole batch, or on a CPU a small one where that takes long already."""
    whole = batch_size(settings, len(clips.labels))
    if whole <= CLASSES:
        return whole
    on_gpu = fabric.device.type == "cuda"
    if not on_gpu and _seconds_per_step(settings, clips, fabric, CLASSES, steps=1) > QUICK:
        return CLASSES
    return whole if has_room(settings, len(clips.labels)) else CLASSES


def _with_batches_of(settings: MemberSettings, size: int) -> MemberSettings:
    """A member's settings with batches of about so many examples of `CLASSES` classes, and a schedule without end."""
    batch = settings.batch
    changes = {"size": min(batch.size, size)} if batch.sampling == "shuffled" else {"clips_per_class": -(-size // CLASSES)}
    endless = settings.schedule[0].model_copy(update={"batches": 1_000_000, "epochs": None, "cycles": None})
    return settings.model_copy(update={"batch": batch.model_copy(update=changes), "schedule": (endless,)})


def _seconds_per_step(settings: MemberSettings, clips: ClipSet, fabric: Fabric, size: int, steps: int = STEPS) -> float:
    """The mean seconds of a step with batches of about so many examples."""
    few, probed = _few(clips), _with_batches_of(settings, size)
    soft = None
    if probed.soft:
        soft = SoftClips(few.followed_by(few), np.tile(few.targets, (2, 1)), np.arange(2 * len(few)) >= len(few))
    seed = np.random.SeedSequence(0)
    piece = Piece("probe", Path(), probed, few, few, seed, noisy=few if probed.noisy else None, soft=soft)
    state = torch.random.get_rng_state()
    trainer = FoldTrainer(piece, fabric)
    trainer.step()  # not measured: it also makes what the others only use
    seconds: list[float] = []
    while len(seconds) < steps or sum(seconds) < SECONDS:
        begun = time.perf_counter()
        trainer.step()
        trainer.tally.tolist()  # this waits for the GPU
        seconds.append(time.perf_counter() - begun)
    torch.random.set_rng_state(state)
    return sum(seconds) / len(seconds)


def _few(clips: ClipSet) -> ClipSet:
    """The longest clips, with made-up labels of a few classes. Fewer classes make the last layer smaller, but hardly faster."""
    chosen = clips[np.argsort(-clips.length, kind="stable")[:64]]
    classes = min(CLASSES, len(clips.labels))
    positive = np.arange(len(chosen))[:, None] % classes == np.arange(classes)
    if len(chosen) < classes:
        chosen, positive = chosen[np.arange(classes) % len(chosen)], np.eye(classes, dtype=bool)
    return replace(chosen, labels=LabelSet(clips.labels.names[:classes]), positive=positive, verified=np.ones(len(chosen), bool))


def with_noise_vectors(clips: ClipSet, size: int) -> ClipSet:
    """Clips with vectors of noise, ``[clips, 1, size]``, for a measurement."""
    vectors = np.random.default_rng(0).normal(size=(int(clips.row.max()) + 1, 1, size)).astype(np.float32)
    return replace(clips, vectors=vectors)


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
        row=np.arange(count),
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
