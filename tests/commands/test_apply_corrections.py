"""``earmark apply-corrections`` and ``earmark data label-studio``, from the command line to the next store."""

import json
import shutil
from pathlib import Path

import pytest

from earmark import cli
from earmark.data.store import Store
from earmark.data.table import load_table

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def manifest(rendered: Path, tmp_path: Path) -> Path:
    """The manifest of the rendered clips, copied, with a link to the sounds; clips 2 to 5 are of the training split."""
    (tmp_path / "audio").symlink_to(rendered.parent / "audio")
    shutil.copy(rendered, tmp_path / "m.csv")
    return tmp_path / "m.csv"


def apply(manifest: Path, corrections: Path, *more: str, out: str = "m2.csv") -> int:
    return cli.run(["apply-corrections", str(manifest), str(corrections), "--out", str(manifest.parent / out), *more])


def names(manifest: Path) -> list[str]:
    return [line.split(",")[0] for line in manifest.read_text().splitlines()[1:]]


def test_the_loop_from_a_table_to_the_next_store(manifest: Path, tmp_path: Path, capsys: Capture) -> None:
    clips = names(manifest)
    heard = tmp_path / "heard.csv"
    heard.write_text(f"clip,labels\n{clips[1]},siren\n{clips[2]},\n{clips[3]},remove\n{clips[4]},wind\n")
    assert apply(manifest, heard) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"{tmp_path / 'm2.removed.csv'}: 1 clip removed",
        f"{tmp_path / 'm2.csv'}: 79 clips; 4 heard: 2 with other labels now, 0 kept, 1 none of these, 1 removed",
    ]
    assert printed.err == ""
    assert apply(tmp_path / "m2.csv", heard, out="m3.csv") == 0
    assert (tmp_path / "m3.csv").read_bytes() == (tmp_path / "m2.csv").read_bytes()
    assert cli.run(["prepare", "manifest", str(tmp_path / "m2.csv"), "--out", str(tmp_path / "st"), "--sample-rate", "8000"]) == 0
    table = load_table(Store.open(tmp_path / "st"))
    of = dict(zip(table.clip_id.tolist(), zip(table.positive, table.verified, strict=True), strict=True))
    siren = list(table.labels.names).index("siren")
    assert of[clips[1]][0].nonzero()[0].tolist() == [siren] and of[clips[1]][1]
    assert not of[clips[2]][0].any() and of[clips[2]][1]
    assert clips[3] not in of


def test_everything_wrong_is_listed_and_nothing_is_written(manifest: Path, tmp_path: Path, capsys: Capture) -> None:
    clips = names(manifest)
    rows = [f"{clips[0]},siren", f"{clips[1]},sirene", "nope.wav,siren", f"{clips[2]},siren", f"{clips[2]},wind"]
    heard = tmp_path / "heard.csv"
    heard.write_text("clip_id,labels\n" + "\n".join([*rows, *(f"gone{number}.wav,siren" for number in range(30))]) + "\n")
    assert apply(manifest, heard) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    for fault in (
        f"row 1: clip '{clips[0]}' belongs to the test split, which is never changed",
        f"row 2: label 'sirene' is none of the 10 labels of {manifest}; --new-labels allows it",
        f"row 3: clip 'nope.wav' is not in {manifest}",
        f"clip '{clips[2]}' stands 2 times: siren (row 4) and wind (row 5)",
        "and 14 more",
    ):
        assert fault in printed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio", "heard.csv", "m.csv"]
    heard.write_text(f"clip_id,labels\n{clips[1]},sirene\n")
    assert apply(manifest, heard, "--new-labels") == 0
    assert f"{clips[1]},sirene,1," in (tmp_path / "m2.csv").read_text()


