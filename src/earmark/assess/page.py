"""What all pages share: their look, how names from outside are shown, and how a page is written. A page needs no other files."""

import unicodedata
from pathlib import Path
from typing import Any

import jinja2

from earmark import __version__, files
from earmark.errors import one_line, shortened

LONGEST_NAME = 60  # characters of a label, at most
MARKS = 3  # accents on one letter, at most
NAMES = {"map@3": "MAP@3", "accuracy": "Accuracy", "lwlrap": "lwlrap"}


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Writes a page, complete or not at all.

    Args:
        path: the file to write.
        template: name of a template in this folder.
        values: what the template asks for.

    Returns:
        ``path``.
    """
    files.write_text(path, environment().get_template(template).render(values))
    return path


def environment() -> jinja2.Environment:
    """Jinja with the templates of this folder; it escapes every text that a template does not call safe."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"line": line, "short": short, "percent": percent}
    made.globals |= {"names": NAMES, "version": __version__}
    return made


def short(name: str) -> str:
    """A name for a figure or a table: as `line`, and not so long that it pushes everything else aside."""
    name = line(name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def line(text: str) -> str:
    """Text from outside on one line: without its middle if it is very long, and without towers of accents."""
    marks, letters = 0, []
    for letter in shortened(one_line(text)):
        marks = marks + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if marks <= MARKS:
            letters.append(letter)
    return "".join(letters)


def percent(share: float) -> str:
    """A share for people.

    >>> percent(0.936)
    '94 %'
    """
    return f"{share:.0%}".replace("%", " %").replace("-", "−")
