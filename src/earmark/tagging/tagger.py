"""From a file or samples to tags, with a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.errors import AudioError, BundleError
from earmark.labels import LabelSet, Tag
from earmark.recipe import ScoringSettings
from earmark.scoring.ensemble import combine
from earmark.scoring.finite import is_broken
from earmark.scoring.groups import variation_of
from earmark.scoring.scorer import Scorer
from earmark.tagging.bundle import BundleConfig, read_bundle
from earmark.tagging.hub import model_folder
from earmark.tagging.opened import Device, Precision, Runtime, open_scorers
from earmark.tagging.parts import Part
from earmark.tagging.sounds import GROUP_SAMPLES, Request, timeline, whole_scores
from earmark.tagging.streams import opener_of
from earmark.tagging.thresholds import calibrated, thresholds


@dataclass(frozen=True)
class Tagger:
    """A loaded bundle. Make one with `Tagger.load` or `earmark.load`.

    Attributes:
        config: the bundle's ``config.json``.
        labels: the classes.
        scorers: one for each net of the bundle.
        folder: the bundle's folder, in error messages.
    """

    config: BundleConfig
    labels: LabelSet
    scorers: tuple[Scorer, ...]
    folder: Path = Path()

    @classmethod
    def load(
        cls,
        model: Path | str,
        precision: Precision = "float32",
        device: Device = "auto",
        runtime: Runtime = "auto",
    ) -> Self:
        """Loads a bundle.

        Args:
            model: folder of the bundle, the run directory that contains it, or the name of a model of the Hugging Face Hub; see
                `earmark.tagging.hub.model_folder`.
            precision: what the nets compute in: ``float32`` or ``bfloat16``, which is faster on processors that multiply in it;
                its scores differ in the third digit.
            device: ``cpu``, ``cuda``, or ``auto``: the GPU if there is one.
            runtime: what runs the nets: ``onnx`` (ONNX Runtime), ``torch``, or ``auto``: torch where there is a GPU, where bfloat16 is
                asked for, and where the bundle has no ONNX files.

        Raises:
            BundleError: the bundle cannot be loaded.
            EarmarkError: what is asked for is not here: a GPU, or torch.
        """
        folder = model_folder(model)
        config = read_bundle(folder)
        scorers = open_scorers(folder, config, precision, device, runtime)
        return cls(config, LabelSet(tuple(config.labels)), scorers, folder)

    @property
    def sample_rates(self) -> list[int]:
        """The sample rates that the nets take, in Hz, in ascending order."""
        return sorted({member.input.sample_rate for member in self.config.members})

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

    def fault(self, scores: NDArray[np.float32], sound: Mapping[int, audio.Samples]) -> AudioError | None:
        """What is wrong with a sound whose scores ``[K]`` are not finite; None if they are finite.

        Raises:
            BundleError: a net has no finite scores for quiet noise either.
        """
        if np.isfinite(scores).all():
            return None
        if any(map(is_broken, self.scorers)):
            raise BundleError(
                f"{self.folder}: the model's scores are not finite, whatever the sound: its weights are damaged, or its training diverged"
            )
        peak = max(float(np.abs(samples).max(initial=0)) for samples in sound.values())
        return AudioError(f"its scores are not finite: its loudest sample is {peak:.3g} times full scale")

    def combined(self, sounds: Sequence[Mapping[int, audio.Samples]], group_samples: int = GROUP_SAMPLES) -> NDArray[np.float32]:
        """The ensemble's scores of mono sounds, calibrated. Each goes through the nets as it is; those of one length, together.

        Args:
            sounds: B sounds, each with its samples ``[samples]`` at all of `sample_rates`.
            group_samples: samples of the sounds that go through a net together, at most; a longer sound goes alone.

        Returns:
            float32 ``[B, K]``.
        """
        equal_lengths = ScoringSettings(samples=group_samples)  # its patience is 0: no sound is filled to the length of another
        scores: list[NDArray[np.float32]] = []
        shares: list[float] = []
        vectors: dict[
            tuple[str, str], NDArray[np.float32]
        ] = {}  # by embedder and view: the nets of all folds stand on the same ones
        for member, scorer in zip(self.config.members, self.scorers, strict=True):
            samples = [sound[member.input.sample_rate] for sound in sounds]
            if scorer.takes_vectors:
                embedder = scorer.embedder
                for view in member.views:
                    if (key := (embedder.key, view)) not in vectors:
                        vectors[key] = np.stack([embedder.vector_or_nan(clip, variation_of(view)) for clip in samples])
                    scores.append(scorer.score_vectors(vectors[key]))
            else:
                scores += list(scorer.scores(scorer.sounds(samples), member.views, equal_lengths))
            shares += [member.weight / len(member.views)] * len(member.views)
        return calibrated(combine(scores, shares, self.config.rule), self.config)
