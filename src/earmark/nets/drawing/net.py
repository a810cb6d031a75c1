"""A whole net as an ONNX file: waveform (or vectors) in, scores and embedding out."""

from collections.abc import Mapping

from earmark.nets.drawing.frontends import drawing_of
from earmark.nets.drawing.graph import Graph, probabilities
from earmark.nets.tagnet import TagNet
from earmark.runtime import EMBEDDING, PADDING, SCORES, VECTORS, WAVEFORM


def onnx_file(net: TagNet, classes: int, facts: Mapping[str, str]) -> bytes:
    """A net as the bytes of an ONNX file.

    Its inputs are ``waveform``, float32 ``[batch, samples]``, −1..1, at the net's sample rate and as `audio.model_input` makes it, and
    ``padding``, int64 ``[1]``, which may be left out: how many frames of zeros a view has on each side. A net with the front end
    ``embedding`` has one input, ``vectors``, float32 ``[batch, D]``. The outputs are ``scores``, float32 ``[batch, K]``, and ``embedding``,
    float32 ``[batch, C]``: what the last layers see of the whole sound.

    Args:
        net: the net; only the task that tags is written.
        classes: K.
        facts: metadata of the file.

    Raises:
        NotImplementedError: a part of the net cannot be drawn.
        ValueError: the graph is not valid.
    """
    graph = Graph()
    frontend = net.frontend
    drawing = drawing_of(frontend)
    if frontend.takes_vectors:
        power = graph.input(VECTORS, ["batch", frontend.out_channels])
    else:
        power = drawing.power(graph, frontend, graph.input(WAVEFORM, ["batch", "samples"]))
        padding = graph.whole_number_input(PADDING, 0)
        power = graph.padded(power, padding, padding, drawing.axis, 3)
    features = graph.draw(net.backbone, drawing.image(graph, frontend, power))
    pooled = net.head.draw_pooled(graph, features)
    outputs = net.head.draw(graph, pooled)
    scores = outputs if net.head.outputs == "probabilities" else probabilities(graph, net.activation, outputs)
    graph.output(SCORES, scores, ["batch", classes])
    graph.output(EMBEDDING, pooled, ["batch", net.head.channels])
    return graph.file(facts)
