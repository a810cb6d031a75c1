"""Augmentations of a whole batch on the device it lies on (Akiyama & Sato, DCASE 2019 Workshop, §3.3.1 and §3.3.2).

Nothing is drawn here: the caller draws a few numbers an example on the host, so a seed means the same batches on every
device, and passes them as tensors ``[B]``. Nothing that is passed in is changed. Power mels are ``[B, F, N]`` (bands × frames,
before decibels), waveforms ``[B, T]``.
"""

from typing import Literal

import torch
from torch import Tensor

Ends = Literal["zeros", "tiles", "mirrored"]  # what is heard beyond a clip's ends


def mixup(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """``share·first + (1 − share)·second`` (§3.3.1): of power mels, and in the same way of their targets.

    Args:
        first: ``[B, …]``.
        second: like ``first``.
        share: of the first one, ``[B]`` in [0, 1].

    Returns:
        Like ``first``.
    """
    share = _for_each(share, first)
    return share * first + (1 - share) * second


def sound_level(waveform: Tensor, frame: int = 4096, hop: int = 2048, floor_db: float = -80.0) -> Tensor:
    """How loud each waveform is at its loudest: G of between-class learning (Tokozume et al., ICLR 2018, without A-weighting).

    Frames are whole ones, as in Tokozume's released code: fewer than ``hop`` samples at the very end belong to none. A
    waveform shorter than a frame is one frame, filled up with zeros: the same sound has the same level whether it comes alone
    or among the zeros of a longer window.

    Args:
        waveform: float ``[B, T]``; full scale is 1.
        frame: samples whose mean square is one level.
        hop: samples from one frame to the next.
        floor_db: the lowest level, also of digital silence.

    Returns:
        Decibels relative to full scale, ``[B]``.
    """
    missing = frame - waveform.shape[1]
    if missing > 0:
        waveform = torch.nn.functional.pad(waveform, (0, missing))
    loudest = waveform.square().unfold(1, frame, hop).mean(dim=2).amax(dim=1)
    return (10 * loudest.log10()).clamp(min=floor_db)  # the logarithm of silence is −∞, which the floor lifts


def between_class_mix(
    first: Tensor, second: Tensor, ratio: Tensor, frame: int = 4096, hop: int = 2048, floor_db: float = -80.0
) -> Tensor:
    """Mixes waveforms so that the ear hears them in a given ratio (§3.3.2; Tokozume et al., ICLR 2018, eq. 2).

    ``t = 1 / (1 + 10^((G₁ − G₂)/20)·(1 − r)/r)``; the mix is ``(t·x₁ + (1 − t)·x₂) / √(t² + (1 − t)²)``, G being `sound_level`.
    The targets mix with r itself, not with t: see `mixup`.

    Args:
        first: float ``[B, T]``; full scale is 1.
        second: like ``first``.
        ratio: r of the first one, ``[B]`` in [0, 1].
        frame: see `sound_level`; so the two below.
        hop: in samples.
        floor_db: in decibels.

    Returns:
        Like ``first``.
    """
    level, of_second = (sound_level(each, frame, hop, floor_db) for each in (first, second))
    louder = 10 ** ((level - of_second) / 20)
    t = ratio / (ratio + louder * (1 - ratio))  # the equation times r/r: no division by zero at r = 0
    norm = (t.square() + (1 - t).square()).sqrt()
    return _for_each(t / norm, first) * first + _for_each((1 - t) / norm, first) * second


def frequency_mask(power: Tensor, first: Tensor, width: Tensor) -> Tensor:
    """Sets one run of mel bands of each example to zero power (§3.3.1).

    Args:
        power: ``[B, F, N]``.
        first: the lowest band masked, int64 ``[B]``.
        width: bands masked, int64 ``[B]``; 0 leaves the example as it is, and bands past the last do not count.

    Returns:
        Like ``power``.
    """
    masked = _run(power.shape[1], first, width, power.device)
    return power.masked_fill(masked[:, :, None], 0.0)


def gain(sound: Tensor, factor: Tensor) -> Tensor:
    """Multiplies each example by a factor (§3.3.1, §3.3.2).

    Args:
        sound: power mels or waveforms, ``[B, …]``.
        factor: ``[B]``.

    Returns:
        Like ``sound``.
    """
    return sound * _for_each(factor, sound)


def additional_crop(power: Tensor, first: Tensor, count: Tensor, share: Tensor, place: Tensor) -> Tensor:
    """Keeps one run of each clip's frames and sets all others to zero power ("additional cropping", §3.3.1).

    Of a clip's ``count`` frames, ``max(1, round(share·count))`` are kept.

    Args:
        power: already cropped or padded to one length, ``[B, F, N]``.
        first: the frame of the crop where the clip begins, int64 ``[B]``.
        count: frames of the crop that are the clip's and not padding, int64 ``[B]``; 0 leaves the example as it is.
        share: of the frames that is kept, float64 ``[B]`` in [0, 1].
        place: in [0, 1), float64 ``[B]``: chooses where the kept frames begin, from the clip's first frame to the last one that
            leaves room for them all.

    Returns:
        Like ``power``.
    """
    kept = (share.double() * count).round().long().clamp(min=1)
    begin = first + (place.double() * (count - kept + 1)).long()
    outside = ~_run(power.shape[2], begin, kept, power.device) & (count > 0)[:, None]
    return power.masked_fill(outside[:, None, :], 0.0)


def only(power: Tensor, first: Tensor, count: Tensor) -> Tensor:
    """Keeps one run of frames of each example and sets all others to zero power.

    Args:
        power: ``[B, F, N]``.
        first: the first frame kept, int64 ``[B]``.
        count: frames kept, int64 ``[B]``.

    Returns:
        Like ``power``.
    """
    return power.masked_fill(~_run(power.shape[2], first, count, power.device)[:, None, :], 0.0)


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
    """A window of each clip played at its own speed ("scale augmentation", §3.3.2).

    Sample t of a window is the clip's sample ``floor((start + t)·speed)``: the nearest one below, as in the released code of
    between-class learning (Tokozume et al., ICLR 2018).

    Args:
        pcm: all clips end to end, int16 ``[samples]``.
        offset: each clip's first sample in ``pcm``, int64 ``[B]``.
        length: each clip's samples, all of them in ``pcm``, int64 ``[B]``.
        start: where the window begins, in samples of the clip at its new speed, int64 or float64 ``[B]``; negative: before the
            clip.
        speed: the clip plays this much faster and higher, float64 ``[B]``, above 0.
        window: samples of a cut.
        ends: what lies beyond a clip's ends. ``zeros``: silence. ``tiles``: the clip again and again, end to end. ``mirrored``: the
            clip backwards, its first and its last sample not twice; what lies beyond that is not meant to be used.
        shortest: where mirrored, a clip of fewer samples at its new speed is first put in the middle of so many samples of
            silence; ``start`` counts from the first of these.

    Returns:
        float32 ``[B, window]``, the 16-bit numbers as they are (full scale is 32,768).
    """
    # In float64 within a clip and in int64 within the store: float32 counts samples only up to 2²⁴, six minutes of 44.1 kHz.
    time = start[:, None] + torch.arange(window, device=pcm.device, dtype=torch.float64)
    if ends == "mirrored":
        sounding = (length / speed.double()).ceil()  # samples at the new speed
        last, silence = sounding.clamp(min=shortest) - 1, (shortest - sounding).clamp(min=0).div(2, rounding_mode="floor")
        # Mirrored at 0, then at the last sample.
        time.abs_().sub_(last[:, None]).abs_().neg_().add_((last - silence)[:, None])
    sample = time.mul_(speed.double()[:, None]).floor_().long()
    if ends == "tiles":
        sample.remainder_(length.clamp(min=1)[:, None])  # a clip without samples: zeros, not a division by zero
    inside = (sample >= 0) & (sample < length[:, None])
    waveform = pcm[torch.where(inside, sample + offset[:, None], 0)]  # outside: any sample that exists
    return waveform.to(torch.float32).masked_fill_(~inside, 0.0)


def _for_each(value: Tensor, sound: Tensor) -> Tensor:
    """``[B]`` → ``[B, 1, …]`` beside ``sound``, of its type: numbers drawn as float64 must not widen a float32 batch."""
    return value.to(sound.dtype).reshape(-1, *[1] * (sound.ndim - 1))


def _run(size: int, first: Tensor, count: Tensor, device: torch.device) -> Tensor:
    """Which of ``size`` places are among the ``count`` from ``first`` on, bool ``[B, size]``."""
    place = torch.arange(size, device=device)
    return (place >= first[:, None]) & (place < (first + count)[:, None])
