"""Drawn nets against PyTorch's: every front end, backbone and head, with weights as training leaves them."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from earmark.nets.drawing.graph import Graph
from earmark.nets.drawing.net import onnx_file
from earmark.nets.frontends import FrontEnd
from earmark.nets.tagnet import FRONTENDS, TagNet, backbone_names, build_net
from earmark.recipe import Part
from earmark.scoring.torch_scorer import score_views

CLASSES, RATE = 7, 16_000
LOGMEL = {"name": "logmel", "n_mels": 32}
STANDARDISED = {"name": "standardised_logmel", "n_mels": 64, "n_fft": 640, "hop_length": 87}
DENSE = {"name": "densenet_se", "stem": 7, "growth": [4, 8, 8]}
DENSE_1D = {"name": "densenet_se", "stem": 7, "growth": [4, 8, 8], "kernel": [1, 3], "pool": [1, 4]}
RESNET = {"name": "resnet34", "width": 8}
ENVNET = {"name": "envnet_v2", "width": 10}
EIGHT = {"name": "mean_of_softmax"}
MAXIMUM = {"name": "curated_noisy", "hidden": 16}
NETS = {
    "2018 log-mel": (LOGMEL, DENSE, EIGHT),
    "2018 waveform": ({"name": "waveform"}, DENSE_1D, EIGHT),
    "2019 log-mel": (STANDARDISED, RESNET, MAXIMUM),
    "2019 waveform": ({"name": "raw_waveform"}, ENVNET, MAXIMUM),
    "linear head": (LOGMEL, RESNET, {"name": "linear", "activation": "sigmoid"}),
    "vectors": ({"name": "embedding", "size": 20}, {"name": "mlp", "hidden": [16]}, {"name": "linear"}),
    "vectors, linear": ({"name": "embedding", "size": 20}, {"name": "mlp"}, {"name": "linear"}),
}


def trained_net(name: str, seed: int) -> TagNet:
    """A net with the statistics of sounds, biases that are not zero, and scores far apart."""
    torch.manual_seed(seed)
    net = build_net(*(Part.model_validate(part) for part in NETS[name]), RATE, CLASSES)
    for label, parameter in net.named_parameters():
        if label.endswith("bias"):
            nn.init.normal_(parameter, 0, 0.05)
    for norm in net.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.momentum = norm.share = 1.0  # the statistics are those of the next batch
    net.train()
    sounds = torch.from_numpy(sounds_of(net, 2.0, 8, seed + 10))
    with torch.no_grad():
        if net.frontend.takes_vectors:
            net.frontend.fit(sounds.numpy())
            net(sounds, domain="embedding")
        else:
            net(sounds)
        net.eval()
        last = [layer for layer in net.head.modules() if isinstance(layer, nn.Linear)][-1]
        nn.init.xavier_normal_(last.weight)  # a linear head begins with zeros
        outputs = net(sounds, domain="embedding" if net.frontend.takes_vectors else "waveform", activate=False)
        last.weight *= 8 if net.head.outputs == "probabilities" else 2 / float(outputs.std())
    return net


def sounds_of(net: TagNet, seconds: float, batch: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if net.frontend.takes_vectors:
        return rng.normal(0, 1, (batch, 20)).astype(np.float32)
    count = round(seconds * RATE)
    fade = np.linspace(0, 1, count) ** 4  # quiet and loud frames
    sounds = rng.normal(0, 0.3, (batch, count)) * fade
    sounds[:, : count // 5] = 0  # and silent ones
    return sounds.astype(np.float32)


def session_of(net: TagNet) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(onnx_file(net, CLASSES, {"kind": "test"}), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NETS)
def test_scores_and_embeddings_are_torchs(name: str, seed: int) -> None:
    net = trained_net(name, seed)
    session = session_of(net)
    spread = 0.0
    for seconds, batch in ((0.01, 1), (0.3, 16), (2.0, 1)):
        sounds = sounds_of(net, seconds, batch, seed)
        scores, embedding = session.run(["scores", "embedding"], {session.get_inputs()[0].name: sounds})
        with torch.inference_mode():
            kind = "embedding" if net.frontend.takes_vectors else "waveform"
            own_scores, own_embedding = (tensor.numpy() for tensor in net.scores_and_embedding(torch.from_numpy(sounds), kind))
            assert np.array_equal(own_scores, net(torch.from_numpy(sounds), domain=kind).numpy())
        assert np.abs(scores - own_scores).max() <= 5e-5
        assert np.abs(embedding - own_embedding).max() <= 1e-3 * max(1, np.abs(own_embedding).max())
        spread = max(spread, float(np.ptp(own_scores)))
    assert spread > 0.03  # else all scores would be equal, and right by themselves


@pytest.mark.parametrize("name", [name for name, (frontend, *_) in NETS.items() if frontend["name"] != "embedding"])
def test_padding_is_that_of_the_views(name: str) -> None:
    net = trained_net(name, 3)
    sounds = sounds_of(net, 0.7, 2, 3)
    padded = session_of(net).run(["scores"], {"waveform": sounds, "padding": np.array([8], np.int64)})[0]
    with torch.inference_mode():
        expected = score_views(net, net.frontend.power(torch.from_numpy(sounds)), ["pad8"])[0].numpy()
    assert np.abs(padded - expected).max() <= 5e-5


def test_every_front_end_and_backbone_is_drawn_here() -> None:
    assert {frontend["name"] for frontend, _, _ in NETS.values()} == set(FRONTENDS)
    assert {backbone["name"] for _, backbone, _ in NETS.values()} == set(backbone_names())


def test_the_file_is_plain_onnx_without_slow_operators() -> None:
    model = onnx.load_from_string(onnx_file(trained_net("2018 log-mel", 0), CLASSES, {"labels": json.dumps(["é"])}))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert not {node.op_type for node in model.graph.node} & {"DFT", "STFT"}
    assert {entry.key: entry.value for entry in model.metadata_props} == {"labels": json.dumps(["é"])}
    assert all(tensor.data_location != onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)


def test_what_nobody_can_draw_is_named() -> None:
    class Odd(nn.Module):
        out_channels = 3

    with pytest.raises(NotImplementedError, match="Odd has no method draw"):
        Graph().draw(Odd(), "x")
    net = trained_net("2018 log-mel", 0)

    class Unknown(FrontEnd):
        pass

    net.frontend = Unknown()
    with pytest.raises(NotImplementedError, match="front end Unknown has no drawing"):
        onnx_file(net, CLASSES, {})
