"""A recipe: every setting of one system, typed; loading, ``--set`` overrides and the fingerprint."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from earmark.errors import RecipeError

BUILT_IN = Path(__file__).parent / "recipes"
SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # names that become folders

Number = TypeVar("Number", int, float)
Name = Annotated[str, Field(pattern=SAFE_NAME)]
Chance = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
# A version of a clip that is scored: as it is, or with so many frames (samples, for a waveform net) of zeros on both sides.
View = Annotated[str, Field(pattern=r"^(whole|pad[0-9]{1,6})$")]


def _ordered(limits: tuple[Number, Number]) -> tuple[Number, Number]:
    if limits[0] > limits[1]:
        raise ValueError("the lower limit is above the upper one")
    return limits


Ordered = AfterValidator(_ordered)  # a lower limit and an upper one


class Settings(BaseModel):
    """Frozen, and nothing that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(BaseModel):
    """A front end, backbone or head: its name, and the flat arguments of its class, which checks them when it is built."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class InputSettings(Settings):
    """How a clip becomes a member's input; the same in training and when tagging."""

    sample_rate: Annotated[int, Field(ge=1000)]  # Hz
    window: Annotated[int, Field(ge=1)]  # samples: the length of a training example; shorter clips are filled to it
    trim_silence: bool = False  # leave out the digital silence at both ends of a clip
    fill: Literal["zeros", "tile"] = "zeros"  # what a clip shorter than the window is filled with; tile repeats the clip
    fill_short: bool = True  # whether a short clip is filled when it is scored, too; else it is scored at its own length
    peak_normalised: bool = True  # whether a clip is scaled to peak 1 when it is scored (in training, mixing does that)


class FrequencyMaskSettings(Settings):
    """One run of mel bands without power."""

    chance: Chance = 0.5
    width: Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]], Ordered]  # bands, both ends included


class BalancedSettings(Settings):
    """Class-balanced batches and their mixing (Jeong & Lim §3.1, equation 2)."""

    sampling: Literal["balanced"] = "balanced"
    clips_per_class: Annotated[int, Field(ge=1)] = 1
    partner: Literal["other_class", "any"] = "other_class"  # where the second clip of a mix is drawn from
    mix_alpha: Positive = 0.4  # λ ~ Beta(α, α), folded to λ > 0.5
    gain: Annotated[tuple[Annotated[float, Field(ge=0)], Positive], Ordered] = (0.0, 1.0)  # w ~ U(low, high]
    peak: Literal["window", "clip"] = "window"  # what max|x| is taken over
    verified_by: Literal["dominant", "both"] = "dominant"  # whose flag a mixed example carries
    speed: Annotated[tuple[Annotated[float, Field(ge=0.25)], Annotated[float, Field(le=4)]], Ordered] = (
        1.0,
        1.0,
    )  # log-uniform, pitch with it
    frequency_mask: FrequencyMaskSettings | None = None


class MixSettings(Settings):
    """Mixing an example with another (Akiyama & Sato §3.3)."""

    kind: Literal["plain", "between_class"] = "plain"  # between_class weighs two waveforms by how loud they are
    chance: Chance = 0.5
    alpha: Positive = 1.0  # share ~ Beta(α, α)
    self_mix: bool = False  # as released for waveforms: the labels are mixed, the sound is mixed with itself


class GainSettings(Settings):
    """A random factor on the power mel or on the waveform."""

    chance: Chance = 0.5
    unit: Literal["factor", "decibel"] = "factor"  # what the range is in, and uniform in; decibels are of amplitude
    range: Annotated[tuple[float, float], Ordered]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.unit == "factor" and self.range[0] < 0:
            raise ValueError("a factor is not below 0")
        return self


class AdditionalCropSettings(Settings):
    """Only a part of what was cut is kept, zeros elsewhere."""

    chance: Chance = 0.5
    keep: Annotated[tuple[Positive, Annotated[float, Field(le=1)]], Ordered] = (0.25, 1.0)  # the share that is kept


class SpeedSettings(Settings):
    """Playing faster or slower, pitch with it."""

    chance: Chance = 1.0
    range: Annotated[tuple[Annotated[float, Field(ge=0.25)], Annotated[float, Field(le=4)]], Ordered]  # log-uniform


