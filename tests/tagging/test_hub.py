"""Models by name: folders, and models of the Hugging Face Hub, for which a small local server stands in."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants

import earmark
from earmark import cli
from earmark.errors import BundleError
from earmark.tagging.hub import NEEDED, hub_name, model_folder
from tests.tagging.hub_server import Files, HubServer, hub_server

pytestmark = pytest.mark.slow

Patch = pytest.MonkeyPatch
NETS = ("logmel-fold0.safetensors", "logmel-fold1.safetensors")


def a_config(recipe: str = "tiny", **changes: Any) -> bytes:
    """A ``config.json`` of two nets, whose files may hold anything."""
    member = {
        "name": "logmel",
        "input": {"sample_rate": 8000, "window": 8000},
        "frontend": {"name": "logmel"},
        "backbone": {"name": "densenet_se"},
        "head": {"name": "mean"},
        "activation": "softmax",
        "weight": 0.5,
        "views": ["whole"],
        "parameters": 1,
    }
    config = {
        "format": "earmark-bundle",
        "version": 1,
        "earmark": "0.1.0",
        "recipe": recipe,
        "fingerprint": "0",
        "labels": ["bell", "dog"],
        "rule": "geometric_mean",
        "members": [{**member, "fold": fold, "file": name} for fold, name in enumerate(NETS)],
        "data": {"source": "manifest", "clips": 2, "fingerprint": "0"},
        "licence": "",
    }
    return json.dumps({**config, **changes}).encode()


def a_bundle(recipe: str = "tiny") -> Files:
    """A repository with a bundle, and with what a repository may have besides."""
    nets = {name: f"{name} of {recipe}".encode() * 1000 for name in NETS}
    others = {"README.md": b"# card", "model.pkl": b"cos\nsystem\n", "pytorch_model.bin": b"PK", "earmark.py": b"1 / 0"}
    return {"config.json": a_config(recipe), **nets, **others, "more.safetensors": b"none of the bundle's"}


def content(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: Patch) -> Iterator[HubServer]:
    """A Hub with the model ``user/model``, an empty cache, and an empty current folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with hub_server() as server:
        # What the library takes from HF_ENDPOINT and HF_HUB_CACHE when it is imported.
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        server.publish("user/model", a_bundle(), "main", "v1")
        yield server


def test_a_model_is_fetched_with_the_files_that_its_configuration_names_and_no_others(hub: HubServer) -> None:
    folder = model_folder("user/model")
    expected = {name: value for name, value in a_bundle().items() if name in ("config.json", *NETS)}
    assert content(folder) == expected
    asked = {path.rpartition("/")[2] for path in hub.asked if "/resolve/" in path}
    assert asked == {"config.json", *NETS}  # the pickles and the program have not even been asked for
    before = len(hub.asked)
    assert model_folder("user/model") == folder
    assert hub.asked[before:] == ["GET /api/models/user/model/revision/main"]  # which commit the branch is now


def test_a_pretrained_model_comes_with_the_nets_that_stand_on_it(hub: HubServer) -> None:
    config = json.loads(a_config())
    for member, model in zip(config["members"], ("0123456789ab.onnx", "../0123456789ab.onnx"), strict=True):
        member["frontend"] = {"name": "embedding", "model": model, "size": 3}
    files = {**a_bundle(), "config.json": json.dumps(config).encode(), "0123456789ab.onnx": b"a model"}
    hub.publish("user/model", files, "main")
    assert set(content(model_folder("user/model"))) == {"config.json", *NETS, "0123456789ab.onnx"}  # and nothing from elsewhere


@pytest.mark.parametrize("name", ["user/model@old", "hf://user/model@old", "https://huggingface.co/user/model/tree/old"])
def test_a_revision_is_what_it_was_when_the_main_branch_has_moved_on(hub: HubServer, name: str) -> None:
    commit = hub.publish("user/model", a_bundle("first"), "old")
    hub.publish("user/model", a_bundle("second"), "main")
    assert content(model_folder(name))[NETS[0]] == a_bundle("first")[NETS[0]]
    assert content(model_folder("user/model"))[NETS[0]] == a_bundle("second")[NETS[0]]
    assert model_folder(f"user/model@{commit}").name == commit


