import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from earmark.data.audit_info import AuditInfo, audit_again, read_audit, read_info
from earmark.errors import EarmarkError
from earmark.labels import LabelSet

CONTENT: dict[str, Any] = {
    "version": 1,
    "run": "/runs/one",
    "store": "/stores/one",
    "store_fingerprint": "f",
    "labels": ["dog, small", "cat"],
    "label_separator": ";",
    "several": True,
    "vectors": None,
    "strategy": "By ear.",
    "cut": 7,
    "notes": [],
}


def written(folder: Path, **changed: object) -> Path:
    (folder / "audit.json").write_text(json.dumps(CONTENT | changed), encoding="utf-8")
    return folder


def test_what_it_says(tmp_path: Path) -> None:
    labels = LabelSet(("dog, small", "cat"))
    assert read_info(written(tmp_path)) == AuditInfo("/stores/one", "f", labels, ";", True, None, "By ear.", 7)
    assert read_info(written(tmp_path, vectors="abc")).vectors == "abc"
    assert read_audit(tmp_path) == CONTENT | {"vectors": "abc"}


@pytest.mark.parametrize("read", [read_audit, read_info])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is damaged"),
        ("[1]", "is damaged"),
        ("[" * 100_000, "is damaged (it is nested too deeply)"),
        ("{}", "is damaged (it has no 'version')"),
        (json.dumps({name: CONTENT[name] for name in CONTENT if name != "store"}), "is damaged (it has no 'store')"),
        (json.dumps(CONTENT | {"run": 3}), "is damaged (run is 3, no text)"),
        (json.dumps(CONTENT | {"label_separator": ""}), "is damaged (label_separator is '', no text)"),
        (json.dumps(CONTENT | {"version": 2}), "is of version 2; this earmark reads version 1"),
    ],
)
def test_a_damaged_file_is_named_with_a_remedy(read: Callable[[Path], object], text: str, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "audit.json").write_text(text, encoding="utf-8")
    with pytest.raises(EarmarkError) as caught:
        read(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}/audit.json {said}")
    assert message.endswith(f"remove that file, and `earmark audit RUN --out '{folder}'` makes it anew")


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": None},
        {"labels": ["a", "a"]},
        {"vectors": "../../elsewhere"},
        {"vectors": 3},
        {"cut": "x"},
        {"cut": float("inf")},
        {"strategy": None},
    ],
)
def test_what_it_cannot_say(changed: dict[str, object], tmp_path: Path) -> None:
    read_audit(written(tmp_path, **changed))
    with pytest.raises(EarmarkError, match=r"audit\.json is damaged"):
        read_info(tmp_path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    said = f"{tmp_path} is not the folder of an audit (it has no audit.json); `earmark audit RUN --out {tmp_path}` makes one"
    with pytest.raises(EarmarkError) as caught:
        read_info(tmp_path)
    assert str(caught.value) == said
    assert audit_again(tmp_path) == f"`earmark audit RUN --out {tmp_path}` writes it anew"