class ShuffledSettings(Settings):
    """Batches in passes over all clips, and what is done to each example (Akiyama & Sato §3.3), in this order."""

    sampling: Literal["shuffled"]
    size: Annotated[int, Field(ge=1)]
    windows: tuple[Annotated[int, Field(ge=1)], ...] = ()  # samples: one of these is drawn for each batch; none: input.window
    speed: SpeedSettings | None = None
    edge: Chance = 0.0  # zeros in front of and behind each clip before it is cut, as a share of the window
    additional_crop: AdditionalCropSettings | None = None
    mix: MixSettings | None = None
    gain: GainSettings | None = None
    frequency_mask: FrequencyMaskSettings | None = None


def _sampling(batch: Any) -> str:
    return str(batch.get("sampling", "balanced") if isinstance(batch, dict) else getattr(batch, "sampling", "balanced"))


BatchSettings = Annotated[
    Annotated[BalancedSettings, Tag("balanced")] | Annotated[ShuffledSettings, Tag("shuffled")], Discriminator(_sampling)
]


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
    keep: Literal["best", "last", "snapshots"]  # which weights count

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.every is None) == (self.epochs is None):
            raise ValueError("says either every (so many batches) or epochs")
        return self


class ScoringSettings(Settings):
    """Which clips go through the net together when whole clips are scored (Akiyama & Sato §3.6)."""

    patience: Annotated[float, Field(ge=0, le=1)] = 0.0  # how much longer than the shortest of them one may be, at most
    samples: Annotated[int, Field(ge=1)] = 1_024_000  # at most, filled up; one clip alone may have more
    clips: Annotated[int, Field(ge=1)] = 512  # at most


class MemberSettings(Settings):
    """One kind of net and how it is trained; one net a fold."""

    input: InputSettings
    frontend: Part
    backbone: Part
    head: Part
    start_from: Name | None = None  # another member, whose weights of the same fold are the first ones
    clips: Literal["labelled", "verified"] = "labelled"  # what the first task is taught by
    batch: BatchSettings = BalancedSettings()
    loss: LossSettings = LossSettings()
    noisy: NoisySettings | None = None
    soft: SoftSettings | None = None
    optimiser: OptimiserSettings = AdamSettings()
    schedule: Annotated[tuple[Phase, ...], Field(min_length=1)]
    validation: ValidationSettings
    views: Annotated[tuple[View, ...], Field(min_length=1)] = ("whole",)  # of each clip, when it is scored
    scoring: ScoringSettings = ScoringSettings()

    @property
    def snapshots(self) -> int:
        """How many the schedule takes."""
        return sum(phase.cycles or 0 for phase in self.schedule)

    @property
    def schedule_words(self) -> str:
        """The schedule for people: ``8 × 64 epochs``, ``150,000 batches + 100,000 batches``."""
        return " + ".join(
            (f"{phase.cycles} × " if phase.cycles else "")
            + (f"{phase.batches:,} batches" if phase.batches else f"{phase.epochs:,} epochs")
            for phase in self.schedule
        )

    @property
    def counted(self) -> list[str]:
        """The names of the weights that count: ``best``, ``last``, or the snapshots ``1`` …"""
        return [str(n + 1) for n in range(self.snapshots)] if self.validation.keep == "snapshots" else [self.validation.keep]

    @property
    def unselected(self) -> list[str]:
        """The weights that other stages go on from: never the best, which were chosen on the fold's validation clips."""
        return self.counted if self.validation.keep == "snapshots" else ["last"]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.noisy and self.clips != "verified":
            raise ValueError("noisy: its clips are the unverified ones; the first task takes clips: verified then")
        if self.soft and self.batch.sampling == "shuffled" and self.batch.size < 2:
            raise ValueError("soft: half of a batch are verified clips, half the others; batch.size must be at least 2")
        if self.validation.keep == "snapshots" and not self.snapshots:
            raise ValueError("validation.keep is snapshots, and no phase of the schedule has cycles")
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
    """A stage that guesses the labels of unverified clips with a member's nets (Akiyama & Sato §2.2)."""

    member: Name
    temperature: Positive = 2.0  # T: the mean guess to this power, then divided by its sum
    folds: Literal["same", "all"] = "same"  # all: nets of other folds know this fold's validation labels: they leak


