from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from earmark.errors import BundleError
from earmark.recipe import InputSettings
from earmark.scoring.onnx_scorer import OnnxScorer, open_onnx_scorer
from earmark.scoring.torch_scorer import TorchScorer
from tests.nets.drawing.test_net import CLASSES, NETS, RATE, sounds_of, trained_net

from earmark.nets.drawing.net import onnx_file  # isort: skip
from earmark.recipe import Part  # isort: skip

INPUT = InputSettings(sample_rate=RATE, window=RATE)


def written(tmp_path: Path, name: str, **facts: str) -> Path:
    path = tmp_path / "net.onnx"
    net = trained_net(name, 0)
    path.write_bytes(onnx_file(net, CLASSES, {"hop_length": str(net.frontend.hop_length), **facts}))
    return path


@pytest.mark.parametrize("name", ["2018 log-mel", "2019 waveform"])
def test_a_group_is_scored_as_with_torch(tmp_path: Path, name: str) -> None:
    scorer = OnnxScorer(written(tmp_path, name), INPUT, CLASSES, "softmax")
    net = trained_net(name, 0)
    sounds = list(sounds_of(net, 1.3, 3, 5))
    views = ["whole", "pad8"]
    expected = TorchScorer(net, INPUT, CLASSES).score_group(sounds, views)
    scores = scorer.score_group(sounds, views)
    assert scores.shape == (2, 3, CLASSES) and scores.dtype == np.float32
    assert np.abs(scores - expected).max() < 1e-4
    assert scorer.hop_length == net.frontend.hop_length


def test_sounds_of_other_lengths_do_not_change_each_other(tmp_path: Path) -> None:
    scorer = OnnxScorer(written(tmp_path, "2018 log-mel"), INPUT, CLASSES, "softmax")
    net = trained_net("2018 log-mel", 0)
    sounds = [sounds_of(net, seconds, 1, 1)[0] for seconds in (1.0, 0.4, 1.0, 0.7)]
    together = scorer.score_group(sounds, ["whole"])[0]
    alone = [scorer.score_group([sound], ["whole"])[0, 0] for sound in sounds]
    assert np.allclose(together, alone, atol=1e-6)


def test_nets_of_vectors_run_too(tmp_path: Path) -> None:
    path = written(tmp_path, "vectors")
    frontend = Part.model_validate({"name": "embedding", "size": 20})
    scorer = open_onnx_scorer(path, frontend, INPUT, CLASSES, "softmax")
    net = trained_net("vectors", 0)
    vectors = sounds_of(net, 0, 5, 2)
    with torch.inference_mode():
        expected = net(torch.from_numpy(vectors), domain="embedding").numpy()
    assert scorer.takes_vectors
    assert np.abs(scorer.score_vectors(vectors) - expected).max() < 1e-5
    assert NETS["vectors"][0]["size"] == vectors.shape[1]


def test_a_file_that_is_no_such_net_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "2018 log-mel", hop_length="x")
    with pytest.raises(BundleError, match="hop_length 'x'"):
        OnnxScorer(path, INPUT, CLASSES, "softmax")
    path = written(tmp_path, "2018 log-mel")
    with pytest.raises(BundleError, match="scores of 7 classes, and the bundle has 9 labels"):
        OnnxScorer(path, INPUT, 9, "softmax")
    with pytest.raises(BundleError, match="not such a net as earmark exports"):
        open_onnx_scorer(path, Part.model_validate({"name": "embedding"}), INPUT, CLASSES, "softmax")
    other = onnx.load(path)
    other.graph.node[-1].output[0] = other.graph.output[-1].name = "vector"  # in the place of the embedding
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(BundleError, match=r"not such a net as earmark exports: .* its outputs \['scores', 'vector'\]"):
        OnnxScorer(tmp_path / "other.onnx", INPUT, CLASSES, "softmax")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BundleError, match=r"net\.onnx: no net that can be run"):
        OnnxScorer(path, INPUT, CLASSES, "softmax")
