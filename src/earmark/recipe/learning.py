"""How a net learns from its batches: losses, tasks, optimiser, schedule, validation."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Tag, model_validator

from earmark.recipe.basics import BelowOne, Count, Epsilon, Few, Name, Rate, Settings, Share, View, Weight


class LossSettings(Settings):
    """The loss on the given labels."""

    kind: Literal["cross_entropy", "bce", "kl"] = "cross_entropy"  # bce and kl: the mean over batch and classes
    masking: Share | None = 0.8  # α of Jeong & Lim's equation (7); null: no masking
    double_sigmoid: bool = False  # for bce: a second sigmoid of the scores, as in the released code of 2019

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.double_sigmoid and self.kind != "bce":
            raise ValueError("double_sigmoid is a way of bce")
        return self


class NoisySettings(Settings):
    """The noisy task: it learns the given labels of unverified clips, with its own part of the head (Akiyama & Sato §2.1)."""

    weight: Weight = 1.0  # of its loss in the sum; the kind of loss is that of the first task
    double_sigmoid: bool = False  # as in LossSettings


class SoftSettings(Settings):
    """The soft stream (Akiyama & Sato §2.2): half of each batch are verified clips, half unverified clips with pseudo labels."""

    labels: Name  # one of the recipe's pseudo_labels
    weight: Weight = 20.0  # of its loss in the sum
    loss: Literal["mse", "bce", "kl"] = "mse"


class AdamSettings(Settings):
    """The optimiser Adam."""

    name: Literal["adam"] = "adam"
    epsilon: Epsilon = 1e-7  # Keras's; PyTorch's is 1e-8
    # Whether ε is added to √v after the correction of v's bias (PyTorch) or before (Keras). Before, it has up to 32 times the
    # effect in the first batches.
    epsilon_added: Literal["after_correction", "before_correction"] = "after_correction"


class SgdSettings(Settings):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    momentum: BelowOne = 0.9
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
    """A phase of the schedule: a constant learning rate, or a cosine from ``rate`` to ``final_rate``; once, or in cycles."""

    batches: Count | None = None  # length of the phase (or of a cycle), either in batches …
    epochs: Count | None = None  # … or in passes over the clips that the first task learns from
    rate: Rate
    final_rate: Rate | None = None
    cycles: Few | None = None  # repetitions, each ending in a snapshot; null: once, without a snapshot

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.batches is None) == (self.epochs is None):
            raise ValueError("says either batches or epochs")
        return self


class ValidationSettings(Settings):
    """When a net is validated, and which of its weights are kept."""

    every: Count | None = None  # time between two validations, either in batches …
    epochs: Count | None = None  # … or in passes over the clips that the first task learns from
    metric: Literal["map@3", "accuracy", "lwlrap"] = "map@3"  # the best weights are those with the highest value
    keep: Literal["best", "last", "snapshots"]  # the weights that are scored, unless an ensemble names others
    view: View = "whole"  # version of each clip that is scored

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.every is None) == (self.epochs is None):
            raise ValueError("says either every (so many batches) or epochs")
        return self