class VoiceSettings(Settings):
    """A member's part in an ensemble."""

    weight: Positive = 1.0
    snapshots: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None  # all that count
    views: Annotated[tuple[View, ...], Field(min_length=1)] | None = None  # all that the member has

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in ("snapshots", "views"):
            if len(set(getattr(self, name) or ())) < len(getattr(self, name) or ()):
                raise ValueError(f"one of the {name} stands twice")
        return self


class EnsembleSettings(Settings):
    """How members' scores become one (Jeong & Lim §3.4, equation 8; Akiyama & Sato §3.6)."""

    rule: Literal["geometric_mean", "arithmetic_mean"] = "geometric_mean"
    members: dict[Name, VoiceSettings] = {}  # every member with weight 1 where none is named


class PublishedSettings(Settings):
    """The data that the system was published with: what ``--plan`` counts with where there is no store."""

    verified: Annotated[int, Field(ge=1)]
    unverified: Annotated[int, Field(ge=0)]
    classes: Annotated[int, Field(ge=2)]
    folds: Annotated[int, Field(ge=2)]


class Recipe(Settings):
    """A whole system. See ``recipes/`` for complete ones."""

    name: Annotated[str, Field(pattern=SAFE_NAME)]
    title: str
    source: str = ""  # the publication
    seed: Annotated[int, Field(ge=0)] = 0
    unverified: Literal["other_folds", "all"] = "other_folds"  # whether a fold's own unverified clips train in it
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the net's arithmetic; auto: the faster one on the machine
    published: PublishedSettings | None = None
    members: Annotated[dict[Name, MemberSettings], Field(min_length=1)]
    pseudo_labels: dict[Name, PseudoLabelSettings] = {}
    # The first is the run's own: its figures stand first, and it becomes the bundle.
    ensembles: Annotated[dict[Name, EnsembleSettings], Field(min_length=1)] = {"all": EnsembleSettings()}

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, stage in self.pseudo_labels.items():
            self._require_member(f"pseudo_labels.{name}.member", stage.member)
        for name, member in self.members.items():
            if member.start_from is not None:
                self._require_member(f"members.{name}.start_from", member.start_from)
            if member.soft is not None and member.soft.labels not in self.pseudo_labels:
                raise ValueError(
                    f"members.{name}.soft.labels: no pseudo labels {member.soft.labels!r}; there are {_list(self.pseudo_labels) or 'none'}"
                )
        for name in self.members:
            self._refuse_circle(name, [])
        for name, ensemble in self.ensembles.items():
            for of, voice in ensemble.members.items():
                self._require_member(f"ensembles.{name}.members", of)
                at, member = f"ensembles.{name}.members.{of}", self.members[of]
                if voice.snapshots is not None and member.validation.keep != "snapshots":
                    raise ValueError(f"{at}.snapshots: of {of} no snapshots are kept")
                if voice.snapshots is not None and max(voice.snapshots) > member.snapshots:
                    raise ValueError(f"{at}.snapshots: {of} has {member.snapshots}")
                if voice.views is not None and (unknown := set(voice.views) - set(member.views)):
                    raise ValueError(f"{at}.views: {of} has no view {_list(unknown)}; it has {', '.join(member.views)}")
        return self

    def _require_member(self, where: str, name: str) -> None:
        if name not in self.members:
            raise ValueError(f"{where}: no member {name!r}; the members are {_list(self.members)}")

    def _refuse_circle(self, name: str, above: list[str]) -> None:
        if name in above:
            raise ValueError(f"members need each other in a circle: {' → '.join([*above[above.index(name) :], name])}")
        for needed in self.needs(name):
            self._refuse_circle(needed, [*above, name])

    def needs(self, member: str) -> list[str]:
        """The members that must be trained before this one: whose weights it starts from, who guess its pseudo labels."""
        settings = self.members[member]
        found = [settings.start_from] if settings.start_from else []
        if settings.soft:
            found.append(self.pseudo_labels[settings.soft.labels].member)
        return list(dict.fromkeys(found))

    def leaks(self, member: str) -> bool:
        """Whether validation labels reach its training, through pseudo labels guessed by nets of other folds."""
        soft = self.members[member].soft
        return (soft is not None and self.pseudo_labels[soft.labels].folds == "all") or any(map(self.leaks, self.needs(member)))

    def voices(self, ensemble: str) -> dict[str, VoiceSettings]:
        """The members of an ensemble in the recipe's order, each with its snapshots (as names in `counted`) and views filled in."""
        named = self.ensembles[ensemble].members
        found = {}
        for name, member in self.members.items():
            if named and name not in named:
                continue
            voice = named.get(name, VoiceSettings())
            found[name] = voice.model_copy(update={} if voice.views else {"views": member.views})
        return found

    def counted(self, member: str, voice: VoiceSettings) -> list[str]:
        """The names of the weights of a member that an ensemble uses."""
        return self.members[member].counted if voice.snapshots is None else [str(n) for n in voice.snapshots]

    def fingerprint(self) -> str:
        """32 hex digits that change with any setting."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:32]

    def to_yaml(self) -> str:
        """The recipe with every value spelled out; loads to an equal recipe."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)

    def choose_members(self, names: Sequence[str] | None) -> list[str]:
        """The named members in the recipe's order, all by default.

        Raises:
            RecipeError: there is no such member.
        """
        if names is None:
            return list(self.members)
        if unknown := set(names) - set(self.members):
            raise RecipeError(f"no member {_list(unknown)} in recipe {self.name}; its members are {_list(self.members)}")
        return [name for name in self.members if name in names]