def test_an_unreadable_request_is_one_line(manifest: Path, tmp_path: Path, capsys: Capture) -> None:
    heard = tmp_path / "heard.csv"
    heard.write_text(f"clip_id,labels\n{names(manifest)[1]},siren\n")
    before = manifest.read_bytes()
    for arguments, message in (
        ((manifest, heard, "m.csv"), "is the manifest itself; write to another file"),
        ((manifest, heard, "heard.csv"), "is the table of corrections itself; write to another file"),
        ((manifest, heard, "m2.txt"), "ends neither in .csv nor in .parquet"),
        ((manifest, tmp_path / "other.csv", "m2.csv"), "other.csv: no such file"),
        ((tmp_path / "other.csv", heard, "m2.csv"), "other.csv: no such file"),
        ((manifest, tmp_path, "m2.csv"), "no corrections.csv in it"),
        ((tmp_path, heard, "m2.csv"), "is no store"),
        ((manifest, manifest, "m2.csv"), "belongs to the test split"),
        ((manifest, heard, "elsewhere/m2.csv"), "must lie in"),
    ):
        manifest_, corrections, out = arguments
        assert apply(manifest_, corrections, out=out) == 2, message
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.startswith("error: ") and printed.err.count("\n") == 1
    heard.rename(tmp_path / "corrections.csv")
    assert apply(manifest, tmp_path, out="corrections.csv") == 2
    assert "is the table of corrections itself" in capsys.readouterr().err
    (tmp_path / "corrections.csv").rename(heard)
    assert apply(manifest, heard, "--unverified") == 2
    assert "says of every clip whether its labels were checked" in capsys.readouterr().err
    assert apply(manifest, heard, "--label-separator", "") == 2
    assert "--label-separator: is empty" in capsys.readouterr().err
    assert manifest.read_bytes() == before and not (tmp_path / "m2.csv").exists()


def test_what_a_user_should_know_is_said(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "m.csv").write_text("file_name,labels\na.wav,dog\nb.wav,cat\nc.wav,dog\n")
    (tmp_path / "corrections.csv").write_text(
        "clip_id,given,labels,action,by,when,sha256,disagrees\n"
        "a.wav,cow,cat,relabel,R1,2026-01-31T12:00:00Z,,R2\n"
        "b.wav,cat,cat,keep,R1,2026-01-31T12:00:00Z,,\n"
    )
    assert apply(tmp_path / "m.csv", tmp_path) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "reviewers disagree about 1 clip: the latest decision counted",
        f"{tmp_path / 'm2.csv'}: 3 clips; 2 heard: 1 with other labels now, 1 kept, 0 none of these, 0 removed",
    ]
    said = printed.err.splitlines()
    assert len(said) == 3
    assert "is taken for verified" in said[0] and "has no column fold" in said[1]
    assert said[2] == f"warning: 1 clip had other labels when it was heard than {tmp_path / 'm.csv'} gives it"
    text = (tmp_path / "m2.csv").read_text().replace("2026-01-31", "2026-02-01")
    (tmp_path / "m3.csv").write_text(text)
    assert apply(tmp_path / "m3.csv", tmp_path, out="m4.csv") == 0
    assert "2 clips were corrected later than these corrections say, and stay as they are" in capsys.readouterr().err
    assert (tmp_path / "m4.csv").read_text() == text


def test_suspects_go_to_label_studio_and_come_back(store: Store, manifest: Path, tmp_path: Path, capsys: Capture) -> None:
    clips = names(manifest)
    audit = tmp_path / "audit"
    audit.mkdir()
    facts = {"version": 1, "labels": store.labels.names, "label_separator": ",", "several": False, "cut": 1}
    facts |= {"vectors": None, "strategy": "By ear."}
    place = {"run": "/nowhere", "store": str(store.path), "store_fingerprint": store.fingerprint}
    (audit / "audit.json").write_text(json.dumps(facts | place))
    (audit / "suspects.csv").write_text(
        f"rank,clip_id,given,suggested,score,probability,verified,reason\n1,{clips[1]},wind,siren,2,0.9,0,wrong label\n"
    )
    out = tmp_path / "tasks.json"
    assert cli.run(["data", "label-studio", str(audit), "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'tasks.xml'}: the labelling interface",
        f"{out}: 1 task; `earmark apply-corrections` reads what Label Studio exports as JSON",
    ]
    (task,) = json.loads(out.read_text())
    annotation = {"id": 1, "completed_by": 2, "result": task["predictions"][1]["result"], "updated_at": "2026-01-31T12:00:00.5Z"}
    (tmp_path / "export.json").write_text(json.dumps([task | {"id": 1, "annotations": [annotation]}]))
    again = ["apply-corrections", str(store.path), str(tmp_path / "export.json"), "--out", str(tmp_path / "m2.csv")]
    assert cli.run(again) == 0
    assert "1 heard: 1 with other labels now" in capsys.readouterr().out
    row = next(line for line in (tmp_path / "m2.csv").read_text().splitlines() if line.startswith(clips[1]))
    assert row.split(",")[1:3] == ["siren", "1"] and "user 2,2026-01-31T12:00:00Z," in row
    assert cli.run(["data", "label-studio", str(tmp_path), "--out", str(out)]) == 2
    assert "is not the folder of an audit" in capsys.readouterr().err
