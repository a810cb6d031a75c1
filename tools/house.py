"""Draws the house: which room imports which, and the files of each. ``python tools/house.py`` renews it in CONTRIBUTING.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "src" / "earmark"
PAGE = REPOSITORY / "CONTRIBUTING.md"
BEGIN, END = "<!-- house -->", "<!-- /house -->"

#: The rooms, from the top of the house down. A room may import the rooms that it names here, and all rooms that those may import.
#: The floor is made of the modules in the package itself.
ROOMS: dict[str, tuple[str, ...]] = {
    "commands": ("web", "training"),
    "web": ("assess",),
    "training": ("assess",),
    "assess": ("tagging",),
    "tagging": ("scoring",),
    "scoring": ("nets", "runs"),
    "nets": ("recipe", "audio"),
    "data": ("recipe", "embedding"),
    "runs": ("data",),
    "embedding": ("audio",),
    "recipe": ("floor",),
    "audio": ("floor",),
    "floor": (),
}
TOP = {"cli", "__main__", "__init__"}  # modules in the package itself that belong to the room `commands`


def room_of(module: str) -> str:
    """The room of a module, which is given by its name below the package: ``data.store``."""
    name = module.split(".")[0]
    if name in ROOMS:
        return name
    return "commands" if name in TOP or not name else "floor"


def rooms_below(room: str) -> set[str]:
    """The rooms that a room may import."""
    return set(ROOMS[room]).union(*(rooms_below(below) for below in ROOMS[room]))


def source_files() -> list[Path]:
    """The files of all modules of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The name of a file's module below the package: ``data.store``."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules of the package that a file imports, each with whether this happens as soon as the file is imported."""
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
    """The rooms that each room imports, as the code has it."""
    imported: dict[str, set[str]] = {room: set() for room in ROOMS}
    for path in source_files():
        room = room_of(module_of(path))
        imported[room] |= {room_of(module) for module, _ in imports_of(path)} - {room}
    return imported


def reached(drawn: dict[str, set[str]], room: str) -> set[str]:
    """The rooms that can be reached from a room along the arrows."""
    return drawn[room].union(*(reached(drawn, below) for below in drawn[room]))


def picture() -> str:
    """The house in Markdown: a graph of the rooms, and a table with the files of each room."""
    drawn = arrows()
    lines = ["```mermaid", "graph TD"]
    for room, below in drawn.items():
        # An arrow is left out if its room is also reached by other arrows.
        direct = [target for target in below if not any(target in reached(drawn, between) for between in below - {target})]
        lines += [f"    {room} --> {target}" for target in sorted(direct, key=list(ROOMS).index)]
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
    """A page in which the present picture replaces what is between the two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