def test_a_new_version_is_fetched_and_its_nets_are_those_of_its_configuration(hub: HubServer) -> None:
    old = model_folder("user/model")
    hub.publish("user/model", a_bundle("newer"), "main")
    new = model_folder("user/model")
    assert new != old
    assert [content(folder)[NETS[1]] for folder in (old, new)] == [a_bundle(recipe)[NETS[1]] for recipe in ("tiny", "newer")]


@pytest.mark.parametrize("how", ["told to be offline", "no network"])
def test_without_the_hub_the_version_in_the_cache_is_taken(hub: HubServer, monkeypatch: Patch, how: str) -> None:
    folder = model_folder("user/model@v1")
    hub.publish("user/other", {"config.json": a_config()}, "main")
    with pytest.raises(BundleError, match=f"model user/other has no {NETS[0]}"):
        model_folder("user/other")  # only its configuration comes into the cache
    before = len(hub.asked)
    if how == "no network":
        hub.close()
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert model_folder("user/model@v1") == folder
    cache = constants.HF_HUB_CACHE
    why = r"the Hugging Face Hub cannot be reached \(.+\), and its cache"
    with pytest.raises(BundleError, match=rf"^user/model: no such folder; {why} {cache} has no config.json of user/model$"):
        model_folder("user/model")  # the branch was never asked for
    with pytest.raises(BundleError, match=rf"^{why} {cache} has no config.json of user/none@v2$"):
        model_folder("hf://user/none@v2")
    if how == "told to be offline":  # else the library tries again for half a minute
        with pytest.raises(BundleError, match=rf"^{why} {cache} has no {NETS[0]} of user/other@\w+$"):
            model_folder("user/other")
    assert len(hub.asked) == before


NO_MODEL = "the Hugging Face Hub has no model user/{}, or keeps it from you; `hf auth login` or HF_TOKEN says who you are"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("user/none", "user/none: no such folder; " + NO_MODEL.format("none")),
        ("hf://user/none", NO_MODEL.format("none")),
        ("hf://user/private", NO_MODEL.format("private")),
        (
            "hf://user/gated",
            "the Hugging Face Hub's model user/gated is given to those who asked for it at https://huggingface.co/user/gated; "
            "`hf auth login` or HF_TOKEN says who you are",
        ),
        (
            "user/model@v9",
            "user/model@v9: no such folder; the Hugging Face Hub's model user/model has no revision v9; "
            "needed is a branch, a tag or a commit",
        ),
        (
            "hf://user/text",
            "the Hugging Face Hub's model user/text has no config.json, as an earmark bundle has; "
            "`earmark train` writes one, RUN/bundle",
        ),
        ("user/bert", "{cache}/config.json is no bundle's: it says nothing of an earmark bundle"),
        ("user/newer", "{cache} is a bundle of version 99, made by earmark 9.0; this one reads up to version "),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(hub: HubServer, name: str, said: str) -> None:
    hub.refused = {"user/private": (404, "RepoNotFound"), "user/gated": (403, "GatedRepo")}
    hub.publish("user/text", {"README.md": b"# words"}, "main")
    hub.publish("user/bert", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"large"}, "main")
    hub.publish("user/newer", {"config.json": a_config(version=99, earmark="9.0")}, "main")
    with pytest.raises(BundleError) as error:
        model_folder(name)
    repository = hub_name(name)
    assert repository is not None
    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{repository.repository.replace('/', '--')}" / "snapshots"
    cache = next(iter(snapshots.glob("*")), Path())
    assert str(error.value).startswith(said.format(cache=cache))
    assert "\n" not in str(error.value)
    assert not any("model.safetensors" in path for path in hub.asked)  # nothing large of a model that is none of earmark's


def test_a_fault_of_the_hub_is_told_in_one_line(hub: HubServer, capfd: pytest.CaptureFixture[str]) -> None:
    hub.refused = {"user/model": (500, "")}
    with pytest.raises(BundleError, match=r"^the Hugging Face Hub cannot be reached \(.*500.*\), and its cache [^\n]*$"):
        model_folder("hf://user/model")
    assert capfd.readouterr() == ("", "")


