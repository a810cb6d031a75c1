"""A loaded bundle: sounds at the nets' rates in, the ensemble's scores out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
from earmark.tagging.bundle import BundleConfig, read_bundle
from earmark.tagging.hub import model_folder
from earmark.tagging.opened import Device, Precision, Runtime, open_scorers
from earmark.tagging.thresholds import calibrated

GROUP_SAMPLES = 500_000  # that go through the nets at once: more is no faster, and takes 200 bytes a sample


@dataclass(frozen=True)
class Model:
    """A loaded bundle; `Tagger` makes tags with it.

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
