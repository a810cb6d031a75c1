"""Augmentations of a whole batch, computed on the batch's device (Akiyama & Sato, DCASE 2019 Workshop, §3.3.1 and §3.3.2).

These functions draw no random numbers. The caller draws a few numbers for each example on the CPU, so that a seed gives the same
batches on every device, and passes them as tensors ``[B]``. No argument is changed. Mel power is ``[B, F, N]`` (bands × frames, not
in decibels), waveforms are ``[B, T]``.
"""

from typing import Literal

import torch
from torch import Tensor

Ends = Literal["zeros", "tiles", "mirrored"]  # what a window contains before a clip's first and after its last sample


def mixup(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """``share·first + (1 − share)·second`` (§3.3.1), for mel power, and for the targets too.

    Args:
        first: ``[B, …]``.
        second: like ``first``.
        share: the share of ``first`` in the mix, ``[B]`` in [0, 1].

    Returns:
        Like ``first``.
    """
    share = _per_example(share, first)
    return share * first + (1 - share) * second


def sound_level(waveform: Tensor, frame: int = 4096, hop: int = 2048, floor_db: float = -80.0) -> Tensor:
    """Level of the loudest frame of each waveform: G of between-class learning (Tokozume et al., ICLR 2018, without A-weighting).

    All frames are whole, as in Tokozume's released code: up to ``hop − 1`` samples at the end are not used. A waveform shorter than
    a frame is filled with zeros to the length of a frame, so that a sound has the same level alone as among the zeros of a longer
    window.

    Args:
        waveform: float ``[B, T]``; full scale is 1.
        frame: samples of a frame; its level is the mean square.
        hop: samples from one frame to the next.
        floor_db: the lowest level; digital silence has this level.

    Returns:
        Decibels relative to full scale, ``[B]``.
    """
    missing = frame - waveform.shape[1]
    if missing > 0:
        waveform = torch.nn.functional.pad(waveform, (0, missing))
    loudest = waveform.square().unfold(1, frame, hop).mean(dim=2).amax(dim=1)
    return (10 * loudest.log10()).clamp(min=floor_db)  # the logarithm for silence is −∞; clamp makes it the floor


def between_class_mix(
    first: Tensor, second: Tensor, ratio: Tensor, frame: int = 4096, hop: int = 2048, floor_db: float = -80.0
) -> Tensor:
    """Mixes waveforms so that they sound mixed in a given ratio (§3.3.2; Tokozume et al., ICLR 2018, eq. 2).

    ``t = 1 / (1 + 10^((G₁ − G₂)/20)·(1 − r)/r)``; the mix is ``(t·x₁ + (1 − t)·x₂) / √(t² + (1 − t)²)``, where G is `sound_level`.
    The targets are mixed with r, not with t (see `mixup`).

    Args:
        first: x₁, float ``[B, T]``; full scale is 1.
        second: x₂, like ``first``.
        ratio: r, the share of ``first``, ``[B]`` in [0, 1].
        frame: samples of a frame, see `sound_level`.
        hop: samples from one frame to the next.
        floor_db: the lowest level, in decibels.

    Returns:
        Like ``first``.
    """
    first_level, second_level = (sound_level(waveform, frame, hop, floor_db) for waveform in (first, second))
    amplitude_ratio = 10 ** ((first_level - second_level) / 20)
    t = ratio / (ratio + amplitude_ratio * (1 - ratio))  # the equation times r/r, without a division by zero at r = 0
    norm = (t.square() + (1 - t).square()).sqrt()
    return _per_example(t / norm, first) * first + _per_example((1 - t) / norm, first) * second


def frequency_mask(power: Tensor, first: Tensor, width: Tensor) -> Tensor:
    """Sets neighbouring mel bands of each example to zero power (§3.3.1).

    Args:
        power: ``[B, F, N]``.
        first: the lowest masked band, int64 ``[B]``.
        width: number of masked bands, int64 ``[B]``; 0 changes nothing, and bands above the highest band are ignored.

    Returns:
        Like ``power``.
    """
    masked = _in_run(power.shape[1], first, width, power.device)
    return power.masked_fill(masked[:, :, None], 0.0)


def gain(sound: Tensor, factor: Tensor) -> Tensor:
    """Multiplies each example by a factor (§3.3.1, §3.3.2).

    Args:
        sound: mel power or waveforms, ``[B, …]``.
        factor: ``[B]``.

    Returns:
        Like ``sound``.
    """
    return sound * _per_example(factor, sound)


def additional_crop(power: Tensor, first: Tensor, count: Tensor, share: Tensor, place: Tensor) -> Tensor:
    """Keeps neighbouring frames of each clip and sets all its other frames to zero power ("additional cropping", §3.3.1).

    Of a clip's ``count`` frames, ``max(1, round(share·count))`` are kept.

    Args:
        power: clips that are already cropped or padded to the same length, ``[B, F, N]``.
        first: index of the clip's first frame, after the padding, int64 ``[B]``.
        count: number of the clip's frames, without padding, int64 ``[B]``; 0 leaves the example unchanged.
        share: share of the frames to keep, float64 ``[B]`` in [0, 1].
        place: where the kept frames begin, float64 ``[B]``: 0 for the clip's first frame, 1 (excluded) for the last frame from
            which all kept frames fit into the clip.

    Returns:
        Like ``power``.
    """
    kept = (share.double() * count).round().long().clamp(min=1)
    begin = first + (place.double() * (count - kept + 1)).long()
    outside = ~_in_run(power.shape[2], begin, kept, power.device) & (count > 0)[:, None]
    return power.masked_fill(outside[:, None, :], 0.0)


def keep_frames(power: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """Keeps neighbouring frames of each example and sets all other frames to zero power.

    Args:
        power: ``[B, F, N]``.
        first: index of the first frame to keep, int64 ``[B]``.
        count: number of frames to keep, int64 ``[B]``.

    Returns:
        Like ``power``.
    """
    return power.masked_fill(~_in_run(power.shape[2], first, count, power.device)[:, None, :], 0.0)


def cut_scaled(
    pcm: Tensor,
    offset: Tensor,
    length: Tensor,
    start: Tensor,
    speed: Tensor,
    window: int,
    ends: Ends = "zeros",
    shortest: int = 1,
) -> Tensor:
    """A window of each clip; each clip is played at a speed of its own ("scale augmentation", §3.3.2).

    Sample t of a window is the clip's sample ``floor((start + t)·speed)``, without interpolation, as in the released code of
    between-class learning (Tokozume et al., ICLR 2018).

    Args:
        pcm: the samples of all clips, one clip after another, int16 ``[samples]``.
        offset: index of each clip's first sample in ``pcm``, int64 ``[B]``.
        length: number of each clip's samples in ``pcm``, int64 ``[B]``.
        start: where the window begins, in samples of the clip at the new speed, int64 or float64 ``[B]``; below 0: before the clip.
        speed: how much faster (and higher) the clip is played, float64 ``[B]``, above 0.
        window: length of a window, in samples.
        ends: what a window contains outside the clip. ``zeros``: silence. ``tiles``: the clip, repeated. ``mirrored``: the clip
            backwards, without repeating the sample at its end; samples even further outside are not meant to be used.
        shortest: only for ``mirrored``, in samples: a clip that is shorter at the new speed is first centred in silence of this
            length, and ``start`` counts from the beginning of the silence.

    Returns:
        float32 ``[B, window]``: the 16-bit numbers, not scaled (full scale is 32,768).
    """
    # Times are float64 and indices int64, since float32 counts samples only up to 2²⁴: six minutes at 44.1 kHz.
    time = start[:, None] + torch.arange(window, device=pcm.device, dtype=torch.float64)
    if ends == "mirrored":
        sounding = (length / speed.double()).ceil()  # samples at the new speed
        last, silence = sounding.clamp(min=shortest) - 1, (shortest - sounding).clamp(min=0).div(2, rounding_mode="floor")
        # Times before 0 are mirrored at 0, then times after the last sample at the last sample.
        time.abs_().sub_(last[:, None]).abs_().neg_().add_((last - silence)[:, None])
    sample = time.mul_(speed.double()[:, None]).floor_().long()
    if ends == "tiles":
        sample.remainder_(length.clamp(min=1)[:, None])  # no division by zero for a clip without samples, which gives zeros
    inside = (sample >= 0) & (sample < length[:, None])
    waveform = pcm[torch.where(inside, sample + offset[:, None], 0)]  # outside the clip: any valid index, the result becomes 0
    return waveform.to(torch.float32).masked_fill_(~inside, 0.0)


def _per_example(value: Tensor, sound: Tensor) -> Tensor:
    """Numbers ``[B]`` in a shape and a type that fit ``sound``, ``[B, 1, …]``, so that a float32 batch does not become float64."""
    return value.to(sound.dtype).reshape(-1, *[1] * (sound.ndim - 1))


def _in_run(size: int, first: Tensor, count: Tensor, device: torch.device) -> Tensor:
    """Which of ``size`` places are among the ``count`` places from ``first`` on, bool ``[B, size]``."""
    place = torch.arange(size, device=device)
    return (place >= first[:, None]) & (place < (first + count)[:, None])
