"""Explaining what is wrong in a recipe: the setting, the fault, and what would be valid."""

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from earmark.errors import SHOWN_FAULTS
from earmark.recipe.schema import Recipe

KINDS_OF = {"batch": ("balanced", "shuffled"), "optimiser": ("adam", "sgd")}  # groups of settings that have several kinds


def faults(error: ValidationError) -> list[str]:
    """A line for each fault: the dotted name of the setting, and what is wrong with it; of many, the first and their number."""
    errors = error.errors(include_url=False, include_input=False)
    # For a list with an invalid item, pydantic also says that the list is too short, which is not true.
    true_errors = [e for e in errors if e["type"] != "too_short" or not any(_is_below(item["loc"], e["loc"]) for item in errors)]
    shown = [f"{'.'.join(map(str, _as_written(e['loc']))) or 'recipe'}: {_fault(e)}" for e in true_errors[:SHOWN_FAULTS]]
    return shown if len(shown) == len(true_errors) else [*shown, f"and {len(true_errors) - len(shown):,} more"]


def _is_below(location: Sequence[str | int], above: Sequence[str | int]) -> bool:
    return len(location) > len(above) and list(location[: len(above)]) == list(above)


def _as_written(location: Sequence[str | int]) -> list[str | int]:
    """A setting's location as a recipe writes it: without the kind that pydantic puts after `batch` and `optimiser`."""
    previous_parts = [None, *location]
    return [part for part, previous in zip(location, previous_parts, strict=False) if part not in KINDS_OF.get(str(previous), ())]


def _fault(error: Any) -> str:
    if error["type"] == "union_tag_invalid":
        return f"no kind {error['ctx']['tag'][:100]!r}; there are {', '.join(KINDS_OF[error['loc'][-1]])}"
    if error["type"] != "extra_forbidden":
        return words(error)
    return f"no such setting; there are {', '.join(settings_at(error['loc'][:-1]))}"


def words(error: Any) -> str:
    """What pydantic says is wrong with one value; a small limit is written as 1e-12."""
    text = str(error["msg"]).removeprefix("Value error, ")
    limit = error.get("ctx", {}).get("ge")
    return f"{text.rpartition(' ')[0]} {limit:g}" if isinstance(limit, float) and 0 < limit < 1e-3 else text


def settings_at(location: Sequence[str | int]) -> list[str]:
    """The names of the settings in a group.

    Args:
        location: location of the group in the recipe, with the kind that pydantic puts after `batch` and `optimiser`.

    >>> settings_at(["members", "logmel", "batch", "balanced", "frequency_mask"])
    ['chance', 'width']
    """
    groups: list[type[BaseModel]] = [Recipe]
    in_collection = False  # the next part is a name in a mapping, or a number in a list
    for part in location:
        fields = [group.model_fields[str(part)] for group in groups if str(part) in group.model_fields]
        if in_collection:
            in_collection = False
        elif fields:
            groups = [group for field in fields for group in _groups_in(field.annotation)]
            in_collection = any(_holds_many(field.annotation) for field in fields)
        else:  # the part is a kind
            groups = [group for group in groups if any(part in get_args(f.annotation) for f in group.model_fields.values())]
    return [name for group in groups for name in group.model_fields]


def _groups_in(kind: Any) -> list[type[BaseModel]]:
    """The groups of settings that a type contains: in a union, as the values of a mapping, or as the items of a list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [group for inner in get_args(kind) for group in _groups_in(inner)]


def _holds_many(kind: Any) -> bool:
    return get_origin(kind) in (dict, tuple)
