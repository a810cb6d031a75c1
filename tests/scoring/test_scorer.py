"""Any scorer, not only PyTorch's: one that says what it was given goes through groups and views."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark import audio
from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.recipe import InputSettings, ScoringSettings
from earmark.scoring.clips import score_clips
from earmark.scoring.finite import not_finite
from earmark.scoring.scorer import Scorer, Scores, Sounds, net_input

VIEWS = ("pad8", "whole", "pad32")  # neither by name nor by width in order
PATIENT = ScoringSettings(patience=0.5, groups=1, clips_per_group=10**9, patience_step=0.1)


class Telling(Scorer):
    """Its scores of a sound: its first sample, its length, the padding of the view, the longest of its group.

    Attributes:
        asked: lengths of each group that it was given.
    """

    def __init__(self, input: InputSettings, hop_length: int = 1) -> None:
        super().__init__(input, 4, hop_length)
        self.asked: list[list[int]] = []

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        self.asked.append([len(waveform) for waveform in waveforms])
        longest = max(self.asked[-1])
        return np.array(
            [
                [[waveform[0], len(waveform), 0 if view == "whole" else int(view[3:]), longest] for waveform in waveforms]
                for view in views
            ],
            np.float32,
        )


def scorer(hop_length: int = 1, **input: object) -> Telling:
    return Telling(InputSettings(**{"sample_rate": 8000, "window": 5, **input}), hop_length)


def sounds_of(lengths: Sequence[int], taken: list[int] | None = None) -> Sounds:
    """Sounds whose samples are their own numbers."""

    def waveform(number: int) -> audio.Samples:
        if taken is not None:
            taken.append(number)
        return np.full(lengths[number], number, np.float32)

    return Sounds(np.array(lengths, np.int64), waveform)


@given(st.lists(st.integers(1, 40), max_size=30), st.sampled_from([ScoringSettings(), PATIENT]))
def test_scores_come_in_the_order_of_sounds_and_views_whatever_went_together(lengths: list[int], grouping: ScoringSettings) -> None:
    taken: list[int] = []
    told: list[int] = []
    telling = scorer()
    scores = telling.scores(sounds_of(lengths, taken), VIEWS, grouping, told.append)
    assert (scores.shape, scores.dtype) == ((3, len(lengths), 4), np.float32)
    for of_view, padding in zip(scores, (8, 0, 32), strict=True):
        assert of_view[:, 0].tolist() == list(range(len(lengths)))
        assert of_view[:, 1].tolist() == lengths
        assert set(of_view[:, 2].tolist()) <= {padding}
        assert (of_view[:, 3] <= of_view[:, 1] * 1.5).all()
    assert sorted(taken) == list(range(len(lengths)))  # each was asked for once
    assert told == np.cumsum([len(group) for group in telling.asked]).tolist()


def test_by_default_only_sounds_of_equal_length_go_together_the_shortest_first() -> None:
    telling = scorer()
    scores = telling.scores(sounds_of([7, 5, 7, 6, 5]))
    assert telling.asked == [[5, 5], [6], [7, 7]]
    assert scores.shape == (1, 5, 4)


def test_a_group_is_bounded_with_the_widest_view_in_samples() -> None:
    """Three of 10 samples with 2 frames of 5 samples on both sides are 90."""
    bound = ScoringSettings(samples=90)
    for views, hop, sizes in (
        (("whole", "pad2"), 5, [3, 1]),
        (("whole", "pad1", "pad3"), 5, [2, 2]),
        (("whole",), 5, [4]),
        (("pad2",), 1, [4]),
    ):
        telling = scorer(hop)
        telling.scores(sounds_of([10] * 4), views, bound)
        assert [len(group) for group in telling.asked] == sizes


def test_the_groupings_constants_are_heeded() -> None:
    lengths = [100, 104, 108, 112]
    for grouping, groups in (
        (ScoringSettings(patience=0.2, patience_step=0.05, groups=2, clips_per_group=10**9), [[100, 104], [108, 112]]),
        (ScoringSettings(patience=0.2, patience_step=0.12, groups=2, clips_per_group=10**9), [[100, 104, 108, 112]]),
        (ScoringSettings(patience=0.2, groups=4, clips_per_group=10**9), [[100], [104], [108], [112]]),
        (ScoringSettings(patience=0.2, groups=1, clips_per_group=4 / 3), [[100], [104], [108], [112]]),  # 1 + 3 are few enough
        (ScoringSettings(patience=0.2, groups=1, clips_per_group=10**9, clips=3), [[100, 104, 108], [112]]),
    ):
        telling = scorer()
        telling.scores(sounds_of(lengths), grouping=grouping)
        assert telling.asked == groups


def test_sounds_are_made_the_nets_input_and_filled_where_it_says_so() -> None:
    long, short = np.array([0.25, -0.5, 0.125, 0.25, 0, 0.25], np.float32), np.array([0.5, 0.25], np.float32)
    filled = scorer().sounds([long, short])
    assert filled.lengths.tolist() == [6, 5]
    assert filled.waveform(0).tolist() == [0.5, -1, 0.25, 0.5, 0, 0.5]  # to peak 1
    assert filled.waveform(1).tolist() == [0, 1, 0.5, 0, 0]
    plain = scorer(fill_short=False, peak_normalised=False).sounds([long, short])
    assert plain.lengths.tolist() == [6, 2]
    assert plain.waveform(1).tolist() == [0.5, 0.25]
    tiled = InputSettings(sample_rate=8000, window=5, fill="tile", trim_silence=True, peak_normalised=False)
    assert net_input(np.array([0, 0.5, 0.25, 0], np.float32), tiled).tolist() == [0.5, 0.25, 0.5, 0.25, 0.5]


@pytest.mark.parametrize("input", [{"window": 9000}, {"window": 9000, "fill_short": False}, {"window": 3000, "trim_silence": True}])
def test_a_stores_clips_are_scored_at_the_length_that_the_net_gets(store: Store, input: dict[str, object]) -> None:
    """Their lengths are told before any samples are read: both must agree, or a group would be cut short."""
    clips = load_clips(store, 8000)[:20]
    telling = scorer(**input)
    [scores] = score_clips(telling, clips)
    lengths = [len(net_input(clips.samples(i), telling.input)) for i in range(20)]
    assert scores[:, 1].tolist() == lengths
    assert [len(set(group)) for group in telling.asked] == [1] * len(telling.asked)
    assert len(telling.asked) == len(set(lengths))


def test_scores_that_are_no_numbers_are_refused(store: Store) -> None:
    """The net's weights are at fault if quiet noise has no finite scores either; else the clips are."""

    class Broken(Telling):
        loudest = 0.0  # from here on the net's scores are not finite

        def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
            scores = super().score_group(waveforms, views)
            scores[-1, [np.abs(waveform).max() >= self.loudest for waveform in waveforms], -1] = np.inf
            return scores

    clips = load_clips(store, 8000)[:6]
    broken = Broken(InputSettings(sample_rate=8000, window=5, peak_normalised=False), 1)
    with pytest.raises(RunError, match=r"^B fold 3 best: its scores of every sound are not finite: its weights are at fault"):
        score_clips(broken, clips, VIEWS, net="B fold 3 best")
    broken.loudest = 1e20
    assert score_clips(broken, clips, VIEWS).shape == (3, 6, 4)
    loud = replace(
        clips, scale=clips.scale * np.array([1, 1, 1e30, 1, 1e30, 1]), peak=clips.peak * np.array([1, 1, 1e30, 1, 1e30, 1])
    )
    with pytest.raises(RunError) as caught:
        score_clips(broken, loud, VIEWS, net="B fold 3 best")
    assert str(caught.value) == (
        f"B fold 3 best: its scores of clip '{clips.clip_id[2]}' (its largest sample is {loud.peak[2]:g}, where 1 is full scale) and "
        "1 more are not finite; take what is wrong out of the data set, prepare it again and train into another --out"
    )


def test_sounds_whose_scores_are_not_finite_are_told() -> None:
    scores = np.zeros((2, 4, 3), np.float32)
    scores[0, 1, 2], scores[1, 3, 0] = np.nan, -np.inf
    assert not_finite(scores).tolist() == [False, True, False, True]
    assert not_finite(scores[0]).tolist() == [False, True, False, False]
    assert not_finite(scores[:, :0]).tolist() == []
