"""Loading a recipe: its file, ``extends``, ``like``, and the changes of ``--set``."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from earmark.errors import RecipeError, listed
from earmark.files import SMALL, read_small
from earmark.recipe.basics import MOST_MEMBERS
from earmark.recipe.explain import faults
from earmark.recipe.schema import Recipe
from earmark.recipe.text import DEEPEST, MOST_VALUES, count_values, plain_data

BUILT_IN = Path(__file__).parent.parent / "recipes"
MOST_EXTENDED = 20  # recipes of which each extends the next
MOST_TEXT = SMALL // 4  # characters of a whole recipe as JSON; YAML has up to four times as many
LONGEST_SHOWN = 300  # characters of what was typed, in a message
NO_MEMBERS = "a recipe is a mapping with a mapping `members` in it"


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
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(f"{path.name}: " + "; ".join(faults(error))) from None
    # A run writes its recipe with all defaults, and must be able to read it again.
    if count_values(whole := recipe.model_dump(mode="json")) > MOST_VALUES or len(json.dumps(whole)) > MOST_TEXT:
        raise RecipeError(f"{path.name}: with all defaults it has more than {MOST_VALUES:,} values or {MOST_TEXT // 1024} KiB")
    return recipe


def recipe_file(name_or_file: str, beside: Path | None = None) -> Path:
    """The file of a recipe.

    Args:
        name_or_file: name of a built-in recipe, or a YAML file.
        beside: folder that the file's path is relative to; the current folder by default.

    Raises:
        RecipeError: there is no such recipe.
    """
    if name_or_file in (names := built_in_recipes()):
        return BUILT_IN / f"{name_or_file}.yaml"
    path = (beside or Path()) / name_or_file
    if "\0" in name_or_file or path.suffix not in (".yaml", ".yml") or not path.exists():
        raise RecipeError(f"no recipe {name_or_file[:LONGEST_SHOWN]!r}: neither a YAML file nor one of {', '.join(names)}")
    return path


def _read(path: Path, above: Sequence[Path] = ()) -> dict[str, Any]:
    """A recipe as plain data, with ``extends`` and ``like`` replaced by the settings that they refer to.

    Args:
        path: its file.
        above: the files of the recipes that extend it, each without links, so that one file has one name.
    """
    try:
        data = plain_data(read_small(path))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not readable as YAML: it is not UTF-8") from None
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("members", {} if "extends" in data else None), dict):
        raise RecipeError(f"{path}: {NO_MEMBERS}")
    if "extends" in data:
        base = _base(path, data.pop("extends"), [*above, path.resolve()])
        data = {**base, **{key: _merge(base.get(key), value) for key, value in data.items()}}
    try:
        return {**data, "members": _resolve_likes(data["members"])}
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def _base(path: Path, name: Any, above: Sequence[Path]) -> dict[str, Any]:
    """The data of the recipe that the recipe in ``path`` extends."""
    if not isinstance(name, str):
        raise RecipeError(f"{path}: extends: the name of a recipe, or its file, is needed")
    base = recipe_file(name, path.parent)
    if base.resolve() in above:
        raise RecipeError(f"{path}: extends itself" + ("" if base.resolve() == above[-1] else f", through {base}"))
    if len(above) > MOST_EXTENDED:
        raise RecipeError(f"{path}: more than {MOST_EXTENDED} recipes extend each other")
    return _read(base, above)


def _resolve_likes(members: Mapping[str, Any]) -> dict[str, Any]:
    if len(members) > MOST_MEMBERS:
        raise RecipeError(f"members: a recipe has {MOST_MEMBERS} at most")
    resolved: dict[str, Any] = {}
    values = 0
    for name, member in members.items():
        if not isinstance(member, dict):
            raise RecipeError(f"members.{name}: not a mapping")
        settings = dict(member)
        if "like" in settings:
            model = settings.pop("like")
            if not isinstance(model, str):
                raise RecipeError(f"members.{name}.like: the name of a member above it is needed")
            if model not in resolved:
                raise RecipeError(f"members.{name}.like: no member {model[:100]!r} above it")
            settings = _merge(copy.deepcopy(resolved[model]), settings)  # a copy, else --set would change both members
        resolved[name] = settings
        values += count_values(settings)
        if values > MOST_VALUES:
            raise RecipeError(f"members.{name}: with it the members have more than {MOST_VALUES:,} values")
    return resolved


def _merge(base: Any, changes: Any) -> Any:
    """``base`` with some settings changed.

    All settings of a group are replaced if its ``name`` or ``sampling`` changes, or if it says what it is ``like`` instead.
    """
    if not isinstance(base, dict) or not isinstance(changes, dict) or "like" in changes:
        return changes
    if any(changes.get(key, base.get(key)) != base.get(key) for key in ("name", "sampling")):
        return changes
    keys = [*base, *(key for key in changes if key not in base)]
    return {key: _merge(base.get(key), changes[key]) if key in changes else base[key] for key in keys}


def _apply_override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if len(override) > LONGEST_SHOWN:
        override = override[:LONGEST_SHOWN] + "…"  # in messages
    if not equals or not key:
        raise RecipeError(f"--set {override}: write it as key=value, for example --set seed=1")
    try:
        value = plain_data(text)
    except RecipeError as error:
        raise RecipeError(f"--set {override}: {error}") from None
    *parents, last = key.split(".")
    if len(parents) > DEEPEST:
        raise RecipeError(f"--set {override}: no setting {key[:LONGEST_SHOWN]!r}")
    members = data["members"] if isinstance(data["members"], dict) else {}
    if len(parents) > 1 and parents[0] == "members" and parents[1] not in ("*", *members):
        raise RecipeError(f"--set {override}: no member {parents[1]!r}; the members are {listed(members)}")
    groups: list[Any] = [data]
    for part in parents:
        groups = [child for group in groups for child in _children(group, part)]
    if not groups:
        raise RecipeError(f"--set {override}: no setting {key[:LONGEST_SHOWN]!r}")
    for group in groups:
        if isinstance(group, list) and (index := _index(last, group)) is not None:
            group[index] = copy.deepcopy(value)
        elif isinstance(group, dict):
            group[last] = copy.deepcopy(value)  # a copy for each member, since a later --set may change only one of them
        else:
            raise RecipeError(f"--set {override}: no setting {key[:LONGEST_SHOWN]!r}")


def _children(group: Any, part: str) -> list[Any]:
    """What a part of a dotted key refers to in a group of settings: for ``*`` everything in it."""
    if isinstance(group, list):
        return [] if (index := _index(part, group)) is None else [group[index]]
    if not isinstance(group, dict):
        return []
    if part == "*":
        return list(group.values())
    if part not in group:
        group[part] = {}  # a group that the recipe leaves at its defaults; the schema refuses unknown names
    return [group[part]]


def _index(part: str, group: Sequence[Any]) -> int | None:
    """The place in a list that a part of a dotted key says; None if it says none."""
    return int(part) if part.isdecimal() and len(part) < 10 and int(part) < len(group) else None