def test_a_folder_comes_before_a_model_of_the_hub(hub: HubServer) -> None:
    folder = Path("user/model")
    folder.mkdir(parents=True)
    assert model_folder("user/model") == folder
    (folder / "bundle").mkdir()
    (folder / "bundle" / "config.json").write_text("{}")
    assert model_folder("user/model") == folder / "bundle"
    assert not hub.asked
    assert model_folder("hf://user/model").is_relative_to(constants.HF_HUB_CACHE)


def test_a_mistyped_folder_is_not_looked_for_on_the_hub(hub: HubServer) -> None:
    Path("runs/quick").mkdir(parents=True)
    said = "^runs/quack: no such folder, though there is runs; hf://runs/quack would be a model of the Hugging Face Hub$"
    with pytest.raises(BundleError, match=said):
        model_folder("runs/quack")
    plain = ("./user/model", "user/model/", "user", "a/b/c", "user/a--b", "user/a..b", "user/a.git", "hf://user", "user/model@../x")
    for odd in (*plain, f"user/{'a' * 92}", Path("user/model")):
        with pytest.raises(BundleError) as error:
            model_folder(odd)
        assert str(error.value) == f"{odd}: no such folder; {NEEDED}"
    assert not hub.asked


def test_without_the_library_only_models_of_the_hub_are_refused(hub: HubServer, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # importing it fails, as where it is not installed
    needs = "a model of the Hugging Face Hub needs huggingface_hub, which is not installed; pip install 'earmark[hub]' brings it"
    for name, before in (("user/model", "user/model: no such folder; "), ("hf://user/model", "")):
        with pytest.raises(BundleError) as error:
            model_folder(name)
        assert str(error.value) == before + needs
    Path("user/model").mkdir(parents=True)
    assert model_folder("user/model") == Path("user/model")
    assert not hub.asked


def test_info_takes_models_of_the_hub_beside_recipes(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", "user/model", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["name"], shown["labels"]) == ("bundle", "tiny", ["bell", "dog"])
    assert shown["bytes"] == sum(len(value) for name, value in a_bundle().items() if name in ("config.json", *NETS))
    assert cli.run(["info", "user/none"]) == 2
    assert capsys.readouterr().err == f"error: user/none: no such folder; {NO_MODEL.format('none')}\n"
    before = len(hub.asked)
    assert cli.run(["info", "recipes/mine.yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: no recipe 'recipes/mine.yaml': ")
    assert cli.run(["info", "tiny"]) == 0
    assert len(hub.asked) == before


def test_tag_takes_models_of_the_hub(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["tag", "x.wav", "--model", "user/none"]) == 2
    assert "the Hugging Face Hub has no model user/none" in capsys.readouterr().err
    assert hub.asked


@pytest.mark.slow
def test_a_model_of_the_hub_tags_as_its_folder_does(hub: HubServer, finished_run: Path) -> None:
    hub.publish("user/trained", content(finished_run / "bundle"), "main")
    sounds = np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype(np.float32)
    fetched, kept = earmark.load("user/trained"), earmark.load(finished_run)
    assert fetched.folder.is_relative_to(constants.HF_HUB_CACHE)
    np.testing.assert_array_equal(fetched.scores(sounds, 8000), kept.scores(sounds, 8000))


@pytest.mark.slow
def test_ctrl_c_ends_fetching_at_once_and_the_next_call_fetches_all(hub: HubServer, tmp_path: Path) -> None:
    hub.stalled = {NETS[1]}
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "earmark", "info", "user/model"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert hub.half_sent.wait(20)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        out, err = process.communicate(timeout=20)
    assert time.monotonic() - begun < 5  # the server itself would keep it waiting for ever
    assert (process.returncode, out, err) == (130, "", "stopped\n")
    hub.stalled = set()
    assert content(model_folder("user/model"))[NETS[1]] == a_bundle()[NETS[1]]


def test_nothing_of_the_hub_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, earmark.tagging.tagger, earmark.assess.describe; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