def built_in_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def load_recipe(name_or_file: str, overrides: Sequence[str] = ()) -> Recipe:
    """A built-in recipe by name, or one from a YAML file.

    A member may say ``like: OTHER`` and then only what differs; a recipe may say ``extends: RECIPE`` in the same way.
    ``overrides`` are ``key=value`` with dotted keys below the
    recipe (``members.logmel-16k.loss.masking=null``); ``*`` in the place of a member's name means all of them.

    Raises:
        RecipeError: there is no such recipe, it is no YAML, or a setting is unknown or has a value it cannot have.

    >>> load_recipe("tiny", ["seed=7"]).seed
    7
    """
    path = recipe_file(name_or_file)
    data = _read(path)
    try:
        for override in overrides:
            _apply_override(data, override)
        return Recipe.model_validate(data)
    except ValidationError as error:
        errors = error.errors()
        # A list of which an item is wrong is no shorter for it.
        told = [e for e in errors if e["type"] != "too_short" or not any(_is_below(other["loc"], e["loc"]) for other in errors)]
        faults = [f"{'.'.join(map(str, _plain(e['loc']))) or 'recipe'}: {_fault(e)}" for e in told]
        raise RecipeError(f"{path.name}: " + "; ".join(faults)) from None


def recipe_file(name_or_file: str, beside: Path | None = None) -> Path:
    """Where a recipe lies: a built-in one by name, else a file, looked for in the folder ``beside`` which it is named.

    Raises:
        RecipeError: there is no such recipe.
    """
    path = BUILT_IN / f"{name_or_file}.yaml"
    if not path.is_file():
        path = (beside or Path()) / name_or_file
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            raise RecipeError(f"no recipe {name_or_file!r}: neither a YAML file nor one of {', '.join(built_in_recipes())}")
    return path


