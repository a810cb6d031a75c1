"""Frames of a signal and their spectra in an ONNX graph, as matrix products.

ONNX's own operators DFT and STFT are slow on CPUs: in ONNX Runtime 1.31 six times slower than this, in earlier versions far more. A DFT of
n = p·q samples is drawn in two steps of Cooley and Tukey's: DFTs of p samples, and then DFTs of q with the twiddle factors in their
matrices. It takes some eight times fewer multiplications than one product with the whole matrix, and less time than NumPy's FFT.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earmark.nets.drawing.graph import Graph, Value

MOST_NUMBERS = 2**24  # of a matrix: a frame length with only large factors would need more

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Where a frequency stands among the numbers that `Spectrum` makes: the places of its real and of its imaginary part.

    The imaginary part may have the other sign, which its square does not have.
    """

    real: int
    imaginary: int


class Spectrum:
    """The DFT of real frames of ``n`` samples as two matrix products.

    Args:
        n: frame length in samples.

    Attributes:
        size: how many numbers `draw` makes of a frame; some frequencies are among them twice.
        bins: where the frequencies 0 … n // 2 stand among them.

    Raises:
        NotImplementedError: the matrices of such a length would be too large.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        root = math.isqrt(n)
        self.first = max(factor for factor in range(1, root + 1) if n % factor == 0)  # p
        self.second = n // self.first  # q
        self.kept = self.first // 2 + 1  # of the first DFTs' p outputs: the others are their conjugates
        if self.kept * 4 * self.second**2 > MOST_NUMBERS:
            raise NotImplementedError(f"frames of {n} samples: their length has no factors small enough")
        self.size = self.kept * 2 * self.second
        self.bins = [self._bin(k) for k in range(n // 2 + 1)]

    def _bin(self, k: int) -> Bin:
        low, high = k % self.first, k // self.first
        if low >= self.kept:  # X[n − k] is the conjugate of X[k], and n − k is among those that are kept
            low, high = (self.n - k) % self.first, (self.n - k) // self.first
        place = low * 2 * self.second + high
        return Bin(place, place + self.second)

    def draw(self, graph: Graph, frames: Value) -> Value:
        """Frames ``[M, n]`` → numbers ``[kept, M, 2 q]``; see `bins` and `rows`."""
        p, q, kept = self.first, self.second, self.kept
        angles = 2 * np.pi * np.outer(np.arange(kept), np.arange(p)) / p
        steps = graph.constant(np.concatenate([np.cos(angles), -np.sin(angles)]))
        outer = graph.node("MatMul", steps, graph.reshape(frames, [-1, p, q]))  # [M, 2 kept, q]
        by_output = graph.node("Transpose", graph.reshape(outer, [-1, 2, kept, q]), perm=[2, 0, 1, 3])
        return graph.node("MatMul", graph.reshape(by_output, [kept, -1, 2 * q]), graph.constant(self._second_step()))

    def _second_step(self) -> Table:
        """The matrices of the second step with the twiddle factors in them, real, ``[kept, 2 q, 2 q]``."""
        q = np.arange(self.second)
        turns = np.outer(np.arange(self.kept), q)[:, :, None] / self.n + (np.outer(q, q) / self.second)[None]
        turned = np.exp(-2j * np.pi * turns)
        real, imaginary = turned.real, turned.imag
        return np.concatenate([np.concatenate([real, imaginary], 2), np.concatenate([-imaginary, real], 2)], 1)

    def rows(self, graph: Graph, numbers: Value) -> Value:
        """Numbers as `draw` makes them → one row for each frame, ``[M, size]``."""
        return graph.reshape(graph.node("Transpose", numbers, perm=[1, 0, 2]), [-1, self.size])

    def filters(self, bands: NDArray[np.floating]) -> Table:
        """Filters of frequencies ``[bands, n // 2 + 1]`` → filters of the squared numbers in `rows`, ``[size, bands]``."""
        table = np.zeros((self.size, len(bands)))
        for k, place in enumerate(self.bins):
            table[place.real] += bands[:, k]
            table[place.imaginary] += bands[:, k]
        return table

    def numbers_of(self, spectrum: NDArray[np.complexfloating]) -> Table:
        """A spectrum ``[n // 2 + 1]`` as `draw` would make it, ``[kept, 1, 2 q]``."""
        whole = np.concatenate([spectrum, spectrum[1 : (self.n + 1) // 2][::-1].conj()])
        places = np.arange(self.kept)[:, None] + self.first * np.arange(self.second)[None]
        chosen = whole[places % self.n]
        return np.concatenate([chosen.real, chosen.imag], 1)[:, None]


def frames_of(graph: Graph, signal: Value, count: Value, n: int, hop: int) -> Value:
    """A signal ``[B, samples]`` → its frames ``[B, count, n]``, each `hop` samples after the one before it.

    Neighbouring samples stay together in memory: blocks of `hop` samples are joined, which takes a fraction of the time of
    gathering sample by sample.

    Args:
        graph: the graph.
        signal: with at least as many samples as the frames need, ``(count − 1) hop + n``.
        count: number of frames, int64 ``[1]``.
        n: samples of a frame.
        hop: samples from one frame to the next.
    """
    across = -(-n // hop)  # blocks that a frame touches
    blocks = graph.add(count, graph.whole(across - 1))
    needed = graph.times(blocks, graph.whole(hop))
    missing = graph.node("Max", graph.minus(needed, graph.size(signal, 1)), graph.whole(0))
    enough = graph.part(graph.padded(signal, graph.whole(0), missing, 1, 2), graph.whole(0), needed, 1)
    in_blocks = graph.reshape(enough, [0, -1, hop])
    shifted = [graph.part(in_blocks, graph.whole(number), graph.add(count, graph.whole(number)), 1) for number in range(across)]
    joined = graph.node("Concat", *shifted, axis=2)
    return joined if across * hop == n else graph.part(joined, graph.whole(0), graph.whole(n), 2)
