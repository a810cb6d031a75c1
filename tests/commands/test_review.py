import json
import shlex
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import cli
from earmark.data.manifest import read_manifest
from earmark.data.store import Store
from tests.audits import make_audit

pytestmark = pytest.mark.slow  # together they take seconds


@pytest.fixture
def audit(store: Store, tmp_path: Path) -> Path:
    return make_audit(store, tmp_path / "audit")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command says, in one line, before it ends with status 2; it writes nothing."""
    folder = Path(str(arguments[0]))
    before = sorted(folder.iterdir()) if folder.is_dir() else []
    assert cli.run(["review", *map(str, arguments), "--no-browser"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert (sorted(folder.iterdir()) if folder.is_dir() else []) == before
    return said.err


def test_folders_that_are_none_of_an_audit(capsys: pytest.CaptureFixture[str], tmp_path: Path, store: Store) -> None:
    assert "is not the folder of an audit" in refusal(capsys, tmp_path / "nowhere")
    assert "is not the folder of an audit" in refusal(capsys, store.path)


def test_another_version(capsys: pytest.CaptureFixture[str], audit: Path) -> None:
    info = json.loads((audit / "audit.json").read_text(encoding="utf-8"))
    (audit / "audit.json").write_text(json.dumps(info | {"version": 7}), encoding="utf-8")
    assert "is of version 7; this earmark reads version 1" in refusal(capsys, audit)


def test_a_store_that_is_gone_or_other(capsys: pytest.CaptureFixture[str], audit: Path, tmp_path: Path) -> None:
    info = json.loads((audit / "audit.json").read_text(encoding="utf-8"))
    (audit / "audit.json").write_text(json.dumps(info | {"store_fingerprint": "0" * 32}), encoding="utf-8")
    assert "was prepared anew since" in refusal(capsys, audit)
    assert "has other data" in refusal(capsys, audit, "--store", info["store"])
    assert "is no store" in refusal(capsys, audit, "--store", tmp_path / "nowhere")


def test_names_and_ports(capsys: pytest.CaptureFixture[str], audit: Path) -> None:
    assert "the reviewer's name 'a;b'" in refusal(capsys, audit, "--by", "a;b")
    assert r"the reviewer's name 'bo\udcff'" in refusal(
        capsys, audit, "--by", "bo\udcff"
    )  # a byte of the command line that is no UTF-8
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is taken" in refusal(capsys, audit, "--port", port)
    assert "no.such.host.invalid" in refusal(capsys, audit, "--host", "no.such.host.invalid")


def test_decisions_that_are_damaged(capsys: pytest.CaptureFixture[str], audit: Path) -> None:
    (audit / "review.sqlite").write_bytes(b"\xff" * 5000)
    assert "review.sqlite is damaged" in refusal(capsys, audit)
    (audit / "review.sqlite").unlink()
    (audit / "corrections.csv").write_text("clip_id\nx\n", encoding="utf-8")
    assert "corrections.csv is there without the review.sqlite" in refusal(capsys, audit)


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "PIL"])
def test_without_the_libraries(
    capsys: pytest.CaptureFixture[str], audit: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("earmark.web.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert f"needs {missing}, which is not installed; pip install 'earmark[serve]' brings it" in refusal(capsys, audit)


def test_a_store_that_was_moved_is_named(audit: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    monkeypatch.setattr("earmark.web.serve.serve", lambda *arguments: served.append(arguments[0].audit.store.path))
    shutil.copytree(store.path, tmp_path / "moved")
    assert cli.run(["review", str(audit), "--store", str(tmp_path / "moved"), "--no-browser"]) == 0
    assert served == [tmp_path / "moved"]
    assert (audit / "corrections.csv").read_text(encoding="utf-8").count("\n") == 1


def applied(capsys: pytest.CaptureFixture[str], store: Path, audit: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command that a review with a decision prints at its end."""
    monkeypatch.setattr("earmark.web.serve.serve", lambda desk, *_: desk.decide("ann", 1, "unusable"))
    assert cli.run(["review", str(audit), "--store", str(store), "--no-browser"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("earmark apply-corrections ") and line.endswith(" makes a corrected manifest")
    return shlex.split(line.removesuffix(" makes a corrected manifest"))[1:]


def test_the_command_at_the_end_works_as_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "my data"
    data.mkdir()
    lines = ["file_name,labels"]
    for number in range(8):
        soundfile.write(data / f"{number}.wav", np.random.default_rng(number).uniform(-1, 1, 800), 8000)
        lines.append(f'{number}.wav,"{("Bell, ringing", "drum;Bell, ringing")[number % 2]}"')
    (data / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    options = ["--sample-rate", "8000", "--label-separator", ";"]
    table = "labels.csv"
    for turn in range(3):
        monkeypatch.chdir(data)
        assert cli.run(["prepare", "manifest", table, "--out", f"../store {turn}", *options]) == 0
        monkeypatch.chdir("/")
        store = Store.open(tmp_path / f"store {turn}")
        audit = make_audit(store, tmp_path / str(turn) / "my audit", several=True)
        command = applied(capsys, store.path, audit, monkeypatch)
        assert cli.run(command) == 0
        assert capsys.readouterr().err == ""
        made = Path(command[command.index("--out") + 1]).resolve()
        manifest = read_manifest(made, label_separator=";")
        assert {clip.labels for clip in manifest.clips} == {("Bell, ringing",), ("drum", "Bell, ringing")}
        assert len(manifest.clips) == store.clip_count - 1
        assert made.parent == data and made.name != table
        table = made.name
