"""Decoding the clips of a manifest in parallel, in order: samples at every asked rate as 16-bit PCM."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark import audio, files
from earmark.data.manifest import Clip, Manifest
from earmark.data.store import PCM
from earmark.errors import AudioError

BASKET_CLIPS, BASKET_BYTES = 8, 1 << 20  # what a thread decodes before it hands anything over: more would take memory
AHEAD = 2  # baskets that a decoding thread may be ahead of the writer: bounds the memory


@dataclass(frozen=True)
class Encoded:
    """A clip's samples at one rate, as they are stored.

    Attributes:
        pcm: int16 ``[samples]``.
        columns: ``length``, ``scale``, ``peak``, ``lead``, ``tail``: see `earmark.data.store`.
    """

    pcm: np.ndarray
    columns: dict[str, float | int]


@dataclass(frozen=True)
class Decoded:
    """A clip that could be read.

    Attributes:
        content_hash: of its file.
        at: its samples by rate, in Hz.
    """

    content_hash: str
    at: dict[int, Encoded]


def decode_clips(
    manifest: Manifest,
    clips: Sequence[Clip],
    sizes: Sequence[int | None],
    first: int,
    rates: Sequence[int],
    threads: int,
) -> Iterator[list[Decoded | AudioError]]:
    """Decodes the clips from the first on in parallel, and yields baskets of them in order.

    Threads do: libsndfile and soxr let go of the interpreter while they work. They take several small files at a time, which
    are read faster than threads can take turns.

    Args:
        manifest: says where the files are.
        clips: of the manifest.
        sizes: bytes of each clip's file; None where it is missing.
        first: the clip to begin with.
        rates: in Hz.
        threads: that decode.

    Yields:
        Of each clip its samples, or why it is bad.
    """
    hashes: dict[Path, str] = {}

    def decode(numbers: range) -> list[Decoded | AudioError]:
        return [decode_clip(clips[i], None if sizes[i] is None else manifest.path(clips[i]), rates, hashes) for i in numbers]

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[Decoded | AudioError]]] = deque()
        try:
            for numbers in files.baskets([size or 0 for size in sizes], BASKET_CLIPS, BASKET_BYTES, first):
                waiting.append(pool.submit(decode, numbers))
                if len(waiting) >= threads * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def decode_clip(clip: Clip, path: Path | None, rates: Sequence[int], hashes: dict[Path, str]) -> Decoded | AudioError:
    """Samples and content hash; ``hashes`` keeps those of files that clips are parts of, since there may be many of one."""
    if path is None:
        return AudioError("no such file")
    try:
        whole = clip.start is None and clip.end is None
        with audio.opened(path, at_once=whole) as file:
            stored, rate = audio.read_stored(file, clip.start, clip.end)
            content_hash = hashes.get(path) or audio.content_hash(file)
            if not whole:
                hashes[path] = content_hash
        # 16-bit samples that neither a mean nor a resampler touches go into the store as they are.
        mono = stored[0] if len(stored) == 1 else audio.to_mono(audio.full_scale(stored))
        encoded = {}
        for to_rate in rates:
            encoded[to_rate] = _encode(mono if to_rate == rate else audio.resample(audio.full_scale(mono), rate, to_rate))
        return Decoded(content_hash, encoded)
    except AudioError as error:
        return error


def _encode(samples: audio.Samples | audio.Steps) -> Encoded:
    """16-bit PCM and the columns that describe it.

    The scale is the power of two that lets the clip fill 16 bits without passing them: over-full audio is not clipped, quiet
    audio keeps its digits, and what was 16-bit before stays exactly as it was.
    """
    of_16_bits = samples.dtype == np.int16
    high, low = (float(each) / (32768 if of_16_bits else 1) for each in (samples.max(), samples.min()))
    reach = max(high * 32768 / 32767, -low)
    scale = 2.0 ** np.ceil(np.log2(reach)) if reach > 0 else 1.0
    if of_16_bits:
        pcm = np.left_shift(samples, round(-np.log2(scale))) if scale < 1 else samples
    else:
        steps = samples * np.float32(32768 / scale)
        pcm = np.rint(steps, out=steps).clip(-32768, 32767, out=steps)
    pcm = pcm.astype(PCM, copy=False)
    lead, tail = audio.silent_ends(samples)
    columns = {"length": len(pcm), "scale": float(scale), "peak": max(high, -low), "lead": lead, "tail": tail}
    return Encoded(pcm, columns)
