"""Bundles that are of another version, incomplete or damaged."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch

from tests.bad_inputs.arrange import copied, edited, removed, rewritten
from tests.bad_inputs.cases import WEIGHTS, Capture, Case, Places, check, no_model, refused, table

TAG_BY_COPY = "tag {sound} --model {here}/bundle"


def bad_bundle(name: str, change: Callable[[Path], object], said: str) -> Case:
    return Case(name, TAG_BY_COPY, f"error: {said}", arrange=copied("bundle", change))


def config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    return edited("config.json", change)


def weights_of_nan(bundle: Path) -> None:
    tensors = safetensors.torch.load_file(bundle / WEIGHTS)
    (bundle / WEIGHTS).unlink()
    safetensors.torch.save_file({name: value * float("nan") for name, value in tensors.items()}, bundle / WEIGHTS)


BAD_BUNDLES = (
    bad_bundle(
        "newer version",
        config(lambda c: c.update(version=2, earmark="9.0")),
        "{here}/bundle is a bundle of version 2, made by earmark 9.0; this one reads up to version 1",
    ),
    bad_bundle("no JSON", rewritten("config.json", "{no"), "{here}/bundle/config.json is no bundle's: <words of json>"),
    bad_bundle(
        "binary", rewritten("config.json", b"\xff\xfe\x00"), "{here}/bundle/config.json is no bundle's: <words of the codec>"
    ),
    bad_bundle(
        "JSON of something else",
        rewritten("config.json", "[1]"),
        "{here}/bundle/config.json is no bundle's: it says nothing of an earmark bundle",
    ),
    bad_bundle("no config", removed("config.json"), no_model("{here}/bundle")),
    bad_bundle("no labels", config(lambda c: c.pop("labels")), "{here}/bundle/config.json: labels: Field required"),
    bad_bundle(
        "a label twice", config(lambda c: c["labels"].__setitem__(1, c["labels"][0])), "{here}/bundle/config.json: labels: <words>"
    ),
    bad_bundle(
        "a label too few",
        config(lambda c: c["labels"].pop()),
        "{here}/bundle/" + WEIGHTS + ": not this net's weights: <words of torch>",
    ),
    bad_bundle(
        "weights outside the bundle",
        config(lambda c: c["members"][0].update(file="../w.safetensors")),
        "{here}/bundle/config.json: members.0.file: <words of pydantic>",
    ),
    bad_bundle(
        "a member's weight is endless",
        config(lambda c: c["members"][0].update(weight=float("inf"))),
        "{here}/bundle/config.json: members.0.weight: <words>",
    ),
    bad_bundle(
        "unknown backbone",
        config(lambda c: c["members"][0]["backbone"].update(name="nosuch")),
        "<where>backbone.name: no backbone 'nosuch'; there are <names>densenet_se<names>",
    ),
    bad_bundle(
        "no step between frames",
        config(lambda c: c["members"][0]["frontend"].update(hop_length=0)),
        "<where>frontend logmel: <words>hop_length<words>",
    ),
    bad_bundle(
        "a view that is none",
        config(lambda c: c["members"][0].update(views=["left"])),
        "{here}/bundle/config.json: members.0.views.0: <words of pydantic>",
    ),
    bad_bundle(
        "no view", config(lambda c: c["members"][0].update(views=[])), "{here}/bundle/config.json: members.0.views: <words>"
    ),
    bad_bundle(
        "a weight of nothing",
        config(lambda c: c["members"][0].update(weight=0)),
        "{here}/bundle/config.json: members.0.weight: <words>",
    ),
    bad_bundle("weights missing", removed(WEIGHTS), "{here}/bundle: " + WEIGHTS + " is missing"),
    bad_bundle(
        "weights are text",
        rewritten(WEIGHTS, "text"),
        "{here}/bundle/" + WEIGHTS + ": not this net's weights: <words of safetensors>",
    ),
    bad_bundle(
        "weights are cut off",
        lambda bundle: os.truncate(bundle / WEIGHTS, 5000),
        "{here}/bundle/" + WEIGHTS + ": not this net's weights: <words of safetensors>",
    ),
    # Its scores would be NaN, and every sound would get no tag at all, without a word.
    bad_bundle("weights are NaN", weights_of_nan, "{here}/bundle/" + WEIGHTS + ": <words>NaN<words>"),
    refused(
        "info: nothing about the data",
        "info {here}/bundle",
        "{here}/bundle/config.json: data<words>",
        arrange=copied("bundle", config(lambda c: c.update(data={}))),
    ),
)


@table(*BAD_BUNDLES)
def test_bundle_is_refused(case: Case, places: Places, capsys: Capture) -> None:
    assert check(case, places, capsys) == ""


def test_weights_of_a_bundle_are_as_readable_as_its_config(made: Places) -> None:
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in made["bundle"].iterdir()}
    assert set(modes.values()) == {modes["config.json"]}, modes  # a bundle is made to be passed on
