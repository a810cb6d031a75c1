"""Loading a recipe: its file, ``extends``, ``like``, and the changes of ``--set``."""

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
    """The names of the recipes that come with earmark, sorted."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def load_recipe(name_or_file: str, overrides: Sequence[str] = ()) -> Recipe:
    """Loads a recipe.

    A member may say ``like: OTHER``, and then only what differs from the other member. In the same way, a recipe may say
    ``extends: RECIPE``.

    Args:
        name_or_file: name of a built-in recipe, or a YAML file.
        overrides: changes of settings, each ``key=value`` with a dotted key (``members.logmel-16k.loss.masking=null``); ``*``
            instead of a member's name means all members.

    Raises:
        RecipeError: there is no such recipe, it is not valid YAML, or a setting is unknown or has an invalid value.

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
    """The file of a recipe.

    Args:
        name_or_file: name of a built-in recipe, or a YAML file.
        beside: folder that the file's path is relative to; the current folder by default.

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
    """A recipe as plain data, with ``extends`` and ``like`` replaced by the settings that they refer to."""
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
    base_data = _read(base, [*above, path])
    merged = {**base_data, **{key: _merge(base_data.get(key), value) for key, value in data.items()}}
    return {**merged, "members": _resolve_likes(merged["members"])}


def _resolve_likes(members: Mapping[str, Any]) -> dict[str, Any]:
    resolved: dict[str, Any] = {}
    for name, member in members.items():
        if not isinstance(member, dict):
            raise RecipeError(f"members.{name}: not a mapping")
        settings = dict(member)
        if "like" in settings:
            model = settings.pop("like")
            if model not in resolved:
                raise RecipeError(f"members.{name}.like: no member {model!r} above it")
            settings = _merge(copy.deepcopy(resolved[model]), settings)  # a copy, else --set would change both members
        resolved[str(name)] = settings
    return resolved


def _merge(base: Any, changes: Any) -> Any:
    """``base`` with some settings changed. If ``name`` or ``sampling`` changes, all settings of the group are replaced."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    if any(changes.get(key, base.get(key)) != base.get(key) for key in ("name", "sampling")):
        return changes
    keys = [*base, *(key for key in changes if key not in base)]
    return {key: _merge(base.get(key), changes[key]) if key in changes else base[key] for key in keys}


def _apply_override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {override}: write it as key=value, for example --set seed=1")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"--set {override}: the value is no YAML") from None
    if isinstance(value, str):  # YAML takes 1e-3 for text
        try:
            value = float(value)
        except ValueError:
            pass
    *parents, last = key.split(".")
    if len(parents) > 1 and parents[0] == "members" and parents[1] not in ("*", *data["members"]):
        raise RecipeError(f"--set {override}: no member {parents[1]!r}; the members are {listed(data['members'])}")
    groups: list[Any] = [data]
    for part in parents:
        groups = [child for group in groups for child in _children(group, part)]
    if not groups:
        raise RecipeError(f"--set {override}: no setting {key!r}")
    for group in groups:
        if isinstance(group, list) and last.isdigit() and int(last) < len(group):
            group[int(last)] = copy.deepcopy(value)
        elif isinstance(group, dict):
            group[last] = copy.deepcopy(value)  # a copy for each member, since a later --set may change only one of them
        else:
            raise RecipeError(f"--set {override}: no setting {key!r}")


def _children(group: Any, part: str) -> list[Any]:
    """What a part of a dotted key refers to in a group of settings: for ``*`` everything in it."""
    if isinstance(group, list):
        return [group[int(part)]] if part.isdigit() and int(part) < len(group) else []
    if not isinstance(group, dict):
        return []
    if part == "*":
        return list(group.values())
    if part not in group:
        group[part] = {}  # a group that the recipe leaves at its defaults; the schema refuses unknown names
    return [group[part]]
