"""From a file or samples to tags, with a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.errors import AudioError, BundleError
from earmark.labels import LabelSet
from earmark.recipe import ScoringSettings
from earmark.scoring.ensemble import combine
from earmark.scoring.finite import is_broken
from earmark.scoring.groups import variation_of
from earmark.scoring.scorer import Scorer
from earmark.tagging.bundle import BundleConfig, bundle_folder, read_bundle
from earmark.tagging.opened import Device, Precision, Runtime, open_scorers

MAX_SECONDS = 600  # of one sound, since a whole sound goes through the net at once, and needs memory
GROUP_SAMPLES = 4_000_000  # of the sounds that go through a net together


class Tag(NamedTuple):
    """A label and how sure the model is of it, 0..1."""

    label: str
    score: float


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
            model: folder of the bundle, or the run directory that contains it.
            precision: what the nets compute in: ``float32`` or ``bfloat16``, which is faster on processors that multiply in it;
                its scores differ in the third digit.
            device: ``cpu``, ``cuda``, or ``auto``: the GPU if there is one.
            runtime: what runs the nets: ``onnx`` (ONNX Runtime), ``torch``, or ``auto``: torch where there is a GPU, where bfloat16 is
                asked for, and where the bundle has no ONNX files.

        Raises:
            BundleError: the bundle cannot be loaded.
            EarmarkError: what is asked for is not here: a GPU, or torch.
        """
        folder = bundle_folder(Path(model))
        config = read_bundle(folder)
        scorers = open_scorers(folder, config, precision, device, runtime)
        return cls(config, LabelSet(tuple(config.labels)), scorers, folder)

    @property
    def sample_rates(self) -> list[int]:
        """The sample rates that the nets take, in Hz, in ascending order."""
        return sorted({member.input.sample_rate for member in self.config.members})

    def tag(self, source: Path | str | NDArray[np.floating], sample_rate: int | None = None, top_k: int = 3) -> list[Tag]:
        """The best labels of one sound.

        Args:
            source: an audio file, or samples ``[samples]`` or ``[channels, samples]``, −1..1.
            sample_rate: sample rate of the samples, in Hz; must be left out for a file.
            top_k: number of labels.

        Raises:
            AudioError: the sound cannot be used.
            ValueError: samples without a sample rate, a file with one, or samples of another shape.
        """
        if isinstance(source, np.ndarray):
            if sample_rate is None:
                raise ValueError("samples need their sample_rate")
            samples = np.atleast_2d(source).astype(np.float32)
            if samples.ndim > 2 or len(samples) > max(samples.shape[1], 1):
                raise ValueError(f"samples of shape {source.shape}: [samples] or [channels, samples] is needed")
        else:
            if sample_rate is not None:
                raise ValueError("a file brings its own sample rate")
            samples, sample_rate = audio.read(source, longest=MAX_SECONDS)
        scores = self.scores(audio.to_mono(samples)[None], sample_rate)[0]
        return [Tag(*pair) for pair in self.labels.decode(scores, top_k)]

    def scores(self, batch: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Scores of mono sounds.

        Args:
            batch: B sounds of T samples, float32 ``[B, T]``, −1..1.
            sample_rate: sample rate of the sounds, in Hz.

        Returns:
            float32 ``[B, K]``.

        Raises:
            AudioError: the sounds are empty, not finite, longer than ten minutes, too short to have a sample at a net's rate, or so loud
                that their scores are not finite.
            BundleError: the nets' scores are not finite, whatever the sound.
        """
        sounds = [self.resampled(samples, sample_rate) for samples in batch]
        scores = self.combined(sounds)
        for sound, of_sound in zip(sounds, scores, strict=True):
            if fault := self.fault(of_sound, sound):
                raise fault
        return scores

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

    def resampled(self, samples: audio.Samples, sample_rate: int) -> dict[int, audio.Samples]:
        """A mono sound ``[samples]`` at each of `sample_rates`, with 16 bits, as the sounds that the nets learned from.

        Raises:
            AudioError: see `scores`.
        """
        if not len(samples):
            raise AudioError("no samples")
        if not np.isfinite(samples).all():
            raise AudioError("holds NaN or infinite samples")
        if len(samples) > MAX_SECONDS * sample_rate:
            raise AudioError(f"longer than {MAX_SECONDS // 60} minutes: cut it into parts")
        return {rate: audio.of_16_bits(audio.resample(samples, sample_rate, rate)) for rate in self.sample_rates}

    def combined(self, sounds: Sequence[Mapping[int, audio.Samples]], group_samples: int = GROUP_SAMPLES) -> NDArray[np.float32]:
        """The ensemble's scores of mono sounds of any length. Sounds of the same length go through the nets together.

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
        return combine(scores, shares, self.config.rule)
