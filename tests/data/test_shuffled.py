import json
import math
from collections.abc import Sequence
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from earmark.data.batching import Batch
from earmark.data.clips import ClipSet
from earmark.data.shuffled import Passes, ShuffledBatches, check_augmentations
from earmark.errors import RecipeError
from earmark.nets.frontends import FrontEnd, LogMel, RawWaveform, StandardisedLogMel, Waveform
from earmark.recipe import ShuffledSettings, load_recipe
from tests.data.test_batching import clip_set
from tests.reference import augment as reference_augment
from tests.reference import shuffled as reference

N_FFT, HOP, BANDS = 128, 32, 12
MEL = StandardisedLogMel(sample_rate=16000, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS, f_min=20.0)
WAVE = RawWaveform(16000)

Settings = dict[str, Any]
# As the recipe has them, with masks that fit 12 bands; what is always on there is on half of the time here.
OF_MEL: Settings = {
    "additional_crop": {"chance": 0.5, "keep": [0.25, 1.0]},
    "mix": {"kind": "plain", "chance": 0.5, "alpha": 1.0},
    "gain": {"chance": 0.5, "range": [0.8, 1.2]},
    "frequency_mask": {"chance": 0.5, "width": [2, 5]},
}
OF_WAVE: Settings = {
    "speed": {"chance": 0.5, "range": [0.8, 1.25]},
    "edge": 0.5,
    "mix": {"kind": "between_class", "chance": 0.5, "alpha": 1.0},
    "gain": {"chance": 0.5, "unit": "decibel", "range": [-6.0, 6.0]},
}


def clips_of(lengths: Sequence[int], seed: int = 0) -> ClipSet:
    """Noise without a sample of 0, so that zeros are always what was put there; a third of the clips is not verified."""
    count = len(lengths)
    clips = clip_set(list(lengths), [[i % 2 == 0, i % 2 == 1] for i in range(count)], seed, [i % 3 > 0 for i in range(count)])
    clips.pcm[clips.pcm == 0] = 1
    return clips


CLIPS = clips_of([100 + 37 * i for i in range(40)])  # some shorter than the window, most longer


def stream(
    settings: Settings | None = None,
    *,
    frontend: FrontEnd = MEL,
    clips: ClipSet = CLIPS,
    size: int = 8,
    window: int = 512,
    tile: bool = False,
    pools: list[np.ndarray] | None = None,
    seed: int = 0,
) -> ShuffledBatches:
    """Each clip is a class of its own: targets tell which clips an example is made of."""
    own = ShuffledSettings.model_validate({"sampling": "shuffled", "size": size, **(settings or {})})
    targets = np.eye(len(clips), dtype=np.float32)
    pools = [np.arange(len(clips))] if pools is None else pools
    return ShuffledBatches(clips, targets, pools, window, tile, own, frontend, np.random.SeedSequence(seed))


def without(settings: Settings, *names: str) -> Settings:
    return {name: value for name, value in settings.items() if name not in names}


def several(batches: ShuffledBatches, count: int) -> Batch:
    """So many batches as one."""
    found = [batches.next() for _ in range(count)]
    return Batch(*(torch.cat([getattr(b, name) for b in found]) for name in ("sound", "targets", "verified")), found[0].domain)  # type: ignore[arg-type]


def near(count: int, chance: float, of: int) -> bool:
    """Within 4 standard deviations of a binomial distribution."""
    return abs(count - chance * of) <= 4 * math.sqrt(of * chance * (1 - chance)) + 1e-9


# Passes over the clips


def test_every_clip_comes_exactly_once_a_pass_over_pass_borders_too() -> None:
    batches = stream(clips=clips_of([50] * 10), size=7)  # seven batches are 4.9 passes
    drawn = torch.cat([batches.next().targets.argmax(dim=1) for _ in range(10)]).reshape(7, 10)
    assert all(sorted(one.tolist()) == list(range(10)) for one in drawn)
    assert len({tuple(one.tolist()) for one in drawn}) == 7  # each in an order of its own


