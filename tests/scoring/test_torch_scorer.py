"""Views of a clip, and clips of like length that are scored together (Akiyama & Sato §3.6)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.nets.member import new_net
from earmark.nets.tagnet import TagNet
from earmark.recipe import MemberSettings, ScoringSettings
from earmark.scoring.groups import length_groups
from earmark.scoring.torch_scorer import score_views
from tests.conftest import scores_of
from tests.reference import grouping
from tests.small import small_akiyama

CPU = torch.device("cpu")
VIEWS = {
    "A": ("whole", "pad8", "pad32"),
    "F": ("whole", "pad800", "pad3001"),
}  # frames of a net on mels, samples of one on waveforms


@pytest.fixture(scope="module")
def clips(store: Store) -> ClipSet:
    """All 80 rendered clips, more than 60 of them of lengths of their own."""
    found = load_clips(store, 8000)
    assert len(set(found.length.tolist())) > 60 + len(found) / 55
    return found


def net_of(name: str, clips: ClipSet, *sets: str) -> tuple[TagNet, MemberSettings]:
    """An untrained net whose batch normalisation knows some sounds: else it would give all of them nearly the same scores."""
    settings = small_akiyama(*sets).members[name]
    torch.manual_seed(11)
    net = new_net(settings, 10)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net(torch.from_numpy(np.stack([np.resize(clips.samples(i), 12_000) for i in range(8)])))
    return net.eval(), settings


def pad_of(view: str) -> int:
    return 0 if view == "whole" else int(view[3:])


def padded(sound: np.ndarray, before: int, behind: int) -> np.ndarray:
    """Zeros along the last axis."""
    edges = [np.zeros((*sound.shape[:-1], width), sound.dtype) for width in (before, behind)]
    return np.concatenate([edges[0], sound, edges[1]], axis=-1)


def by_hand(net: TagNet, power: np.ndarray, view: str) -> np.ndarray:
    """The scores of one clip by itself."""
    wide = padded(power, pad_of(view), pad_of(view))
    with torch.inference_mode():
        return net(torch.from_numpy(wide[None]), "power")[0].numpy()


def power_of(net: TagNet, clips: ClipSet, i: int) -> np.ndarray:
    with torch.inference_mode():
        return net.frontend.power(torch.from_numpy(clips.samples(i)[None]))[0].numpy()


# ---------------------------------------------------------------------------------------------------------------------- views


@pytest.mark.parametrize("member", ["A", "F"])
def test_no_padding_is_the_whole_clip(member: str, clips: ClipSet) -> None:
    net, settings = net_of(member, clips)
    whole, nothing, some = scores_of(net, clips[:6], settings, ("whole", "pad0", VIEWS[member][1]))
    assert np.array_equal(whole, nothing)
    assert np.abs(whole - some).max() > 1e-4


@pytest.mark.parametrize("peak", [1.0, 1e-3, 1e-5, 0.0], ids=["loud", "quiet", "very quiet", "silent"])
def test_in_decibels_zeros_are_80_below_the_maximum_but_not_below_minus_100(peak: float, clips: ClipSet) -> None:
    """What the backbone sees, against the same image made with numpy."""
    net, _ = net_of("A", clips)
    noise = np.random.default_rng(1).standard_normal(3000)
    power = net.frontend.power(torch.from_numpy((peak * noise / np.abs(noise).max()).astype(np.float32)[None]))
    seen: list[torch.Tensor] = []
    net.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    score_views(net, power, ("whole", "pad8"))

    decibels = 10 * np.log10(np.maximum(power[0].numpy().astype(np.float64), 1e-10))
    highest = decibels.max()
    assert (highest > -20) == (peak == 1.0)  # else the two limits could not be told apart
    lowest = max(highest - 80, -100.0)
    decibels = np.maximum(decibels, lowest)
    for image, frames in ((seen[0], 0), (seen[1], 8)):
        wide = np.pad(decibels, ((0, 0), (frames, frames)), constant_values=lowest)
        expected = (wide - wide.mean()) / (wide.std() + 1e-7)
        assert image.shape == (1, 1, 16, 1 + 3000 // 64 + 2 * frames)
        assert np.allclose(image[0, 0].numpy(), expected, atol=1e-3)


def test_views_of_a_waveform_net_are_in_samples(clips: ClipSet) -> None:
    net, settings = net_of("F", clips)
    seen: list[np.ndarray] = []
    net.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].numpy()))
    scores_of(net, clips[:1], settings, VIEWS["F"])
    for image, view in zip(seen, VIEWS["F"], strict=True):
        expected = padded(clips.samples(0), pad_of(view), pad_of(view))  # neither filled to the window nor to peak 1
        assert image.shape == (1, 1, 1, len(expected))
        assert np.array_equal(image[0, 0, 0], expected)


@pytest.mark.parametrize("member", ["A", "F"])
def test_without_patience_each_clip_is_scored_as_if_it_were_alone(member: str, clips: ClipSet) -> None:
    """Two clips of each length, so that there is something to put together."""
    chosen = clips[np.repeat(np.arange(12), 2)[::-1]]
    net, settings = net_of(member, clips, f"members.{member}.scoring.patience=0")
    sizes: list[int] = []
    net.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    found = scores_of(net, chosen, settings, VIEWS[member])
    assert set(sizes) == {2}
    assert found.shape == (3, 24, 10)
    for i in range(0, 24, 5):
        power = power_of(net, chosen, i)
        for view, scores in zip(VIEWS[member], found, strict=True):
            assert np.allclose(scores[i], by_hand(net, power, view), atol=1e-5)


@pytest.mark.parametrize(("member", "fills"), [("A", "behind"), ("F", "both")])
def test_with_patience_a_clip_is_scored_among_the_zeros_that_its_group_needs(member: str, fills: str, clips: ClipSet) -> None:
    """The group's longest clip is as if alone; a shorter one has zeros behind its mel, or on both sides of its waveform."""
    views = VIEWS[member][:2]
    net, patient = net_of(member, clips, f"members.{member}.scoring.patience=0.2")
    together = scores_of(net, clips, patient, views)
    hop, most = net.frontend.hop_length, patient.scoring.samples
    groups = grouping.groups(clips.length.tolist(), 0.2, most, 2 * pad_of(views[1]) * hop)
    assert len(groups) < len(set(clips.length.tolist()))
    moved, most_missing = 0.0, 0
    for group in sorted(groups, key=lambda group: clips.length[group[0]] - clips.length[group[-1]])[:4]:  # the widest ones
        powers = [power_of(net, clips, i) for i in group]
        longest = max(power.shape[1] for power in powers)
        for i, power in zip(group, powers, strict=True):
            missing = longest - power.shape[1]
            most_missing = max(most_missing, missing)
            before = missing // 2 if fills == "both" else 0
            filled = padded(power, before, missing - before)
            for view, scores in zip(views, together, strict=True):
                assert np.allclose(scores[i], by_hand(net, filled, view), atol=1e-5)
                moved = max(moved, float(np.abs(scores[i] - by_hand(net, power, view)).max()))
    assert moved > 1e-4  # else nothing was filled, and this would say nothing
    assert most_missing >= 2  # else both sides could not be told from one


