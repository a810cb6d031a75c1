from pathlib import Path

import numpy as np
import pytest

from earmark import files
from earmark.data import embeddings
from earmark.data.embeddings import embed_store, load_verified
from earmark.data.manifest import read_manifest
from earmark.data.plant import planted_store
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.embedding.statistics import Statistics
from earmark.errors import EmbeddingError


@pytest.fixture
def own(rendered: Path, tmp_path: Path) -> Store:
    """A store of its own, since vectors are written into it."""
    return prepare(read_manifest(rendered), str(rendered), tmp_path / "store", [16000]).store


def folders(store: Store) -> list[str]:
    return sorted(path.name for path in (store.path / "embeddings").glob("[!.]*"))


def test_verified_clips_are_embedded_alone_unless_all_are(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, vectors = load_verified(own, Statistics())
    assert clips.verified.all() and not clips.test.any() and len(clips) == 35
    expected = np.stack([Statistics().vector(clips.samples(number)) for number in range(35)])
    np.testing.assert_array_equal(vectors, expected)
    assert folders(own) == ["statistics-2-verified"]
    monkeypatch.setattr(embeddings, "_computed", None)  # nothing is computed again
    np.testing.assert_array_equal(load_verified(own, Statistics())[1], expected)


def test_vectors_of_all_clips_are_used_where_they_are_there(own: Store) -> None:
    embed_store(own, Statistics(), 1)
    clips, vectors = load_verified(own, Statistics())
    assert folders(own) == ["statistics-2"]
    np.testing.assert_array_equal(vectors[-1], Statistics().vector(clips.samples(34)))


def test_vectors_of_verified_clips_are_not_taken_for_those_of_others(own: Store, tmp_path: Path) -> None:
    load_verified(own, Statistics())
    table = load_table(own)
    verified = table.verified.copy()  # as many, but another one
    verified[np.flatnonzero(table.verified & ~table.test)[0]] = False
    verified[np.flatnonzero(~table.verified & ~table.test)[-1]] = True
    clips, vectors = load_verified(planted_store(own, tmp_path / "other", table.positive, verified), Statistics())
    np.testing.assert_array_equal(vectors, np.stack([Statistics().vector(clips.samples(number)) for number in range(len(clips))]))


def test_vectors_are_computed_without_keeping_them_while_another_process_does(own: Store) -> None:
    folder = own.path / "embeddings"
    with files.locked(folder / ".statistics-2-verified.lock", folder):
        clips, vectors = load_verified(own, Statistics())
    assert folders(own) == []
    np.testing.assert_array_equal(vectors[0], Statistics().vector(clips.samples(0)))


def test_a_clip_without_a_vector_is_named(own: Store) -> None:
    class Broken(Statistics):
        def of_window(self, samples: np.ndarray) -> np.ndarray:
            return super().of_window(samples) * np.float32(np.nan)

    with pytest.raises(EmbeddingError, match=r"clip .*wav: built-in statistics gives numbers for it that are not finite"):
        load_verified(own, Broken())
