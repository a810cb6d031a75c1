"""Front ends in an ONNX graph: waveform ``[B, T]`` → power → image ``[B, C, F, N]``. See `earmark.nets.frontends` for what they do.

The power of the log-mel front ends is drawn as ``[B, N, F]``, frames as rows, as matrix products make it; that of the others as ``[B, 1, N]``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earmark.nets.drawing.graph import Graph, Value, number
from earmark.nets.drawing.spectrum import Spectrum, frames_of
from earmark.nets.frontends import FrontEnd, LogMel, RawWaveform, StandardisedLogMel, Waveform
from earmark.nets.mel import MelPower
from earmark.nets.vectors import Embedding

TO_DECIBELS = 10 / math.log(10)


@dataclass(frozen=True)
class Drawing:
    """How a front end is drawn.

    Attributes:
        power: waveform → power.
        image: power → image.
        axis: the axis of the power that is time; views add zeros to it.
    """

    power: Callable[[Graph, Any, Value], Value]
    image: Callable[[Graph, Any, Value], Value]
    axis: int


def drawing_of(frontend: FrontEnd) -> Drawing:
    """How a front end is drawn.

    Raises:
        NotImplementedError: nobody knows how.
    """
    for kind, drawing in DRAWINGS.items():
        if isinstance(frontend, kind):
            return drawing
    raise NotImplementedError(f"front end {type(frontend).__name__} has no drawing")


def _mel(graph: Graph, spectrum: Spectrum, mel: MelPower, numbers: Value, count: Value) -> Value:
    """Numbers of a spectrum ``[kept, B · N, 2 q]`` → power in mel bands ``[B, N, F]``."""
    rows = spectrum.rows(graph, graph.times(numbers, numbers))
    filters = mel.filters.double().cpu().numpy()
    bands = graph.node("MatMul", rows, graph.constant(spectrum.filters(filters)))
    return graph.node("Reshape", bands, graph.node("Concat", graph.whole(-1), count, graph.whole(len(filters)), axis=0))


def _frames(graph: Graph, signal: Value, count: Value, mel: MelPower, hop: int) -> Value:
    """Frames of a signal times the window, ``[B, N, n_fft]``."""
    return graph.times(frames_of(graph, signal, count, len(mel.window), hop), graph.constant(mel.window))


def _log_mel_power(graph: Graph, frontend: LogMel, waveform: Value) -> Value:
    """The waveform's normalisation acts before the spectrum: G·x + b within the signal, zeros around it.

    As in `LogMel.power` the spectrum of the constant b is added to that of G·x, in frames within the signal only in the two bins that are not
    zero: computed together with the sound's, its rounding errors would be louder than what the image still shows.
    """
    n, hop, mel = frontend.n_fft, frontend.hop_length, frontend.mel_power
    norm = frontend.waveform_norm
    assert norm.running_mean is not None and norm.running_var is not None
    gain = number(frontend.waveform_gain * torch.rsqrt(norm.running_var + norm.eps))
    bias = number(frontend.waveform_bias)
    samples = graph.size(waveform, 1)
    count = graph.over(graph.add(samples, graph.whole(hop - 1)), graph.whole(hop))
    length = graph.add(graph.times(graph.minus(count, graph.whole(1)), graph.whole(hop)), graph.whole(n))
    padding = graph.node("Max", graph.minus(length, samples), graph.whole(0))
    before = graph.over(padding, graph.whole(2))
    centred = graph.times(graph.minus(waveform, graph.constant(number(norm.running_mean))), graph.constant(gain))
    signal = graph.padded(centred, before, graph.minus(padding, before), 1, 2)
    spectrum = Spectrum(n)
    numbers = spectrum.draw(graph, graph.reshape(_frames(graph, signal, count, mel, hop), [-1, n]))
    if bias:
        ones = _spectra_of_ones(graph, spectrum, mel, samples, before, count, hop, bias)
        by_clip = graph.node(
            "Reshape",
            numbers,
            graph.node("Concat", graph.whole(spectrum.kept), graph.whole(-1), count, graph.whole(2 * spectrum.second), axis=0),
        )
        shifted = graph.add(by_clip, graph.node("Unsqueeze", ones, graph.whole(1)))
        numbers = graph.reshape(shifted, [spectrum.kept, -1, 2 * spectrum.second])
    return _mel(graph, spectrum, mel, numbers, count)


def _spectra_of_ones(
    graph: Graph, spectrum: Spectrum, mel: MelPower, samples: Value, before: Value, count: Value, hop: int, bias: float
) -> Value:
    """The spectra of the frames of a signal of ones with zeros around it, times the bias: ``[kept, N, 2 q]``.

    Only the few frames at either end that touch the zeros are transformed. All others have the spectrum of the window.
    """
    n = spectrum.n
    ends = -(-n // hop) + 1  # frames that touch the zeros, at most, at either end
    first, last = np.arange(ends), np.arange(-ends, 0)
    outer = graph.node("Concat", graph.constant(first), graph.add(graph.constant(last), count), axis=0)
    begins = graph.reshape(graph.times(outer, graph.whole(hop)), [-1, 1])
    places = graph.add(begins, graph.constant(np.arange(n)[None]))
    inside = graph.node("And", graph.node("GreaterOrEqual", places, before), graph.node("Less", places, graph.add(before, samples)))
    ones = graph.node("Cast", inside, to=1)  # float32
    outer_spectra = spectrum.draw(graph, graph.times(ones, graph.constant(mel.window * bias)))
    of_window = np.fft.rfft(mel.window.double().cpu().numpy())
    of_window[2:] = 0  # as they are but for rounding
    of_window = of_window.real.astype(np.complex128)
    inner = graph.constant(spectrum.numbers_of(of_window * bias))
    table = graph.node("Concat", outer_spectra, inner, axis=1)
    frame = graph.node("Range", *(graph.node("Squeeze", end) for end in (graph.whole(0), count, graph.whole(1))))
    begin = graph.times(frame, graph.whole(hop))
    within = graph.node(
        "And",
        graph.node("GreaterOrEqual", begin, before),
        graph.node("LessOrEqual", graph.add(begin, graph.whole(n)), graph.add(before, samples)),
    )
    at_the_end = graph.add(graph.minus(frame, count), graph.whole(2 * ends))
    at_an_end = graph.node("Where", graph.node("Less", frame, graph.whole(ends)), frame, at_the_end)
    return graph.node("Gather", table, graph.node("Where", within, graph.whole(2 * ends), at_an_end), axis=1)


def _log_mel_image(graph: Graph, frontend: LogMel, power: Value) -> Value:
    level = graph.node("Log", graph.node("Max", power, graph.constant(frontend.floor)))
    relative = graph.minus(level, graph.reduced("ReduceMax", level, (1, 2)))
    decibels = graph.times(relative, graph.constant(TO_DECIBELS / 2))  # of the square root of the power
    clipped = graph.node("Max", decibels, graph.constant(-frontend.dynamic_range))
    norm = frontend.band_norm
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.double() - norm.running_mean.double() * scale
    return _as_image(graph, graph.add(graph.times(clipped, graph.constant(scale)), graph.constant(shift)))


def _as_image(graph: Graph, rows: Value) -> Value:
    """``[B, N, F]`` → ``[B, 1, F, N]``."""
    return graph.node("Unsqueeze", graph.node("Transpose", rows, perm=[0, 2, 1]), graph.whole(1))


def _standardised_power(graph: Graph, frontend: StandardisedLogMel, waveform: Value) -> Value:
    n, hop, context = frontend.n_fft, frontend.hop_length, graph.whole(frontend.context)
    missing = graph.node("Max", graph.minus(graph.whole(frontend.shortest), graph.size(waveform, 1)), graph.whole(0))
    left = graph.over(missing, graph.whole(2))
    centred = graph.padded(waveform, left, graph.minus(missing, left), 1, 2)
    reflected = graph.padded(centred, context, context, 1, 2, mode="reflect")
    count = graph.add(graph.over(graph.minus(graph.size(reflected, 1), graph.whole(n)), graph.whole(hop)), graph.whole(1))
    spectrum = Spectrum(n)
    frames = graph.reshape(_frames(graph, reflected, count, frontend.mel_power, hop), [-1, n])
    return _mel(graph, spectrum, frontend.mel_power, spectrum.draw(graph, frames), count)


def _standardised_image(graph: Graph, frontend: StandardisedLogMel, power: Value) -> Value:
    level = graph.node("Log", graph.node("Max", power, graph.constant(frontend.floor)))
    decibels = graph.times(level, graph.constant(TO_DECIBELS))
    relative = graph.minus(decibels, graph.reduced("ReduceMax", decibels, (1, 2)))
    # Counted from the lower end, silence is 0, and sums of a sound that is mostly silent stay exact.
    above = graph.node("Max", graph.add(relative, graph.constant(frontend.dynamic_range)), graph.constant(0.0))
    centred = graph.minus(above, _mean(graph, above))
    variance = _mean(graph, graph.times(centred, centred))
    deviation = graph.add(graph.node("Sqrt", variance), graph.constant(frontend.epsilon))
    return _as_image(graph, graph.over(centred, deviation))


def _mean(graph: Graph, rows: Value) -> Value:
    """The mean over frames and bands, ``[B, 1, 1]``, in two steps: ONNX Runtime adds number after number, which is exact for few only."""
    return graph.reduced("ReduceMean", graph.reduced("ReduceMean", rows, (2,)), (1,))


def _raw_power(graph: Graph, frontend: RawWaveform, waveform: Value) -> Value:  # noqa: ARG001
    return graph.node("Unsqueeze", waveform, graph.whole(1))


def _normalised_power(graph: Graph, frontend: Waveform, waveform: Value) -> Value:
    norm = frontend.waveform_norm
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    shift: Tensor = norm.bias.double() - norm.running_mean.double() * scale
    scaled = graph.add(graph.times(waveform, graph.constant(scale)), graph.constant(shift))
    return graph.node("Unsqueeze", scaled, graph.whole(1))


def _waveform_image(graph: Graph, frontend: FrontEnd, power: Value) -> Value:  # noqa: ARG001
    return graph.node("Unsqueeze", power, graph.whole(2))


def _vectors(graph: Graph, frontend: Embedding, vectors: Value) -> Value:
    centred = graph.minus(vectors, graph.constant(frontend.mean))
    standardised = graph.over(centred, graph.constant(frontend.deviation + frontend.epsilon))
    return graph.node("Unsqueeze", standardised, graph.constant([2, 3]))


def _unchanged(graph: Graph, frontend: FrontEnd, vectors: Value) -> Value:  # noqa: ARG001
    return vectors


#: How each front end is drawn.
DRAWINGS: dict[type[FrontEnd], Drawing] = {
    LogMel: Drawing(_log_mel_power, _log_mel_image, 1),
    StandardisedLogMel: Drawing(_standardised_power, _standardised_image, 1),
    Waveform: Drawing(_normalised_power, _waveform_image, 2),
    RawWaveform: Drawing(_raw_power, _waveform_image, 2),
    Embedding: Drawing(_unchanged, _vectors, 1),
}