# --------------------------------------------------------------------------------------------------------------------- groups

LENGTHS = st.lists(st.integers(1, 400), max_size=90) | st.lists(st.integers(1000, 1300), min_size=60, max_size=150, unique=True)


def bounds(patience: float, samples: int, clips: int = 10**6) -> ScoringSettings:
    return ScoringSettings(patience=patience, samples=samples, clips=clips)


def test_a_group_has_no_more_clips_than_the_settings_allow() -> None:
    groups = length_groups(np.full(7, 100), bounds(0.2, 10**9, clips=3))
    assert [len(group) for group in groups] == [3, 3, 1]


@given(LENGTHS, st.sampled_from([0.0, 0.01, 0.05, 0.2]), st.sampled_from([500, 5000, 10**9]), st.sampled_from([0, 70]))
def test_groups_are_those_of_the_slow_rules(lengths: list[int], patience: float, most: int, extra: int) -> None:
    found = [group.tolist() for group in length_groups(np.array(lengths, np.int64), bounds(patience, most), extra)]
    assert found == grouping.groups(lengths, patience, most, extra)
    assert sorted(i for group in found for i in group) == list(range(len(lengths)))  # every clip once
    for group in found:
        own = [lengths[i] for i in group]
        assert max(own) <= min(own) * (1 + patience)  # with patience 0: all of one length
        assert len(own) == 1 or len(own) * (max(own) + extra) <= most


def count(lengths: np.ndarray, patience: float = 0.2, most: int = 10**9) -> int:
    return len(length_groups(lengths, bounds(patience, most)))


def test_the_rate_grows_only_while_there_are_more_than_60_groups_and_a_55th_of_the_clips() -> None:
    ten_apart = 10_000 + 10 * np.arange(200)
    assert count(ten_apart[:61]) == 61  # 60 + 61 / 55: few enough as they are
    assert count(ten_apart[:62]) == 6  # one too many: 1 % of 10,000 is ten steps, so that 11 go together
    assert count(ten_apart[:62], patience=0) == 62
    assert count(np.repeat(ten_apart[:61], 3)) == 61  # 183 clips: 63 groups would be few enough, too
    assert count(np.repeat(ten_apart[:64], 3)) == 6  # … but not 64 of 192
    a_quarter_apart = np.round(1000 * 1.25 ** np.arange(70)).astype(np.int64)
    assert count(a_quarter_apart) == 70  # no patience of 0.2 helps here


def test_a_batch_is_bounded_by_its_samples_with_the_filling_and_the_padding(clips: ClipSet) -> None:
    net, settings = net_of("F", clips)
    alike = replace(clips[:6], length=np.full(6, 3000))
    shapes: list[tuple[int, ...]] = []
    net.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    settings = settings.model_copy(update={"scoring": bounds(0.2, 10_000)})
    scores_of(net, alike, settings, ("whole",))
    assert shapes == [(3, 1, 3000)] * 2
    shapes.clear()
    scores_of(net, alike, settings, ("whole", "pad1000"))
    assert shapes == [(2, 1, 3000), (2, 1, 5000)] * 3  # three of 5,000 samples would be too many
    shapes.clear()
    scores_of(net, alike, settings, ("pad6000",))
    assert shapes == [(1, 1, 15_000)] * 6  # one clip alone may be longer


def test_the_bound_counts_the_longest_clip_for_each_of_its_group() -> None:
    lengths = np.array([100] * 15 + [101] * 30 + list(range(1100, 1730, 10)))
    groups = length_groups(lengths, bounds(0.2, 2005))
    assert [len(group) for group in groups[:3]] == [19, 19, 7]  # 15 of 100 and 5 of 101 are 2,005 samples, but 2,020 filled up
    assert max(len(group) * lengths[group].max() for group in groups) <= 2005
