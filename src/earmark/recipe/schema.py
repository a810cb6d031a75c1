"""The settings of a recipe. Those of batches and of learning are in `batches` and `learning`."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from earmark.errors import RecipeError, listed
from earmark.recipe.basics import (
    MOST_MEMBERS,
    Chance,
    Count,
    Few,
    Hertz,
    Name,
    Part,
    Power,
    Real,
    Samples,
    Settings,
    View,
    Weight,
    Whole,
)
from earmark.recipe.batches import BalancedSettings, BatchSettings
from earmark.recipe.learning import (
    AdamSettings,
    LossSettings,
    NoisySettings,
    OptimiserSettings,
    Phase,
    SoftSettings,
    ValidationSettings,
)
from earmark.recipe.text import as_text

MOST_SECONDS = 600  # of a window, which goes through a net at once


class InputSettings(Settings):
    """How a clip becomes the input of a member's net, in training and in tagging."""

    sample_rate: Hertz
    window: Samples  # samples: length of a training example; shorter clips are filled to this length
    trim_silence: bool = False  # whether the digital silence at both ends of a clip is left out
    fill: Literal["zeros", "tile"] = "zeros"  # how a clip shorter than the window is filled; tile repeats the clip
    fill_short: bool = True  # whether short clips are also filled for scoring; else they are scored at their own length
    peak_normalised: bool = True  # whether clips are scaled to peak 1 for scoring (in training, mixing does that)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.window > MOST_SECONDS * self.sample_rate:
            raise ValueError(
                f"window: {self.window:,} samples are {self.window / self.sample_rate:,.0f} s; {MOST_SECONDS} s are the most"
            )
        return self


class ScoringSettings(Settings):
    """Which clips go through the net together when whole clips are scored (Akiyama & Sato §3.6).

    The longest clip of a group is longer than the shortest by at most a rate. The rate starts at 0, and grows in steps up to
    ``patience`` until there are at most ``groups`` + number of clips / ``clips_per_group`` groups.
    """

    patience: Chance = 0.0  # the highest rate; 0: groups have clips of equal length
    patience_step: Annotated[Real, Field(ge=0.001, le=1)] = 0.01
    groups: Count = 60
    clips_per_group: Annotated[Real, Field(ge=0.001, le=1e9)] = 55.0
    samples: Count = 1_024_000  # in a group with its padding, at most; a single clip may have more
    clips: Count = 512  # in a group, at most


class MemberSettings(Settings):
    """A kind of net and how it is trained. A run trains one net of it for each fold."""

    input: InputSettings
    frontend: Part
    backbone: Part
    head: Part
    start_from: Name | None = None  # another member; its net of the same fold gives the first weights
    # The clips that the first task learns from. trusted: the verified ones, and all of the classes that have no verified
    # clip to learn from in some fold.
    clips: Literal["labelled", "verified", "trusted"] = "labelled"
    agreement: Name | None = None  # one of the recipe's agreements, which takes the place of the unverified clips' labels
    batch: BatchSettings = BalancedSettings()
    loss: LossSettings = LossSettings()
    noisy: NoisySettings | None = None
    soft: SoftSettings | None = None
    optimiser: OptimiserSettings = AdamSettings()
    schedule: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=100)]
    validation: ValidationSettings
    views: Annotated[tuple[View, ...], Field(min_length=1, max_length=100)] = ("whole",)  # versions of each clip that are scored
    scoring: ScoringSettings = ScoringSettings()

    @property
    def snapshots(self) -> int:
        """The number of snapshots that the schedule takes."""
        return sum(phase.cycles or 0 for phase in self.schedule)

    @property
    def schedule_words(self) -> str:
        """The schedule as text for people: ``8 × 64 epochs``, ``150,000 batches + 100,000 batches``."""
        return " + ".join(
            (f"{phase.cycles} × " if phase.cycles else "")
            + (f"{phase.batches:,} batches" if phase.batches else f"{phase.epochs:,} epochs")
            for phase in self.schedule
        )

    @property
    def snapshot_names(self) -> list[str]:
        """The names of all snapshots: ``1``, ``2`` …"""
        return [str(number + 1) for number in range(self.snapshots)]

    @property
    def kept_weights(self) -> list[str]:
        """The names of the weights that are scored unless an ensemble names others: ``best``, ``last``, or all snapshots."""
        return self.snapshot_names if self.validation.keep == "snapshots" else [self.validation.keep]

    @property
    def unbiased_weights(self) -> list[str]:
        """The names of the weights that other stages use: never ``best``, which is chosen with the fold's validation labels."""
        return self.kept_weights if self.validation.keep == "snapshots" else ["last"]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.agreement and self.clips != "labelled":
            raise ValueError("agreement: it is about the labels of unverified clips; the first task takes clips: labelled then")
        if self.noisy and self.clips != "verified":
            raise ValueError("noisy: its clips are the unverified ones; the first task takes clips: verified then")
        if self.soft and self.batch.sampling == "shuffled" and self.batch.size < 2:
            raise ValueError("soft: half of a batch are verified clips, half the others; batch.size must be at least 2")
        if self.validation.keep == "snapshots" and not self.snapshots:
            raise ValueError("validation.keep is snapshots, and no phase of the schedule has cycles")
        if self.batch.sampling == "shuffled" and max(self.batch.windows, default=0) > MOST_SECONDS * self.input.sample_rate:
            raise ValueError(f"batch.windows: one is longer than {MOST_SECONDS} s")
        if len(set(self.views)) < len(self.views):
            raise ValueError("a view stands twice")
        if self.loss.kind == "cross_entropy" and (self.noisy or self.soft):
            raise ValueError("noisy and soft tasks go with loss.kind bce or kl")
        if self.noisy and self.noisy.double_sigmoid and self.loss.kind != "bce":
            raise ValueError("noisy.double_sigmoid is a way of bce")
        if self.batch.sampling == "shuffled" and self.batch.edge and self.input.fill == "tile":
            raise ValueError("batch.edge puts zeros around each clip, and input.fill tile wants none")
        if self.batch.sampling == "balanced" and (self.soft or self.noisy or self.input.fill == "tile"):
            raise ValueError("noisy and soft tasks, and input.fill tile, go with batch.sampling shuffled")
        return self


