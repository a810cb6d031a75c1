"""The text of a recipe ↔ plain data. It is YAML without what could mean something else than it says, or grow without end."""

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from earmark.errors import RecipeError

MOST_VALUES = 50_000  # in a recipe, keys too; one that stands for another (`*name`) counts as often as it is used
DEEPEST = 30  # mappings and lists within each other
LONGEST_KEY, LONGEST_TEXT = 100, 10_000  # characters

TEXT, FLAG, NULL, WHOLE, REAL, MERGE = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "bool", "null", "int", "float", "merge"))
WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
REAL_NUMBER = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$")
OTHER_REALS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def plain_data(text: str) -> Any:
    """Mappings with text as keys, lists, text, numbers, flags and nulls.

    Raises:
        RecipeError: it is no YAML, or says something in a way that is refused: a key twice, a key that is no text, a tag, a date, a
            number that is not decimal, half a character, a value within itself, more or deeper values than a recipe needs.
    """
    try:
        loader = _Loader(text)
        try:
            return _unshared(loader.get_single_data())
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two of `"\U00110000"` and the like
        raise RecipeError(f"not readable as YAML: {' '.join(str(error).split())}") from None


def as_text(data: Any) -> str:
    """Plain data as YAML; `plain_data` reads the same data from it."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def count_values(data: Any) -> int:
    """The number of values in plain data; mappings, lists and keys are counted, too."""
    if isinstance(data, dict):
        return 1 + sum(1 + count_values(value) for value in data.values())
    return 1 + sum(map(count_values, data)) if isinstance(data, list) else 1


def _unshared(data: Any) -> Any:
    """A copy in which `*name` is a value of its own, so that `--set` does not change the other one with it."""
    if isinstance(data, dict):
        return {key: _unshared(value) for key, value in data.items()}
    return list(map(_unshared, data)) if isinstance(data, list) else data


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes where it looks like a number: 1e3."""


_Dumper.add_implicit_resolver(REAL, REAL_NUMBER, list("+-.0123456789"))


class _Loader(yaml.SafeLoader):
    """Counts values while it reads, so that it stops before it has read too many."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.values = 0
        self.heights = [0]  # of the values that are being read: how deep the values go that are read already in each
        self.known: dict[Node, tuple[int, int]] = {}  # the number of values in a value, and how deep they go

    def compose_node(self, parent: Node | None, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        node: Any
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if node not in self.known:
                raise _fault(event, f"*{str(event.anchor)[:LONGEST_KEY]} stands within itself")
            values, height = self.known[node]
            self.values += values
        else:
            if getattr(event, "tag", None) is not None:
                raise _fault(event, f"tags such as {event.tag[:LONGEST_KEY]} are not used here; leave it out")
            before = self.values
            self.values += 1
            self.heights.append(0)
            self._refuse_much(event, 0)
            node = super().compose_node(parent, index)
            height = self.heights.pop() + 1
            self.known[node] = (self.values - before, height)
        self._refuse_much(event, height)
        self.heights[-1] = max(self.heights[-1], height)
        return node

    def _refuse_much(self, event: Any, height: int) -> None:
        if self.values > MOST_VALUES:
            raise _fault(event, f"a recipe has {MOST_VALUES:,} values at most")
        if len(self.heights) - 1 + height > DEEPEST:
            raise _fault(event, f"mappings and lists lie within each other more than {DEEPEST} deep")

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key, _ in node.value:
            written = key.value if isinstance(key, ScalarNode) else "(a mapping or a list)"
            shown = repr(written) if len(written) <= LONGEST_KEY else f"{written[:LONGEST_KEY]!r}…"
            if key.tag not in (TEXT, MERGE):
                raise _fault(key, f"the key {written[:LONGEST_KEY]} is no text; put it in quotes")
            if len(written) > LONGEST_KEY:
                raise _fault(key, f"the key {shown} is longer than {LONGEST_KEY} characters")
            if written in keys:
                raise _fault(key, f"the key {shown} stands twice")
            keys.add(written)
            if key.tag == TEXT:
                key.style = '"'  # also where it looks like a number: 1e3
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:  # noqa: ARG002  (always as if deep)
        if isinstance(node, ScalarNode):
            return _scalar(node)
        return super().construct_object(node, deep=True)


def _scalar(node: ScalarNode) -> Any:
    """The value that a scalar is written for. YAML 1.1 takes 010 for 8, 1:30 for 90, 2019-10-25 for a date, and 1e-3 for text."""
    written: str = node.value
    if node.tag == WHOLE and WHOLE_NUMBER.fullmatch(written):
        if len(written) > 25:
            raise _fault(node, "a number has more than 25 digits")
        return int(written.replace("_", ""))
    plain = node.style is None
    if plain and REAL_NUMBER.fullmatch(written) and node.tag in (REAL, TEXT):
        return float(written)
    if node.tag == REAL and OTHER_REALS.fullmatch(written):
        return float(written.replace(".", "", 1))
    if node.tag == NULL:
        return None
    if node.tag == FLAG:
        return yaml.SafeLoader.bool_values[written.lower()]
    if node.tag not in (TEXT, MERGE):
        kind = (
            "a date" if node.tag.endswith("timestamp") else "a number that is not decimal" if node.tag in (WHOLE, REAL) else "odd"
        )
        raise _fault(node, f"{written[:LONGEST_KEY]} is {kind}; put it in quotes if it is text")
    if len(written) > LONGEST_TEXT:
        raise _fault(node, f"a text is longer than {LONGEST_TEXT:,} characters")
    try:
        written.encode("utf-8")
    except UnicodeEncodeError:
        raise _fault(node, "a text has half a character (a lone surrogate)") from None
    return written


def _fault(place: Any, what: str) -> RecipeError:
    return RecipeError(f"line {place.start_mark.line + 1}: {what}")
