"""Draws the house: which room imports which, and what lies in each. ``python tools/house.py`` renews the picture in CONTRIBUTING.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "src" / "earmark"
PAGE = REPOSITORY / "CONTRIBUTING.md"
BEGIN, END = "<!-- house -->", "<!-- /house -->"

#: The rooms from the top of the house down. A room may import those below it that it names here, all of whose rooms it may then
#: import too, and the floor: the modules that lie in the package itself.
ROOMS: dict[str, tuple[str, ...]] = {
    "commands": ("training",),
    "training": ("assess",),
    "assess": ("tagging",),
    "tagging": ("scoring",),
    "scoring": ("nets", "data", "runs"),
    "nets": ("recipe", "audio"),
    "data": ("recipe", "audio"),
    "runs": ("recipe", "audio"),
    "recipe": ("floor",),
    "audio": ("floor",),
    "floor": (),
}
TOP = {"cli", "__main__", "__init__"}  # modules of the package itself that stand on the roof


def room_of(module: str) -> str:
    """The room of a module that is given by its path below the package, with dots."""
    first = module.split(".")[0]
    if first in ROOMS:
        return first
    return "commands" if first in TOP or not first else "floor"


def rooms_below(room: str) -> set[str]:
    """The rooms that a room may import."""
    return set(ROOMS[room]).union(*(rooms_below(below) for below in ROOMS[room]))


def source_files() -> list[Path]:
    """All modules of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """A file's module below the package: ``data.store``."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules of the package that a file imports, and whether it does so when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "earmark":
            base = node.module.split(".")[1:]
            for alias in node.names:
                if base or alias.name != "__version__":  # the version comes from the package itself
                    yield ".".join([*base, alias.name]), id(node) not in inner
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("earmark."):
                    yield alias.name.partition(".")[2], id(node) not in inner


def arrows() -> dict[str, set[str]]:
    """Which room imports which, by the code."""
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for path in source_files():
        room = room_of(module_of(path))
        found[room] |= {room_of(module) for module, _ in imports_of(path)} - {room}
    return found


def reached(drawn: dict[str, set[str]], room: str) -> set[str]:
    """The rooms that arrows lead to from a room."""
    return drawn[room].union(*(reached(drawn, below) for below in drawn[room]))


def picture() -> str:
    """The house in Markdown: a graph of the rooms, and what lies in each."""
    drawn = arrows()
    lines = ["```mermaid", "graph TD"]
    for room, below in drawn.items():
        # An arrow to a room that other arrows lead to as well says nothing more.
        direct = [other for other in below if not any(other in reached(drawn, between) for between in below - {other})]
        lines += [f"    {room} --> {other}" for other in sorted(direct, key=list(ROOMS).index)]
    lines += ["```", "", "| room | what it is | files |", "|---|---|---|"]
    for room in ROOMS:
        names = [module_of(path) for path in source_files()]
        inside = [name.removeprefix(f"{room}.") for name in names if room_of(name) == room and not name.endswith("__init__")]
        lines.append(f"| `{room}` | {_purpose(room)} | {', '.join(f'`{name}`' for name in inside)} |")
    return "\n".join(lines) + "\n"


def _purpose(room: str) -> str:
    if room == "floor":
        return "What every room may use, and no room lies below."
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0]


def drawn_page(page: str) -> str:
    """A page with the picture as it is now between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
