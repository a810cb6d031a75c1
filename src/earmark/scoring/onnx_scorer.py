"""Scoring with ONNX Runtime: nets that were exported, without torch."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.embedding.opened import open_embedder
from earmark.errors import BundleError
from earmark.recipe import InputSettings, Part
from earmark.runtime import EMBEDDING, PADDING, SCORES, VECTORS, WAVEFORM, first_line, open_session
from earmark.scoring.groups import padding_of
from earmark.scoring.scorer import Scorer, Scores
from earmark.scoring.vector_scorer import VectorScorer


class OnnxScorer(Scorer):
    """A scorer that runs an exported net.

    Args:
        path: the file that `earmark export` wrote.
        input: how a clip becomes the net's input.
        classes: number of classes K.
        activation: what makes the scores, ``softmax`` or ``sigmoid``.

    Raises:
        BundleError: the file cannot be run, or is not that of such a net.
    """

    def __init__(self, path: Path, input: InputSettings, classes: int, activation: Literal["softmax", "sigmoid"]) -> None:
        self.session = _opened(path, WAVEFORM, classes)
        facts = self.session.get_modelmeta().custom_metadata_map
        hop = facts.get("hop_length", "")
        if not (hop.isascii() and hop.isdigit() and int(hop)):
            raise BundleError(f"{path}: its metadata say hop_length {hop!r}; needed is a whole number of samples")
        super().__init__(input, classes, int(hop), activation)

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        """See `Scorer.score_group`; sounds of different lengths are not filled, but scored one length after the other."""
        scores = np.zeros((len(views), len(waveforms), self.classes), np.float32)
        lengths = np.array([len(waveform) for waveform in waveforms])
        for length in np.unique(lengths):
            alike = np.flatnonzero(lengths == length)
            batch = np.ascontiguousarray(np.stack([waveforms[int(number)] for number in alike]), np.float32)
            for number, view in enumerate(views):
                scores[number, alike] = self._run(batch, padding_of(view))
        return scores

    def _run(self, batch: NDArray[np.float32], padding: int) -> Scores:
        feed: dict[str, NDArray[Any]] = {WAVEFORM: batch, PADDING: np.array([padding], np.int64)}
        return _computed(self.session, [SCORES], feed)[0]


def open_onnx_scorer(
    path: Path,
    frontend: Part,
    input: InputSettings,
    classes: int,
    activation: Literal["softmax", "sigmoid"],
    folder: Path | None = None,
) -> Scorer:
    """A scorer that runs an exported net, of sounds or of vectors.

    Args:
        path: the file that `earmark export` wrote.
        frontend: settings of the net's front end.
        input: how a clip becomes the net's input.
        classes: number of classes K.
        activation: what makes the scores.
        folder: folder that the file of a pre-trained model is relative to; the current folder by default.

    Raises:
        BundleError: the file cannot be run, or is not that of such a net.
    """
    if frontend.name != "embedding":
        return OnnxScorer(path, input, classes, activation)
    session = _opened(path, VECTORS, classes)
    opening = partial(open_embedder, frontend.arguments, input.sample_rate, folder)
    return VectorScorer(input, classes, activation, opening, partial(_scores_of_vectors, session))


def _scores_of_vectors(session: Any, vectors: NDArray[np.float32]) -> Scores:
    return _computed(session, [SCORES], {VECTORS: vectors})[0]


def _computed(session: Any, outputs: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
    try:
        computed: list[NDArray[np.float32]] = session.run(outputs, feed)
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        if "alloc" in (reason := first_line(error)).lower():
            raise MemoryError(reason) from None
        shapes = ", ".join(str(list(array.shape)) for array in feed.values())
        raise BundleError(f"the model cannot take sounds of shape {shapes}: {reason}") from None
    return computed


def _opened(path: Path, sound: str, classes: int) -> Any:
    """The session of an exported net that takes ``sound``.

    Raises:
        BundleError: the file cannot be run, or has other inputs or outputs.
    """
    try:
        session = open_session(path)
    except ValueError as error:
        raise BundleError(f"{path}: no net that can be run: {error}") from None
    inputs = {put.name: put for put in session.get_inputs()}
    outputs = {put.name: list(put.shape) for put in session.get_outputs()}
    if sound not in inputs or not {SCORES, EMBEDDING} <= set(outputs) or not outputs[SCORES]:
        raise BundleError(
            f"{path}: not such a net as earmark exports: its inputs are {sorted(inputs)}, its outputs {sorted(outputs)}"
        )
    if outputs[SCORES][-1] != classes:
        raise BundleError(f"{path}: it has scores of {outputs[SCORES][-1]} classes, and the bundle has {classes} labels")
    return session
