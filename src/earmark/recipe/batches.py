"""How training batches are drawn, mixed and augmented: class-balanced (2018), or in passes over all clips (2019)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from earmark.recipe.basics import (
    Chance,
    Concentration,
    Factor,
    FactorOrZero,
    Ordered,
    Real,
    Samples,
    Settings,
    Share,
    Size,
    Whole,
)

Speed = Annotated[Real, Field(ge=0.25, le=4)]


class FrequencyMaskSettings(Settings):
    """Masking: the power of neighbouring mel bands is set to zero."""

    chance: Chance = 0.5
    width: Annotated[tuple[Annotated[Whole, Field(ge=0)], Size], Ordered]  # fewest and most bands


class BalancedSettings(Settings):
    """Class-balanced batches, and how their examples are mixed (Jeong & Lim §3.1, equation 2)."""

    sampling: Literal["balanced"] = "balanced"
    clips_per_class: Size = 1
    partner: Literal["other_class", "any"] = "other_class"  # the class that the second clip of a mix is drawn from
    mix_alpha: Concentration = 0.4  # λ ~ Beta(α, α); the larger of λ and 1 − λ is taken
    gain: Annotated[tuple[FactorOrZero, Factor], Ordered] = (0.0, 1.0)  # w ~ U(low, high]
    peak: Literal["window", "clip"] = "window"  # the samples that max|x| is taken over
    verified_by: Literal["dominant", "both"] = "dominant"  # an example is verified if its dominant clip is, or if both clips are
    speed: Annotated[tuple[Speed, Speed], Ordered] = (1.0, 1.0)  # log-uniform; the pitch changes with the speed
    frequency_mask: FrequencyMaskSettings | None = None


class MixSettings(Settings):
    """Mixing an example with another one (Akiyama & Sato §3.3)."""

    kind: Literal["plain", "between_class"] = "plain"  # between_class weights two waveforms by their loudness
    chance: Chance = 0.5
    alpha: Concentration = 1.0  # share ~ Beta(α, α)
    self_mix: bool = False  # mix the labels, but the sound with itself, as in the released code for waveforms
    level_frame: Samples = 4096  # samples; between_class uses the mean square of the loudest frame
    level_hop: Samples = 2048  # samples from one frame to the next
    level_floor: Annotated[Real, Field(ge=-200, le=0)] = -80.0  # dB, full scale is 0: the lowest level, also that of silence


class GainSettings(Settings):
    """A random factor on the mel power or on the waveform."""

    chance: Chance = 0.5
    unit: Literal["factor", "decibel"] = "factor"  # unit of the range, in which the gain is uniform; decibels are of amplitude
    range: Annotated[tuple[Real, Real], Ordered]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.unit == "factor" and self.range[0] < 0:
            raise ValueError("a factor is not below 0")
        most = 1e6 if self.unit == "factor" else 120
        if max(map(abs, self.range)) > most:
            raise ValueError(f"{'a factor is at most' if self.unit == 'factor' else 'decibels are within ±'} {most:,.0f}")
        return self


class AdditionalCropSettings(Settings):
    """Keeping only a part of the cut window; the rest becomes zeros."""

    chance: Chance = 0.5
    keep: Annotated[tuple[Share, Share], Ordered] = (0.25, 1.0)  # the share that is kept


class SpeedSettings(Settings):
    """Playing faster or slower; the pitch changes with the speed."""

    chance: Chance = 1.0
    range: Annotated[tuple[Speed, Speed], Ordered]  # log-uniform


class ShuffledSettings(Settings):
    """Batches in passes over all clips, and the augmentations of each example in their order (Akiyama & Sato §3.3)."""

    sampling: Literal["shuffled"]
    size: Size  # examples in a batch
    windows: Annotated[
        tuple[Samples, ...], Field(max_length=1000)
    ] = ()  # samples; one of these is drawn for each batch; if empty, input.window
    speed: SpeedSettings | None = None
    edge: Chance = 0.0  # zeros added before and after each clip before it is cut, as a share of the window
    additional_crop: AdditionalCropSettings | None = None
    mix: MixSettings | None = None
    gain: GainSettings | None = None
    frequency_mask: FrequencyMaskSettings | None = None


def _sampling(batch: Any) -> str:
    return str(batch.get("sampling", "balanced") if isinstance(batch, dict) else getattr(batch, "sampling", "balanced"))


BatchSettings = Annotated[
    Annotated[BalancedSettings, Tag("balanced")] | Annotated[ShuffledSettings, Tag("shuffled")], Discriminator(_sampling)
]
