"""What is wrong with a recipe, in words: where it stands, and what would be valid."""

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from earmark.recipe.schema import Recipe

KINDS_OF = {"batch": ("balanced", "shuffled"), "optimiser": ("adam", "sgd")}  # settings that come in kinds


def faults(error: ValidationError) -> list[str]:
    """A line for each fault: the setting's place with dots, and what is wrong with it."""
    errors = error.errors()
    # A list of which an item is wrong is no shorter for it.
    told = [e for e in errors if e["type"] != "too_short" or not any(_is_below(other["loc"], e["loc"]) for other in errors)]
    return [f"{'.'.join(map(str, _as_written(e['loc']))) or 'recipe'}: {_fault(e)}" for e in told]


def _is_below(location: Sequence[str | int], other: Sequence[str | int]) -> bool:
    return len(location) > len(other) and list(location[: len(other)]) == list(other)


def _as_written(location: Sequence[str | int]) -> list[str | int]:
    """The place as it is written in a recipe, without the kind that pydantic puts behind `batch` and `optimiser`."""
    before = [None, *location]
    return [part for part, above in zip(location, before, strict=False) if part not in KINDS_OF.get(str(above), ())]


def _fault(error: Any) -> str:
    if error["type"] == "union_tag_invalid":
        return f"no kind {error['ctx']['tag']!r}; there are {', '.join(KINDS_OF[error['loc'][-1]])}"
    if error["type"] != "extra_forbidden":
        return str(error["msg"]).removeprefix("Value error, ")
    return f"no such setting; there are {', '.join(settings_at(error['loc'][:-1]))}"


def settings_at(location: Sequence[str | int]) -> list[str]:
    """The names that a group of settings has.

    Args:
        location: the path to the group, with the kind that pydantic puts behind `batch` and `optimiser`.

    >>> settings_at(["members", "logmel", "batch", "balanced", "frequency_mask"])
    ['chance', 'width']
    """
    groups: list[type[BaseModel]] = [Recipe]
    within = False  # a mapping or a list: the next part is one of its names or numbers
    for part in location:
        fields = [group.model_fields[str(part)] for group in groups if str(part) in group.model_fields]
        if within:
            within = False
        elif fields:
            groups = [group for field in fields for group in _groups_in(field.annotation)]
            within = any(_holds_many(field.annotation) for field in fields)
        else:  # a kind
            groups = [group for group in groups if any(part in get_args(f.annotation) for f in group.model_fields.values())]
    return [name for group in groups for name in group.model_fields]


def _groups_in(kind: Any) -> list[type[BaseModel]]:
    """The groups of settings in a type: of a union, a mapping's values, a list's items."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [group for inner in get_args(kind) for group in _groups_in(inner)]


def _holds_many(kind: Any) -> bool:
    return get_origin(kind) in (dict, tuple)
