"""Small ONNX models: waveform in, the mean of |x| and of x² over fixed parts of it out, times fixed numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

SIZE = 3  # numbers of the vector
MATRIX = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], np.float32)  # [2, SIZE]


def expected(samples: np.ndarray) -> np.ndarray:
    """The vector that the models give for a sound, by NumPy."""
    return np.array([np.abs(samples).mean(), np.square(samples).mean()], np.float64) @ MATRIX


def write_model(
    path: Path,
    shape: Sequence[str | int] = ("batch", "samples"),
    *,
    frames: bool = False,
    batched_output: bool = True,
    kind: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("embedding",),
    facts: dict[str, str] | None = None,
    factor: float = 1.0,
) -> Path:
    """Writes a model.

    Args:
        path: the file.
        shape: of the input.
        frames: give the vector twice, plus and minus 1, as two frames: their mean is the vector.
        batched_output: whether the output has a batch dimension.
        kind: type of the input and of the outputs.
        outputs: names of the outputs; the first has the vector, the others the vector times 10, 100 …
        facts: the model's metadata; by default a sample rate of 16 kHz.
        factor: every number of the vector is multiplied by it.
    """
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weights = (MATRIX * factor).astype(dtype)
    constants = [numpy_helper.from_array(weights, "matrix"), numpy_helper.from_array(np.array([1, -1], np.int64), "row")]
    constants.append(numpy_helper.from_array(np.array([-1], np.int64), "last"))
    nodes = [
        helper.make_node("Reshape", ["waveform", "row"], ["flat"]),  # the batch has one sound
        helper.make_node("Abs", ["flat"], ["size"]),
        helper.make_node("Mul", ["flat", "flat"], ["square"]),
        helper.make_node("ReduceMean", ["size", "last"], ["mean_size"], keepdims=1),
        helper.make_node("ReduceMean", ["square", "last"], ["mean_square"], keepdims=1),
        helper.make_node("Concat", ["mean_size", "mean_square"], ["means"], axis=1),
        helper.make_node("MatMul", ["means", "matrix"], ["vector"]),
    ]
    out_shape: list[Any] = ["batch", SIZE]
    last = "vector"
    if frames:
        constants += [
            numpy_helper.from_array(np.array([[[1.0], [-1.0]]], dtype), "apart"),
            numpy_helper.from_array(np.array([1, 1, -1], np.int64), "cube"),
        ]
        nodes += [
            helper.make_node("Reshape", ["vector", "cube"], ["one_frame"]),
            helper.make_node("Add", ["one_frame", "apart"], ["both"]),
        ]
        last, out_shape = "both", ["batch", "frames", SIZE]
    elif not batched_output:
        constants.append(numpy_helper.from_array(np.array([-1], np.int64), "line"))
        nodes.append(helper.make_node("Reshape", ["vector", "line"], ["line_vector"]))
        last, out_shape = "line_vector", [SIZE]
    for number, name in enumerate(outputs):
        constants.append(numpy_helper.from_array(np.array(10.0**number, dtype), f"times{number}"))
        nodes.append(helper.make_node("Mul", [last, f"times{number}"], [name]))
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("waveform", kind, list(shape))],
        [helper.make_tensor_value_info(name, kind, out_shape) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {"sample_rate": "16000"} if facts is None else facts)
    onnx.save(model, str(path))
    return path


def apart(model: Path, name: str) -> Path:
    """Puts the weights of a model into a further file of this name, and returns that file."""
    proto = onnx.load(str(model))
    for tensor in proto.graph.initializer:
        if tensor.name == "matrix":
            set_external_data(tensor, name)
    (model.parent / name).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, str(model))
    return model.parent / name
