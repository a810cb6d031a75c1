"""Imports go one way: cli, demo → web, training → assess → tagging, nets, data → floor."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "earmark"
FLOOR = {"errors", "files", "audio", "labels", "recipe", "progress", "machine"}
MAY_IMPORT = {  # a room may import itself, the floor, and these
    "floor": set(),
    "nets": set(),
    "data": set(),
    "tagging": {"nets"},  # only inside a function, where a torch net is opened: see below
    "assess": {"tagging", "nets", "data"},
    "training": {"assess", "tagging", "nets", "data"},
    "web": {"assess", "tagging", "nets", "data"},
    "top": {"web", "training", "assess", "tagging", "nets", "data", "top"},
}
TOP = {"cli", "demo", "__main__", "__init__"}


def room(module: str) -> str:
    """The room of a module given by its path below the package, dots between."""
    first = module.split(".")[0]
    if first in FLOOR:
        return "floor"
    return "top" if first in TOP or not first else first


def imports(path: Path) -> list[tuple[str, bool]]:
    """Modules of the package that a file imports, and whether it does so at its top level."""
    tree = ast.parse(path.read_text())
    inner = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "earmark":
            base = node.module.split(".")[1:]
            for alias in [a for a in node.names if base or a.name != "__version__"]:
                found.append((".".join([*base, alias.name]), id(node) not in inner))
        elif isinstance(node, ast.Import):  # `import earmark` itself brings the version only
            names = [a.name.partition(".")[2] for a in node.names if a.name.startswith("earmark.")]
            found += [(name, id(node) not in inner) for name in names]
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 25


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(str(path.relative_to(PACKAGE).with_suffix("")).replace("/", "."))
    for module, at_top in imports(path):
        there = room(module)
        assert there in {here, "floor"} | MAY_IMPORT[here], f"{here} must not import {module}"
        if (here, there) == ("tagging", "nets"):
            assert not at_top, "tagging needs nets only where a torch net is opened"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_training_knows_lightning(path: Path) -> None:
    if "lightning" in path.read_text():
        assert path.relative_to(PACKAGE).parts[0] == "training"


@pytest.mark.parametrize("module", ["earmark", "earmark.cli", "earmark.tagging.bulk", "earmark.data.prepare", "earmark.recipe"])
def test_what_needs_no_torch_does_not_import_it(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
