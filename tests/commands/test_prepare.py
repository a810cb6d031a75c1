"""``earmark prepare``: rates that are taken from recipes, and what is said of a data set."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark import cli
from earmark.data.models import sample_rates
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.errors import EmbeddingError, StoreError
from earmark.recipe import load_recipe
from tests.embedding.models import write_model

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Two classes with two takes of each of two recordings."""
    rng = np.random.default_rng(0)
    for name in ("bark/rec 1_a", "bark/rec 1_b", "bark/rec 2_a", "bark/rec 2_b", "meow/rec 3_a", "meow/rec 3_b", "meow/rec 4_a"):
        (tmp_path / "sounds" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "sounds" / f"{name}.wav", rng.normal(0, 0.1, 800), 8000)
    return tmp_path / "sounds"


def prepare(sounds: Path, *more: str) -> int:
    return cli.run(["prepare", "folder", str(sounds), "--out", str(sounds.parent / "store"), *more])


def test_recipes_say_the_rates(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", facts={"sample_rate": "32000"})
    tiny, quick, cochlear = map(load_recipe, ("tiny", "quick", "cochlear2018"))
    assert sample_rates([cochlear]) == {16000, 32000, 44100}
    assert sample_rates([quick]) == {16000}
    assert sample_rates([quick], model) == {32000}
    assert sample_rates([tiny, quick], model) == {16000, 32000}
    silent = write_model(tmp_path / "silent.onnx", facts={})
    assert sample_rates([tiny, quick], silent, 22050) == {16000, 22050}
    with pytest.raises(EmbeddingError, match="no member of recipe tiny has the front end embedding"):
        sample_rates([tiny, cochlear], model)


def test_a_rate_of_no_model_is_refused(sounds: Path, capsys: Capture) -> None:
    for more in (("--sample-rate", "8000"), ("--for", "tiny")):
        assert prepare(sounds, *more, "--embedding-rate", "32000") == 2
        assert capsys.readouterr().err == "error: --embedding-rate is of the model that --embedding names\n"


def test_the_rates_of_recipes_come_beside_those_that_are_said(sounds: Path, tmp_path: Path, capsys: Capture) -> None:
    model = write_model(tmp_path / "m.onnx", facts={"sample_rate": "32000"})
    (tmp_path / "mine.yaml").write_text("extends: tiny\nmembers: {logmel: {input: {sample_rate: 8000, window: 8000}}}\n")
    more = ("--sample-rate", "22050", "--for", f"quick,{tmp_path / 'mine.yaml'}", "--for", "esc50-cpu", "--embedding", str(model))
    assert prepare(sounds, *more) == 0
    assert capsys.readouterr().out.endswith(": 7 clips, 0 bad, 8000, 16000, 22050, 32000 Hz\n")
    assert prepare(sounds, "--for", "tiny") == 0
    assert capsys.readouterr().out.endswith(" Hz, unchanged\n")


def test_what_is_assumed_is_said_and_what_is_said_is_in_the_store(sounds: Path, capsys: Capture) -> None:
    assert prepare(sounds, "--sample-rate", "8000") == 0
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "folder: 7 train clips, 7 verified, 2 classes, 7 recordings, 5 folds made",
        "every label is taken for verified: --unverified says otherwise; "
        "every file is taken for a recording of its own: --group-by says otherwise",
    ]
    said = ("--unverified", "--group-by", r"(rec \d)_")
    assert prepare(sounds, "--sample-rate", "8000", *said) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "folder: 7 train clips, 0 verified, 2 classes, 4 recordings, 5 folds made"
    assert len(out) == 2 and "unchanged" not in out[1]
    table = load_table(Store.open(sounds.parent / "store"))
    assert not table.verified.any()
    assert [len(set(table.fold[table.group == f"rec {number}"])) for number in range(1, 5)] == [1, 1, 1, 1]


def test_the_command_that_adds_a_rate_says_all_that_was_said(sounds: Path, capsys: Capture) -> None:
    assert prepare(sounds, "--sample-rate", "8000", "--unverified", "--group-by", r"(rec \d)_", "--label-separator", ";") == 0
    store = Store.open(sounds.parent / "store")
    with pytest.raises(StoreError) as caught:
        store.rows(16000)
    command = shlex.split(str(caught.value).split("`")[1])
    assert command[-5:] == ["--label-separator", ";", "--unverified", "--group-by", r"(rec \d)_"]
    assert cli.run(command[1:]) == 0
    assert capsys.readouterr().out.endswith(" 8000, 16000 Hz\n")
    info = json.loads((store.path / "store.json").read_text())
    assert info["fingerprint"] == store.fingerprint
    del info["options"]  # as in a store of an earlier version
    (store.path / "store.json").write_text(json.dumps(info))
    assert Store.open(store.path).options == ()