class PseudoLabelSettings(Settings):
    """Pseudo labels: the labels of unverified clips, guessed by a member's nets (Akiyama & Sato §2.2)."""

    member: Name  # the member that guesses
    temperature: Power = 2.0  # T: the mean of the scores to the power of T, then divided by its sum
    folds: Literal["same", "all"] = "same"  # the folds whose nets guess; all: the nets of other folds leak validation labels


class AgreementSettings(Settings):
    """Agreement: what the labels of unverified clips probably are, by a member's guesses and the given labels together.

    The member's nets never learned from the labels that they judge: where it learns from unverified clips, the clips have four parts,
    and it is trained once more without each part, to judge that part's labels.
    """

    member: Name  # the member that guesses
    strength: Weight = 2.0  # of what all classes have in common, in clips of each class, where rates of wrong labels are estimated


class VoterSettings(Settings):
    """A member's part in an ensemble: which weights of its nets vote, on which views of a clip, and with what weight."""

    weight: Weight = 1.0  # in the ensemble's mean, all votes of the member together
    weights: Literal["best", "last", "snapshots"] | None = None  # by default those of the member's validation.keep
    snapshots: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None  # numbers of the snapshots that vote; by default all
    views: Annotated[tuple[View, ...], Field(min_length=1, max_length=100)] | None = None  # by default the views of the member

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in ("snapshots", "views"):
            if len(set(getattr(self, name) or ())) < len(getattr(self, name) or ()):
                raise ValueError(f"one of the {name} stands twice")
        if self.snapshots and self.weights not in (None, "snapshots"):
            raise ValueError(f"snapshots are named, but weights are {self.weights}")
        return self


class EnsembleSettings(Settings):
    """How the scores of members are combined (Jeong & Lim §3.4, equation 8; Akiyama & Sato §3.6).

    Training does not depend on ensembles: an ensemble can be added to the recipe of a finished run, and is scored then.
    """

    title: str = ""  # for people: its name in a publication
    quoted: Chance | None = None  # its figure in the publication
    rule: Literal["geometric_mean", "arithmetic_mean"] = "geometric_mean"
    members: dict[Name, VoterSettings] = Field(default_factory=dict)  # if empty: all members with weight 1


class PublishedSettings(Settings):
    """The numbers of the data that the system was published with, for ``--plan`` without a store."""

    verified: Count
    unverified: Annotated[Whole, Field(ge=0, le=10**9)]
    classes: Annotated[Whole, Field(ge=2, le=100_000)]
    folds: Annotated[Few, Field(ge=2)]


