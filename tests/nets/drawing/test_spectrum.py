import numpy as np
import onnxruntime
import pytest

from earmark.nets.drawing.graph import Graph
from earmark.nets.drawing.spectrum import Spectrum, frames_of


def session(graph: Graph) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph.file({}), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("n", [1, 2, 5, 7, 12, 64, 97, 100, 105, 1024, 2560])
def test_the_two_steps_are_a_dft(n: int) -> None:
    spectrum = Spectrum(n)
    graph = Graph()
    rows = spectrum.rows(graph, spectrum.draw(graph, graph.input("frames", ["count", n])))
    graph.output("rows", rows, ["count", spectrum.size])
    frames = np.random.default_rng(n).normal(0, 1, (3, n)).astype(np.float32)
    numbers = session(graph).run(None, {"frames": frames})[0]
    expected = np.fft.rfft(frames.astype(np.float64))
    sign = np.array([-1 if k % spectrum.first >= spectrum.kept else 1 for k in range(n // 2 + 1)])  # conjugates
    real, imaginary = ([getattr(place, part) for place in spectrum.bins] for part in ("real", "imaginary"))
    got = numbers[:, real] + 1j * sign * numbers[:, imaginary]
    assert got.shape == expected.shape == (3, n // 2 + 1)
    assert np.abs(got - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("n", [12, 105, 1024])
def test_a_known_spectrum_stands_where_the_drawing_puts_it(n: int) -> None:
    spectrum = Spectrum(n)
    graph = Graph()
    graph.output(
        "numbers", spectrum.draw(graph, graph.input("frames", ["count", n])), [spectrum.kept, "count", 2 * spectrum.second]
    )
    frame = np.random.default_rng(0).normal(0, 1, (1, n)).astype(np.float32)
    assert np.allclose(spectrum.numbers_of(np.fft.rfft(frame[0])), session(graph).run(None, {"frames": frame})[0], atol=1e-3)


def test_filters_weigh_the_power_of_every_frequency_once() -> None:
    n = 60
    spectrum = Spectrum(n)
    frame = np.random.default_rng(1).normal(0, 1, n)
    numbers = spectrum.numbers_of(np.fft.rfft(frame)).reshape(-1)
    filters = np.random.default_rng(2).uniform(0, 1, (3, n // 2 + 1))
    assert np.allclose(numbers**2 @ spectrum.filters(filters), filters @ np.abs(np.fft.rfft(frame)) ** 2)


@pytest.mark.parametrize(("n", "hop"), [(8, 4), (8, 3), (8, 8), (5, 7), (1024, 128)])
def test_frames_are_those_of_the_signal(n: int, hop: int) -> None:
    graph = Graph()
    signal = graph.input("signal", ["batch", "samples"])
    count = 4
    graph.output("frames", frames_of(graph, signal, graph.whole(count), n, hop), ["batch", count, n])
    samples = np.random.default_rng(0).normal(0, 1, (2, (count - 1) * hop + n + 2)).astype(np.float32)
    expected = np.lib.stride_tricks.sliding_window_view(samples, n, axis=1)[:, : count * hop : hop][:, :count]
    assert np.array_equal(session(graph).run(None, {"signal": samples})[0], expected)


def test_a_length_without_small_factors_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="frames of 65521 samples"):
        Spectrum(65521)