def _read(path: Path, above: Sequence[Path] = ()) -> dict[str, Any]:
    """A recipe's plain data: what it extends and what its members are like filled in."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or not isinstance(data.get("members"), dict):
        raise RecipeError(f"{path}: a recipe is a mapping with a mapping `members` in it")
    if "extends" not in data:
        return {**data, "members": _resolve_likes(data["members"])}
    base = recipe_file(str(data.pop("extends")), path.parent)
    if base in above or base == path:
        raise RecipeError(f"{path}: extends itself")
    below = _read(base, [*above, path])
    merged = {**below, **{key: _merge(below.get(key), own) for key, own in data.items()}}
    return {**merged, "members": _resolve_likes(merged["members"])}


KINDS_OF = {"batch": ("balanced", "shuffled"), "optimiser": ("adam", "sgd")}  # settings that come in kinds


def _is_below(location: Sequence[str | int], other: Sequence[str | int]) -> bool:
    return len(location) > len(other) and list(location[: len(other)]) == list(other)


def _plain(location: Sequence[str | int]) -> list[str | int]:
    """The place as it is written in a recipe, without the kind that pydantic puts behind `batch` and `optimiser`."""
    before = [None, *location]
    return [part for part, above in zip(location, before, strict=False) if part not in KINDS_OF.get(str(above), ())]


def _fault(error: Any) -> str:
    if error["type"] == "union_tag_invalid":
        return f"no kind {error['ctx']['tag']!r}; there are {', '.join(KINDS_OF[error['loc'][-1]])}"
    if error["type"] != "extra_forbidden":
        return str(error["msg"]).removeprefix("Value error, ")
    return f"no such setting; there are {', '.join(_settings_at(error['loc'][:-1]))}"


def _settings_at(location: Sequence[str | int]) -> list[str]:
    """The names that a group of settings has, found by walking the schema."""
    schema = Recipe.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        options = [node, *node.get("anyOf", []), *node.get("oneOf", [])]
        options = [schema["$defs"][option["$ref"].rsplit("/", 1)[1]] if "$ref" in option else option for option in options]
        kinds = [o for o in options for p in o.get("properties", {}).values() if p.get("const") == part]
        if kinds:  # the part is no name but the kind that pydantic puts there
            node = kinds[0]
            continue
        inner = [
            o.get("properties", {}).get(str(part))
            or next(iter(o.get("patternProperties", {}).values()), None)  # mappings by name
            or o.get("additionalProperties")
            or o.get("items")
            for o in options
        ]
        node = next((found for found in inner if isinstance(found, dict)), {})
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return list(node.get("properties", {}))


def _resolve_likes(members: Mapping[str, Any]) -> dict[str, Any]:
    resolved: dict[str, Any] = {}
    for name, own in members.items():
        if not isinstance(own, dict):
            raise RecipeError(f"members.{name}: not a mapping")
        own = dict(own)
        if "like" in own:
            model = own.pop("like")
            if model not in resolved:
                raise RecipeError(f"members.{name}.like: no member {model!r} above it")
            own = _merge(copy.deepcopy(resolved[model]), own)  # else --set would change both
        resolved[str(name)] = own
    return resolved


def _merge(base: Any, own: Any) -> Any:
    """``own`` over ``base``; a part with another ``name``, or batches of another ``sampling``, take nothing from the old one."""
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    if any(own.get(key, base.get(key)) != base.get(key) for key in ("name", "sampling")):
        return own
    return {
        key: _merge(base.get(key), own[key]) if key in own else base[key] for key in [*base, *(k for k in own if k not in base)]
    }


def _apply_override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {override}: write it as key=value, for example --set seed=1")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"--set {override}: the value is no YAML") from None
    if isinstance(value, str):  # YAML reads 1e-3 as a word
        try:
            value = float(value)
        except ValueError:
            pass
    *parents, last = key.split(".")
    if len(parents) > 1 and parents[0] == "members" and parents[1] not in ("*", *data["members"]):
        raise RecipeError(f"--set {override}: no member {parents[1]!r}; the members are {_list(data['members'])}")
    places: list[Any] = [data]
    for part in parents:
        places = [child for place in places for child in _children(place, part)]
    if not places:
        raise RecipeError(f"--set {override}: no setting {key!r}")
    for place in places:
        if isinstance(place, list) and last.isdigit() and int(last) < len(place):
            place[int(last)] = copy.deepcopy(value)
        elif isinstance(place, dict):
            place[last] = copy.deepcopy(value)  # each member its own: a later --set may change one of them
        else:
            raise RecipeError(f"--set {override}: no setting {key!r}")


def _children(place: Any, part: str) -> list[Any]:
    if isinstance(place, list):
        return [place[int(part)]] if part.isdigit() and int(part) < len(place) else []
    if not isinstance(place, dict):
        return []
    if part == "*":
        return list(place.values())
    if part not in place:
        place[part] = {}  # a group of settings left at its defaults; the schema refuses what it does not know
    return [place[part]]


def _list(names: Any) -> str:
    return ", ".join(sorted(names))
