"""Bundles that are of another version, incomplete or damaged."""

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch

from earmark.tagging import weights
from tests.bad_inputs.arrange import copied, edited, removed, rewritten
from tests.bad_inputs.cases import WEIGHTS, Capture, Case, Places, check, no_model, refused, table

TAG_BY_COPY = "tag {sound} --model {here}/bundle --runtime torch"
ONNX = WEIGHTS.replace(".safetensors", ".onnx")


def bad_bundle(name: str, change: Callable[[Path], object], said: str) -> Case:
    return Case(name, TAG_BY_COPY, f"error: {said}", arrange=copied("bundle", change))


def bad_onnx(name: str, change: Callable[[Path], object], said: str) -> Case:
    return Case(name, "tag {sound} --model {here}/bundle", f"error: {said}", arrange=copied("bundle", change))


def config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    return edited("config.json", change)


def weights_of_nan(bundle: Path) -> None:
    tensors = safetensors.torch.load_file(bundle / WEIGHTS)
    (bundle / WEIGHTS).unlink()
    safetensors.torch.save_file({name: value * float("nan") for name, value in tensors.items()}, bundle / WEIGHTS)


def onnx_of_nan(bundle: Path) -> None:
    model = onnx.load(bundle / ONNX)
    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()
    rewritten(ONNX, model.SerializeToString())(bundle)


def label(*labels: str) -> Callable[[Path], object]:
    return config(lambda c: c["labels"].__setitem__(slice(len(labels)), labels))


def part(name: str, **arguments: object) -> Callable[[Path], object]:
    return config(lambda c: c["members"][0][name].update(arguments))


def member(**values: object) -> Callable[[Path], object]:
    return config(lambda c: c["members"][0].update(values))


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda bundle: [(bundle / name).unlink(), make(bundle / name)]


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)  # without blocks on the disk


def headed(header: bytes, length: int | None = None) -> Callable[[Path], object]:
    """Weights with another header, which may say another length of itself."""
    return rewritten(WEIGHTS, struct.pack("<Q", len(header) if length is None else length) + header + b"0000")


def key_twice(bundle: Path) -> None:
    written = (bundle / "config.json").read_text()
    rewritten("config.json", written.replace('"rule"', '"rule": "arithmetic_mean", "rule"', 1))(bundle)


