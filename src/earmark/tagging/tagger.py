"""From a file or samples to tags, with a bundle."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earmark.errors import AudioError
from earmark.labels import Tag
from earmark.tagging.model import Model
from earmark.tagging.parts import Part
from earmark.tagging.sounds import Request, timeline, whole_scores
from earmark.tagging.streams import opener_of
from earmark.tagging.thresholds import thresholds


class Tagger(Model):
    """A loaded bundle that tags. Make one with `Tagger.load` or `earmark.load`."""

    def tag(
        self,
        source: Path | str | NDArray[np.floating],
        sample_rate: int | None = None,
        top_k: int = 3,
        threshold: float | NDArray[np.float32] = 0.0,
    ) -> list[Tag]:
        """The best labels of a whole sound of any length; how a long one is scored, `tag_sounds` says.

        Args:
            source: an audio file, or samples ``[samples]`` or ``[channels, samples]``, −1..1.
            sample_rate: sample rate of the samples, in Hz; must be left out for a file.
            top_k: number of labels, at most.
            threshold: lowest score of a label that is given; a number, or a number for every class ``[K]``, see `thresholds`.

        Raises:
            AudioError: the sound cannot be used.
            ValueError: samples without a sample rate, a file with one, or samples of another shape.
        """
        (whole,) = timeline(self, source, sample_rate, Request(top_k, threshold))
        return list(whole.tags)

    def timeline(
        self,
        source: Path | str | NDArray[np.floating],
        window: float,
        hop: float | None = None,
        top_k: int = 3,
        threshold: float | NDArray[np.float32] = 0.0,
        merge: bool = False,
        sample_rate: int | None = None,
    ) -> list[Part]:
        """The best labels of the parts of a sound of any length, in the order of the parts.

        Args:
            source: an audio file, or samples ``[samples]`` or ``[channels, samples]``, −1..1.
            window: length of a part, in seconds; the last one ends where the sound ends, and may be shorter.
            hop: from the beginning of a part to that of the next, in seconds; by default the window.
            top_k: number of labels of a part, at most.
            threshold: as in `tag`.
            merge: make one part of neighbours with the same label, see `merged`.
            sample_rate: sample rate of the samples, in Hz; must be left out for a file.

        Raises:
            AudioError: the sound cannot be used.
            ValueError: as in `tag`; and window or hop are out of bounds.
        """
        return timeline(self, source, sample_rate, Request(top_k, threshold, window, hop, merge))

    def thresholds(self, wish: str | float) -> float | NDArray[np.float32]:
        """The lowest scores of labels that are given, for `tag` and `timeline`: a number, or a number for every class, float32 ``[K]``.

        Args:
            wish: a score; or ``auto`` or ``precision:P``, chosen for every class on the clips that the model was measured with.

        Raises:
            EarmarkError: the wish is none of these, or the bundle cannot fulfil it.
        """
        return thresholds(self.config, wish)

    def scores(self, batch: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Scores of whole mono sounds.

        Args:
            batch: B sounds of T samples, float32 ``[B, T]``, −1..1.
            sample_rate: sample rate of the sounds, in Hz.

        Returns:
            float32 ``[B, K]``.

        Raises:
            AudioError: the sounds are empty, not finite, too short to have a sample at a net's rate, or so loud that their scores are
                not finite.
            BundleError: the nets' scores are not finite, whatever the sound.
        """
        scores = []
        for sound in whole_scores(self, [opener_of(samples, sample_rate) for samples in batch]):
            if isinstance(sound, AudioError):
                raise sound
            scores.append(sound.result)
        return np.array(scores, np.float32).reshape(len(batch), len(self.labels))
