"""A recipe: every setting of one system, typed; loading, ``--set`` overrides and the fingerprint."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from earmark.errors import RecipeError

BUILT_IN = Path(__file__).parent / "recipes"
SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # names that become folders


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
    window: Annotated[int, Field(ge=1)]  # samples: the length of a training example; shorter clips are padded to it
    trim_silence: bool = False  # leave out the digital silence at both ends of a clip


class BatchSettings(Settings):
    """Class-balanced batches and their mixing (Jeong & Lim §3.1, equation 2)."""

    clips_per_class: Annotated[int, Field(ge=1)] = 1
    partner: Literal["other_class", "any"] = "other_class"  # where the second clip of a mix is drawn from
    mix_alpha: Annotated[float, Field(gt=0)] = 0.4  # λ ~ Beta(α, α), folded to λ > 0.5
    gain: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)]] = (0.0, 1.0)  # w ~ U(low, high]
    peak: Literal["window", "clip"] = "window"  # what max|x| is taken over
    verified_by: Literal["dominant", "both"] = "dominant"  # whose flag a mixed example carries
    speed: tuple[Annotated[float, Field(ge=0.25)], Annotated[float, Field(le=4)]] = (1.0, 1.0)  # log-uniform, pitch with it

    @field_validator("gain", "speed")
    @classmethod
    def _ordered(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] > limits[1]:
            raise ValueError("the lower limit is above the upper one")
        return limits


class LossSettings(Settings):
    """Cross-entropy with batch-wise loss masking (Jeong & Lim §3.3.1)."""

    masking: Annotated[float, Field(gt=0, le=1)] | None = 0.8  # α of equation (7); null trains on every label as it is


class OptimiserSettings(Settings):
    name: Literal["adam"] = "adam"
    epsilon: Annotated[float, Field(gt=0)] = 1e-7


class Phase(Settings):
    """A stretch of the schedule: a constant rate, or a cosine from ``rate`` to ``final_rate``."""

    batches: Annotated[int, Field(ge=1)]
    rate: Annotated[float, Field(gt=0)]
    final_rate: Annotated[float, Field(gt=0)] | None = None

    @property
    def last_rate(self) -> float:
        return self.rate if self.final_rate is None else self.final_rate


class ValidationSettings(Settings):
    every: Annotated[int, Field(ge=1)]  # batches
    metric: Literal["map@3", "accuracy", "lwlrap"] = "map@3"
    keep: Literal["best", "last"]  # which weights count


class MemberSettings(Settings):
    """One kind of net and how it is trained; one net a fold."""

    input: InputSettings
    frontend: Part
    backbone: Part
    head: Part
    batch: BatchSettings = BatchSettings()
    loss: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    schedule: Annotated[tuple[Phase, ...], Field(min_length=1)]
    validation: ValidationSettings

    @property
    def batches(self) -> int:
        """Length of the whole schedule."""
        return sum(phase.batches for phase in self.schedule)


class EnsembleSettings(Settings):
    """How members' scores become one (Jeong & Lim §3.4, equation 8)."""

    rule: Literal["geometric_mean", "arithmetic_mean"] = "geometric_mean"
    weights: dict[str, Annotated[float, Field(gt=0)]] = {}  # by member; 1 where not named


class Recipe(Settings):
    """A whole system. See ``recipes/`` for complete ones."""

    name: Annotated[str, Field(pattern=SAFE_NAME)]
    title: str
    source: str = ""  # the publication
    seed: Annotated[int, Field(ge=0)] = 0
    unverified: Literal["other_folds", "all"] = "other_folds"  # whether a fold's own unverified clips train in it
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the net's arithmetic; auto: the faster one on the machine
    members: Annotated[dict[Annotated[str, Field(pattern=SAFE_NAME)], MemberSettings], Field(min_length=1)]
    ensemble: EnsembleSettings = EnsembleSettings()

    @model_validator(mode="after")
    def _weights_name_members(self) -> Self:
        if unknown := set(self.ensemble.weights) - set(self.members):
            raise ValueError(f"ensemble.weights names {_list(unknown)}; the members are {_list(self.members)}")
        return self

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

    A member may say ``like: OTHER`` and then only what differs. ``overrides`` are ``key=value`` with dotted keys below the
    recipe (``members.logmel-16k.loss.masking=null``); ``*`` in the place of a member's name means all of them.

    Raises:
        RecipeError: there is no such recipe, it is no YAML, or a setting is unknown or has a value it cannot have.

    >>> load_recipe("tiny", ["seed=7"]).seed
    7
    """
    path = BUILT_IN / f"{name_or_file}.yaml"
    if not path.is_file():
        path = Path(name_or_file)
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            raise RecipeError(f"no recipe {name_or_file!r}: neither a YAML file nor one of {', '.join(built_in_recipes())}")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or not isinstance(data.get("members"), dict):
        raise RecipeError(f"{path}: a recipe is a mapping with a mapping `members` in it")
    try:
        data["members"] = _resolve_likes(data["members"])
        for override in overrides:
            _apply_override(data, override)
        return Recipe.model_validate(data)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {_fault(e)}" for e in error.errors()]
        raise RecipeError(f"{path.name}: " + "; ".join(faults)) from None


def _fault(error: Any) -> str:
    if error["type"] != "extra_forbidden":
        return str(error["msg"])
    return f"no such setting; there are {', '.join(_settings_at(error['loc'][:-1]))}"


def _settings_at(location: Sequence[str | int]) -> list[str]:
    """The names that a group of settings has, found by walking the schema."""
    schema = Recipe.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        options = [node, *node.get("anyOf", [])]
        options = [schema["$defs"][option["$ref"].rsplit("/", 1)[1]] if "$ref" in option else option for option in options]
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
    """``own`` over ``base``; a part with another ``name`` takes nothing from the old one."""
    if not isinstance(base, dict) or not isinstance(own, dict) or own.get("name", base.get("name")) != base.get("name"):
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
            place[int(last)] = value
        elif isinstance(place, dict):
            place[last] = value
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
