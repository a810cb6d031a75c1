import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.errors import EarmarkError
from earmark.web.folder import Audit
from tests.audits import make_audit
from tests.web.conftest import RATE, Place, small_clips

pytestmark = pytest.mark.slow  # together they take seconds


def cells_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "suspects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_cell_is_as_in_the_file(place: Place) -> None:
    audit = Audit.open(place.audit)
    suspects, cells = audit.suspects, cells_of(place.audit)
    manifest = {clip.file_name: clip for clip in small_clips(place.sounds)}
    assert len(suspects) == len(cells) == 25
    for clip, row in enumerate(cells):
        name = suspects.clip_id[clip].as_py()
        assert name == row["clip_id"] == audit.cell("clip_id", suspects.row[clip])
        assert suspects.rank[clip] == int(row["rank"])
        assert [audit.info.labels.names[n] for n in suspects.given.of(clip)] == [row["given"]] * bool(row["given"])
        assert [audit.info.labels.names[n] for n in suspects.suggested.of(clip)] == [row["suggested"]] * bool(row["suggested"])
        assert suspects.verified[clip] == manifest[name].verified
        assert np.isnan(suspects.score[clip]) == (row["score"] == "") == (name == "sounds/24.wav")
        if row["score"]:
            assert suspects.score[clip] == float(row["score"])
            assert suspects.probability[clip] == float(row["probability"])
        assert [suspects.reason_names[n] for n in suspects.reasons.of(clip)] == [row["reason"]] * bool(row["reason"])
    same = [[a == b for b in suspects.recording] for a in suspects.recording]
    groups = [manifest[row["clip_id"]].group for row in cells]
    assert same == [[a == b for b in groups] for a in groups]


def rewrite(folder: Path, change: Callable[[list[dict[str, str]]], None]) -> None:
    rows = cells_of(folder)
    change(rows)
    with (folder / "suspects.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (2, "given", "mew", "row 3: 'mew' is none of the labels"),
        (0, "suggested", "bark,mew", "row 1: 'mew' is none of the labels"),
        (1, "clip_id", "sounds/99.wav", "the store has no clip 'sounds/99.wav'"),
        (1, "rank", "1", "a rank stands in it twice"),
        (1, "rank", "", "a cell of rank is empty"),
        (1, "rank", "first", "damaged"),
        (3, "score", "high", "damaged"),
    ],
)
def test_cells_that_cannot_be(place: Place, row: int, column: str, value: str, message: str) -> None:
    rewrite(place.audit, lambda rows: rows[row].update({column: value}))
    with pytest.raises(EarmarkError, match=message) as caught:
        Audit.open(place.audit)
    assert "`earmark audit RUN --out" in str(caught.value)


def test_a_clip_twice(place: Place) -> None:
    rewrite(place.audit, lambda rows: rows[1].update(clip_id=rows[0]["clip_id"]))
    with pytest.raises(EarmarkError, match="a clip stands in it twice"):
        Audit.open(place.audit)


def test_rows_may_be_removed_and_sorted_otherwise(place: Place) -> None:
    kept = [row["rank"] for row in cells_of(place.audit)][5:0:-2]

    def change(rows: list[dict[str, str]]) -> None:
        rows[:] = rows[5:0:-2]

    rewrite(place.audit, change)
    assert Audit.open(place.audit).suspects.rank.tolist() == [int(rank) for rank in kept]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "is of version 2; this earmark reads version 1"),
        ({"version": None}, "is of version None"),
        ({"labels": None}, "damaged"),
        ({"label_separator": ""}, "damaged"),
        ({"vectors": "../../elsewhere"}, "no name of a folder"),
        ({"store": "/no/such/store"}, "/no/such/store is no store"),
        ({"store_fingerprint": "0" * 32}, "was prepared anew since"),
    ],
)
def test_what_audit_json_cannot_say(place: Place, change: dict[str, object], message: str) -> None:
    path = place.audit / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(EarmarkError, match=message):
        Audit.open(place.audit)


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"version": 1}'])
def test_damaged_audit_json(place: Place, content: str) -> None:
    (place.audit / "audit.json").write_text(content, encoding="utf-8")
    with pytest.raises(EarmarkError, match=r"audit\.json is (damaged|of version)"):
        Audit.open(place.audit)


@pytest.mark.parametrize("content", [b"", b"rank,clip_id\n1,a\n", b"\xff\xfe\x00", b"PAR1"])
def test_damaged_suspects(place: Place, content: bytes) -> None:
    (place.audit / "suspects.csv").write_bytes(content)
    with pytest.raises(EarmarkError, match=r"suspects\.csv is damaged"):
        Audit.open(place.audit)


def test_names_with_line_breaks_and_quotes(tmp_path: Path) -> None:
    names = ["a\rb.wav", "c\nd.wav", "e\r\nf.wav", 'g,"h".wav', " i .wav", "j;k.wav", "ü.wav", "'l.wav"]
    for name in names:
        soundfile.write(tmp_path / "x.wav", np.random.default_rng(len(name)).uniform(-1, 1, 800), RATE)
        (tmp_path / "x.wav").rename(tmp_path / name)
    clips = [Clip(name, ("x, y" if number % 2 else "z",), fold=0, group=str(number)) for number, name in enumerate(names)]
    write_manifest(tmp_path / "m.parquet", clips)
    store = prepare(read_manifest(tmp_path / "m.parquet"), str(tmp_path / "m.parquet"), tmp_path / "store", [RATE]).store
    audit = Audit.open(make_audit(store, tmp_path / "audit"))
    assert audit.info.label_separator == ";"
    assert sorted(audit.suspects.clip_id.to_pylist()) == sorted(names)
    for clip, name in enumerate(audit.suspects.clip_id.to_pylist()):
        assert [audit.info.labels.names[n] for n in audit.suspects.given.of(clip)] == list(clips[names.index(name)].labels)


def test_no_audit_folder(tmp_path: Path, place: Place) -> None:
    for folder in (tmp_path / "nothing", place.store, place.audit / "audit.json"):
        with pytest.raises(EarmarkError, match="is not the folder of an audit"):
            Audit.open(folder)
    (place.audit / "suspects.csv").unlink()
    with pytest.raises(EarmarkError, match=r"has no suspects\.csv"):
        Audit.open(place.audit)


def test_a_store_that_moved_or_changed(tmp_path: Path, place: Place) -> None:
    shutil.move(place.store, tmp_path / "elsewhere")
    with pytest.raises(EarmarkError, match="is no store"):
        Audit.open(place.audit)
    assert len(Audit.open(place.audit, tmp_path / "elsewhere").suspects) == 25
    write_manifest(place.sounds / "manifest.csv", small_clips(place.sounds)[:-2])
    prepare(read_manifest(place.sounds / "manifest.csv"), "again", tmp_path / "elsewhere", [RATE])
    with pytest.raises(EarmarkError, match="has other data"):
        Audit.open(place.audit, tmp_path / "elsewhere")
