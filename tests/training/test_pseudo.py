from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.labels import LabelSet
from earmark.nets.member import new_net, save_tensors
from earmark.runs.predictions import Block, read_predictions, write_predictions
from earmark.training.pseudo import guess_labels, sharpen, soft_clips
from tests.small import small_akiyama


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(2, 8), st.sampled_from([1.0, 1.5, 2.0]))
def test_sharpened_scores_are_powers_over_their_sum(seed: int, clips: int, classes: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((clips, classes)) ** rng.choice([1, 8], (clips, 1))
    scores[rng.random((clips, classes)) < 0.2] = 0
    scores[:, 0] = rng.random(clips) + 0.01  # no row is all zero
    found = sharpen(scores.astype(np.float32), temperature)
    for row, given_row in zip(found, scores.astype(np.float32), strict=True):
        powers = [float(score) ** temperature for score in given_row]
        assert row.tolist() == pytest.approx([power / sum(powers) for power in powers], rel=1e-5, abs=1e-12)
    assert found.dtype == np.float32
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)


def test_sharpening_by_hand() -> None:
    scores = np.array([[0.6, 0.2, 0.2], [0.9, 0.9, 0.0]])
    assert np.allclose(sharpen(scores, 2), [[36 / 44, 4 / 44, 4 / 44], [0.5, 0.5, 0]])
    assert np.allclose(sharpen(scores, 1), [[0.6, 0.2, 0.2], [0.5, 0.5, 0]])
    assert np.allclose(sharpen(np.array([[0.04, 0.01]]), 1.5), [[8 / 9, 1 / 9]])  # 0.2³ and 0.1³


def test_scores_however_small_still_sum_to_1() -> None:
    tiny = np.array([[3e-38, 1e-38], [1e-30, 0.0], [0.0, 0.0]], np.float32)
    assert np.allclose(sharpen(tiny, 2), [[0.9, 0.1], [1, 0], [0.5, 0.5]])  # their squares are no float32, nor is 0/0 a label
    assert np.allclose(sharpen(np.array([[3e-200, 1e-200]]), 2), [[0.9, 0.1]])  # nor are these squares a float64


def test_labels_are_guessed_by_the_mean_of_all_nets_and_sharpened_then(store: Store, tmp_path: Path) -> None:
    settings = small_akiyama().members["A"]
    clips = load_clips(store, 8000)[:5]
    nets, weights = [], []
    for number in range(3):
        torch.manual_seed(number)
        net = new_net(settings, 10).eval()
        net.head.curated.last.weight.data.mul_(20)  # scores far apart: the order of mean and power then shows
        nets.append(net)
        weights.append(tmp_path / f"{number}.safetensors")
        save_tensors(weights[-1], net.state_dict())
    path = tmp_path / "pseudo" / "of" / "pseudo.parquet"
    guess_labels(path, clips, settings, weights, 2.0, torch.device("cpu"), title="of", fold=1)

    labels, [found] = read_predictions(path)
    assert found.clip_id.tolist() == clips.clip_id.tolist()
    assert labels == clips.labels
    for i in range(len(clips)):
        with torch.inference_mode():
            each = np.stack([net(torch.from_numpy(clips.samples(i)[None]))[0].double().numpy() for net in nets])
        squared = each.mean(axis=0) ** 2
        assert np.allclose(found.scores[i], squared / squared.sum(), atol=1e-4)
        other_way = (each**2).mean(axis=0)
        assert not np.allclose(squared / squared.sum(), other_way / other_way.sum(), atol=1e-3)


def guesses(path: Path, clips: ClipSet, seed: int = 0) -> dict[str, np.ndarray]:
    """Writes random guesses for clips in another order than theirs."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(clips))
    scores = rng.dirichlet(np.ones(len(clips.labels)), len(clips)).astype(np.float32)
    names = [str(clips.clip_id[i]) for i in order]
    write_predictions(path, clips.labels, [Block(np.array(names), scores, "of-A", 1, "", "whole")])
    return dict(zip(names, scores, strict=True))


def test_soft_clips_are_verified_ones_and_then_unverified_ones_with_their_guesses(store: Store, tmp_path: Path) -> None:
    clips = load_clips(store, 8000)
    verified, unverified = clips[clips.verified], clips[~clips.verified]
    expected = guesses(tmp_path / "p.parquet", unverified)  # more than are asked for
    asked = unverified[::2]
    soft = soft_clips(tmp_path / "p.parquet", verified, asked)

    count = len(verified)
    assert soft.clips.clip_id.tolist() == [*verified.clip_id, *asked.clip_id]
    assert soft.guessed.tolist() == [False] * count + [True] * len(asked)
    for name, guess in zip(asked.clip_id.tolist(), soft.guesses[count:], strict=True):
        assert np.array_equal(guess, expected[name])
    assert soft.clips.offset.tolist() == [*verified.offset, *asked.offset]


def test_none_of_these_is_no_label_for_a_sigmoid_and_every_label_for_a_softmax(store: Store) -> None:
    clips = load_clips(store, 8000)[:3]
    clips.positive[0, :3] = True  # several labels: 1 each
    clips.positive[1] = False
    clips.verified[:] = True
    assert np.array_equal(clips.multi_hot("sigmoid"), clips.positive)
    softmax = clips.multi_hot("softmax")
    assert np.allclose(softmax[1], 0.1)
    assert np.array_equal(softmax[[0, 2]], clips.positive[[0, 2]])


def test_guesses_of_other_classes_are_refused(store: Store, tmp_path: Path) -> None:
    clips = load_clips(store, 8000)
    guesses(tmp_path / "p.parquet", replace(clips, labels=LabelSet(tuple("abcdefghij"))))
    with pytest.raises(RunError, match=r"p\.parquet has other classes than the store"):
        soft_clips(tmp_path / "p.parquet", clips[clips.verified], clips[~clips.verified])


def test_a_clip_that_nothing_was_guessed_for_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    clips = load_clips(store, 8000)
    unverified = clips[~clips.verified]
    guesses(tmp_path / "p.parquet", unverified[1:])
    missing = str(unverified.clip_id[0])
    with pytest.raises(RunError, match=rf"p\.parquet has no labels for '{missing}'; remove it"):
        soft_clips(tmp_path / "p.parquet", clips[clips.verified], unverified)


def test_a_damaged_file_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    clips = load_clips(store, 8000)
    (tmp_path / "p.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match=r"p\.parquet is damaged"):
        soft_clips(tmp_path / "p.parquet", clips[clips.verified], clips[~clips.verified])
