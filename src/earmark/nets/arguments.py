"""Checks of the arguments of front ends, backbones and heads, which come from recipes and bundles."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from pydantic import ValidationError, validate_call

from earmark.recipe.explain import words

Init = TypeVar("Init", bound=Callable[..., None])


def checked(init: Init) -> Init:
    """An ``__init__`` whose arguments must have the types that they are annotated with, bounds included; see `recipe.basics`.

    Raises:
        ValueError: an argument has another type, or is out of its bounds.
    """
    validated = validate_call(init)

    @wraps(init)
    def checked_init(*arguments: Any, **named: Any) -> None:
        try:
            validated(*arguments, **named)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            raise ValueError("; ".join(f"{'.'.join(map(str, e['loc']))}: {words(e)}" for e in faults[:5])) from None

    return cast(Init, checked_init)
