import base64
import io

import numpy as np
import pytest
import soundfile

from earmark.assess.joined import Joined
from earmark.assess.listening import GIVEN, PLAYED_SECONDS, disagreements, doubtful, mistakes, ogg
from earmark.data.clips import ClipSet
from tests.assess.test_report import clip_set


def joined(positive: list[list[int]], scores: list[list[float]]) -> Joined:
    clips = clip_set(np.array(positive, bool), tuple("ABCD"[: len(positive[0])]))
    return Joined(clips, np.array(scores, np.float32))


def test_mistakes_with_the_widest_gap_come_first() -> None:
    single = joined([[1, 0, 0]] * 4, [[0.4, 0.6, 0.0], [0.9, 0.1, 0.0], [0.1, 0.0, 0.9], [0.3, 0.6, 0.1]])
    assert mistakes(single).tolist() == [2, 3, 0]
    assert doubtful(single).tolist() == [2, 3, 0]  # with one label a clip it is the same


def test_with_several_labels_one_may_be_in_doubt_though_the_best_guess_is_right() -> None:
    several = joined([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], [[0.9, 0.1, 0.5, 0.0], [0.2, 0.3, 0.8, 0.0], [0.9, 0.8, 0.8, 0.8]])
    assert mistakes(several).tolist() == [1]
    assert doubtful(several).tolist() == [1, 0]
    clips = several.clips
    assert isinstance(clips, ClipSet)
    (row,) = disagreements(several, np.array([0]), clips, weakest=True)
    assert (row.clip_id, row.given, row.further, row.guess) == ("clip 0", ["B", "A"], 0, "C")
    assert (row.given_score, row.guess_score) == pytest.approx((0.1, 0.5))
    (row,) = disagreements(several, np.array([1]), clips, weakest=False)
    assert (row.given, row.guess) == (["B", "A"], "C")
    assert (row.given_score, row.guess_score) == pytest.approx((0.3, 0.8))


def test_a_clip_with_every_label_is_never_in_doubt() -> None:
    assert doubtful(joined([[1, 1]], [[0.1, 0.9]])).tolist() == []
    assert mistakes(joined([[1, 1]], [[0.1, 0.9]])).tolist() == []
    assert doubtful(joined([[1]], [[0.1]])).tolist() == []


def test_no_clips_have_no_doubts() -> None:
    nothing = joined([[1, 0]], [[0.1, 0.9]]).chosen(np.array([False]))
    assert doubtful(nothing).tolist() == []
    assert mistakes(nothing).tolist() == []


def test_of_many_labels_a_few_are_named() -> None:
    clips = clip_set(np.ones((1, 12), bool) & (np.arange(12) < 11), tuple(f"label {k}" for k in range(12)))
    scores = np.append(np.arange(11) / 20, 0.9)[None].astype(np.float32)
    (row,) = disagreements(Joined(clips, scores), np.array([0]), clips, weakest=True)
    assert row.given == [f"label {k}" for k in range(GIVEN)]
    assert row.further == 11 - GIVEN


def test_the_sound_is_the_beginning_of_the_clip() -> None:
    clips = clip_set(np.ones((1, 1), bool), ("a",))
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(ogg(clips, 0))))
    assert rate == 16000
    assert len(samples) == 16000
    true = clips.samples(0)
    assert np.corrcoef(samples, true)[0, 1] > 0.5  # noise, which Vorbis keeps coarsely
    long = clip_set(np.ones((1, 1), bool), ("a",))
    long = long.__class__(
        **{**long.__dict__, "pcm": np.tile(long.pcm, 10), "length": np.array([160000])},
    )
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(ogg(long, 0))))
    assert len(samples) == PLAYED_SECONDS * 16000
