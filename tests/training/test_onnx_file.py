import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from earmark.data.store import Store
from earmark.errors import BundleError, EarmarkError
from earmark.nets.heads import MeanOfSoftmax
from earmark.nets.tagnet import TagNet
from earmark.recipe import InputSettings, Part
from earmark.runs.run import Run
from earmark.training import onnx_file
from earmark.training.onnx_file import LONGEST, sounds_of_files, sounds_of_run, write_onnx
from tests.nets.drawing.test_net import CLASSES, NETS, RATE, trained_net

INPUT = InputSettings(sample_rate=RATE, window=RATE)
LABELS = [f"class {number}" for number in range(CLASSES)]


def written(path: Path, net: TagNet, run: Path, store: Store) -> Any:
    frontend = Part.model_validate(NETS["2018 log-mel"][0])
    return write_onnx(path, net, frontend, INPUT, LABELS, sounds_of_run(Run.open(run), store), {"licence": "CC0"})


def test_what_is_written_has_proved_itself(finished_run: Path, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    proof = written(path, trained_net("2018 log-mel", 0), finished_run, store)
    assert proof.sounds == 8 and proof.source == "clips of the store (" + store.source + ")"
    assert 0 < proof.difference < 1e-4
    assert proof.bytes == path.stat().st_size
    assert proof.seconds == pytest.approx(max(len(sound) for sound in sounds_of_run(Run.open(finished_run), store).at(RATE)) / RATE)
    assert min(proof.onnx_ms, proof.torch_ms) > 0
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(facts["labels"]) == LABELS
    assert (facts["licence"], facts["sample_rate"], facts["activation"], facts["hop_length"]) == ("CC0", "16000", "softmax", "128")
    assert InputSettings.model_validate_json(facts["input"]) == INPUT


def test_what_gives_other_scores_is_not_written(
    finished_run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw_wrongly(self: MeanOfSoftmax, graph: Any, pooled: str) -> str:
        logits = graph.reshape(graph.linear(self.linear, graph.times(pooled, graph.constant(1.5))), [0, self.heads, -1])
        return str(graph.reduced("ReduceMean", graph.node("Softmax", logits, axis=2), (1,), keep=False))

    monkeypatch.setattr(MeanOfSoftmax, "draw", draw_wrongly)
    with pytest.raises(
        BundleError, match=r"net\.onnx: ONNX Runtime's scores differ from PyTorch's by up to 0\.0.*; it is not written"
    ):
        written(tmp_path / "net.onnx", trained_net("2018 log-mel", 0), finished_run, store)
    assert not list(tmp_path.iterdir())


def test_scores_that_are_no_numbers_prove_nothing(finished_run: Path, store: Store, tmp_path: Path) -> None:
    net = trained_net("2018 log-mel", 0)
    net.head.state_dict()["linear.bias"].fill_(float("nan"))  # the embedding is in order, and the scores are as wrong in PyTorch
    with pytest.raises(BundleError, match=r"net\.onnx: its scores are not finite; it is not written"):
        written(tmp_path / "net.onnx", net, finished_run, store)
    with pytest.raises(BundleError, match=r"no sound to prove it on"):
        onnx_file.prove(tmp_path / "net.onnx", net, [], "none", RATE)
    assert not list(tmp_path.iterdir())


def test_a_net_that_nobody_can_draw_is_named(
    finished_run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("earmark.nets.backbones.densenet_se.DenseModule.draw")
    with pytest.raises(BundleError, match="cannot be written as ONNX: DenseModule has no method draw"):
        written(tmp_path / "net.onnx", trained_net("2018 log-mel", 0), finished_run, store)


def test_sounds_of_a_store_reach_from_the_shortest_to_the_longest(finished_run: Path, store: Store) -> None:
    lengths = [len(sound) for sound in sounds_of_run(Run.open(finished_run), store).at(8000)]
    assert lengths == sorted(lengths) and len(lengths) == 8
    assert max(lengths) <= LONGEST * 8000


def test_files_that_cannot_be_read_prove_nothing(rendered: Path, tmp_path: Path) -> None:
    good = sorted((rendered.parent / "audio").glob("*.wav"))[0]
    (tmp_path / "bad.wav").write_text("no sound")
    sounds = sounds_of_files([tmp_path / "bad.wav", good]).at(8000)
    assert len(sounds) == 1 and np.abs(sounds[0]).max() > 0
    with pytest.raises(EarmarkError, match="none of the sounds"):
        sounds_of_files([tmp_path / "bad.wav"])


def test_the_fastest_run_counts() -> None:
    assert 0 <= onnx_file.fastest(lambda: None) < 100