def test_a_batch_can_be_larger_than_its_pool() -> None:
    drawn = stream(clips=clips_of([50] * 3), size=10).next().targets.argmax(dim=1).tolist()
    assert all(sorted(drawn[first : first + 3]) == [0, 1, 2] for first in (0, 3, 6))


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_passes_go_on_where_a_state_was_saved(before: int) -> None:
    clips = clips_of([50] * 10)
    first, second = stream(clips=clips, size=7), stream(clips=clips, size=7)
    drawn = [first.next().targets.argmax(dim=1) for _ in range(before)]
    second.next()  # it stood elsewhere
    second.load_state(json.loads(json.dumps(first.state())))
    drawn += [second.next().targets.argmax(dim=1) for _ in range(10 - before)]
    assert all(sorted(one.tolist()) == list(range(10)) for one in torch.cat(drawn).reshape(7, 10))


def test_all_orders_of_a_pass_are_as_likely() -> None:
    passes = Passes(np.array([4, 7, 9]), np.random.SeedSequence(3))
    orders = [tuple(passes.take(3).tolist()) for _ in range(600)]
    counts = [orders.count(order) for order in sorted(set(orders))]
    assert len(counts) == 6
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_two_pools_give_half_of_every_batch_each_in_passes_of_its_own() -> None:
    pools = [np.arange(0, 30, 3), np.delete(np.arange(30), np.arange(0, 30, 3))]  # 10 and 20 clips
    batches = stream(clips=clips_of([50] * 30), size=8, pools=pools)
    drawn = np.stack([batches.next().targets.argmax(dim=1).numpy() for _ in range(20)])
    assert np.isin(drawn, pools[0]).sum(axis=1).tolist() == [4] * 20
    for pool in pools:
        own = drawn[np.isin(drawn, pool)].reshape(-1, len(pool))
        assert all(sorted(one) == pool.tolist() for one in own)


def test_of_an_odd_batch_the_first_pool_has_one_more() -> None:
    batches = stream(clips=clips_of([50] * 30), size=7, pools=[np.arange(10), np.arange(10, 30)])
    assert all(int((batches.next().targets.argmax(dim=1) < 10).sum()) == 4 for _ in range(5))


def test_partners_come_from_each_pool_with_the_same_chance() -> None:
    clips = clips_of([50] * 45)
    pools = [np.arange(5), np.arange(5, 45)]
    batches = stream({"mix": {"chance": 1.0}}, clips=clips, size=40, window=64, pools=pools, frontend=WAVE)
    plain = stream(clips=clips, size=40, window=64, pools=pools, frontend=WAVE)
    partners = []
    for _ in range(10):
        targets, own = batches.next().targets, plain.next().targets.argmax(dim=1)
        targets[torch.arange(40), own] = 0
        partners += targets.argmax(dim=1)[targets.amax(dim=1) > 0].tolist()  # an example may be its own partner
    from_first = sum(partner < 5 for partner in partners)
    assert near(from_first, 0.45, 400)  # half of all draws; one in ten of these is the example itself, which does not show
    assert set(range(5)) < set(partners)


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        stream(pools=[np.arange(3), np.arange(0)])


# Resuming


@pytest.mark.parametrize(("frontend", "settings"), [(MEL, OF_MEL), (WAVE, OF_WAVE)])
def test_a_resumed_stream_equals_an_uninterrupted_one_bit_for_bit(frontend: FrontEnd, settings: Settings) -> None:
    settings = {**settings, "windows": [256, 512, 1024]}
    whole = stream(settings, frontend=frontend)
    expected = [whole.next() for _ in range(12)]
    before, after = stream(settings, frontend=frontend), stream(settings, frontend=frontend)
    for _ in range(5):
        before.next()
    after.next()
    after.load_state(json.loads(json.dumps(before.state())))  # as a checkpoint keeps it
    for batch in expected[5:]:
        found = after.next()
        assert torch.equal(found.sound, batch.sound)
        assert torch.equal(found.targets, batch.targets)
        assert torch.equal(found.verified, batch.verified)
    assert after.state() == whole.state()


def test_another_seed_gives_other_batches() -> None:
    one, other = stream(OF_MEL, seed=0).next(), stream(OF_MEL, seed=1).next()
    assert not torch.equal(one.targets, other.targets)
    assert not torch.equal(one.sound, other.sound)


