"""Any values, and putting them anywhere into plain data."""

import copy
from typing import Any

from hypothesis import strategies as st

HUGE = 1 << 40
WHOLE = st.sampled_from([-1, 0, 16, 33, HUGE, 1 << 63, -(1 << 80)])  # none with which a valid training would be slow
REAL = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 1e-320, 1e308, float("nan"), float("inf"), -float("inf")])
WORDS = st.sampled_from(
    ["", " ", "all", "last", "best", "whole", "pad3", "tile", "bce", "logmel", "-", "../x", "\x1b[31m", "e\u0301", "a\nb"]
)
SCALARS = st.one_of(st.none(), st.booleans(), WHOLE, REAL, WORDS, st.text(max_size=6))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=4), st.sampled_from(["name", "kind", "rate", "batches"])), inner, max_size=3),
    ),
    max_leaves=5,
)
Place = tuple[str | int, ...]


def of_its_kind(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same kind, so that they get past the first check."""
    if isinstance(value, bool) or value is None:
        return st.one_of(st.none(), st.booleans())
    if isinstance(value, int | float):
        return WHOLE if isinstance(value, int) else st.one_of(REAL, WHOLE)
    if isinstance(value, str):
        return WORDS
    if isinstance(value, list):
        return st.lists(of_its_kind(value[0]) if value else SCALARS, max_size=3)
    return st.dictionaries(st.sampled_from([*map(str, value), "more"]), SCALARS, max_size=3)


def places_in(data: Any, above: Place = ()) -> list[Place]:
    """The places of all values in mappings and lists, from the top down."""
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in children for place in ((*above, key), *places_in(value, (*above, key)))]


@st.composite
def changed(
    draw: st.DrawFn, data: dict[str, Any], values: st.SearchStrategy[Any] = VALUES, apart_from: tuple[str, ...] = ()
) -> Any:
    """The data with any values in a few places: instead of what is there, beside it, or nothing.

    Args:
        draw: hypothesis' own.
        data: plain data.
        values: the values to put in; half of the time it is one of the kind that is there.
        apart_from: keys that stay as they are, with all below them.
    """
    new = copy.deepcopy(data)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        group, key = _somewhere(draw, new, apart_from)
        if group is None:
            continue
        match draw(st.sampled_from(["its kind", "its kind", "its kind", "any", "any", "gone", "beside"])):
            case "its kind":
                group[key] = draw(of_its_kind(group[key]))
            case "any":
                group[key] = draw(values)
            case "gone":
                del group[key]
            case _ if isinstance(group, dict):
                group[draw(st.text(max_size=5))] = draw(values)
            case _:
                group.append(draw(values))
    return new


def _somewhere(draw: st.DrawFn, data: Any, apart_from: tuple[str, ...]) -> tuple[Any, Any]:
    """A group and a key in it, on a way down that ends mostly at the bottom; nothing if the data is empty."""
    group, key = None, None
    while isinstance(data, dict | list) and data and (group is None or draw(st.sampled_from([True, True, True, False]))):
        keys = [key for key in data if key not in apart_from] if isinstance(data, dict) else list(range(len(data)))
        if not keys:
            break
        often = [key for key in keys for _ in range(min(1 + len(places_in(data[key])), 8))]  # where there is more below it
        group, key = data, draw(st.sampled_from(often))
        data = group[key]
    return group, key
