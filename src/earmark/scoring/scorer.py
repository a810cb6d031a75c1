"""Sounds → scores, whatever computes them: PyTorch today, see `torch_scorer`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.recipe import InputSettings, ScoringSettings
from earmark.scoring.groups import length_groups, padding_of

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Sounds:
    """Mono sounds as a net takes them, given when their turn comes.

    Attributes:
        lengths: samples of each, int64 ``[N]``.
        waveform: gives a sound by its number, float32 ``[samples]``.
    """

    lengths: NDArray[np.int64]
    waveform: Callable[[int], audio.Samples]

    def __len__(self) -> int:
        return len(self.lengths)


class Scorer(ABC):
    """A trained net that scores whole sounds, of any lengths.

    Args:
        input: how a clip becomes the net's input.
        classes: K.
        hop_length: samples in a frame of a view's padding; 1 where the net takes waveforms.
    """

    def __init__(self, input: InputSettings, classes: int, hop_length: int) -> None:
        self.input, self.classes, self.hop_length = input, classes, hop_length

    @abstractmethod
    def score_group(self, waveforms: Sequence[audio.Samples], views: Sequence[str]) -> Scores:
        """Scores of sounds of like length, float32 ``[V, B, K]``.

        Args:
            waveforms: B sounds ``[samples]``; the shorter ones are filled to the longest.
            views: V versions of each sound: ``whole``, or ``padN``.
        """

    def scores(
        self,
        sounds: Sounds,
        views: Sequence[str] = ("whole",),
        grouping: ScoringSettings | None = None,
        done: Callable[[int], None] | None = None,
    ) -> Scores:
        """Scores of whole sounds (Jeong & Lim §3.4, Akiyama & Sato §3.6); those of like length go through the net together.

        Args:
            sounds: N sounds.
            views: V versions of each sound.
            grouping: which sounds go together; by default only those of equal length.
            done: told how many sounds are scored.

        Returns:
            float32 ``[V, N, K]``, in the order of the sounds.
        """
        scores = np.zeros((len(views), len(sounds), self.classes), np.float32)
        extra = 2 * max(map(padding_of, views)) * self.hop_length
        count = 0
        for group in length_groups(sounds.lengths, grouping or ScoringSettings(), extra):
            scores[:, group] = self.score_group([sounds.waveform(number) for number in group], views)
            count += len(group)
            if done is not None:
                done(count)
        return scores

    def sounds(self, samples: Sequence[audio.Samples]) -> Sounds:
        """Mono clips ``[samples]`` at the net's rate, made the net's input."""
        waveforms = [net_input(clip, self.input) for clip in samples]
        return Sounds(np.array([len(waveform) for waveform in waveforms], np.int64), waveforms.__getitem__)


def net_input(samples: audio.Samples, settings: InputSettings) -> audio.Samples:
    """A whole clip ``[samples]`` at a member's rate, as its net takes it when it scores."""
    return audio.model_input(
        samples,
        settings.window if settings.fill_short else 0,
        trim_silence=settings.trim_silence,
        tile=settings.fill == "tile",
        peak=settings.peak_normalised,
    )
