from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from earmark.data.batching import BalancedBatches, Windows, stretched
from earmark.data.clips import ClipSet
from earmark.labels import LabelSet
from earmark.recipe import BalancedSettings
from tests.reference.mixing import mix, window

PLAIN = BalancedSettings()


def clip_set(lengths: list[int], labels: list[list[bool]], seed: int = 0, verified: list[bool] | None = None) -> ClipSet:
    rng = np.random.default_rng(seed)
    count, length = len(lengths), np.array(lengths)
    pcm = rng.integers(-3000, 3000, length.sum()).astype(np.int16)
    offset = np.cumsum(length) - length
    peak = np.array([np.abs(pcm[o : o + n]).max() / 32768 for o, n in zip(offset, length, strict=True)])
    return ClipSet(
        pcm=pcm,
        sample_rate=16000,
        labels=LabelSet(tuple(f"c{k}" for k in range(len(labels[0])))),
        clip_id=np.array([f"{i}.wav" for i in range(count)]),
        row=np.arange(count),
        offset=offset,
        length=length,
        scale=rng.choice([0.25, 1.0, 2.0], count),
        peak=peak,
        lead=np.zeros(count, np.int64),
        tail=np.zeros(count, np.int64),
        positive=np.array(labels),
        verified=np.array(verified if verified is not None else [True] * count),
        fold=np.zeros(count, np.int64),
        test=np.zeros(count, bool),
        scored=np.ones(count, bool),
        group=np.array([f"{i}" for i in range(count)]),
        usage=np.array([""] * count),
    )


def batches(clips: ClipSet, window: int, settings: BalancedSettings, seed: int = 0) -> BalancedBatches:
    return BalancedBatches(clips, window, settings, np.random.SeedSequence(seed), clips.targets)


def samples(clips: ClipSet, i: int) -> list[float]:
    first, length = int(clips.offset[i]), int(clips.length[i])
    return (clips.pcm[first : first + length] / 32768 * clips.scale[i]).tolist()


def steps(clips: ClipSet) -> torch.Tensor:
    """Of 16 bits, in full scale."""
    return torch.from_numpy(32768 / clips.scale)[:, None].float()


@pytest.mark.parametrize("length", [1, 5, 40, 64, 65, 300])
def test_windows_agree_with_the_slow_cut_at_both_ends_of_the_store_too(length: int) -> None:
    clips = clip_set([length, 200, length], [[True, False], [False, True], [True, False]])
    for position in (0.0, 0.37, 0.999):
        found = Windows(clips, 64).cut(np.arange(3), np.full(3, position)) / steps(clips)
        expected = [window(samples(clips, i), 64, position) for i in range(3)]
        assert torch.allclose(found, torch.tensor(expected), atol=1e-7)


def test_a_store_smaller_than_a_window_is_padded() -> None:
    clips = clip_set([3, 4], [[True, False], [False, True]])
    found = Windows(clips, 50).cut(np.arange(2), np.array([0.5, 0.9])) / steps(clips)
    assert torch.allclose(found, torch.tensor([window(samples(clips, i), 50, p) for i, p in ((0, 0.5), (1, 0.9))]))


def test_every_place_of_a_short_clip_in_its_window_can_be_drawn() -> None:
    clips = clip_set([2, 100], [[True, False], [False, True]])
    places = {
        int(Windows(clips, 5).cut(np.array([0]), np.array([p]))[0].abs().argmax() > -1)
        and int((Windows(clips, 5).cut(np.array([0]), np.array([p]))[0] != 0).float().argmax())
        for p in np.linspace(0, 0.999, 50)
    }
    assert places == {0, 1, 2, 3}


def test_speed_2_plays_an_octave_higher() -> None:
    time = np.arange(4000)
    clips = replace(clip_set([4000], [[True, False]]), pcm=(8000 * np.sin(2 * np.pi * time / 100)).astype(np.int16))
    found = stretched(Windows(clips, 1000, 2.0).cut(np.array([0]), np.zeros(1), speed=2.0), 1000)[0]
    assert found.shape == (1000,)
    assert int(np.abs(np.fft.rfft(found.numpy())).argmax()) == 20  # periods in 1,000 samples: 10 at normal speed


