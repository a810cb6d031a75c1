"""Clips with planted wrong labels: what is planted, what is left out, and what stays as it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.data.manifest import NO_FOLD, read_manifest
from earmark.data.plant import Protocol
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.errors import EarmarkError, StoreError
from earmark.training.plantings import plantings_of
from earmark.training.splits import verified_suffice

HALF = Protocol("symmetric", 0.5, 0.5)


@pytest.mark.parametrize("unverified", ["leave-out", "keep"])
def test_only_labels_that_are_known_to_be_right_become_wrong(store: Store, unverified: str) -> None:
    before = load_table(store)  # 40 of 80 clips are verified; 5 are the test split
    plantings = plantings_of(store, unverified)  # type: ignore[arg-type]
    known = before.verified & ~before.test
    assert (plantings.judged == known).all() and len(plantings.truth) == known.sum()
    after = plantings.planted(HALF, 1)
    changed = (after.positive != before.positive).any(axis=1)
    assert changed.any() and not (changed & ~known).any()
    assert not (changed & after.verified).any() and not (after.verified & ~before.verified).any()
    assert (plantings.truth.positive == before.positive[known]).all()
    test = before.test
    for name in ("positive", "verified", "fold", "test", "group"):
        assert (getattr(after, name)[test] == getattr(before, name)[test]).all()
    unknown = ~before.verified & ~before.test
    assert unknown.any() and (plantings.left_out == (unknown & (unverified == "leave-out"))).all()
    assert (after.test[unknown] == (unverified == "leave-out")).all()
    assert (after.fold[unknown] == NO_FOLD).all() == (unverified == "leave-out")
    assert (after.fold[known] == before.fold[known]).all()


def test_the_same_seed_plants_the_same(store: Store) -> None:
    plantings = plantings_of(store, "leave-out")
    first, again, other = (plantings.planted(HALF, seed).positive for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_clips_that_are_known_to_be_none_of_these_stay_as_they_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = load_table(store)
    none = np.flatnonzero(clips.verified & ~clips.test)[:4]
    positive = clips.positive.copy()
    positive[none] = False
    monkeypatch.setattr("earmark.training.plantings.load_unchanged_table", lambda _: replace(clips, positive=positive))
    plantings = plantings_of(store, "leave-out")
    assert not plantings.judged[none].any()
    planted = plantings.planted(Protocol("symmetric", 1.0, 0.0), 1)
    assert planted.verified[none].all() and not planted.positive[none].any()


@pytest.mark.parametrize(
    ("times", "unverified_too", "share"), [(1, False, 0.5), (2, False, 0.4), (20, False, 0.4), (20, True, 0.25)]
)
def test_by_default_as_many_stay_verified_as_there_are_or_as_methods_need(
    times: int, unverified_too: bool, share: float, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the store's verified clips, many times; with three times as many unverified ones."""
    clips = load_table(store)
    verified = clips[clips.verified & ~clips.test]
    many = verified
    for _ in range(times - 1):
        many = many.followed_by(verified)
    if unverified_too:
        for _ in range(3 * times):
            many = many.followed_by(replace(verified, verified=~verified.verified))
    monkeypatch.setattr("earmark.training.plantings.load_unchanged_table", lambda _: many)
    plantings, seeds = plantings_of(store, "leave-out"), (1, 2)
    symmetric, by_class = plantings.default_protocols(seeds)
    assert (symmetric, by_class) == (Protocol("symmetric", 0.3, share), Protocol("class", 0.3, share))
    suffice = all(verified_suffice(plantings.planted(protocol, seed)) for protocol in (symmetric, by_class) for seed in seeds)
    assert suffice
    if share == 0.5:
        assert not all(verified_suffice(plantings.planted(replace(symmetric, verified=0.4), seed)) for seed in seeds)


def test_by_default_the_usual_share_stays_verified_where_none_suffices(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = load_table(store)
    verified = clips[clips.verified & ~clips.test]
    lacking = verified[(verified.fold == 0) | ~verified.positive[:, 0]]  # of class 0 there are none to learn from for fold 0
    monkeypatch.setattr("earmark.training.plantings.load_unchanged_table", lambda _: lacking)
    symmetric, _ = plantings_of(store, "leave-out").default_protocols((1,))
    assert symmetric == Protocol("symmetric", 0.3, 0.4)


def test_the_note_counts_what_was_planted(store: Store) -> None:
    plantings = plantings_of(store, "keep")
    planted = plantings.planted(HALF, 1)
    known, wrong = plantings.judged, (planted.positive != plantings.clips.positive).any(axis=1).sum()
    unverified = (~planted.verified & known).sum()
    note = plantings.note(HALF, (1, 2, 3))
    assert note.startswith(
        f"{known.sum()} clips whose labels are taken for right: {known.sum() - unverified} stay verified, and {wrong} of"
    )
    assert f"the other {unverified} get a wrong label" in note and note.endswith("3 plantings.")
    assert f"{(~plantings.clips.verified & ~plantings.clips.test).sum()} more clips are unverified" in note


def test_labels_of_the_same_kin_need_to_know_the_kin(store: Store) -> None:
    related = Protocol("related", 1.0, 0.0)
    with pytest.raises(EarmarkError, match=r"^--protocol related:1:0: it needs to know which classes are kin"):
        plantings_of(store, "leave-out").planted(related, 1)
    kin = np.arange(10) // 5
    plantings = plantings_of(store, "leave-out", kin)
    before, after = (
        positive[plantings.judged].argmax(axis=1) for positive in (plantings.clips.positive, plantings.planted(related, 1).positive)
    )
    assert (before != after).all() and (kin[before] == kin[after]).all()


def test_a_store_without_verified_clips_and_one_with_all_in_one_fold_are_refused(rendered: Path, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    nothing = tuple(replace(clip, verified=False) for clip in manifest.clips[:20])
    store = prepare(replace(manifest, clips=nothing), "x", tmp_path / "nothing", [8000]).store
    with pytest.raises(StoreError, match="has no verified training clip with a label"):
        plantings_of(store, "keep")
    single = tuple(replace(clip, verified=clip.fold == 0) for clip in manifest.clips[:20])
    store = prepare(replace(manifest, clips=single), "x", tmp_path / "single", [8000]).store
    with pytest.raises(StoreError, match="has all its verified clips in one fold"):
        plantings_of(store, "leave-out")
    assert len(plantings_of(store, "keep").truth)
