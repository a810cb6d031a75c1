from dataclasses import replace

import numpy as np

from earmark.assess import duplicates
from earmark.assess.duplicates import Duplicate, find_duplicates
from earmark.data.clips import ClipSet
from tests.assess.test_copies import RATE, call, encoded
from tests.assess.test_report import clip_set


def clips_of(sounds: list[np.ndarray], labels: list[int], folds: list[int], groups: list[str] | None = None) -> ClipSet:
    """Clips with these sounds, one label each, as a store has them."""
    clips = clip_set(np.eye(3, dtype=bool)[labels], ("a", "b", "c"))
    peaks = np.array([float(np.abs(sound).max(initial=0)) for sound in sounds])
    scale = 2.0 ** np.ceil(np.log2(np.maximum(peaks, 1e-9) / 0.999))
    pcm = [np.rint(sound / level * 32768).astype(np.int16) for sound, level in zip(sounds, scale, strict=True)]
    length = np.array([len(sound) for sound in sounds])
    return replace(
        clips,
        pcm=np.concatenate(pcm),
        sample_rate=RATE,
        offset=np.cumsum(length) - length,
        length=length,
        scale=scale,
        peak=peaks,
        fold=np.array(folds),
        group=np.array(groups) if groups else clips.clip_id,
    )


def hashes(clips: ClipSet, *same: tuple[int, int]) -> np.ndarray:
    content = np.array([f"hash {i}" for i in range(len(clips))])
    for one, other in same:
        content[other] = content[one]
    return content


def vectors_of(count: int, *alike: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, 2, 30)).astype(np.float32)
    for one, other in alike:
        vectors[other, 0] = vectors[one, 0] + 0.1 * rng.standard_normal(30)
    return vectors


def test_the_same_file_and_the_same_sound_are_told_apart() -> None:
    sounds = [call(0), call(1), call(0), call(2), call(1), 0.5 * call(2)]
    clips = clips_of(sounds, [0, 1, 0, 2, 2, 2], [0, 0, 1, 0, 0, 1])
    assert find_duplicates(clips, hashes(clips, (0, 2))) == [
        Duplicate("same sound", ("clip 1", "clip 4"), (0,), ("b", "c"), False, True),
        Duplicate("same file", ("clip 0", "clip 2"), (0, 1), ("a",), True, False),
        Duplicate("one recording", ("clip 0", "clip 2"), (0, 1), ("a",), True, False),
    ]


def test_cuts_of_a_file_are_one_recording_and_no_duplicates() -> None:
    clips = clips_of([call(0), call(1), call(2), call(3)], [0, 0, 0, 0], [0, 1, 1, 1])
    assert find_duplicates(clips, hashes(clips, (0, 1), (2, 3))) == [
        Duplicate("one recording", ("clip 0", "clip 1"), (0, 1), ("a",), True, False)
    ]


def test_a_recording_in_two_folds_or_under_two_labels_is_told() -> None:
    clips = clips_of([call(i) for i in range(6)], [0, 0, 1, 2, 0, 0], [0, 1, 0, 0, 1, 1], ["r", "r", "s", "s", "t", "t"])
    told = find_duplicates(clips, hashes(clips))
    assert [(row.clips, row.two_folds, row.two_labels) for row in told] == [
        (("clip 2", "clip 3"), False, True),
        (("clip 0", "clip 1"), True, False),
    ]


def test_where_clips_have_several_labels_those_of_a_recording_may_differ() -> None:
    clips = clips_of([call(i) for i in range(4)], [0, 1, 2, 2], [0, 0, 1, 0], ["r", "r", "s", "s"])
    clips.positive[0, 2] = True
    assert [row.clips for row in find_duplicates(clips, hashes(clips))] == [("clip 2", "clip 3")]


def test_unlabelled_clips_have_no_other_label() -> None:
    clips = clips_of([call(0), call(0)], [0, 0], [0, 0])
    clips.positive[1] = False
    unlabelled = replace(clips, verified=np.array([True, False]))
    (row,) = find_duplicates(unlabelled, hashes(clips))
    assert (row.two_labels, row.labels) == (False, ("a",))
    (row,) = find_duplicates(clips, hashes(clips))  # verified: none of these
    assert row.two_labels


def test_planted_copies_are_proven_and_mere_likeness_is_not() -> None:
    base = [call(i) for i in range(30)]
    base[20] = 3 * base[0]
    base[21] = base[1][2000:]
    base[22] = encoded(base[2])
    base[23] = encoded(np.concatenate([np.zeros(1500, np.float32), 0.3 * base[3]]))
    clips = clips_of(base, [0] * 30, [i % 5 for i in range(30)])
    pairs = [(0, 20), (1, 21), (2, 22), (3, 23), (4, 24), (5, 25)]  # the last two only sound alike
    told = find_duplicates(clips, hashes(clips), vectors_of(30, *pairs))
    assert {row.kind for row in told} == {"near-duplicate"}
    assert sorted(row.clips for row in told) == [(f"clip {i}", f"clip {i + 20}") for i in range(4)]
    assert not find_duplicates(clips, hashes(clips))  # without vectors there is no search


def test_copies_of_copies_are_one_set_and_equal_clips_are_compared_once() -> None:
    sounds = [call(0), encoded(call(0)), call(0), encoded(call(0)[3000:])] + [call(i) for i in range(1, 12)]
    clips = clips_of(sounds, [0] * 15, [0] * 15)
    told = find_duplicates(clips, hashes(clips), vectors_of(15, (0, 1), (0, 2), (0, 3)))
    assert [(row.kind, row.clips) for row in told] == [
        ("same sound", ("clip 0", "clip 2")),
        ("near-duplicate", ("clip 0", "clip 1", "clip 3")),
    ]


def test_clips_of_a_recording_are_not_compared() -> None:
    sounds = [call(0), call(0)[1000:], *(call(i) for i in range(1, 9))]
    clips = clips_of(sounds, [0] * 10, [0] * 10, ["r", "r", *"abcdefgh"])
    assert not find_duplicates(clips, hashes(clips), vectors_of(10, (0, 1)))


def test_silent_clips_of_a_length_are_the_same_sound() -> None:
    silence = np.zeros(1000, np.float32)
    clips = clips_of([silence, silence, np.zeros(900, np.float32), call(0)], [0] * 4, [0] * 4)
    assert [row.clips for row in find_duplicates(clips, hashes(clips), vectors_of(4, (0, 2)))] == [("clip 0", "clip 1")]


def test_no_more_sound_is_compared_than_time_allows(monkeypatch: object) -> None:
    sounds = [call(0), encoded(call(0)), call(1), encoded(call(1)), *(call(i) for i in range(2, 12))]
    clips = clips_of(sounds, [0] * 14, [0] * 14)
    vectors = vectors_of(14, (0, 1), (2, 3))
    notes: list[str] = []
    assert len(find_duplicates(clips, hashes(clips), vectors, notes)) == 2 and not notes
    monkeypatch.setattr(duplicates, "MOST_SECONDS", 7.0)  # type: ignore[attr-defined]
    assert len(find_duplicates(clips, hashes(clips), vectors, notes)) == 1
    (note,) = notes
    assert "most alike were compared" in note


def test_no_clips_have_no_duplicates() -> None:
    clips = clips_of([call(0)], [0], [0])
    assert find_duplicates(clips, hashes(clips), vectors_of(1)) == []
    none = clips[np.zeros(1, bool)]
    assert find_duplicates(none, hashes(none), np.zeros((0, 1, 5), np.float32)) == []
