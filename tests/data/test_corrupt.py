from collections import Counter

import pytest

from earmark.data.corrupt import TRUTH, corrupt
from earmark.data.manifest import Clip
from earmark.errors import ManifestError

NAMES = ["a", "b", "c", "d", "e"]
CLIPS = [Clip(f"{i}.wav", (NAMES[i % 5],), verified=i % 2 == 0) for i in range(400)]


def wrong(clips: tuple[Clip, ...]) -> list[Clip]:
    return [clip for clip in clips if clip.extra[TRUTH] != clip.labels]


@pytest.mark.parametrize("kind", ["symmetric", "class"])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_exactly_the_asked_share_of_the_unverified_becomes_wrong(kind: str, rate: float) -> None:
    found = corrupt(CLIPS, kind, rate, 1)
    assert len(wrong(found)) == round(rate * 200)
    assert not any(clip.verified for clip in wrong(found))
    for old, new in zip(CLIPS, found, strict=True):
        assert new.extra[TRUTH] == old.labels
        assert (new.file_name, new.verified, new.fold) == (old.file_name, old.verified, old.fold)


def test_symmetric_noise_goes_to_every_other_class() -> None:
    pairs = Counter((clip.extra[TRUTH][0], clip.labels[0]) for clip in wrong(corrupt(CLIPS, "symmetric", 1.0, 3)))
    assert len(pairs) == 20
    assert max(pairs.values()) < 25  # 10 expected


def test_class_noise_always_goes_to_the_same_partner() -> None:
    pairs = {(clip.extra[TRUTH][0], clip.labels[0]) for clip in wrong(corrupt(CLIPS, "class", 0.5, 3))}
    assert len(pairs) == 5
    assert {there for _, there in pairs} == set(NAMES)


def test_out_of_vocabulary_noise_takes_classes_away() -> None:
    found = corrupt(CLIPS, "vocabulary", 0.25, 3)
    vocabulary = {label for clip in found for label in clip.labels}
    unverified = [clip for clip in found if not clip.verified]
    assert len(wrong(found)) / len(unverified) == pytest.approx(0.25, abs=0.005)
    assert all(clip.extra[TRUTH][0] not in vocabulary for clip in wrong(found))
    assert len(vocabulary) == 3  # 40 unverified clips a class: one class gone leaves 160, which want 53 wrong ones; two suffice
    assert len(found) == 400 - 2 * 80 + 40


def test_one_label_of_several_changes() -> None:
    clips = [Clip(f"{i}", ("a", "b"), verified=False) for i in range(50)] + [Clip("x", ("c",)), Clip("y", ("d",))]
    for clip in wrong(corrupt(clips, "symmetric", 1.0, 0)):
        assert len(set(clip.labels)) == 2
        assert len(set(clip.labels) & {"a", "b"}) == 1


def test_the_seed_decides() -> None:
    assert corrupt(CLIPS, "symmetric", 0.3, 1) == corrupt(CLIPS, "symmetric", 0.3, 1)
    assert corrupt(CLIPS, "symmetric", 0.3, 1) != corrupt(CLIPS, "symmetric", 0.3, 2)


@pytest.mark.parametrize(
    ("clips", "kind", "rate", "message"),
    [
        (CLIPS, "symmetric", 1.5, "not between 0 and 1"),
        ([Clip("a", ("x",)), Clip("b", ("y",))], "symmetric", 0.5, "no unverified"),
        ([Clip("a", ("x",), verified=False)], "symmetric", 0.5, "two classes"),
        (corrupt(CLIPS, "symmetric", 0.3, 1), "symmetric", 0.3, "planted in these labels before"),
        (CLIPS, "vocabulary", 0.9, "fewer than two classes"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(clips: list[Clip], kind: str, rate: float, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        corrupt(clips, kind, rate, 0)