class Recipe(Settings):
    """The settings of a whole system. See ``recipes/`` for complete recipes."""

    name: Name
    title: str
    about: str = ""  # what it is good for, in a sentence for people who have not met its parts
    source: str = ""  # the publication
    seed: Annotated[Whole, Field(ge=0, lt=2**64)] = 0
    unverified: Literal["other_folds", "all"] = (
        "other_folds"  # the unverified clips that may train in a fold: with all, also those of the fold itself
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # what nets compute in; auto: the faster one on the machine
    published: PublishedSettings | None = None
    members: Annotated[dict[Name, MemberSettings], Field(min_length=1, max_length=MOST_MEMBERS)]
    pseudo_labels: dict[Name, PseudoLabelSettings] = Field(default_factory=dict)
    agreements: dict[Name, AgreementSettings] = Field(default_factory=dict)
    # The first ensemble is the run's own: its figures come first, and it becomes the bundle.
    ensembles: Annotated[dict[Name, EnsembleSettings], Field(min_length=1)] = Field(
        default_factory=lambda: {"all": EnsembleSettings()}
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, settings in self.pseudo_labels.items():
            self._require_member(f"pseudo_labels.{name}.member", settings.member)
        if self.agreements and self.unverified == "all":
            raise ValueError("agreements: they judge clips of other folds; unverified must be other_folds")
        for name, agreement in self.agreements.items():
            self._require_member(f"agreements.{name}.member", agreement.member)
        for name, member in self.members.items():
            if member.agreement is not None and member.agreement not in self.agreements:
                raise ValueError(
                    f"members.{name}.agreement: no agreement {member.agreement!r}; there are {listed(self.agreements) or 'none'}"
                )
            if member.start_from is not None:
                self._require_member(f"members.{name}.start_from", member.start_from)
            if member.soft is not None and member.soft.labels not in self.pseudo_labels:
                raise ValueError(
                    f"members.{name}.soft.labels: no pseudo labels {member.soft.labels!r}; there are {listed(self.pseudo_labels) or 'none'}"
                )
        safe: set[str] = set()
        for name in self.members:
            self._refuse_circle(name, [], safe)
        for name, ensemble in self.ensembles.items():
            for voter_name, voter in ensemble.members.items():
                self._require_member(f"ensembles.{name}.members", voter_name)
                snapshots = self.members[voter_name].snapshots
                if (voter.snapshots or voter.weights == "snapshots") and max(voter.snapshots or (1,)) > snapshots:
                    raise ValueError(
                        f"ensembles.{name}.members.{voter_name}.snapshots: the schedule of {voter_name} takes {snapshots or 'none'}"
                    )
        return self

    def _require_member(self, where: str, name: str) -> None:
        if name not in self.members:
            raise ValueError(f"{where}: no member {name!r}; the members are {listed(self.members)}")

    def _refuse_circle(self, name: str, above: list[str], safe: set[str]) -> None:
        if name in above:
            raise ValueError(f"members need each other in a circle: {' → '.join([*above[above.index(name) :], name])}")
        if name not in safe:  # else the ways to it, which may be many, would all be gone
            for needed in self.needs(name):
                self._refuse_circle(needed, [*above, name], safe)
            safe.add(name)

    def needs(self, member: str) -> list[str]:
        """The members that must be trained before this one: it starts from their weights, or they guess its pseudo labels."""
        settings = self.members[member]
        needed = [settings.start_from] if settings.start_from else []
        if settings.soft:
            needed.append(self.pseudo_labels[settings.soft.labels].member)
        if settings.agreement:
            needed.append(self.agreements[settings.agreement].member)
        return list(dict.fromkeys(needed))

    def leaks(self, member: str) -> bool:
        """Whether validation labels get into a member's training, through pseudo labels guessed by nets of other folds."""
        behind = [member]  # and all that it needs, directly or not
        for name in behind:
            behind += [needed for needed in self.needs(name) if needed not in behind]
        softs = [self.members[name].soft for name in behind]
        return any(soft is not None and self.pseudo_labels[soft.labels].folds == "all" for soft in softs)

    def voters(self, ensemble: str) -> dict[str, VoterSettings]:
        """The members of an ensemble and how they vote, in the recipe's order; all members if the ensemble names none."""
        voters = self.ensembles[ensemble].members
        return {name: voters.get(name, VoterSettings()) for name in self.members if not voters or name in voters}

    def training_settings(self) -> dict[str, Any]:
        """The settings that training depends on, as plain data; ensembles and views only say what is scored, and are left out.

        But the views of a member that judges labels stay: other members learn what it thinks of them.
        """
        settings = self.model_dump(mode="json", exclude={"title", "about", "source", "published", "ensembles"})
        judges = {agreement.member for agreement in self.agreements.values()}
        for name in settings["members"].keys() - judges:
            del settings["members"][name]["views"]
        if not self.agreements:  # a recipe without them has the fingerprint that it had before there were any
            del settings["agreements"]
            for member in settings["members"].values():
                del member["agreement"]
        return settings

    def fingerprint(self) -> str:
        """32 hex digits that change if a setting that training depends on changes."""
        return hashlib.sha256(json.dumps(self.training_settings(), sort_keys=True).encode()).hexdigest()[:32]

    def to_yaml(self) -> str:
        """The recipe as YAML with all values; loading it gives an equal recipe."""
        return as_text(self.model_dump(mode="json"))

    def choose_members(self, names: Sequence[str] | None) -> list[str]:
        """The names of members to train, in the recipe's order; all if ``names`` is None.

        Raises:
            RecipeError: there is no such member.
        """
        if names is None:
            return list(self.members)
        if unknown := set(names) - set(self.members):
            raise RecipeError(f"no member {listed(unknown)} in recipe {self.name}; its members are {listed(self.members)}")
        return [name for name in self.members if name in names]
