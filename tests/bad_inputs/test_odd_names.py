"""Names and links that are odd but valid, and names that no table can hold."""

import csv
import json
import os
from pathlib import Path

import pytest

from earmark.cli import run
from tests.bad_inputs.arrange import prepare, read_rows, stored, write_rows, write_wav
from tests.bad_inputs.cases import Capture, Case, Places, check

ODD_NAMES = (
    "with space.wav",
    " at the ends .wav",
    "quote'.wav",
    'double"quote.wav',
    "com,ma.wav",
    "line\nbreak.wav",
    "carriage\rreturn.wav",
    "tab\t.wav",
    "line\u2028separator.wav",
    "Glöckchen 鈴 🔔.wav",
    "-option.wav",
    "hash#1-2.wav",
    "=1+1.wav",
    "{here}[bold]%s\\.wav",
)


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_name_comes_back_as_it_was(name: str, places: Places, capsys: Capture) -> None:
    here = places["here"]
    path = write_wav(here / "sounds" / name)
    missing = "no " + name
    manifest = write_rows(here / "sounds/m.csv", (name, "x"), (missing, "y"))
    assert prepare(manifest, here / "store") == 3
    assert stored(here / "store").clip_id.tolist() == [name]
    assert read_rows(here / "store/bad.csv") == [{"file_name": missing, "reason": "no such file"}]
    for form in ("csv", "jsonl", "table"):
        assert (
            run(["tag", str(here / "sounds"), "--model", str(places["bundle"]), "--format", form, "--out", str(here / form)]) == 0
        )
    assert {row["file"] for row in read_rows(here / "csv")} == {str(path)}
    [line] = (here / "jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert json.loads(line)["file"] == str(path)
    assert (here / "table").read_text(encoding="utf-8").count("\n") == 1  # for reading: a line a file, whatever its name
    (here / "sounds" / name).write_bytes(b"")
    assert run(["tag", str(here / "sounds"), "--model", str(places["bundle"]), "--out", str(here / "tags")]) == 2
    assert [row["file_name"] for row in read_rows(here / "tags.bad.csv")] == [str(path)]
    capsys.readouterr()


def with_broken_name(folder_path: Path) -> Path:
    """A sound whose name is no UTF-8, as old archives unpack."""
    whole = write_wav(folder_path / "whole.wav")
    broken = folder_path / os.fsdecode(b"caf\xe9.wav")
    try:
        whole.rename(broken)
    except OSError:
        pytest.skip("this file system refuses such names")
    return broken


def test_name_of_no_utf8_is_tagged(places: Places, capsys: Capture) -> None:
    here = places["here"]
    broken = with_broken_name(here / "sounds")
    write_wav(here / "sounds/good.wav")
    said = "2 files tagged: {here}/tags.csv"
    check(Case("tag", "tag {here}/sounds --model {bundle} --format csv --out {here}/tags.csv", said, status=0), places, capsys)
    with (here / "tags.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == {str(broken), str(here / "sounds/good.wav")}


def test_name_of_no_utf8_is_refused_by_prepare(places: Places, capsys: Capture) -> None:
    with_broken_name(places["here"] / "sounds/bark")
    write_wav(places["here"] / "sounds/purr/good.wav")
    said = r"error: {here}/sounds: <words>'bark/caf\udce9.wav' <words>UTF-8<words>"  # a store's table holds nothing else
    check(Case("prepare", "prepare folder {here}/sounds {to_store}", said), places, capsys)


def test_folders_that_link_in_a_circle_are_walked_once(places: Places, capsys: Capture) -> None:
    here = places["here"]
    write_wav(here / "sounds/bark/1.wav")
    (here / "sounds/bark/up").symlink_to("..")
    (here / "sounds/self").symlink_to("self")
    out = check(Case("tag", "tag {here}/sounds --model {bundle}", "", status=0), places, capsys)
    assert [line.split("  ")[0] for line in out.splitlines()] == [str(here / "sounds/bark/1.wav")]
    check(Case("prepare", "prepare folder {here}/sounds {to_store}", "", status=0), places, capsys)
    assert stored(here / "store").clip_id.tolist() == ["bark/1.wav"]