@pytest.mark.parametrize("settings", [PLAIN, BalancedSettings(peak="clip", gain=(0.5, 0.5)), BalancedSettings(clips_per_class=3)])
def test_batches_agree_with_equation_2(settings: BalancedSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [[i % 3 == k for k in range(3)] for i in range(12)]
    clips = clip_set([50 + 20 * i for i in range(12)], labels, verified=[i % 2 == 0 for i in range(12)])
    stream = batches(clips, 128, settings, 4)
    drawn = {}
    original = stream._mix

    def spy(*arguments, **named):  # type: ignore[no-untyped-def]
        drawn["choices"] = arguments
        return original(*arguments, **named)

    monkeypatch.setattr(stream, "_mix", spy)
    batch = stream.next()
    first, second, position, share, gain = drawn["choices"]
    assert len(first) == 3 * settings.clips_per_class
    for n in range(len(first)):
        j, k = int(first[n]), int(second[n])
        cuts = [window(samples(clips, i), 128, float(position[m, n])) for m, i in ((0, j), (1, k))]
        if settings.peak == "clip":  # the reference divides by the window's peak: bring the clip's in by hand
            expected = float(gain[n]) * (
                float(share[n]) * np.array(cuts[0]) / clips.peak[j] + (1 - float(share[n])) * np.array(cuts[1]) / clips.peak[k]
            )
        else:
            expected = np.array(mix(cuts[0], cuts[1], float(share[n]), float(gain[n])))
        assert np.allclose(batch.sound[n], expected, atol=1e-6)
        target = float(share[n]) * clips.targets[j] + (1 - float(share[n])) * clips.targets[k]
        assert np.allclose(batch.targets[n], target, atol=1e-6)
        assert bool(batch.verified[n]) == bool(clips.verified[j])


def test_every_batch_has_one_dominant_clip_of_each_class_and_a_partner_of_another() -> None:
    labels = [[i % 5 == k for k in range(5)] for i in range(40)]
    stream = batches(clip_set([30] * 40, labels), 30, PLAIN, 0)
    for _ in range(20):
        targets = stream.next().targets
        assert targets.argmax(dim=1).tolist() == [0, 1, 2, 3, 4]
        assert (targets.max(dim=1).values >= 0.5).all()
        assert torch.allclose(targets.sum(dim=1), torch.ones(5))
        assert ((targets > 0).sum(dim=1) == 2).all()


def test_mixing_share_follows_the_folded_beta_distribution() -> None:
    labels = [[i % 10 == k for k in range(10)] for i in range(20)]
    stream = batches(clip_set([8] * 20, labels), 8, PLAIN, 1)
    shares = torch.cat([stream.next().targets.max(dim=1).values for _ in range(300)]).double().numpy()
    beta = scipy.stats.beta(0.4, 0.4)
    assert scipy.stats.kstest(shares, lambda x: 2 * beta.cdf(x) - 1).pvalue > 0.01  # λ folded to 0.5–1


def test_gain_is_uniform_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [[True, False], [False, True]]
    clips = clip_set([64, 64], labels)
    stream = batches(clips, 64, BalancedSettings(gain=(0.0, 1.0)), 1)
    gains = []
    original = stream._mix

    def spy(*arguments, **named):  # type: ignore[no-untyped-def]
        gains.append(arguments[4])
        return original(*arguments, **named)

    monkeypatch.setattr(stream, "_mix", spy)
    peaks = torch.cat([stream.next().sound.abs().amax(dim=1) for _ in range(400)])
    assert peaks.min() > 0
    assert peaks.max() <= 1 + 1e-6
    assert scipy.stats.kstest(np.concatenate(gains), "uniform").pvalue > 0.01


def test_silent_clips_do_not_divide_by_zero() -> None:
    clips = clip_set([64, 64], [[True, False], [False, True]])
    clips.pcm[:] = 0
    batch = batches(clips, 64, PLAIN, 0).next()
    assert torch.equal(batch.sound, torch.zeros(2, 64))


def test_none_of_these_is_a_row_of_its_own_with_a_uniform_target() -> None:
    clips = clip_set([20, 20, 20], [[True, False], [False, True], [False, False]], verified=[False, False, True])
    stream = batches(clips, 20, BalancedSettings(partner="other_class"), 0)
    batch = stream.next()
    assert batch.sound.shape == (3, 20)
    assert clips.targets[2].tolist() == [0.5, 0.5]
    assert batch.verified.tolist() == [False, False, True]


def test_both_clips_must_be_verified_where_the_recipe_says_so() -> None:
    clips = clip_set([20, 20], [[True, False], [False, True]], verified=[True, False])
    stream = batches(clips, 20, BalancedSettings(verified_by="both"), 0)
    assert stream.next().verified.tolist() == [False, False]


def test_partner_any_draws_from_the_own_class_too() -> None:
    labels = [[True, False], [True, False], [False, True], [False, True]]
    stream = batches(clip_set([20] * 4, labels), 20, BalancedSettings(partner="any"), 0)
    pure = [(stream.next().targets.max(dim=1).values > 0.9999).any().item() for _ in range(50)]
    assert any(pure)  # both clips of one class: the target stays one-hot; never so with another class's partner


def test_a_saved_state_goes_on_with_the_same_batches() -> None:
    labels = [[i % 4 == k for k in range(4)] for i in range(12)]
    clips = clip_set([100] * 12, labels)
    settings = BalancedSettings(speed=(0.8, 1.25))
    stream = batches(clips, 64, settings, 2)
    stream.next()
    state = stream.state()
    expected = stream.next()
    other = batches(clips, 64, settings, 99)
    other.load_state(state)
    assert torch.equal(other.next().sound, expected.sound)


def test_a_class_without_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="every class"):
        batches(clip_set([20, 20], [[True, False], [True, False]]), 20, PLAIN, 0)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_masks_are_runs_of_bands_and_change_nothing_else(chance: float) -> None:
    clips = clip_set([80] * 10, [[i % 2 == 0, i % 2 == 1] for i in range(10)])
    settings = BalancedSettings(clips_per_class=20, frequency_mask={"chance": chance, "width": (2, 5)})
    stream = BalancedBatches(clips, 64, settings, np.random.SeedSequence(0), clips.targets, bands=16)
    plain = batches(clips, 64, BalancedSettings(clips_per_class=20))
    widths, first = [], []
    for _ in range(10):
        batch, other = stream.next(), plain.next()
        assert torch.equal(batch.sound, other.sound) and torch.equal(batch.targets, other.targets)
        assert other.masked is None and batch.masked is not None and batch.masked.shape == (40, 16)
        for row in batch.masked:
            at = row.nonzero().flatten().tolist()
            widths.append(len(at))
            assert at == list(range(at[0], at[0] + len(at))) if at else True
            first += at[:1]
    assert abs(np.mean(np.array(widths) > 0) - chance) < 0.1
    if chance:
        assert set(widths) - {0} == {2, 3, 4, 5}
        assert min(first) == 0 and max(first) == 14
        assert scipy.stats.chisquare(np.bincount(widths)[2:]).pvalue > 0.001
