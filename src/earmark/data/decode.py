"""Decoding the clips of a manifest in parallel: their samples at each wanted rate, as 16-bit PCM."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark import audio, files
from earmark.data.contents import content_of
from earmark.data.manifest import Clip, Manifest
from earmark.data.store import PCM
from earmark.errors import AudioError
from earmark.parallel import in_order

BASKET_CLIPS, BASKET_BYTES = 8, 1 << 20  # what a thread decodes at a time, at most: more would take more memory
AHEAD = 2  # baskets that a decoding thread may be ahead of the writer, a limit for the memory


@dataclass(frozen=True)
class Encoded:
    """A clip's samples at one rate, as they are stored.

    Attributes:
        pcm: int16 ``[samples]``.
        columns: values of the columns ``length``, ``scale``, ``peak``, ``lead`` and ``tail``, see `earmark.data.store`.
    """

    pcm: np.ndarray
    columns: dict[str, float | int]


@dataclass(frozen=True)
class Decoded:
    """A clip that could be decoded.

    Attributes:
        content: hash of the bytes of its file.
        encoded: its samples by sample rate in Hz.
    """

    content: str
    encoded: dict[int, Encoded]


@dataclass(frozen=True)
class Undecoded:
    """A clip that could not be decoded.

    Attributes:
        content: hash of the bytes of its file, or why the file cannot be read; see `earmark.data.contents`.
        reason: why the clip is bad.
    """

    content: str
    reason: str


def decode_clips(
    manifest: Manifest,
    clips: Sequence[Clip],
    sizes: Sequence[int],
    first: int,
    rates: Sequence[int],
    threads: int,
) -> Iterator[list[Decoded | Undecoded]]:
    """Decodes clips in parallel, and yields them in order, several at a time.

    Threads are enough, since libsndfile and soxr release Python's interpreter lock. A thread takes several small files at a time,
    because reading a small file takes less time than changing threads.

    Args:
        manifest: the manifest, which knows where the files are.
        clips: all clips of the manifest.
        sizes: size of each clip's file in bytes.
        first: index of the first clip to decode.
        rates: sample rates to make, in Hz.
        threads: number of decoding threads.

    Yields:
        For each clip of a basket its samples, or the reason why it is bad.

    Raises:
        MachineError: the system failed, for which no clip is to blame.
    """
    hashes: dict[Path, str] = {}

    def decode(indices: range) -> list[Decoded | Undecoded]:
        return [decode_clip(clips[i], manifest.path(clips[i]), rates, hashes) for i in indices]

    baskets = files.baskets(sizes, BASKET_CLIPS, BASKET_BYTES, first)
    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(pool, decode, baskets, ahead=threads * AHEAD)


def decode_clip(clip: Clip, path: Path, rates: Sequence[int], hashes: dict[Path, str]) -> Decoded | Undecoded:
    """Decodes one clip.

    Args:
        clip: the clip.
        path: its file.
        rates: sample rates to make, in Hz.
        hashes: content hashes of files that are cut into several clips; new ones are added.

    Returns:
        The samples and the content hash, or the reason why the clip is bad.

    Raises:
        MachineError: the system failed, for which the clip is not to blame.
    """
    content = hashes.get(path)
    try:
        with audio.judged(path):
            whole = clip.start is None and clip.end is None
            with audio.opened(path, at_once=whole) as file:
                try:
                    stored, rate = audio.read_stored(file, clip.start, clip.end)
                except AudioError:  # the clip is tried again when the content changes
                    content = content or content_of(file, bad=True)
                    raise
                content = content or content_of(file, bad=False)
                if not whole:
                    hashes[path] = content
            # 16-bit samples that need neither mixing nor resampling go into the store unchanged.
            mono = stored[0] if len(stored) == 1 else audio.to_mono(audio.full_scale(stored))
            encoded = {}
            for to_rate in rates:
                encoded[to_rate] = _encode(mono if to_rate == rate else audio.resample(audio.full_scale(mono), rate, to_rate))
            return Decoded(content, encoded)
    except AudioError as error:
        return Undecoded(content or str(error), str(error))


def _encode(samples: audio.Samples | audio.Steps) -> Encoded:
    """Samples as 16-bit PCM, with the columns that describe them."""
    steps, scale = audio.to_16_bits(samples)
    high, low = (float(extreme) / (32768 if samples.dtype == np.int16 else 1) for extreme in (samples.max(), samples.min()))
    pcm = steps.astype(PCM, copy=False)
    lead, tail = audio.silent_ends(samples)
    columns = {"length": len(pcm), "scale": scale, "peak": max(high, -low), "lead": lead, "tail": tail}
    return Encoded(pcm, columns)