# A whole batch against the slow code


@pytest.mark.parametrize(
    ("frontend", "settings", "tile"),
    [
        (MEL, OF_MEL, False),
        (MEL, OF_MEL, True),
        (MEL, {**OF_MEL, "speed": {"range": [0.8, 1.25]}, "edge": 0.3}, False),
        (WAVE, OF_WAVE, False),
        (WAVE, {**OF_WAVE, "additional_crop": {"chance": 0.5}, "mix": {"kind": "plain"}}, False),
        (WAVE, {**OF_WAVE, "mix": {**OF_WAVE["mix"], "level_frame": 40, "level_hop": 15, "level_floor": -25.0}}, False),
        (WAVE, without(OF_WAVE, "edge"), True),
    ],
)
def test_batches_agree_with_the_slow_code_in_its_order(frontend: FrontEnd, settings: Settings, tile: bool) -> None:
    """Crop, additional crop, mix, gain, mask."""
    batches, plain = stream(settings, frontend=frontend, tile=tile, size=6), stream(frontend=frontend, size=6)
    mel = (N_FFT, HOP, MEL.mel_power.filters.numpy()) if frontend is MEL else None
    for _ in range(3):
        state = batches.state()
        first = plain.next().targets.argmax(dim=1).tolist()
        found = batches.next()
        sound, targets = reference.batch(state, batches.settings, CLIPS, np.eye(len(CLIPS)), first, 512, tile, mel)
        assert found.sound.shape == sound.shape
        assert (found.sound.dtype, found.targets.dtype) == (torch.float32, torch.float32)
        assert np.allclose(found.sound, sound, rtol=1e-3, atol=1e-6 * np.abs(sound).max())
        assert np.allclose(found.targets, targets, atol=1e-6)


def test_a_mixed_example_is_verified_where_the_clip_with_the_larger_share_is() -> None:
    found = several(stream({"mix": {"chance": 1.0}}), 20)
    assert found.verified.tolist() == CLIPS.verified[found.targets.argmax(dim=1).numpy()].tolist()
    assert 0 < int(found.verified.sum()) < len(found.verified)


# Each augmentation by itself: how often it acts, and that the batch with it differs from that without it in nothing else


@pytest.mark.parametrize(
    ("frontend", "settings", "name"),
    [
        *((MEL, {**OF_MEL, "speed": {"range": [0.9, 1.1]}}, name) for name in ("additional_crop", "mix", "gain", "frequency_mask", "speed")),
        *((WAVE, {**OF_WAVE, "additional_crop": {"keep": [0.2, 0.9]}}, name) for name in ("speed", "mix", "gain", "additional_crop")),
    ],
)  # fmt: skip
def test_a_chance_of_0_is_the_same_as_leaving_it_out(frontend: FrontEnd, settings: Settings, name: str) -> None:
    never = stream({**settings, name: {**settings[name], "chance": 0.0}}, frontend=frontend)
    left_out = stream(without(settings, name), frontend=frontend)
    on = stream(settings, frontend=frontend)
    for _ in range(3):
        found, expected, other = never.next(), left_out.next(), on.next()
        assert torch.equal(found.sound, expected.sound)
        assert torch.equal(found.targets, expected.targets)
        assert torch.equal(found.verified, expected.verified)
        assert not torch.equal(other.sound, expected.sound)


def test_the_recipe_has_the_paper_s_augmentations() -> None:
    def of(member: str) -> Settings:
        batch = load_recipe("akiyama2019").members[member].batch.model_dump()
        return {k: v for k, v in batch.items() if v and k not in ("sampling", "size")}

    levels = {"level_frame": 4096, "level_hop": 2048, "level_floor": -80}
    mel = {
        "mix": {"kind": "plain", "chance": 0.5, "alpha": 1, "self_mix": False, **levels},
        "gain": {"chance": 0.5, "unit": "factor", "range": (0.8, 1.2)},
        "frequency_mask": {"chance": 0.5, "width": (8, 32)},
    }
    assert of("row1") == {}
    assert of("A") == of("C") == of("row2") == of("row3") == mel
    assert of("B") == of("row6") == {**mel, "additional_crop": {"chance": 0.5, "keep": (0.25, 1.0)}}
    wave = {
        "speed": {"chance": 1.0, "range": (0.8, 1.25)},
        "edge": 0.5,
        "mix": {"kind": "between_class", "chance": 1.0, "alpha": 1.0, "self_mix": False, **levels},
        "gain": {"chance": 1.0, "unit": "decibel", "range": (-6.0, 6.0)},
    }
    assert of("row8") == of("D") == of("E") == of("F") == wave


