"""What the cases start from: a small data set, its store, a run, a bundle; and each case's own folder."""

import shlex
from pathlib import Path

import pytest

from earmark import audio
from earmark.cli import run
from earmark.data import manifest as manifest_module
from earmark.data.sources import source_names
from earmark.data.synth import render_clips
from earmark.recipe import Recipe, built_in_recipes
from tests.bad_inputs.arrange import prepare
from tests.bad_inputs.cases import FAST, Places


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A small data set, its store, a run of one fold on it, the run's bundle. No test may change them; see `copied`."""
    root = tmp_path_factory.mktemp("made")
    clips = render_clips(root / "data", per_kind=2, verified_share=1.0, folds=2, seed=0)
    manifest_module.write_manifest(root / "data/manifest.csv", clips)
    assert prepare(root / "data/manifest.csv", root / "store") == 0
    train = f"train tiny --store {shlex.quote(str(root / 'store'))} --out {shlex.quote(str(root / 'run'))} --folds 0 {FAST}"
    assert run(shlex.split(train)) == 0
    return {
        "manifest": root / "data/manifest.csv",
        "sound": root / "data/audio/0000.wav",
        "store": root / "store",
        "run": root / "run",
        "bundle": root / "run/bundle",
        "recipes": ", ".join(built_in_recipes()),
        "sources": ", ".join(source_names()),
        "settings": ", ".join(Recipe.model_fields),
        "endings": ", ".join(sorted(audio.SUFFIXES)),
        "long": "x" * 300,  # file systems allow 255 bytes
    }


@pytest.fixture
def places(made: Places, tmp_path: Path) -> Places:
    return {**made, "here": tmp_path}
