from pathlib import Path

import numpy as np
import pytest

from earmark.data.clips import load_clips
from earmark.data.plant import plant, planted_store
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.labels import LabelSet


def test_shares_are_as_asked_and_verified_labels_are_right(store: Store) -> None:
    truth = load_table(store)
    positive, verified = plant(truth, "symmetric", 0.5, 0.25, seed=1)
    assert verified.sum() == 20 and all(verified[truth.positive[:, k]].sum() == 2 for k in range(10))
    wrong = (positive != truth.positive).any(axis=1)
    assert wrong.sum() == 30 and not (wrong & verified).any()
    assert (positive.sum(axis=1) == 1).all()
    again = plant(truth, "symmetric", 0.5, 0.25, seed=1)
    assert (again[0] == positive).all() and (again[1] == verified).all()
    assert (plant(truth, "symmetric", 0.5, 0.25, seed=2)[0] != positive).any()


def test_related_labels_stay_in_the_family(store: Store) -> None:
    truth = load_table(store)
    kin = np.arange(10) // 5
    positive, _ = plant(truth, "related", 1.0, 0.0, seed=1, related=kin)
    assert (positive != truth.positive).any(axis=1).all()
    assert (kin[positive.argmax(axis=1)] == kin[truth.positive.argmax(axis=1)]).all()


def test_planted_store_has_the_same_sounds_and_other_labels(store: Store, tmp_path: Path) -> None:
    truth = load_table(store)
    positive, verified = plant(truth, "symmetric", 0.5, 0.25, seed=1)
    planted = planted_store(store, tmp_path / "planted", positive, verified)
    clips, before = load_clips(planted, 8000), load_clips(store, 8000)
    assert (clips.positive == positive).all() and (clips.verified == verified).all()
    assert (clips.samples(7) == before.samples(7)).all()
    assert planted.fingerprint != store.fingerprint
    assert planted_store(store, tmp_path / "again", positive, verified).fingerprint == planted.fingerprint
    other = planted_store(store, tmp_path / "other", truth.positive, verified)
    assert other.fingerprint != planted.fingerprint
    assert not planted.damage()
    with pytest.raises(OSError, match="exists"):
        (tmp_path / "planted").mkdir()


def test_verified_clips_are_spread_over_the_folds(store: Store) -> None:
    truth = load_table(store)
    truth = truth[~truth.test]  # in two folds
    for seed in range(20):
        _, verified = plant(truth, "symmetric", 0.5, 0.3, seed)
        for k in range(10):
            assert sorted(truth.fold[verified & truth.positive[:, k]].tolist()) == [0, 1]


def test_classes_can_be_left_out_of_a_planted_store(store: Store, tmp_path: Path) -> None:
    """Without them, clips of theirs carry labels of other classes, or none."""
    truth = load_table(store)
    labels = LabelSet(truth.labels.names[:8])
    positive = truth.positive[:, :8].copy()
    outside = ~positive.any(axis=1)
    positive[np.flatnonzero(outside)[::2], 3] = True
    verified = truth.verified & ~outside
    planted = planted_store(store, tmp_path / "planted", positive, verified, labels=labels)
    table = load_table(planted)
    assert planted.labels == table.labels == labels
    assert (table.positive == positive).all() and (table.verified == verified).all()
    assert (~table.positive.any(axis=1)).sum() == outside.sum() // 2
    assert (load_clips(planted, 8000).samples(7) == load_clips(store, 8000).samples(7)).all()
    assert not planted.damage()


def test_the_classes_are_part_of_a_planted_stores_fingerprint(store: Store, tmp_path: Path) -> None:
    truth = load_table(store)

    def fingerprint(labels: LabelSet | None) -> str:
        return planted_store(store, tmp_path / "planted", truth.positive, truth.verified, labels=labels).fingerprint

    names = truth.labels.names
    assert fingerprint(None) == fingerprint(LabelSet(names))  # as it was before classes could be named
    assert len({fingerprint(None), fingerprint(LabelSet(names[::-1])), fingerprint(LabelSet((*names[:9], "other")))}) == 3