@pytest.mark.parametrize("chance", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("frontend", [MEL, WAVE])
def test_mixing_falls_on_its_share_of_the_examples_and_leaves_the_others(frontend: FrontEnd, chance: float) -> None:
    settings = OF_MEL if frontend is MEL else OF_WAVE
    with_it = several(stream({**settings, "mix": {**settings["mix"], "chance": chance}}, frontend=frontend, size=40), 10)
    found = several(stream(without(settings, "mix"), frontend=frontend, size=40), 10)
    mixed = (with_it.targets > 0).sum(dim=1) == 2
    assert near(int(mixed.sum()), chance * 39 / 40, 400)  # one partner of 40 is the example itself
    untouched = torch.isclose(with_it.sound, found.sound, rtol=1e-4).all(dim=2).all(dim=1)
    assert not untouched[mixed].any()
    of_itself = ~untouched & ~mixed  # mixed with another cut of the same clip
    assert int(of_itself.sum()) <= 400 * chance / 40 + 4 * math.sqrt(400 * chance / 40)
    share = with_it.targets[torch.arange(400), found.targets.argmax(dim=1)]
    assert (share > 0).all()
    assert torch.allclose(with_it.targets.sum(dim=1), torch.ones(400))
    assert scipy.stats.kstest(share[mixed].double().numpy(), "uniform").pvalue > 0.01  # Beta(1, 1)


def test_the_shape_of_the_shares_follows_alpha() -> None:
    found = several(stream({"mix": {"chance": 1.0, "alpha": 0.3}}, frontend=WAVE, window=32, size=40), 10)
    larger = found.targets.amax(dim=1)[(found.targets > 0).sum(dim=1) == 2].double().numpy()
    beta = scipy.stats.beta(0.3, 0.3)
    assert scipy.stats.kstest(larger, lambda x: 2 * beta.cdf(x) - 1).pvalue > 0.01


@pytest.mark.parametrize("chance", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("frontend", [MEL, WAVE])
def test_gain_multiplies_its_share_of_the_examples_and_changes_nothing_else(frontend: FrontEnd, chance: float) -> None:
    settings = OF_MEL if frontend is MEL else OF_WAVE
    with_it = several(stream({**settings, "gain": {**settings["gain"], "chance": chance}}, frontend=frontend, size=40), 10)
    found = several(stream(without(settings, "gain"), frontend=frontend, size=40), 10)
    factor = with_it.sound.abs().sum(dim=(1, 2)) / found.sound.abs().sum(dim=(1, 2))
    assert torch.allclose(with_it.sound, factor[:, None, None] * found.sound, rtol=1e-4)
    acted = (factor - 1).abs() > 1e-4
    assert near(int(acted.sum()), chance, 400)
    assert torch.equal(with_it.sound[~acted], found.sound[~acted])
    values = factor[acted].double() if frontend is MEL else 20 * factor[acted].double().log10()
    low, high = settings["gain"]["range"]
    assert low - 1e-4 <= values.min() < values.max() <= high + 1e-4
    assert scipy.stats.kstest(values.numpy(), scipy.stats.uniform(low, high - low).cdf).pvalue > 0.01
    assert torch.equal(with_it.targets, found.targets)


@pytest.mark.parametrize("chance", [0.2, 0.5, 1.0])
def test_frequency_masks_silence_one_run_of_bands_and_change_nothing_else(chance: float) -> None:
    settings = {**OF_MEL, "frequency_mask": {"chance": chance, "width": [2, 5]}}
    with_it, found = several(stream(settings, size=40), 10), several(stream(without(OF_MEL, "frequency_mask"), size=40), 10)
    assert (found.sound.amax(dim=2) > 0).all()
    silent = with_it.sound.amax(dim=2) == 0  # [400, bands]
    assert torch.equal(with_it.sound, found.sound.masked_fill(silent[:, :, None], 0))
    assert torch.equal(with_it.targets, found.targets)
    width, edges = silent.sum(dim=1), silent.int().diff(dim=1).abs().sum(dim=1) + silent[:, 0].int() + silent[:, -1].int()
    acted = width > 0
    assert near(int(acted.sum()), chance, 400)
    assert (edges[acted] == 2).all()  # in one run
    counts = torch.bincount(width[acted], minlength=6)
    assert counts[:2].tolist() == [0, 0] and len(counts) == 6  # 2 to 5, both included
    assert scipy.stats.chisquare(counts[2:].tolist()).pvalue > 0.01
    assert silent.any(dim=0).all()  # the lowest band and the highest one too


@pytest.mark.parametrize("chance", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("frontend", [MEL, WAVE])
def test_the_additional_crop_keeps_one_run_of_each_clip_and_changes_nothing_else(frontend: FrontEnd, chance: float) -> None:
    long = clips_of([6000 + 10 * i for i in range(40)])
    base = without(OF_MEL if frontend is MEL else OF_WAVE, "mix", "additional_crop", "edge")
    settings = {**base, "additional_crop": {"chance": chance, "keep": [0.25, 0.9]}}
    with_it = several(stream(settings, clips=long, window=4064, size=40, frontend=frontend), 10)
    found = several(stream(base, clips=long, window=4064, size=40, frontend=frontend), 10)
    silent = with_it.sound.amax(dim=1) == 0  # [400, frames]
    frames = silent.shape[1]
    assert frames == (128 if frontend is MEL else 4064)
    assert torch.equal(with_it.sound, found.sound.masked_fill(silent[:, None], 0))
    assert torch.equal(with_it.targets, found.targets)
    acted = silent.any(dim=1)
    assert near(int(acted.sum()), chance, 400)
    kept = ~silent[acted]
    edges = kept.int().diff(dim=1).abs().sum(dim=1) + kept[:, 0].int() + kept[:, -1].int()
    assert (edges == 2).all()
    share = kept.double().mean(dim=1).numpy() + np.random.default_rng(0).uniform(-0.5, 0.5, len(kept)) / frames  # not in steps
    assert scipy.stats.kstest(share, scipy.stats.uniform(0.25, 0.65).cdf).pvalue > 0.01
    begin = (kept.int().argmax(dim=1).double() + 0.5) / (frames - kept.sum(dim=1) + 1)
    assert scipy.stats.kstest(begin.numpy(), "uniform").pvalue > 0.01  # anywhere


def test_an_additional_crop_to_the_whole_is_none() -> None:
    """Nor is the window's last frame lost, which is centred on its end."""
    whole, long = {"additional_crop": {"chance": 1.0, "keep": [1.0, 1.0]}}, clips_of([1200] * 10)
    for frontend in (MEL, WAVE):
        assert torch.equal(
            stream(whole, clips=long, frontend=frontend).next().sound, stream(clips=long, frontend=frontend).next().sound
        )


@pytest.mark.parametrize(("frontend", "length"), [(WAVE, 100), (MEL, 4)])  # 4 frames: 1 + 100 // 32
def test_the_additional_crop_of_a_short_clip_is_a_part_of_the_clip_not_of_the_window(frontend: FrontEnd, length: int) -> None:
    clips = clips_of([100] * 10)
    settings = {"additional_crop": {"chance": 1.0, "keep": [0.5, 0.5]}}
    found = stream(settings, clips=clips, frontend=frontend).next().sound
    before = stream(clips=clips, frontend=frontend).next().sound
    there = found.abs().amax(dim=1) > 0
    assert (before.abs().amax(dim=1) > 0).sum(dim=1).tolist() == [length] * 8
    assert there.sum(dim=1).tolist() == [length // 2] * 8
    assert torch.equal(found, torch.where(there[:, None], before, 0))


@pytest.mark.parametrize("chance", [0.2, 0.5, 1.0])
def test_speed_falls_on_its_share_and_is_log_uniform(chance: float) -> None:
    clips = clips_of([3000] * 40)
    settings = {"speed": {"chance": chance, "range": [0.8, 1.25]}}
    with_it = several(stream(settings, clips=clips, window=4000, size=40, frontend=WAVE), 10)
    found = several(stream(clips=clips, window=4000, size=40, frontend=WAVE), 10)
    assert torch.equal(with_it.targets, found.targets)
    length = (with_it.sound[:, 0] != 0).sum(dim=1)
    acted = length != 3000
    assert near(int(acted.sum()), chance, 400)
    assert torch.equal(with_it.sound[~acted], found.sound[~acted])
    octaves = (3000 / length[acted].double()).log2().numpy()
    limit = math.log2(1.25)
    assert scipy.stats.kstest(octaves, scipy.stats.uniform(-limit, 2 * limit).cdf).pvalue > 0.01


def test_edges_let_the_window_reach_past_both_ends_of_a_clip() -> None:
    clips = clips_of([1000] * 10)
    starts = []
    batches = stream({"edge": 0.5}, clips=clips, window=1000, size=40, frontend=WAVE)
    for _ in range(10):
        there = batches.next().sound[:, 0] != 0
        front, behind = there.int().argmax(dim=1), there.flip(1).int().argmax(dim=1)
        assert ((front == 0) | (behind == 0)).all()
        starts += (behind - front).tolist()  # of the window, counted from the clip's first sample
    assert scipy.stats.kstest(np.array(starts) / 1000, scipy.stats.uniform(-0.5, 1.0).cdf).pvalue > 0.01
    assert (stream(clips=clips, window=1000, size=40, frontend=WAVE).next().sound != 0).all()  # without: no zeros in it


def test_a_short_clip_lies_at_any_place_among_zeros_and_a_long_one_is_cut_at_any() -> None:
    short = several(stream(clips=clips_of([100] * 10), window=400, size=40, frontend=WAVE), 10).sound[:, 0]
    assert (short != 0).sum(dim=1).tolist() == [100] * 400
    begin = (short != 0).int().argmax(dim=1).numpy()
    assert scipy.stats.kstest((begin + 0.5) / 301, "uniform").pvalue > 0.01
    clips = clips_of([400])
    clips.pcm[:] = np.arange(1, 401)
    long = several(stream(clips=clips, window=100, size=40, frontend=WAVE), 10).sound[:, 0]
    begin = (long[:, 0] * 32768 / clips.scale[0]).numpy() - 1
    assert scipy.stats.kstest((begin + 0.5) / 301, "uniform").pvalue > 0.01


def test_windows_are_drawn_for_each_batch_and_leave_the_clips_as_they_come() -> None:
    batches, plain = stream({"windows": [128, 256, 1024]}, size=4), stream(size=4)
    frames = []
    for _ in range(300):
        found = batches.next()
        frames.append(found.sound.shape[2])
        assert torch.equal(found.targets, plain.next().targets)
    counts = [frames.count(1 + window // HOP) for window in (128, 256, 1024)]
    assert sum(counts) == 300
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_tiles_repeat_a_short_clip_and_leave_a_long_one() -> None:
    clips = clips_of([100] * 10 + [900] * 10)
    found = several(stream(clips=clips, window=512, size=20, frontend=WAVE, tile=True), 5)
    short = found.targets.argmax(dim=1) < 10
    sound = found.sound[:, 0]
    assert (sound != 0).all()
    assert torch.equal(sound[short, 100:], sound[short, :-100])
    assert len({round(value, 7) for value in sound[short, 0].tolist()}) > 25  # beginning anywhere in the clip
    plain = several(stream(clips=clips, window=512, size=20, frontend=WAVE), 5)
    assert torch.equal(plain.sound[~short], found.sound[~short])
    assert not (plain.sound[short] != 0).all()
    mel = stream(clips=clips, size=20, tile=True).next().sound
    assert (mel.sum(dim=1) > 0).all()


@pytest.mark.parametrize("frontend", [MEL, WAVE])
def test_mixed_with_itself_a_sound_stays_while_its_labels_are_mixed(frontend: FrontEnd) -> None:
    """As released: the between-class mix of a sound with itself is only louder, 1/√(r² + (1 − r)²)."""
    kind = "plain" if frontend is MEL else "between_class"
    mix = {"kind": kind, "chance": 1.0}
    plain = several(stream(frontend=frontend), 5)
    same = several(stream({"mix": {**mix, "self_mix": True}}, frontend=frontend), 5)
    usual = several(stream({"mix": mix}, frontend=frontend), 5)
    assert torch.equal(same.targets, usual.targets)
    share = same.targets[torch.arange(40), plain.targets.argmax(dim=1)]
    other = (same.targets > 0).sum(dim=1) == 2  # where an example is its own partner the share does not show
    assert int(other.sum()) > 30
    louder = 1 / (share**2 + (1 - share) ** 2).sqrt() if frontend is WAVE else torch.ones(40)
    assert torch.allclose(same.sound[other], (louder[:, None, None] * plain.sound)[other], rtol=1e-4)
    assert not torch.allclose(usual.sound, same.sound, rtol=1e-2)


# Whole frames of a clip, as scoring makes them


def samples_of(clips: ClipSet, clip: int, speed: float = 1.0) -> Tensor:
    """``[1, samples]``, at a speed, −1..1."""
    own = clips.pcm[int(clips.offset[clip]) : int(clips.offset[clip] + clips.length[clip])]
    played = torch.tensor(reference_augment.played_at(own.tolist(), speed), dtype=torch.float32)
    return played[None] * np.float32(clips.scale[clip] / 32768)


def place_of(part: Tensor, whole: Tensor) -> int:
    """The frame of ``whole [F, N]`` at which ``part [F, n]`` begins; the same to a millionth of its own size, band by band."""
    for first in range(whole.shape[1] - part.shape[1] + 1):
        if torch.allclose(whole[:, first : first + part.shape[1]], part, rtol=1e-6, atol=0):
            return first
    raise AssertionError("no frames of the whole")


@pytest.mark.parametrize("length", [1, 2, 31, 63, 64, 65, 66, 100, 511, 512, 543])
def test_a_short_clip_is_its_own_whole_power_and_nothing_else(length: int) -> None:
    """Its edges are mirrored, and a clip of 64 samples or fewer, too short for that, is centred in silence, as in scoring."""
    clips = clips_of([length] * 3)
    found = several(stream(clips=clips, size=20), 2)
    begins = set()
    for sound, target in zip(found.sound, found.targets, strict=True):
        whole = MEL.power(samples_of(clips, int(target.argmax())))[0]
        frames = 1 + max(length, 65) // HOP
        assert whole.shape == (BANDS, frames)
        begin = int((sound.amax(dim=0) > 0).int().argmax())
        if length == 1:  # both first frames are silent: a single sample where the window function is 0
            begin = next(b for b in range(17 - frames + 1) if torch.allclose(sound[:, b : b + frames], whole, rtol=1e-6, atol=0))
        assert torch.allclose(sound[:, begin : begin + frames], whole, rtol=1e-6, atol=0)
        assert not sound[:, :begin].any() and not sound[:, begin + frames :].any()
        image, padded = MEL.compress(sound[None]), torch.nn.functional.pad(whole, (begin, 17 - frames - begin))
        assert torch.allclose(image, MEL.compress(padded[None]), atol=1e-5)
        begins.add(begin)
    assert len(begins) > (17 - frames) / 2  # anywhere


@pytest.mark.parametrize("speed", [1.0, 0.8, 1.25])
def test_a_long_clip_is_cut_in_whole_frames_of_its_whole_power(speed: float) -> None:
    clips = clips_of([700] * 3)
    found = several(stream({"speed": {"range": [speed, speed]}}, clips=clips, size=20), 2)
    whole = [MEL.power(samples_of(clips, clip, speed))[0] for clip in range(3)]
    places = {place_of(sound, whole[int(target.argmax())]) for sound, target in zip(found.sound, found.targets, strict=True)}
    assert places == set(range(whole[0].shape[1] - 17 + 1))  # its first frames and its last ones too


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_short_clip_at_another_speed_is_mirrored_as_it_is_played(speed: float) -> None:
    clips = clips_of([300])
    sound = stream({"speed": {"range": [speed, speed]}}, clips=clips, size=1).next().sound[0]
    whole = MEL.power(samples_of(clips, 0, speed))[0]
    assert whole.shape[1] == 1 + math.ceil(300 / speed) // HOP
    begin = place_of(whole, sound)
    assert not sound[:, :begin].any() and not sound[:, begin + whole.shape[1] :].any()


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
def test_a_short_clip_in_a_window_of_4_seconds_is_librosas_mel_among_zeros(seconds: float) -> None:
    """§3.3.1 and the released code: the finished mel is padded. Compared in dB, down to 80 below the loudest."""
    times = np.arange(int(44100 * seconds)) / 44100
    fading = 9000 * np.sin(2 * np.pi * (200 * times + 1500 * times**2)) * 10 ** (-1.5 * times / times[-1])
    pcm = fading + np.random.default_rng(0).normal(0, 300, len(times)) + 500  # with an offset, so that the ends are no zeros
    clips = clips_of([len(times)])
    clips.pcm[:] = pcm.astype(np.int16)
    published = StandardisedLogMel(44100)
    sound = stream(clips=clips, size=1, window=177317, frontend=published).next().sound[0].double().numpy()
    waveform = clips.pcm.astype(np.float64) / 32768 * clips.scale[0]
    kinds = {"n_fft": 2560, "hop_length": 347, "n_mels": 128, "fmin": 20, "htk": False, "norm": "slaney", "power": 2}
    mel = librosa.feature.melspectrogram(y=waveform, sr=44100, center=True, pad_mode="reflect", **kinds)
    begin = int((sound.max(axis=0) > 0).argmax())
    frames = mel.shape[1]
    assert sound.shape == (128, 512) and frames == 1 + len(times) // 347
    assert not sound[:, :begin].any() and not sound[:, begin + frames :].any()
    expected, found = (10 * np.log10(np.maximum(power, 1e-10)) for power in (mel, sound[:, begin : begin + frames]))
    heard = expected > max(expected.max() - 80, -100)
    assert heard.mean() > 0.9 and heard[:, [0, -1]].any(axis=0).all()
    assert np.abs(found - expected)[heard].max() < 1e-3


# What does not go together


@pytest.mark.parametrize(
    ("frontend", "settings", "message"),
    [
        (WAVE, {"frequency_mask": {"width": [1, 2]}}, "frequency_mask needs a mel front end"),
        (MEL, {"mix": {"kind": "between_class"}}, "between_class weighs waveforms: it needs the front end raw_waveform"),
        (MEL, {"gain": {"unit": "decibel", "range": [-6, 6]}}, "gain.unit decibel is of a waveform"),
        (LogMel(16000), {}, "must have nothing to train: take standardised_logmel, raw_waveform or embedding"),
        (Waveform(16000), {}, "must have nothing to train"),
        (MEL, {"gain": {"unit": "decibel", "range": [-6, 6]}, "mix": {"kind": "between_class"}}, "batch: mix.kind .*; gain.unit"),
    ],
)
def test_augmentations_that_do_not_go_with_a_front_end_are_refused(frontend: FrontEnd, settings: Settings, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_augmentations(ShuffledSettings.model_validate({"sampling": "shuffled", "size": 2, **settings}), frontend)
    with pytest.raises(RecipeError, match=message):
        stream(settings, frontend=frontend)


@pytest.mark.parametrize("member", list(load_recipe("akiyama2019").members))
def test_the_recipe_s_augmentations_go_with_its_front_ends(member: str) -> None:
    settings = load_recipe("akiyama2019").members[member]
    mel = settings.frontend.name == "standardised_logmel"
    assert settings.batch.sampling == "shuffled"
    check_augmentations(settings.batch, MEL if mel else WAVE)
