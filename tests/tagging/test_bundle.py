import json
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.assess import thresholds as assess_thresholds
from earmark.assess.joined import out_of_fold
from earmark.assess.thresholds import trust_of
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.errors import BundleError
from earmark.runs.run import Run
from earmark.tagging.bundle import BundleConfig, bundle_folder, read_bundle
from earmark.tagging.tagger import Tagger
from earmark.tagging.thresholds import thresholds
from earmark.training.train import finish


def test_a_bundle_has_no_pickle_and_its_card_says_what_it_is(finished_run: Path) -> None:
    bundle = finished_run / "bundle"
    names = sorted(path.name for path in bundle.iterdir())
    nets = [f"logmel-fold{fold}.{ending}" for fold in (0, 1) for ending in ("onnx", "safetensors")]
    assert names == ["README.md", "config.json", *nets]
    config = json.loads((bundle / "config.json").read_text())
    assert config["labels"][:2] == ["bell", "chirps"]
    assert {(m["fold"], m["activation"], m["weight"], tuple(m["views"])) for m in config["members"]} == {
        (0, "softmax", 0.5, ("whole",)),
        (1, "softmax", 0.5, ("whole",)),
    }
    card = (bundle / "README.md").read_text()
    assert "10 classes" in card
    assert "2 nets" in card


def test_a_bundle_reads_back_as_it_was_written_and_a_run_around_it_will_do(finished_run: Path) -> None:
    bundle = finished_run / "bundle"
    config = read_bundle(bundle)
    assert config == BundleConfig.model_validate_json((bundle / "config.json").read_text())
    assert (config.format, config.version, config.rule, config.recipe) == ("earmark-bundle", 2, "geometric_mean", "tiny")
    assert [(member.name, member.fold, member.snapshot) for member in config.members] == [
        ("logmel", 0, "last"),
        ("logmel", 1, "last"),
    ]
    assert config.data.clips == 80
    assert bundle_folder(finished_run) == bundle_folder(bundle) == bundle
    assert bundle_folder(finished_run / "members") == finished_run / "members"  # no model, as reading it will say


def test_a_bundle_of_version_1_opens(finished_run: Path, tmp_path: Path) -> None:
    """As earmark wrote them before there were ONNX files, calibration and thresholds."""
    bundle = tmp_path / "bundle"
    shutil.copytree(finished_run / "bundle", bundle)
    data = json.loads((bundle / "config.json").read_text())
    for name in ("calibration", "thresholds"):
        del data[name]
    del data["data"]["verified"]
    for member in data["members"]:
        del member["onnx"], member["proof"]
    (bundle / "config.json").write_text(json.dumps({**data, "version": 1}))
    for path in bundle.glob("*.onnx"):
        path.unlink()
    config = read_bundle(bundle)
    assert (config.version, config.calibration, config.thresholds) == (1, None, None)
    assert Tagger.load(bundle).config == config


@pytest.mark.slow
def test_a_run_with_verified_clips_enough_has_calibration_and_thresholds(
    finished_run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assess_thresholds, "FEWEST", 20)
    shutil.copytree(finished_run, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    finish(run, store)
    config = read_bundle(run.bundle)
    joined = out_of_fold(run, load_table(store)).main
    trust = trust_of(joined, exclusive=True)
    assert trust.thresholds is not None and trust.kept
    assert (config.calibration, config.thresholds) == (trust.calibration, trust.thresholds)
    assert config.thresholds is not None and config.thresholds.clips == int(joined.clips.verified.sum())
    assert np.asarray(thresholds(config, "auto")).shape == (10,)
    assert "How sure the scores are" in (run.path / "report.html").read_text()
    assert "How sure the scores are" not in (finished_run / "report.html").read_text()
    assert "| `precision:0.9` |" in (run.bundle / "README.md").read_text()


@pytest.mark.parametrize("file", ["../w.safetensors", "/w.safetensors", "w.pt", ".w.safetensors", "a/w.safetensors"])
def test_weights_lie_in_the_bundles_own_folder(file: str, finished_run: Path, tmp_path: Path) -> None:
    data = json.loads((finished_run / "bundle/config.json").read_text())
    data["members"][1]["file"] = file
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match=r"config\.json: members\.1\.file: String should match pattern"):
        read_bundle(tmp_path)


def test_all_missing_weights_are_named(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((finished_run / "bundle/config.json").read_bytes())
    with pytest.raises(
        BundleError, match=r": logmel-fold0\.safetensors, logmel-fold0\.onnx, logmel-fold1\.safetensors … is missing$"
    ):
        read_bundle(tmp_path)


HOSTILE = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        10**9,
        10**30,
        1e308,
        -1e-308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\x00",
        "../x",
        [],
        [[]],
        {},
        {"name": "x"},
    ]
)


@given(st.data())
@settings(max_examples=150)
def test_a_config_with_any_value_changed_is_a_bundle_or_none(finished_run: Path, data: st.DataObject) -> None:
    """And its nets are opened or not; nothing else happens, soon, and without much memory."""
    original = finished_run / "bundle"
    content = json.loads((original / "config.json").read_text())
    place: Any = content
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not place[key] or not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(HOSTILE)
    with TemporaryDirectory() as folder:
        for weights in original.glob("*.safetensors"):
            (Path(folder) / weights.name).symlink_to(weights)
        (Path(folder) / "config.json").write_text(json.dumps(content))
        before = time.process_time()
        try:
            Tagger.load(folder)
        except BundleError:
            pass
        assert time.process_time() - before < 5
