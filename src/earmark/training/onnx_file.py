"""A trained net → an ONNX file that has proved itself: its scores of real sounds are those of PyTorch."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

import earmark
from earmark import audio, files
from earmark.data.store import Store
from earmark.embedding.opened import open_embedder
from earmark.errors import BundleError, EarmarkError
from earmark.machine import arithmetic_threads
from earmark.nets.drawing.net import onnx_file
from earmark.nets.tagnet import TagNet
from earmark.recipe import InputSettings, Part
from earmark.runs.data import load_run_clips
from earmark.runs.run import Run
from earmark.runtime import EMBEDDING, SCORES, VECTORS, WAVEFORM, open_session
from earmark.scoring.scorer import net_input
from earmark.scoring.torch_scorer import evaluating
from earmark.tagging.bundle import Proof

MOST_DIFFERENCE = 1e-4  # between the scores of a sound
MOST_RELATIVE = 1e-3  # between the numbers of an embedding, of the largest of them
SOUNDS = 8  # to prove a net on
LONGEST = 30.0  # seconds of them that are taken
TIMED = 3  # runs of each; the fastest counts


@dataclass(frozen=True)
class Sounds:
    """Sounds to prove nets on.

    Attributes:
        source: where they are from, in words.
        at: makes the mono sounds at a sample rate (Hz), each float32 ``[samples]``.
    """

    source: str
    at: Callable[[int], list[audio.Samples]]


def sounds_of_run(run: Run, store: Store) -> Sounds:
    """Some of the clips that a run learns from, from the shortest to the longest."""

    def at(rate: int) -> list[audio.Samples]:
        clips = load_run_clips(run, store, rate)
        by_length = np.argsort(clips.length, kind="stable")
        chosen = by_length[np.unique(np.linspace(0, len(by_length) - 1, min(SOUNDS, len(by_length))).round().astype(int))]
        return [clips.samples(int(index))[: round(LONGEST * rate)] for index in chosen]

    return Sounds(f"clips of the store ({store.source})", at)


def sounds_of_files(paths: Sequence[Path]) -> Sounds:
    """The first sounds among some files that can be read; they are read now.

    Raises:
        EarmarkError: none of them can be read.
    """
    loaded: list[tuple[audio.Samples, int]] = []
    for path in paths:
        try:
            samples, rate = audio.read(path)
        except EarmarkError:
            continue
        loaded.append((audio.to_mono(samples)[: round(LONGEST * rate)], rate))
        if len(loaded) == SOUNDS:
            break
    if not loaded:
        raise EarmarkError("none of the sounds to prove the nets on can be read")
    return Sounds("given sounds", lambda rate: [audio.resample(samples, own, rate) for samples, own in loaded])


def write_onnx(
    path: Path,
    net: TagNet,
    frontend: Part,
    settings: InputSettings,
    labels: Sequence[str],
    sounds: Sounds,
    facts: dict[str, str],
    folder: Path | None = None,
) -> Proof:
    """Writes a net as an ONNX file, once it has proved itself.

    Args:
        path: the file to write.
        net: the net, on the CPU.
        frontend: settings of its front end.
        settings: how a clip becomes its input.
        labels: the classes.
        sounds: sounds to prove it on.
        facts: metadata of the file, besides those of the net.
        folder: folder that the file of a pre-trained model is relative to; the current folder by default.

    Raises:
        BundleError: its scores are not those of PyTorch, or not finite, or the net cannot be written; nothing is written then.
    """
    about = {
        "earmark": earmark.__version__,
        "labels": json.dumps(list(labels), ensure_ascii=False),
        "activation": net.activation,
        "sample_rate": str(settings.sample_rate),
        "hop_length": str(net.frontend.hop_length),
        "input": settings.model_dump_json(),
        "frontend": frontend.model_dump_json(),
        **facts,
    }
    try:
        content = onnx_file(net, len(labels), about)
    except (NotImplementedError, ValueError) as error:
        raise BundleError(f"{path.name}: this net cannot be written as ONNX: {error}") from None
    with files.replacing(path) as half:
        half.write_bytes(content)
        try:
            inputs = net_inputs(net, frontend, settings, sounds, folder)
            proof = prove(half, net, inputs, sounds.source, settings.sample_rate)
            if not proof.difference <= MOST_DIFFERENCE:
                raise BundleError(
                    f"ONNX Runtime's scores differ from PyTorch's by up to {proof.difference:.2g}, more than {MOST_DIFFERENCE:g}"
                )
        except BundleError as error:
            raise BundleError(f"{path.name}: {error}; it is not written") from None
    return proof


def net_inputs(
    net: TagNet, frontend: Part, settings: InputSettings, sounds: Sounds, folder: Path | None = None
) -> list[NDArray[np.float32]]:
    """What a net takes of some sounds: of each a batch of one, ``[1, samples]``, or vectors ``[1, D]``."""
    at_rate = sounds.at(settings.sample_rate)
    if not net.frontend.takes_vectors:
        return [net_input(samples, settings)[None] for samples in at_rate]
    embedder = open_embedder(frontend.arguments, settings.sample_rate, folder)
    vectors = [embedder.vector_or_nan(samples)[None] for samples in at_rate]
    return [vector for vector in vectors if np.isfinite(vector).all()]


def prove(path: Path, net: TagNet, inputs: Sequence[NDArray[np.float32]], source: str, sample_rate: int) -> Proof:
    """Compares an ONNX file with the net that it was made of, and times both with one thread.

    Args:
        path: the file.
        net: the net, on the CPU.
        inputs: what the net takes, each ``[1, samples]`` or ``[1, D]``. The longest is scored once more, in a batch with its mirror image.
        source: where the sounds are from, in words.
        sample_rate: in Hz.

    Raises:
        BundleError: the reason why the file is not kept: there are no sounds, the file cannot be run, its scores are not finite, or its embeddings are not PyTorch's.
    """
    if not inputs:
        raise BundleError("there is no sound to prove it on that the net can take")
    try:
        session = open_session(path)
    except ValueError as error:
        raise BundleError(f"ONNX Runtime cannot run it: {error}") from None
    name = VECTORS if net.frontend.takes_vectors else WAVEFORM
    domain: Literal["waveform", "embedding"] = "embedding" if net.frontend.takes_vectors else "waveform"
    difference, longest = 0.0, max(inputs, key=np.size)

    def by_torch(batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with evaluating(net), torch.inference_mode():
            return [tensor.numpy() for tensor in net.scores_and_embedding(torch.from_numpy(batch), domain)]

    def by_onnx(batch: NDArray[np.float32]) -> list[Any]:
        return list(session.run([SCORES, EMBEDDING], {name: batch}))

    with arithmetic_threads(1):
        for batch in [*inputs, np.concatenate([longest, longest[:, ::-1]])]:  # both sounds of the last batch are different
            (scores, embedding), (own_scores, own_embedding) = by_onnx(batch), by_torch(batch)
            if not np.isfinite(scores - own_scores).all():  # `max` would pass over NaN
                raise BundleError("its scores are not finite")
            difference = max(difference, float(np.abs(scores - own_scores).max()))
            if not np.abs(embedding - own_embedding).max() <= MOST_RELATIVE * max(1.0, float(np.abs(own_embedding).max())):
                raise BundleError("ONNX Runtime's embeddings are not PyTorch's")
        milliseconds = [fastest(partial(run, longest)) for run in (by_torch, by_onnx)]
    return Proof(
        sounds=len(inputs),
        source=source,
        difference=difference,
        bytes=path.stat().st_size,
        seconds=0.0 if net.frontend.takes_vectors else longest.shape[1] / sample_rate,
        torch_ms=milliseconds[0],
        onnx_ms=milliseconds[1],
    )


def fastest(run: Callable[[], object]) -> float:
    """Milliseconds of the fastest of some runs."""
    seconds = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds) * 1000
