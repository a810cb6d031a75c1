import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from earmark.embedding.embedder import windows
from earmark.embedding.onnx_model import OnnxModel, further_files
from earmark.errors import EarmarkError, EmbeddingError
from tests.embedding.models import SIZE, apart, expected, write_model

SOUND = np.random.default_rng(1).normal(0, 0.3, 20000).astype(np.float32)

SHAPES: dict[str, tuple[dict[str, Any], float]] = {  # how the model is written, and how near its vector is to NumPy's
    "one dimension": ({"shape": ["samples"], "batched_output": False}, 1e-5),
    "batch": ({"shape": ["batch", "samples"]}, 1e-5),
    "batch and channel": ({"shape": ["batch", 1, "samples"]}, 1e-5),
    "frames": ({"frames": True}, 1e-5),
    "batch of one": ({"shape": [1, "samples"]}, 1e-5),
    "two outputs": ({"outputs": ["embedding", "logits"]}, 1e-5),
    "half precision": ({"kind": TensorProto.FLOAT16}, 5e-3),
    "no name to go by": ({"outputs": ["pooled"]}, 1e-5),
}


@pytest.mark.parametrize(("written", "tolerance"), SHAPES.values(), ids=SHAPES)
def test_shape_gives_the_vector_that_numpy_gives(tmp_path: Path, written: dict[str, Any], tolerance: float) -> None:
    model = OnnxModel(write_model(tmp_path / "m.onnx", **written))
    assert (model.sample_rate, model.size, model.window) == (16000, SIZE, 0)
    np.testing.assert_allclose(model.vector(SOUND), expected(SOUND), atol=tolerance)


def test_fixed_length_takes_windows_and_fills_short_sounds(tmp_path: Path) -> None:
    model = OnnxModel(write_model(tmp_path / "m.onnx", [1, 8000]))
    assert model.window == model.shortest == 8000
    in_windows = [expected(SOUND[start : start + 8000]) for start in (0, 4000, 8000, 12000)]
    np.testing.assert_allclose(model.vector(SOUND), np.mean(in_windows, axis=0), atol=1e-5)
    np.testing.assert_allclose(model.vector(SOUND[:100]), expected(np.pad(SOUND[:100], (0, 7900))), atol=1e-5)
    tiled = OnnxModel(write_model(tmp_path / "t.onnx", [1, 8000], facts={"sample_rate": "16000", "fill": "tile"}))
    np.testing.assert_allclose(tiled.vector(SOUND[:3000]), expected(np.resize(SOUND[:3000], 8000)), atol=1e-5)


def test_window_from_the_metadata_or_from_the_caller(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", facts={"sample_rate": "32000", "window_seconds": "0.5", "licence": "MIT"})
    model = OnnxModel(path)
    assert (model.sample_rate, model.window, model.licence) == (32000, 16000, "MIT")
    changed = OnnxModel(path, sample_rate=8000, window_seconds=2)
    assert (changed.sample_rate, changed.window) == (8000, 16000)
    assert changed.key != model.key == OnnxModel(path).key


def test_output_by_name(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", outputs=["first", "second"])
    with pytest.raises(EmbeddingError, match=r"several; its outputs are first .*second .*frontend\.output=NAME"):
        OnnxModel(path)
    np.testing.assert_allclose(OnnxModel(path, output="second").vector(SOUND), 10 * expected(SOUND), rtol=1e-4)
    with pytest.raises(EmbeddingError, match="no output 'third'"):
        OnnxModel(path, output="third")


def test_last_window_ends_with_the_sound() -> None:
    parts = list(windows(np.arange(10.0, dtype=np.float32), 4))
    assert [part[0] for part in parts] == [0, 2, 4, 6]
    assert parts[-1][-1] == 9
    assert [len(part) for part in windows(np.zeros(9, np.float32), 4)] == [4, 4, 4, 4]


def integer_input(path: Path) -> None:
    write_model(path, kind=TensorProto.INT32)


def rank_four(path: Path) -> None:
    write_model(path, ["batch", 1, 1, "samples"])


def batch_of_eight(path: Path) -> None:
    write_model(path, [8, "samples"])


def scalar_output(path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["embedding"], keepdims=0)],
        "scalar",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {"sample_rate": "16000"})
    onnx.save(model, str(path))


def a_vector_that_grows(path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["embedding"])],
        "grows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", "samples"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {"sample_rate": "16000"})
    onnx.save(model, str(path))


def text(path: Path) -> None:
    path.write_text("no model at all\n" * 20)


def empty(path: Path) -> None:
    path.touch()


def not_finite(path: Path) -> None:
    write_model(path, factor=float("nan"))


def weights_elsewhere(path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((1, 2000), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["m"], keepdims=1), helper.make_node("MatMul", ["m", "w"], ["embedding"])],
        "elsewhere",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 2000])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    (path.parent / "weights.bin").unlink()


def two_gigabytes_claimed(path: Path) -> None:
    stream = io.BytesIO()
    stream.write(b"\x08\x08\x3a" + b"\xff\xff\xff\xff\x07")  # field 7, the graph: 2³¹ − 1 bytes long
    path.write_bytes(stream.getvalue() + b"\0" * 100)


def two_inputs(path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "y"], ["embedding"])],
        "two",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "samples"]) for name in ("x", "y")],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", "samples"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))


def no_rate(path: Path) -> None:
    write_model(path, facts={})


def odd_rate(path: Path) -> None:
    write_model(path, facts={"sample_rate": "16 kHz"})


def folder(path: Path) -> None:
    path.mkdir()


WRONG = {
    integer_input: "its inputs are waveform tensor.int32.*needed: one input with the waveform, float32",
    rank_four: r"\[batch, 1, 1, samples\]; needed",
    batch_of_eight: r"\[8, samples\]; needed",
    two_inputs: r"its inputs are x .*; y .*; needed",
    scalar_output: "its output is embedding .*needed",
    a_vector_that_grows: "needed",
    text: "no ONNX model that can be run",
    empty: "no ONNX model that can be run",
    not_finite: "NaN or infinite",
    weights_elsewhere: "no ONNX model that can be run",
    two_gigabytes_claimed: "no ONNX model that can be run",
    no_rate: "does not say its sample rate",
    odd_rate: "sample_rate '16 kHz'; needed is a number",
    folder: "is no file",
}


@pytest.mark.parametrize(("write", "message"), WRONG.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_wrong_file_is_refused_in_a_line(tmp_path: Path, write: Any, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "m.onnx")
    with pytest.raises(EmbeddingError, match=message) as refused:
        OnnxModel(tmp_path / "m.onnx")
    assert "\n" not in str(refused.value) and str(tmp_path / "m.onnx") in str(refused.value)
    assert capfd.readouterr().err == ""


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EarmarkError, match="no such file"):
        OnnxModel(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["weights.bin", f"parts/{'long' * 40}.bin"])
def test_the_hash_is_of_all_files_that_a_model_is_in(name: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    whole = OnnxModel(model).of_window(np.full(16000, 0.5, np.float32))
    weights = apart(model, name)
    assert further_files(model) == [weights]
    opened = OnnxModel(model)
    np.testing.assert_array_equal(opened.of_window(np.full(16000, 0.5, np.float32)), whole)
    weights.write_bytes(weights.read_bytes()[::-1])
    assert OnnxModel(model).sha256 != opened.sha256
