"""Recipes and ``--set`` pairs with any values, whole or as ``extends`` and ``like``."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from earmark.recipe import load_recipe
from tests.bad_inputs.cases import Places
from tests.bad_inputs.properties.judge import examples, judge
from tests.bad_inputs.properties.values import VALUES, changed, of_its_kind, places_in

LENGTHS = ("schedule", "validation")  # a training with other values may rightly take for ever
COSTS = ("members.*.schedule.0.batches=2", "members.*.batch.clips_per_class=1", "precision=float32")
SMALL = load_recipe("tiny", [*COSTS, "members.*.input.window=4000", "members.*.backbone.growth=[4, 4]"]).model_dump(mode="json")
PLACES = [place for place in places_in(SMALL) if not set(place) & set(LENGTHS)]
EXTENDED: dict[str, Any] = {
    "extends": "base.yaml",
    "name": "mine",
    "members": {"logmel": {"loss": {"masking": 0.5}}, "more": {"like": "logmel", "batch": {"clips_per_class": 2}}},
    "ensembles": {"both": {"members": {"logmel": {"weight": 2}}}},
}
REFERENCES = st.sampled_from(
    ["r.yaml", "base.yaml", "./r.yaml", "other/../r.yaml", "tiny", "nosuch", ["tiny"], {"tiny": 1}, 1, None]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "other").mkdir()
    (folder / "base.yaml").write_text(yaml.safe_dump(SMALL))
    return folder


def write(folder: Path, data: Any) -> Path:
    path = folder / "r.yaml"
    # Lone surrogates cannot be written as they are; a file may have them escaped.
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.slow
@given(data=changed(SMALL))
@examples(80)
def test_any_values_in_a_recipe(folder: Path, data: Any) -> None:
    judge("info", write(folder, data))


@pytest.mark.slow
@given(data=changed(EXTENDED, st.one_of(VALUES, REFERENCES)), base=changed(SMALL))
@examples(80)
def test_any_values_in_a_recipe_that_extends_another(folder: Path, data: Any, base: Any) -> None:
    (folder / "base.yaml").write_text(yaml.safe_dump(base, sort_keys=False), encoding="utf-8")
    judge("info", write(folder, data))


@given(
    content=st.one_of(
        st.binary(max_size=80), st.text(max_size=80).map(str.encode), st.sampled_from("[{\"'&*!").map(lambda c: c * 2000)
    )
)
@examples(40)
def test_any_bytes_as_recipe(folder: Path, content: bytes | str) -> None:
    (folder / "r.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    judge("info", folder / "r.yaml")


@pytest.mark.slow
@given(data=changed(SMALL, apart_from=(*LENGTHS, "name", "title")))
@examples(10)
def test_any_values_in_a_training(made: Places, folder: Path, data: Any) -> None:
    train(made, folder, str(write(folder, data)))


@st.composite
def pairs(draw: st.DrawFn) -> list[str]:
    """Some pairs for ``--set``: mostly a setting that there is, with a value of its kind, seldom any text."""
    chosen = []
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        place = draw(st.sampled_from(PLACES))
        value = SMALL
        for part in place:
            value = value[part]
        value = draw(st.one_of(of_its_kind(value), of_its_kind(value), VALUES))
        key = ".".join(map(str, place)).replace("logmel", draw(st.sampled_from(["logmel", "*"])))
        text = yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")
        chosen.append(draw(st.sampled_from([f"{key}={text}"] * 8 + [f"{key}={key}", f"{key}.{key}={text}", key, text])))
    return chosen


@pytest.mark.slow
@given(chosen=pairs())
@examples(15)
def test_any_settings(made: Places, folder: Path, chosen: list[str]) -> None:
    (folder / "base.yaml").write_text(yaml.safe_dump(SMALL))
    train(made, folder, str(folder / "base.yaml"), *itertools.chain.from_iterable(("--set", pair) for pair in chosen))


def train(made: Places, folder: Path, *recipe: str) -> None:
    """Trains one net for two batches, if the recipe can be used. Either all of a run is there afterwards, or it was refused."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    status = judge("train", *recipe, "--store", made["store"], "--out", out, "--folds", 0, "--device", "cpu", "--threads", 1)
    assert (status == 0) == (out / "bundle/config.json").is_file()
