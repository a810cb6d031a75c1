"""Loading a recipe: files, ``extends`` and ``like``, and ``--set`` overrides."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from earmark.errors import RecipeError, listed
from earmark.recipe.explain import faults
from earmark.recipe.schema import Recipe

BUILT_IN = Path(__file__).parent.parent / "recipes"


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
        raise RecipeError(f"{path.name}: " + "; ".join(faults(error))) from None


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
        raise RecipeError(f"--set {override}: no member {parents[1]!r}; the members are {listed(data['members'])}")
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
