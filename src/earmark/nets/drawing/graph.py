"""An ONNX graph that is drawn node by node."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 18
IR_VERSION = 8  # the first that goes with opset 18; runtimes of 2023 read it

Value = str  # name of a tensor in the graph


class Graph:
    """An ONNX graph in the making. Its methods add a node, and return the name of the tensor that the node makes.

    A module of a net that is no layer of PyTorch's own has a method ``draw(graph, value)``, which draws what its ``forward`` does
    in evaluation mode; see `draw`.
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0

    def input(self, name: str, axes: Sequence[str | int]) -> Value:
        """An input of float32 numbers. An axis is a number, or a name where any size will do."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes)))
        return name

    def whole_number_input(self, name: str, default: int) -> Value:
        """An input of one whole number, ``[1]``, which may be left out."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, [1]))
        self._constants.append(numpy_helper.from_array(np.array([default], np.int64), name))
        return name

    def output(self, name: str, value: Value, axes: Sequence[str | int]) -> None:
        """Gives a tensor of float32 numbers out under a name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes)))

    def constant(self, values: Tensor | NDArray[Any] | float | Sequence[int]) -> Value:
        """A tensor that is part of the file: floats as float32, whole numbers as int64."""
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        kind = np.int64 if array.dtype.kind in "iu" else np.float32
        name = self._new_name("constant")
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array, kind).reshape(array.shape), name))
        return name

    def node(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """Adds a node with one output. ``inputs`` that are left out in the middle are empty names."""
        name = self._new_name(operator)
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def draw(self, module: nn.Module, value: Value) -> Value:
        """Draws a module behind a tensor.

        Raises:
            NotImplementedError: nobody knows how: it is no layer of `LAYERS`, and has no method ``draw``.
        """
        if hasattr(module, "draw"):
            return str(module.draw(self, value))  # type: ignore[operator]  # a method, if the module has it
        for kind, layer in LAYERS.items():
            if isinstance(module, kind):
                return layer(self, module, value)
        raise NotImplementedError(f"{type(module).__name__} has no method draw")

    def reshape(self, value: Value, sizes: Sequence[int]) -> Value:
        """The same numbers in another shape: 0 keeps a size, −1 is what remains."""
        return self.node("Reshape", value, self.constant(sizes))

    def size(self, value: Value, axis: int) -> Value:
        """The size of a tensor along an axis, int64 ``[1]``."""
        return self.node("Shape", value, start=axis, end=axis + 1)

    def whole(self, number: int) -> Value:
        """A whole number, int64 ``[1]``."""
        return self.constant(np.array([number], np.int64))

    def add(self, first: Value, second: Value) -> Value:
        """The sum."""
        return self.node("Add", first, second)

    def minus(self, first: Value, second: Value) -> Value:
        """The difference."""
        return self.node("Sub", first, second)

    def times(self, first: Value, second: Value) -> Value:
        """The product, number by number."""
        return self.node("Mul", first, second)

    def over(self, first: Value, second: Value) -> Value:
        """The quotient; of whole numbers without the remainder, for numbers that are not below zero."""
        return self.node("Div", first, second)

    def reduced(self, operator: str, value: Value, axes: Sequence[int], keep: bool = True) -> Value:
        """``ReduceMax``, ``ReduceMean`` or ``ReduceSum`` over axes."""
        # ReduceMean and ReduceMax of opset 18 take the axes as an input.
        return self.node(operator, value, self.constant(list(axes)), keepdims=int(keep))

    def part(self, value: Value, begin: Value, end: Value, axis: int) -> Value:
        """A slice along an axis; begin and end are int64 ``[1]``."""
        return self.node("Slice", value, begin, end, self.whole(axis))

    def padded(self, value: Value, before: Value, after: Value, axis: int, axes: int, mode: str = "constant") -> Value:
        """A tensor with so many zeros (or reflected numbers) before and after it along an axis.

        Args:
            value: the tensor.
            before: how many, int64 ``[1]``.
            after: likewise.
            axis: the axis.
            axes: number of axes of the tensor.
            mode: ``constant`` for zeros, or ``reflect``.
        """
        none = self.whole(0)
        begins = [before if number == axis else none for number in range(axes)]
        ends = [after if number == axis else none for number in range(axes)]
        return self.node("Pad", value, self.node("Concat", *begins, *ends, axis=0), mode=mode)

    def linear(self, layer: nn.Linear, value: Value) -> Value:
        """``[B, in]`` → ``[B, out]``."""
        return self.node("Gemm", value, self.constant(layer.weight), self.constant(layer.bias), transB=1)

    def file(self, facts: Mapping[str, str]) -> bytes:
        """The finished graph as the bytes of an ONNX file, with facts as its metadata.

        Raises:
            ValueError: the graph is not valid.
        """
        graph = helper.make_graph(self._nodes, "earmark", self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "earmark"
        helper.set_model_props(model, dict(facts))
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ValueError(f"no valid graph: {str(error).splitlines()[0]}") from None
        return bytes(model.SerializeToString(deterministic=True))

    def _new_name(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}_{self._count}"


def _pair(value: Any) -> list[int]:
    return list(value) if isinstance(value, tuple | list) else [value, value]


def _convolution(graph: Graph, module: nn.Module, value: Value) -> Value:
    assert isinstance(module, nn.Conv2d)
    kernel = _pair(module.kernel_size)
    if module.padding == "same":
        extra = [rate * (size - 1) for rate, size in zip(_pair(module.dilation), kernel, strict=True)]
        pads = [size // 2 for size in extra] + [size - size // 2 for size in extra]
    else:
        pads = _pair(module.padding) * 2
    inputs = [value, graph.constant(module.weight)]
    if module.bias is not None:
        inputs.append(graph.constant(module.bias))
    return graph.node(
        "Conv",
        *inputs,
        kernel_shape=kernel,
        strides=_pair(module.stride),
        pads=pads,
        dilations=_pair(module.dilation),
        group=module.groups,
    )


def _batch_norm(graph: Graph, module: nn.Module, value: Value) -> Value:
    assert isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None
    tables = (module.weight, module.bias, module.running_mean, module.running_var)
    return graph.node("BatchNormalization", value, *map(graph.constant, tables), epsilon=module.eps)


def _max_pool(graph: Graph, module: nn.Module, value: Value) -> Value:
    assert isinstance(module, nn.MaxPool2d)
    return graph.node(
        "MaxPool",
        value,
        kernel_shape=_pair(module.kernel_size),
        strides=_pair(module.stride),
        pads=_pair(module.padding) * 2,
        dilations=_pair(module.dilation),
        ceil_mode=int(module.ceil_mode),
    )


def _in_sequence(graph: Graph, module: nn.Module, value: Value) -> Value:
    for part in module.children():
        value = graph.draw(part, value)
    return value


def _linear(graph: Graph, module: nn.Module, value: Value) -> Value:
    assert isinstance(module, nn.Linear)
    return graph.linear(module, value)


#: The layers of PyTorch that can be drawn, and how.
LAYERS: dict[type[nn.Module], Callable[[Graph, nn.Module, Value], Value]] = {
    nn.Sequential: _in_sequence,
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.MaxPool2d: _max_pool,
    nn.Linear: _linear,
    nn.ReLU: lambda graph, _, value: graph.node("Relu", value),
    nn.Dropout: lambda *drawn: drawn[2],  # nothing in evaluation mode
    nn.Identity: lambda *drawn: drawn[2],
}


def probabilities(graph: Graph, activation: str, logits: Value) -> Value:
    """Logits ``[B, K]`` → scores ``[B, K]``; the activation is ``softmax`` or ``sigmoid``."""
    return graph.node("Softmax", logits, axis=1) if activation == "softmax" else graph.node("Sigmoid", logits)


def number(value: Tensor) -> float:
    """The one number in a tensor."""
    return float(torch.as_tensor(value).detach().reshape(()))
