"""What many tests share: where the real data is, a small rendered data set, a small trained run."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings as hypothesis_settings
from numpy.typing import NDArray

from earmark import audio
from earmark.data.clips import ClipSet
from earmark.data.manifest import read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.synth import RATE, render_clips
from earmark.nets.tagnet import TagNet
from earmark.recipe import MemberSettings, Recipe, load_recipe
from earmark.scoring.clips import score_clips
from earmark.scoring.torch_scorer import TorchScorer

hypothesis_settings.register_profile("earmark", deadline=None, derandomize=True)  # the first call of a library may take a second
hypothesis_settings.load_profile("earmark")
# A shell starts what runs in the background deaf to Ctrl-C, and the commands that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parent.parent
SMALL = (
    "precision=float32",
    "members.*.batch.clips_per_class=1",
    "members.*.backbone.growth=[4, 8, 8]",
    "members.*.schedule=[{batches: 12, rate: 3.0e-3, final_rate: 1.0e-5}]",
    "members.*.validation.every=6",
)


def read_mono(path: Path, sample_rate: int) -> audio.Samples:
    """A file as a net of that rate hears it."""
    samples, rate = audio.read(path)
    return audio.resample(audio.to_mono(samples), rate, sample_rate)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Nets this small are faster on one thread, and results do not depend on the machine's cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: $EARMARK_DATA, else ../shared/data; skips where neither is there."""
    named = os.environ.get("EARMARK_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "esc50" / "esc50.csv").is_file() or not (folder / "fsdkaggle2018" / "train.csv").is_file():
        pytest.skip(f"no real data: {folder} has not esc50 and fsdkaggle2018 (set EARMARK_DATA to a folder that has)")
    return folder


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 80 rendered clips of ten kinds, half of them verified, in two folds; five more are the test split."""
    from dataclasses import replace

    folder = tmp_path_factory.mktemp("rendered")
    clips = render_clips(folder, per_kind=8, verified_share=0.5, folds=2, seed=3)
    # Places 1 and 2 of a kind would else always fall into the same folds as its verified flags: see `render_clips`.
    test = {clips[i].file_name for i in range(0, 80, 16)}
    clips = [replace(clip, split="test", fold=None) if clip.file_name in test else clip for clip in clips]
    write_manifest(folder / "manifest.csv", clips)
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def store(rendered: Path) -> Store:
    """The rendered clips as a store at 8 and 16 kHz."""
    return prepare(read_manifest(rendered), str(rendered), rendered.parent / "store", [8000, RATE]).store


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """`tiny`, smaller still: seconds a run."""
    return load_recipe("tiny", SMALL)


@pytest.fixture(scope="session")
def finished_run(store: Store, small_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two folds. Not to be written to: copy it first."""
    from earmark.training.train import TrainRequest, train

    out = tmp_path_factory.mktemp("run") / "run"
    train(TrainRequest(small_recipe, store, out, device="cpu"))
    return out


def scores_of(net: TagNet, clips: ClipSet, settings: MemberSettings, views: Sequence[str] = ("whole",)) -> NDArray[np.float32]:
    """A net's scores of whole clips, ``[V, N, K]``, in the groups that its settings say."""
    return score_clips(TorchScorer(net, settings.input, len(clips.labels)), clips, views, settings.scoring)
