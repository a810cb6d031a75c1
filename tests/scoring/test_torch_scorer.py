"""Views of a clip, and clips of like length that are scored together (Akiyama & Sato §3.6)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.nets.member import new_net
from earmark.nets.tagnet import TagNet
from earmark.recipe import MemberSettings, ScoringSettings
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


@pytest.mark.slow
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


def test_a_batch_is_bounded_by_its_samples_with_the_filling_and_the_padding(clips: ClipSet) -> None:
    net, settings = net_of("F", clips)
    alike = replace(clips[:6], length=np.full(6, 3000))
    shapes: list[tuple[int, ...]] = []
    net.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    settings = settings.model_copy(update={"scoring": ScoringSettings(patience=0.2, samples=10_000)})
    scores_of(net, alike, settings, ("whole",))
    assert shapes == [(3, 1, 3000)] * 2
    shapes.clear()
    scores_of(net, alike, settings, ("whole", "pad1000"))
    assert shapes == [(2, 1, 3000), (2, 1, 5000)] * 3  # three of 5,000 samples would be too many
    shapes.clear()
    scores_of(net, alike, settings, ("pad6000",))
    assert shapes == [(1, 1, 15_000)] * 6  # one clip alone may be longer
