"""What a net learns from its batches, and when: losses, tasks, optimiser, schedule, validation."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from earmark.recipe.basics import Name, Positive, Settings, View


class LossSettings(Settings):
    """The loss on the given labels."""

    kind: Literal["cross_entropy", "bce", "kl"] = "cross_entropy"  # the last two: the mean over batch and classes
    masking: Annotated[float, Field(gt=0, le=1)] | None = 0.8  # α of Jeong & Lim's equation (7); null: every label as it is
    double_sigmoid: bool = False  # as released in 2019: bce takes a second sigmoid of the scores

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.double_sigmoid and self.kind != "bce":
            raise ValueError("double_sigmoid is a way of bce")
        return self


class NoisySettings(Settings):
    """The second task: unverified clips with their labels as given, through a head of their own (Akiyama & Sato §2.1)."""

    weight: Positive = 1.0  # of its loss, which is of the same kind as the first task's
    double_sigmoid: bool = False  # as LossSettings.double_sigmoid


class SoftSettings(Settings):
    """Soft pseudo labels (Akiyama & Sato §2.2): verified clips and pseudo-labelled unverified ones, 1 : 1 in each batch."""

    labels: Name  # one of the recipe's pseudo_labels
    weight: Positive = 20.0
    loss: Literal["mse", "bce", "kl"] = "mse"


class AdamSettings(Settings):
    name: Literal["adam"] = "adam"
    epsilon: Positive = 1e-7  # Keras's; PyTorch's is 1e-8
    # What it is added to: √v after v's bias was corrected (PyTorch), or before, as Keras has it: there it weighs up to 32
    # times as much in the first batches.
    epsilon_added: Literal["after_correction", "before_correction"] = "after_correction"


class SgdSettings(Settings):
    name: Literal["sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum")
        return self


def _optimiser_name(optimiser: Any) -> str:
    return str(optimiser.get("name", "adam") if isinstance(optimiser, dict) else getattr(optimiser, "name", "adam"))


OptimiserSettings = Annotated[
    Annotated[AdamSettings, Tag("adam")] | Annotated[SgdSettings, Tag("sgd")], Discriminator(_optimiser_name)
]


class Phase(Settings):
    """A stretch of the schedule: a constant rate, or a cosine from ``rate`` to ``final_rate``; once, or in cycles."""

    batches: Annotated[int, Field(ge=1)] | None = None  # either these …
    epochs: Annotated[int, Field(ge=1)] | None = None  # … or passes over the clips that the first task is taught by
    rate: Positive
    final_rate: Positive | None = None
    cycles: Annotated[int, Field(ge=1)] | None = None  # so many times, each ending in a snapshot of the weights; null: once, none

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.batches is None) == (self.epochs is None):
            raise ValueError("says either batches or epochs")
        return self


class ValidationSettings(Settings):
    every: Annotated[int, Field(ge=1)] | None = None  # batches; either these …
    epochs: Annotated[int, Field(ge=1)] | None = None  # … or passes
    metric: Literal["map@3", "accuracy", "lwlrap"] = "map@3"  # what the best weights are chosen by
    keep: Literal["best", "last", "snapshots"]  # the weights that are scored, where an ensemble names no others
    view: View = "whole"  # of each clip that is validated on

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.every is None) == (self.epochs is None):
            raise ValueError("says either every (so many batches) or epochs")
        return self
