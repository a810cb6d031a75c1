import hashlib
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest

from earmark.data.clips import load_clips
from earmark.data.manifest import read_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.errors import StoreError


def test_clips_parquet_says_what_the_manifest_said(rendered: Path, store: Store) -> None:
    rows = pyarrow.parquet.read_table(store.path / "clips.parquet").to_pylist()
    manifest = read_manifest(rendered)
    assert len(rows) == 2 * len(manifest.clips)
    for clip, row in zip(manifest.clips, rows[::2], strict=True):
        assert row["clip_id"] == clip.clip_id
        assert tuple(row["labels"]) == clip.labels
        assert (row["verified"], row["split"], row["sample_rate"]) == (clip.verified, clip.split, 8000)
        assert row["fold"] == (-1 if clip.split == "test" else clip.fold)
        assert row["content_hash"] == hashlib.sha256((rendered.parent / clip.file_name).read_bytes()).hexdigest()[:32]


def test_a_missing_rate_is_refused_with_the_command_that_adds_it(store: Store, rendered: Path) -> None:
    with pytest.raises(StoreError) as caught:
        load_clips(store, 32000)
    assert f"`earmark prepare manifest {rendered} --out {store.path} --sample-rate 32000` adds it" in str(caught.value)


def test_where_the_files_are(tmp_path: Path, rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(rendered.parent, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    prepare(read_manifest(Path("data", rendered.name)), f"data/{rendered.name}", Path("deep/store"), [8000])
    store = Store.open(tmp_path / "deep" / "store")
    assert (store.sounds, store.table) == (Path("data"), Path("data", rendered.name))
    monkeypatch.chdir("/")
    assert (store.sounds, store.table) == (tmp_path / "data", tmp_path / "data" / rendered.name)


def test_a_folder_that_is_there_everywhere_is_the_one_with_the_files(
    tmp_path: Path, rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(rendered.parent, tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    prepare(read_manifest(Path(rendered.name)), rendered.name, Path("own"), [8000])
    prepare(read_manifest(Path(rendered.name)), rendered.name, tmp_path / "beside", [8000])
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for place in (tmp_path / "data" / "own", tmp_path / "beside"):
        assert Store.open(place).sounds == tmp_path / "data"
    (tmp_path / "data").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert Store.open(tmp_path / "beside").sounds == Path()
    assert Store.open(tmp_path / "moved" / "own").sounds == Path()
    monkeypatch.chdir("/")
    assert Store.open(tmp_path / "beside").sounds == tmp_path / "data"  # not the working directory, which has none of the files