DEEP = '{"format": "earmark-bundle", "a": '
CONFIG = "{here}/bundle/config.json"
NOT_ITS = "{here}/bundle/" + WEIGHTS + ": not this net's weights: "
NO_LABEL = CONFIG + ": labels: <label> is blank, has control characters, or is longer than 1,000 characters"
HALF = CONFIG + " is no bundle's: a text in it has half a character (a lone surrogate)"
ODD_BUNDLES = (
    bad_bundle("half a character in a label", label("\ud800"), HALF),
    bad_bundle("half a character in the licence", config(lambda c: c.update(licence="\udfff")), HALF),
    bad_bundle("a terminal's escape in a label", label("a\x1b[31m"), NO_LABEL),
    bad_bundle("a label of two lines", label("a\nb"), NO_LABEL),
    bad_bundle("a blank label", label(" "), NO_LABEL),
    bad_bundle("a label twice, written in two ways", label("\u00e9", "e\u0301"), CONFIG + ": labels: 'é' stands twice"),
    bad_bundle("a key twice", key_twice, CONFIG + " is no bundle's: the key 'rule' stands twice"),
    bad_bundle(
        "JSON deep without end", rewritten("config.json", DEEP + "[" * 100_000), CONFIG + " is no bundle's: it is nested too deeply"
    ),
    bad_bundle(
        "deep JSON",
        rewritten("config.json", DEEP + "[" * 5000 + "]" * 5000 + "}"),
        CONFIG + " is no bundle's: it is nested too deeply",
    ),
    bad_bundle("config is a pipe", replaced("config.json", os.mkfifo), CONFIG + ": no regular file"),
    bad_bundle("config is a device", replaced("config.json", lambda p: p.symlink_to("/dev/zero")), CONFIG + ": no regular file"),
    bad_bundle("config is a folder", replaced("config.json", Path.mkdir), CONFIG + ": no regular file"),
    bad_bundle("config links to itself", replaced("config.json", lambda p: p.symlink_to(p)), CONFIG + ": <words of the system>"),
    bad_bundle("config of a gigabyte", replaced("config.json", large), CONFIG + ": larger than 16,384 KiB"),
    bad_bundle("weights are a pipe", replaced(WEIGHTS, os.mkfifo), "{here}/bundle/" + WEIGHTS + ": no regular file"),
    bad_bundle(
        "weights are a device",
        replaced(WEIGHTS, lambda p: p.symlink_to("/dev/zero")),
        "{here}/bundle/" + WEIGHTS + ": no regular file",
    ),
    bad_bundle("weights are a folder", replaced(WEIGHTS, Path.mkdir), "{here}/bundle/" + WEIGHTS + ": no regular file"),
    bad_bundle("a gigabyte of zeros", replaced(WEIGHTS, large), NOT_ITS + "<words of safetensors>"),
    bad_bundle("header longer than the file", headed(b"{}", 2**60), NOT_ITS + "its header is longer than <bytes>"),
    bad_bundle("header of 5 MB", headed(b"{}" + b" " * 5_000_000), NOT_ITS + "its header is longer than <bytes>"),
    bad_bundle("deep header", headed(b'{"a":' + b"[" * 100_000), NOT_ITS + "<words of safetensors>"),
    bad_bundle(
        "header of more than the file has",
        headed(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}'),
        NOT_ITS + "<words of safetensors>",
    ),
    bad_bundle(
        "another tensor", headed(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'), NOT_ITS + "'a': the net has none"
    ),
    bad_bundle(
        "another shape",
        part("backbone", growth=[4, 6]),
        NOT_ITS + "backbone.dense.1.bottleneck.weight is [4, <more>], not [6, <more>]",
    ),
    bad_bundle("no nets", config(lambda c: c.update(members=[])), CONFIG + ": members: <words of pydantic>at least 1 item<words>"),
    bad_bundle(
        "two nets of one file",
        config(lambda c: c["members"].append({**c["members"][0], "fold": 1})),
        CONFIG + ": members: two nets have the same file",
    ),
    bad_bundle("window of 17 hours", part("input", window=10**9), CONFIG + ": members.0.input.window: <words>less than<words>"),
    bad_bundle(
        "window of 11 minutes", part("input", window=10_560_000), CONFIG + ": members.0.input: window: <words>600 s are the most"
    ),
    bad_bundle(
        "rate of 1 GHz", part("input", sample_rate=10**9), CONFIG + ": members.0.input.sample_rate: <words>less than<words>"
    ),
    bad_bundle("a flag as a window", part("input", window=True), CONFIG + ": members.0.input.window: a number is needed, not true"),
    bad_bundle(
        "a flag as a step",
        part("frontend", hop_length=True),
        CONFIG + ": logmel: frontend logmel: hop_length: a number is needed, not true",
    ),
    bad_bundle(
        "epsilon below 0", part("frontend", epsilon=-1), CONFIG + ": logmel: frontend logmel: epsilon: <words>greater than<words>"
    ),
    bad_bundle(
        "epsilon of the backbone below 0", part("backbone", epsilon=-1), CONFIG + ": logmel: backbone densenet_se: epsilon: <words>"
    ),
    bad_bundle("floor of 0", part("frontend", floor=0), CONFIG + ": logmel: frontend logmel: floor: <words>greater than<words>"),
    bad_bundle(
        "10 million bands", part("frontend", n_mels=10**7), CONFIG + ": logmel: frontend logmel: n_mels: <words>less than<words>"
    ),
    bad_bundle(
        "a net beyond the memory",
        part("backbone", growth=[60000, 60000, 60000]),
        CONFIG + ": logmel: a sound of 4,000 samples needs at least <bytes> GB of memory, and this machine has <bytes>",
    ),
    bad_bundle(
        "a view of hours",
        member(views=["pad999999"]),
        CONFIG + ": logmel: view pad999999 adds 32,000 s of zeros; 600 s are the most",
    ),
    bad_bundle("a huge weight", member(weight=1e308), CONFIG + ": members.0.weight: <words>less than<words>"),
    bad_bundle("a tiny weight", member(weight=1e-308), CONFIG + ": members.0.weight: <words>greater than<words>"),
    bad_bundle("a fold of 400 digits", member(fold=10**400), CONFIG + ": members.0.fold: <words>less than<words>"),
    bad_bundle("version 0", config(lambda c: c.update(version=0)), CONFIG + ": version: <words>greater than<words>"),
    bad_bundle("a flag as a version", config(lambda c: c.update(version=True)), CONFIG + ": version: a number is needed, not true"),
)

NO_NET = "{here}/bundle/" + ONNX + ": no net that can be run: <words of onnxruntime>"
ODD_ONNX = (
    bad_onnx("ONNX is text", rewritten(ONNX, "text"), NO_NET),
    bad_onnx("ONNX is cut off", lambda bundle: os.truncate(bundle / ONNX, 5000), NO_NET),
    bad_onnx("ONNX of a gigabyte of zeros", replaced(ONNX, large), NO_NET),
    bad_onnx("ONNX is a pipe", replaced(ONNX, os.mkfifo), "{here}/bundle/" + ONNX + ": no regular file"),
    bad_onnx("ONNX missing", removed(ONNX), "{here}/bundle: " + ONNX + " is missing"),
    bad_onnx("ONNX outside the bundle", member(onnx="../net.onnx"), CONFIG + ": members.0.onnx: <words of pydantic>"),
    bad_onnx(
        "ONNX with a label too many",
        config(lambda c: [c["labels"].pop(), c.update(thresholds=None)]),
        "{here}/bundle/" + ONNX + ": it has scores of 10 classes, and the bundle has 9 labels",
    ),
    bad_onnx(
        "ONNX with a view of hours",
        member(views=["pad999999"]),
        CONFIG + ": logmel: view pad999999 adds 32,000 s of zeros; 600 s are the most",
    ),
    bad_onnx("ONNX with a view of vectors", member(views=["varied1"]), CONFIG + ": logmel: views varied1: <words>"),
    bad_onnx("ONNX of NaN", onnx_of_nan, "{here}/bundle: the model's scores are not finite, whatever the sound: <words>"),
    bad_onnx("no file of a net", member(onnx=None, file=None, proof=None), CONFIG + ": members: a net has neither file nor onnx"),
)

BAD_BUNDLES = (
    bad_bundle(
        "newer version",
        config(lambda c: c.update(version=3, earmark="9.0")),
        "{here}/bundle is a bundle of version 3, made by earmark 9.0; this one reads up to version 2",
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
        config(lambda c: [c["labels"].pop(), c.update(thresholds=None)]),
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


@table(*BAD_BUNDLES, *ODD_BUNDLES, *ODD_ONNX)
def test_bundle_is_refused(case: Case, places: Places, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "memory", lambda: 16 * 10**9)
    begun = time.monotonic()
    assert check(case, places, capsys) == ""
    assert time.monotonic() - begun < 5  # on a busy machine


def test_weights_of_a_bundle_are_as_readable_as_its_config(made: Places) -> None:
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in made["bundle"].iterdir()}
    assert set(modes.values()) == {modes["config.json"]}, modes  # a bundle is made to be passed on
