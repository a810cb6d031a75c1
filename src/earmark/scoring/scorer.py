"""Sounds → scores, with any library that runs nets: PyTorch (`torch_scorer`) or ONNX Runtime (`onnx_scorer`)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.embedding.embedder import Embedder
from earmark.recipe import InputSettings, ScoringSettings
from earmark.scoring.groups import length_groups, padding_of

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Sounds:
    """Mono sounds as a net takes them, each made only when it is scored.

    Attributes:
        lengths: length of each sound in samples, int64 ``[N]``.
        waveform: makes the sound of a given index (from 0), float32 ``[samples]``.
    """

    lengths: NDArray[np.int64]
    waveform: Callable[[int], audio.Samples]

    def __len__(self) -> int:
        return len(self.lengths)


class Scorer(ABC):
    """A trained net that scores whole sounds of any length.

    Args:
        input: how a clip becomes the net's input.
        classes: number of classes K.
        hop_length: samples in one frame of a view's padding; 1 if the net takes waveforms.
        activation: what makes the scores, ``softmax`` or ``sigmoid``.
    """

    takes_vectors = False  # whether its net stands on the vectors of an embedder, and `score_vectors` works

    def __init__(
        self, input: InputSettings, classes: int, hop_length: int, activation: Literal["softmax", "sigmoid"] = "softmax"
    ) -> None:
        self.input, self.classes, self.hop_length, self.activation = input, classes, hop_length, activation

    @abstractmethod
    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        """Scores of sounds of similar length, float32 ``[V, B, K]``.

        Args:
            waveforms: B sounds ``[samples]``; the shorter ones are filled to the length of the longest.
            views: V versions of each sound: ``whole``, ``padN`` or ``variedN``.
        """

    @property
    def embedder(self) -> Embedder:
        """What makes the vectors that the net stands on.

        Raises:
            TypeError: the net takes sounds.
        """
        raise TypeError(f"{type(self).__name__} takes sounds")

    def score_vectors(self, vectors: NDArray[np.floating]) -> Scores:
        """Scores of vectors ``[N, D]``, which an embedder has made of sounds: float32 ``[N, K]``.

        Raises:
            TypeError: the net takes sounds.
        """
        raise TypeError(f"{type(self).__name__} takes sounds, not {len(vectors)} vectors")

    def scores(
        self,
        sounds: Sounds,
        views: Sequence[str] = ("whole",),
        grouping: ScoringSettings | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Scores:
        """Scores of whole sounds (Jeong & Lim §3.4, Akiyama & Sato §3.6).

        Args:
            sounds: N sounds.
            views: V versions of each sound: ``whole``, ``padN`` or ``variedN``.
            grouping: which sounds go through the net together; by default only sounds of equal length.
            on_progress: called with the number of sounds scored so far.

        Returns:
            float32 ``[V, N, K]``, in the order of the sounds.
        """
        scores = np.zeros((len(views), len(sounds), self.classes), np.float32)
        extra = 2 * max(map(padding_of, views)) * self.hop_length
        count = 0
        for group in length_groups(sounds.lengths, grouping or ScoringSettings(), extra):
            scores[:, group] = self.score_group([sounds.waveform(number) for number in group], views)
            count += len(group)
            if on_progress is not None:
                on_progress(count)
        return scores

    def sounds(self, samples: Sequence[audio.Samples]) -> Sounds:
        """The net's input sounds, made from mono clips ``[samples]`` at the net's sample rate."""
        waveforms = [net_input(clip, self.input) for clip in samples]
        return Sounds(np.array([len(waveform) for waveform in waveforms], np.int64), waveforms.__getitem__)


def net_input(samples: audio.Samples, settings: InputSettings) -> audio.Samples:
    """The input of a net that scores, made from a whole clip ``[samples]`` at the net's sample rate."""
    return audio.model_input(
        samples,
        settings.window if settings.fill_short else 0,
        trim_silence=settings.trim_silence,
        tile=settings.fill == "tile",
        peak=settings.peak_normalised,
    )
