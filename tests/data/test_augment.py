from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from earmark.data.augment import (
    Ends,
    additional_crop,
    between_class_mix,
    cut_scaled,
    frequency_mask,
    gain,
    keep_frames,
    mixup,
    sound_level,
)
from tests.reference import augment as reference

SEEDS = st.integers(0, 10_000)
ENDS: tuple[Ends, ...] = get_args(Ends)


def power_mels(rng: np.random.Generator, batch: int, bands: int, frames: int) -> np.ndarray:
    """Eight orders of magnitude, as power mels have."""
    return (10 ** rng.uniform(-6, 2, (batch, bands, frames))).astype(np.float32)


def waveforms(rng: np.random.Generator, batch: int, samples: int) -> np.ndarray:
    """Noise of levels from −60 to 0 dB; bursts of it, so that frames differ."""
    noise = rng.uniform(-1, 1, (batch, samples)) * 10 ** rng.uniform(-3, 0, (batch, 1))
    return (noise * (rng.random((batch, samples // 1000 + 1)) < 0.7).repeat(1000, axis=1)[:, :samples]).astype(np.float32)


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)  # as numpy draws them


# Mixup and gain


@given(SEEDS, st.integers(1, 4), st.sampled_from([(), (3,), (4, 5)]))
def test_mixup_and_gain_agree_with_the_slow_code(seed: int, batch: int, axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, batch, *axes)).astype(np.float32)
    share = rng.choice([0.0, 1.0, 0.3, rng.random()], batch).tolist()
    factor = rng.uniform(0.8, 1.2, batch).tolist()
    mixed = mixup(torch.from_numpy(first), torch.from_numpy(second), tensor(share))
    assert mixed.dtype == torch.float32
    assert np.allclose(mixed, reference.mixup(first, second, share), rtol=1e-5)
    louder = gain(torch.from_numpy(first), tensor(factor))
    assert louder.dtype == torch.float32
    assert np.allclose(louder, reference.gain(first, factor), rtol=1e-6)


def test_a_share_of_1_or_0_is_exactly_one_of_the_two() -> None:
    first, second = torch.rand(2, 2, 3, 4)
    mixed = mixup(first, second, torch.tensor([1.0, 0.0]))
    assert torch.equal(mixed, torch.stack([first[0], second[1]]))


# Sound level


@given(SEEDS, st.integers(1, 3), st.integers(1, 60), st.integers(1, 12), st.integers(1, 12))
def test_sound_level_agrees_with_the_slow_code(seed: int, batch: int, samples: int, frame: int, hop: int) -> None:
    waveform = waveforms(np.random.default_rng(seed), batch, samples)
    found = sound_level(torch.from_numpy(waveform), frame, hop)
    assert np.allclose(found, [reference.sound_level(x, frame, hop) for x in waveform], atol=1e-4)


@pytest.mark.parametrize("samples", [1, 4095, 4096, 4097, 6143, 6144, 20000])
def test_sound_level_at_the_paper_s_frames(samples: int) -> None:
    waveform = waveforms(np.random.default_rng(samples), 3, samples)
    waveform[1, : samples // 2] = 0
    found = sound_level(torch.from_numpy(waveform))
    assert np.allclose(found, [reference.sound_level(x) for x in waveform], atol=1e-4)


def test_sound_level_by_hand() -> None:
    sine = torch.sin(2 * torch.pi * torch.arange(44100) / 64)
    assert float(sound_level(sine[None])) == pytest.approx(-3.0103, abs=1e-3)  # full scale: mean square 1/2
    assert float(sound_level(0.001 * sine[None])) == pytest.approx(-63.0103, abs=1e-3)
    burst = torch.zeros(1, 30000)
    burst[0, 10240:14336] = 0.1  # exactly one frame, the sixth
    assert float(sound_level(burst)) == pytest.approx(-20, abs=1e-4)
    assert float(sound_level(burst[:, :12288])) == pytest.approx(-20 - 3.0103, abs=1e-3)  # half a frame of it


def test_silence_has_the_floor_and_so_has_what_is_quieter() -> None:
    waveform = torch.stack([torch.zeros(9000), torch.full((9000,), 1e-6), torch.full((9000,), 1e-3)])
    assert sound_level(waveform).tolist() == [-80, -80, pytest.approx(-60, abs=1e-4)]
    assert sound_level(waveform, floor_db=-50.0).tolist() == [-50, -50, -50]
    assert sound_level(torch.zeros(2, 0)).tolist() == [-80, -80]


def test_a_short_sound_is_as_loud_alone_as_in_a_longer_window() -> None:
    sound = torch.rand(1, 1000)
    assert torch.equal(sound_level(sound), sound_level(torch.nn.functional.pad(sound, (0, 20000))))


# Between-class mixing


@given(SEEDS, st.sampled_from([1, 4096, 9000]))
def test_between_class_mix_agrees_with_the_slow_code(seed: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = waveforms(rng, 3, samples), waveforms(rng, 3, samples)
    first[0], second[1] = 0, 0
    ratio = rng.choice([0.0, 1.0, 1e-6, 0.5, rng.random()], 3).tolist()
    mixed = between_class_mix(torch.from_numpy(first), torch.from_numpy(second), tensor(ratio))
    assert mixed.dtype == torch.float32
    assert np.allclose(mixed, reference.between_class_mix(first, second, ratio), rtol=1e-4, atol=1e-7)


def test_a_sound_40_db_louder_weighs_a_hundredth_of_the_other() -> None:
    loud, quiet = torch.ones(1, 5000), torch.full((1, 5000), 0.01)
    # t = 1/(1 + 10^(40/20)·1) = 1/101, so (1/101·1 + 100/101·0.01) / √(1/101² + (100/101)²) = 2/√10001
    assert torch.allclose(between_class_mix(loud, quiet, tensor([0.5])), torch.tensor(2 / 10001**0.5))
    # the other way round: t = 1/(1 + 10^(−2)·1) = 100/101
    assert torch.allclose(between_class_mix(quiet, loud, tensor([0.5])), torch.tensor(2 / 10001**0.5))
    # r = 0.8: t = 1/(1 + 100·0.25) = 1/26
    expected = (1 / 26 + 25 / 26 * 0.01) / (1 / 26**2 + (25 / 26) ** 2) ** 0.5
    assert torch.allclose(between_class_mix(loud, quiet, tensor([0.8])), torch.tensor(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_ratio_of_1_or_0_is_exactly_one_of_the_two(dtype: torch.dtype) -> None:
    first, second = torch.rand(2, 4, 5000)
    first[2:], second[2:] = 0, 1000  # the levels as far apart as they come
    mixed = between_class_mix(first, second, torch.tensor([1, 0, 1, 0], dtype=dtype))
    assert torch.equal(mixed, torch.stack([first[0], second[1], first[2], second[3]]))


def test_silence_mixed_with_silence_is_silence() -> None:
    mixed = between_class_mix(torch.zeros(3, 5000), torch.zeros(3, 5000), tensor([0.0, 0.4, 1.0]))
    assert torch.equal(mixed, torch.zeros(3, 5000))


# Frequency mask


@given(SEEDS, st.integers(1, 4), st.integers(1, 10), st.integers(1, 5))
def test_frequency_mask_agrees_with_the_slow_code(seed: int, batch: int, bands: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    power = power_mels(rng, batch, bands, frames)
    first, width = rng.integers(0, bands + 2, batch), rng.integers(0, bands + 3, batch)
    found = frequency_mask(torch.from_numpy(power), torch.from_numpy(first), torch.from_numpy(width))
    assert np.array_equal(found, reference.frequency_mask(power, first.tolist(), width.tolist()))


def test_masks_at_the_edges() -> None:
    masked = frequency_mask(torch.ones(6, 4, 2), torch.tensor([0, 3, 2, 0, 1, 4]), torch.tensor([1, 1, 9, 4, 0, 2])) == 0
    assert torch.equal(masked[:, :, 0], masked[:, :, 1])
    assert masked[:, :, 0].int().tolist() == [
        [1, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 1, 1],  # cut off
        [1, 1, 1, 1],
        [0, 0, 0, 0],  # width 0
        [0, 0, 0, 0],  # past the last band
    ]


# Additional crop


@given(SEEDS, st.integers(1, 4), st.integers(1, 3), st.integers(1, 12))
def test_additional_crop_agrees_with_the_slow_code(seed: int, batch: int, bands: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    power = power_mels(rng, batch, bands, frames)
    first = rng.integers(0, frames, batch)
    count = rng.integers(0, frames - first + 1)
    share = rng.choice([0.0, 0.25, 0.5, 1.0, rng.random()], batch)
    place = rng.choice([0.0, np.nextafter(1, 0), rng.random()], batch)
    found = additional_crop(torch.from_numpy(power), *(torch.from_numpy(a) for a in (first, count, share, place)))
    expected = reference.additional_crop(power, first.tolist(), count.tolist(), share.tolist(), place.tolist())
    assert np.array_equal(found, expected)


def test_additional_crop_by_hand() -> None:
    last = float(np.nextafter(1, 0))
    kept = additional_crop(
        torch.ones(6, 2, 8),
        torch.tensor([0, 0, 2, 2, 7, 3]),
        torch.tensor([8, 8, 4, 4, 1, 0]),
        tensor([0.25, 0.25, 0.5, 0.01, 0.25, 0.5]),
        tensor([0.0, last, 0.5, last, 0.9, 0.5]),
    )
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert kept[:, 0].int().tolist() == [
        [1, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, 1],
        [0, 0, 0, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 0, 0],  # never less than one frame
        [0, 0, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1, 1],  # no clip here: left as it is
    ]


def test_every_place_of_the_kept_frames_is_as_likely() -> None:
    draws = 1000
    place = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    ones = torch.ones(draws, dtype=torch.int64)
    kept = additional_crop(torch.ones(draws, 1, 6), ones, 4 * ones, 0.25 * ones, place)  # one of frames 1–4
    assert kept[:, 0].sum(dim=0).tolist() == [0, 250, 250, 250, 250, 0]


def test_only_a_run_of_frames_is_kept_by_hand() -> None:
    kept = keep_frames(torch.ones(4, 2, 4), torch.tensor([0, 1, 3, 2]), torch.tensor([4, 2, 5, 0]))
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert kept[:, 0].int().tolist() == [[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


# Scaled cuts


def store(rng: np.random.Generator, lengths: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """PCM without a zero in it, each clip's first sample and its length."""
    pcm = rng.integers(1, 32768, sum(lengths)) * rng.choice([-1, 1], sum(lengths))
    length = torch.tensor(lengths)
    return torch.from_numpy(pcm.astype(np.int16)), length.cumsum(0) - length, length


@given(SEEDS, st.lists(st.integers(0, 12), min_size=1, max_size=5), st.integers(1, 30), st.sampled_from(ENDS), st.booleans())
def test_scaled_cuts_agree_with_the_slow_code(seed: int, lengths: list[int], window: int, ends: Ends, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    pcm, offset, length = store(rng, [*lengths, 3])
    speed = rng.choice([1.0, 0.8, 1.25, 2.0, 1 / 3, np.exp(rng.uniform(-0.3, 0.3))], len(length))
    start = rng.integers(-40, 40, len(length)) if whole else rng.uniform(-40, 40, len(length))
    shortest = int(rng.integers(1, 9))
    if ends == "mirrored":
        start = np.floor(start)
    found = cut_scaled(pcm, offset, length, torch.from_numpy(start), torch.from_numpy(speed), window, ends, shortest)
    assert found.dtype == torch.float32
    for b in range(len(length)):
        clip = pcm[int(offset[b]) : int(offset[b] + length[b])].tolist()
        expected = np.array(reference.cut_scaled(clip, start[b].item(), float(speed[b]), window, ends, shortest))
        assert np.array_equal(found[b].numpy()[~np.isnan(expected)], expected[~np.isnan(expected)])


def test_scaled_cuts_by_hand() -> None:
    pcm = torch.tensor([7, 1, 2, 3, 4, -32768], dtype=torch.int16)
    offset, length = torch.tensor([1, 1, 1, 0, 5]), torch.tensor([4, 4, 4, 1, 1])
    start, speed = torch.tensor([0, -2, -1, -1, 0]), tensor([1, 1, 0.5, 1, 1])
    assert cut_scaled(pcm, offset, length, start, speed, 6).tolist() == [
        [1, 2, 3, 4, 0, 0],
        [0, 0, 1, 2, 3, 4],
        [0, 1, 1, 2, 2, 3],  # floor(−0.5) is before the clip
        [0, 7, 0, 0, 0, 0],  # one sample, and the store's first: nothing before it
        [-32768, 0, 0, 0, 0, 0],  # the store's last
    ]
    assert cut_scaled(pcm, offset, length, start, speed, 6, "tiles").tolist() == [
        [1, 2, 3, 4, 1, 2],
        [3, 4, 1, 2, 3, 4],
        [4, 1, 1, 2, 2, 3],
        [7, 7, 7, 7, 7, 7],
        [-32768] * 6,
    ]
    assert cut_scaled(pcm, offset, length, start, speed, 5, "mirrored", shortest=3).tolist() == [
        [1, 2, 3, 4, 3],
        [3, 2, 1, 2, 3],
        [1, 1, 1, 2, 2],  # mirrored as it is played: 1 1 2 2 …
        [7, 0, 7, 0, 7],  # one sample in the middle of three, 0 7 0, and those mirrored
        [0, -32768, 0, -32768, 0],
    ]


def test_a_clip_without_samples_is_silent_even_at_the_very_end_of_the_store() -> None:
    pcm = torch.ones(3, dtype=torch.int16)
    for ends in ENDS:
        cut = cut_scaled(pcm, torch.tensor([3, 0]), torch.tensor([0, 0]), torch.tensor([-2, 0]), tensor([1, 1]), 5, ends)
        assert torch.equal(cut, torch.zeros(2, 5))


def test_samples_are_exact_far_into_a_long_clip() -> None:
    far = 2**24 + 1  # float32 has no such number
    pcm = torch.zeros(far + 2, dtype=torch.int16)
    pcm[far] = 5
    whole = torch.tensor([len(pcm)])
    assert cut_scaled(pcm, torch.tensor([0]), whole, torch.tensor([far - 1]), tensor([1]), 3).tolist() == [[0, 5, 0]]
    assert cut_scaled(pcm, whole - 2, torch.tensor([2]), torch.tensor([-1]), tensor([1]), 3).tolist() == [[0, 5, 0]]


def test_speed_2_plays_an_octave_higher() -> None:
    pcm = (8000 * torch.sin(2 * torch.pi * torch.arange(4000) / 100)).to(torch.int16)
    cut = cut_scaled(pcm, torch.tensor([0]), torch.tensor([4000]), torch.tensor([0]), tensor([2]), 1000)
    assert int(torch.fft.rfft(cut[0]).abs().argmax()) == 20  # periods in 1,000 samples: 10 at normal speed


# All of them

POWER, WAVEFORM, HALF, TWO = torch.rand(2, 3, 4), torch.rand(2, 5000), tensor([0.5, 0.5]), torch.tensor([2, 2])
PCM = torch.arange(1, 9, dtype=torch.int16)
CALLS: list[tuple[Callable[..., Tensor], tuple[Tensor | int | str, ...]]] = [
    (mixup, (POWER, POWER + 1, HALF)),
    (sound_level, (WAVEFORM,)),
    (between_class_mix, (WAVEFORM, WAVEFORM + 1, HALF)),
    (frequency_mask, (POWER, TWO, TWO)),
    (gain, (POWER, HALF)),
    (additional_crop, (POWER, TWO, TWO, HALF, HALF)),
    (keep_frames, (POWER, TWO, TWO)),
    *((cut_scaled, (PCM, TWO, TWO, TWO, HALF, 6, ends)) for ends in ENDS),
]


@pytest.mark.parametrize(("function", "arguments"), CALLS)
def test_inputs_stay_as_they_are(function: Callable[..., Tensor], arguments: tuple[Tensor | int | str, ...]) -> None:
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    before = [a.clone() for a in tensors]
    function(*arguments).add_(1)  # nor is the result a view of them
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


@pytest.mark.parametrize(("function", "arguments"), CALLS)
def test_everything_stays_on_the_device(function: Callable[..., Tensor], arguments: tuple[Tensor | int | str, ...]) -> None:
    """torch's device without memory stands for any other than the host: it refuses tensors of two devices, and reading back."""
    expected = function(*arguments)
    found = function(*(a.to("meta") if isinstance(a, Tensor) else a for a in arguments))
    assert (found.device.type, found.shape, found.dtype) == ("meta", expected.shape, expected.dtype)
