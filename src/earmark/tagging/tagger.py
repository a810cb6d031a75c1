"""From a file or samples to tags, with a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from earmark import audio
from earmark.errors import AudioError, BundleError
from earmark.labels import LabelSet
from earmark.recipe import InputSettings, ScoringSettings
from earmark.tagging.bundle import BundleConfig, BundleMember, bundle_folder, read_bundle
from earmark.tagging.ensemble import combine

MAX_SECONDS = 600  # of one sound: a clip goes through the net whole, and the memory grows with it
ALIKE = ScoringSettings(samples=4_000_000)  # only sounds of equal length go through a net together: none is filled


class Tag(NamedTuple):
    """A label and how sure the model is of it, 0..1."""

    label: str
    score: float


@dataclass(frozen=True)
class Tagger:
    """A loaded bundle. Make one with `Tagger.load` or `earmark.load`.

    Attributes:
        config: what the bundle says of itself.
        labels: its classes.
        nets: one a member, each waveform ``[B, T]`` → scores ``[B, K]``.
        precision: of the nets' arithmetic: ``float32``, or ``bfloat16``, which is faster where the CPU multiplies in it, with
            scores that differ in the third digit.
    """

    config: BundleConfig
    labels: LabelSet
    nets: tuple[Any, ...]
    precision: Literal["float32", "bfloat16"] = "float32"

    @classmethod
    def load(cls, model: Path | str, precision: Literal["float32", "bfloat16"] = "float32") -> Self:
        """Loads a bundle (or the bundle of a run directory).

        Args:
            model: its folder.
            precision: see `Tagger`.

        Raises:
            BundleError: it cannot be loaded.
        """
        folder = bundle_folder(Path(model))
        config = read_bundle(folder)
        nets = tuple(_open_net(folder, member, len(config.labels)) for member in config.members)
        return cls(config, LabelSet(tuple(config.labels)), nets, precision)

    @property
    def sample_rates(self) -> list[int]:
        """The rates that its members take, in Hz, ascending."""
        return sorted({member.input.sample_rate for member in self.config.members})

    def tag(self, source: Path | str | NDArray[np.floating], sample_rate: int | None = None, top_k: int = 3) -> list[Tag]:
        """The best labels of one sound.

        Args:
            source: a file, or samples ``[samples]`` or ``[channels, samples]``, −1..1.
            sample_rate: of samples, in Hz; not for a file.
            top_k: how many labels.

        Raises:
            AudioError: the file cannot be used.
            ValueError: samples without a rate, a file with one, or samples of another shape.
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
            samples, sample_rate = audio.read(source)
        scores = self.scores(audio.to_mono(samples)[None], sample_rate)[0]
        return [Tag(*found) for found in self.labels.decode(scores, top_k)]

    def scores(self, batch: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Scores of mono sounds.

        Args:
            batch: float32 ``[B, T]``, −1..1.
            sample_rate: in Hz.

        Returns:
            float32 ``[B, K]``.

        Raises:
            AudioError: the sounds are empty, not finite, longer than ten minutes, or shorter than a sample at a member's rate.
        """
        return self.combined([self.resampled(samples, sample_rate) for samples in batch])

    def resampled(self, samples: audio.Samples, sample_rate: int) -> dict[int, audio.Samples]:
        """A mono sound ``[samples]`` at each of `sample_rates`.

        Raises:
            AudioError: see `scores`.
        """
        if not len(samples):
            raise AudioError("no samples")
        if not np.isfinite(samples).all():
            raise AudioError("holds NaN or infinite samples")
        if len(samples) > MAX_SECONDS * sample_rate:
            raise AudioError(f"longer than {MAX_SECONDS // 60} minutes: cut it into parts")
        return {rate: audio.resample(samples, sample_rate, rate) for rate in self.sample_rates}

    def combined(self, sounds: Sequence[Mapping[int, audio.Samples]]) -> NDArray[np.float32]:
        """Scores ``[B, K]`` of mono sounds of any lengths, each given at every one of `sample_rates`.

        Those that have the same length go through the nets together.
        """
        found: list[NDArray[np.float32]] = []
        weights: list[float] = []
        for member, net in zip(self.config.members, self.nets, strict=True):
            waveforms = [net_input(sound[member.input.sample_rate], member.input) for sound in sounds]
            found += list(_score(net, waveforms, member.views, len(self.labels), self.precision))
            weights += [member.weight / len(member.views)] * len(member.views)
        return combine(found, weights, self.config.rule)


def _score(net: Any, waveforms: Sequence[audio.Samples], views: Sequence[str], classes: int, precision: str) -> NDArray[np.float32]:
    """``[V, B, K]``."""
    import torch

    from earmark.nets.scoring import score_sounds

    lengths = np.array([len(waveform) for waveform in waveforms], np.int64)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        return score_sounds(net, lengths, waveforms.__getitem__, classes, views, ALIKE, torch.device("cpu"))


def net_input(samples: audio.Samples, settings: InputSettings) -> audio.Samples:
    """A whole clip ``[samples]`` at a member's rate, as the member takes it when scoring."""
    return audio.model_input(
        samples,
        settings.window if settings.fill_short else 0,
        trim_silence=settings.trim_silence,
        tile=settings.fill == "tile",
        peak=settings.peak_normalised,
    )


def _open_net(folder: Path, member: BundleMember, classes: int) -> Any:
    # Only here does tagging need torch and the nets.
    import safetensors
    import safetensors.torch

    from earmark.nets.tagnet import build_net

    net = build_net(member.frontend, member.backbone, member.head, member.input.sample_rate, classes)
    try:
        weights = safetensors.torch.load_file(folder / member.file)
        if not all(tensor.isfinite().all() for tensor in weights.values()):
            raise BundleError(f"{folder / member.file}: its weights hold NaN or infinite numbers")
        net.load_state_dict(weights)
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        raise BundleError(f"{folder / member.file}: not this net's weights: {str(error).splitlines()[0]}") from None
    return net.eval()
