"""Scoring with nets that take vectors, which a frozen model makes of the sounds. No torch."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.embedding.embedder import Embedder
from earmark.recipe import InputSettings, ScoringSettings
from earmark.scoring.groups import variation_of
from earmark.scoring.scorer import Scorer, Scores, Sounds

ROWS = 8192  # vectors that go through the net together


class VectorScorer(Scorer):
    """A scorer whose net stands on the vectors of an embedder.

    Args:
        input: how a clip becomes the embedder's input.
        classes: number of classes K.
        activation: what makes the scores, ``softmax`` or ``sigmoid``.
        open_embedder: opens the embedder; called when the first sound is scored that has no vector yet.
        run: the net with the front end ``embedding``: vectors float32 ``[N, D]`` → scores float32 ``[N, K]``.
    """

    takes_vectors = True

    def __init__(
        self,
        input: InputSettings,
        classes: int,
        activation: Literal["softmax", "sigmoid"],
        open_embedder: Callable[[], Embedder],
        run: Callable[[NDArray[np.float32]], Scores],
    ) -> None:
        super().__init__(input, classes, 1, activation)
        self.open_embedder, self.run = open_embedder, run
        self._embedder: Embedder | None = None

    @property
    def embedder(self) -> Embedder:
        """Makes the vectors; opened at the first use."""
        if self._embedder is None:
            self._embedder = self.open_embedder()
        return self._embedder

    def score_vectors(self, vectors: NDArray[np.floating]) -> Scores:
        """Scores of vectors ``[N, D]``: float32 ``[N, K]``."""
        scores = np.zeros((len(vectors), self.classes), np.float32)
        for first in range(0, len(vectors), ROWS):
            scores[first : first + ROWS] = self.run(np.ascontiguousarray(vectors[first : first + ROWS], np.float32))
        return scores

    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        """See `Scorer.score_group`; the views are ``whole`` and ``variedN``."""
        return np.stack(
            [
                self.score_vectors(np.stack([self.embedder.vector(waveform, variation_of(view)) for waveform in waveforms]))
                for view in views
            ]
        )

    def scores(
        self,
        sounds: Sounds,
        views: Sequence[str] = ("whole",),
        grouping: ScoringSettings | None = None,  # noqa: ARG002  (the lengths of the sounds do not matter)
        on_progress: Callable[[int], None] | None = None,
    ) -> Scores:
        """See `Scorer.scores`."""
        vectors = np.zeros((len(views), len(sounds), self.embedder.size), np.float32)
        for number in range(len(sounds)):
            waveform = sounds.waveform(number)
            vectors[:, number] = [self.embedder.vector(waveform, variation_of(view)) for view in views]
            if on_progress is not None:
                on_progress(number + 1)
        return np.stack([self.score_vectors(rows) for rows in vectors])
