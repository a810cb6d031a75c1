"""A clip that makes a training diverge is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.recipe import load_recipe
from earmark.training.loop import train_piece
from earmark.training.piece import Piece
from earmark.training.trainer import make_fabric
from tests.conftest import SMALL

SHUFFLED = (
    *SMALL[:1],
    *SMALL[2:],
    "members.*.input.peak_normalised=false",
    "members.*.batch={sampling: shuffled, size: 10}",
    "members.*.frontend={name: standardised_logmel, n_fft: 1024, hop_length: 256, n_mels: 64}",
)


@pytest.fixture
def clips(store: Store) -> ClipSet:
    stored = load_clips(store, 16000)
    return stored[~stored.test & (stored.fold == 1)]


def louder(clips: ClipSet, number: int, times: float) -> ClipSet:
    by = np.where(np.arange(len(clips)) == number, times, 1.0)
    return replace(clips, scale=clips.scale * by, peak=clips.peak * by)


def refusal(training: ClipSet, validation: ClipSet, path: Path) -> str:
    piece = Piece(
        "B fold 3", path, load_recipe("tiny", SHUFFLED).members["logmel"], training, validation, np.random.SeedSequence(3)
    )
    with pytest.raises(RunError) as caught:
        train_piece(piece, make_fabric("cpu", "float32"))
    return str(caught.value)


def test_a_clip_that_no_net_has_scores_of_is_named_with_the_batch(clips: ClipSet, tmp_path: Path) -> None:
    said = refusal(louder(clips, 7, 1e30), clips[:0], tmp_path)
    assert said.startswith("B fold 3: the training diverged by batch ")
    assert (
        f" of 12 because of clip '{clips.clip_id[7]}' (its largest sample is {clips.peak[7] * 1e30:g}, where 1 is full scale); take"
        in said
    )
    assert not list(tmp_path.glob("*.safetensors"))  # nothing that is not finite is kept


def test_a_clip_that_only_a_validation_hears_is_named(clips: ClipSet, tmp_path: Path) -> None:
    said = refusal(clips, louder(clips, 7, 1e30)[5:10], tmp_path)
    assert said.startswith(
        f"B fold 3, batch 6: its scores of clip '{clips.clip_id[7]}' (its largest sample is {clips.peak[7] * 1e30:g}, where"
    )
