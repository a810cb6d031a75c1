"""Bundles with any values in ``config.json``, and any bytes in any of their files."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bad_inputs.cases import WEIGHTS, Places
from tests.bad_inputs.properties.judge import examples, judge, judge_tags
from tests.bad_inputs.properties.values import changed


@pytest.fixture(scope="module")
def copy(made: Places, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    shutil.copytree(made["bundle"], folder)
    return folder


def config_of(places: Places) -> Any:
    return json.loads((places["bundle"] / "config.json").read_text(encoding="utf-8"))


def judge_bundle(folder: Path, sound: Path) -> None:
    judge("info", folder)
    out = folder.parent / "tags.csv"
    for old in (out, out.with_name("tags.csv.bad.csv")):
        old.unlink(missing_ok=True)
    status = judge("tag", sound, "--model", folder, "--format", "csv", "--out", out, "--threads", 1)
    if status == 0:
        judge_tags(out, status, [sound])


@pytest.mark.slow
@given(data=st.data())
@examples(100)
def test_any_values_in_a_config(made: Places, copy: Path, data: st.DataObject) -> None:
    config = data.draw(changed(config_of(made)))
    shutil.copy(made["bundle"] / WEIGHTS, copy / WEIGHTS)
    (copy / "config.json").write_text(json.dumps(config))
    judge_bundle(copy, made["sound"])


@given(content=st.one_of(st.binary(max_size=80), st.sampled_from([b"[" * 50_000, b'{"a":' * 50_000, b"9" * 50_000, b"-Infinity"])))
@examples(25)
def test_any_bytes_as_config(made: Places, copy: Path, content: bytes) -> None:
    (copy / "config.json").write_bytes(content)
    judge_bundle(copy, made["sound"])


NUMBERS = st.sampled_from(
    [b"\xff\xff\x7f\x7f", b"\xff\xff\x7f\xff", b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\1\0\0\0"]
)  # finite and not, float32


@given(place=st.floats(0, 1, exclude_max=True), content=st.one_of(st.binary(min_size=1, max_size=8), NUMBERS), cut=st.booleans())
@examples(40)
def test_damaged_weights(made: Places, copy: Path, place: float, content: bytes, cut: bool) -> None:
    shutil.copy(made["bundle"] / "config.json", copy / "config.json")
    whole = (made["bundle"] / WEIGHTS).read_bytes()
    # Half of the changes are in the header of JSON, which is short.
    reach = len(whole) if int(place * 1000) % 2 else min(len(whole), 4000)
    position = int(place * reach) // 4 * 4  # where a number begins, since the header's length is a multiple of 8
    (copy / WEIGHTS).write_bytes(whole[:position] + content + (b"" if cut else whole[position + len(content) :]))
    judge_bundle(copy, made["sound"])
