"""Imports go one way, from the top of the house down; the picture of it in CONTRIBUTING.md is drawn from them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import house

FILES = house.source_files()
LONGEST = 350  # lines of a file: longer ones are two rooms


def name_of(path: Path) -> str:
    return house.module_of(path)


def test_all_files_are_looked_at() -> None:
    assert len(FILES) > 80
    assert {house.room_of(house.module_of(path)) for path in FILES} == set(house.ROOMS)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    room = house.room_of(house.module_of(path))
    for module, _ in house.imports_of(path):
        other = house.room_of(module)
        lazy_door = (house.module_of(path), module) == ("__init__", "tagging.tagger.Tagger")  # `earmark.load`
        assert other == room or other in house.rooms_below(room) or lazy_door, f"{room} must not import {module}"


def test_nets_and_data_do_not_know_each_other() -> None:
    drawn = house.arrows()
    assert "data" not in drawn["nets"]
    assert not drawn["data"] & {"nets", "runs"}
    assert not drawn["floor"]


def test_no_module_imports_itself_in_a_circle() -> None:
    known = {house.module_of(path).removesuffix(".__init__") for path in FILES}
    edges: dict[str, set[str]] = {}
    for path in FILES:
        own = house.module_of(path).removesuffix(".__init__")
        targets = [module for module, at_once in house.imports_of(path) if at_once]
        edges[own] = {module if module in known else module.rpartition(".")[0] for module in targets} - {own}

    safe: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " → ".join([*above, module])
        if module in safe:  # else the ways to it, which are many, would all be gone
            return
        for below in edges.get(module, set()):
            visit(below, (*above, module))
        safe.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_one_room(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    if "lightning" in text:
        assert house.room_of(house.module_of(path)) == "training"


def test_the_picture_of_the_house_is_of_today() -> None:
    page = house.PAGE.read_text(encoding="utf-8")
    assert house.BEGIN in page
    assert page == house.drawn_page(page), "`python tools/house.py` draws it anew"


@pytest.mark.parametrize(
    "modules",
    [
        "earmark",
        "earmark.cli",
        "earmark.recipe",
        "earmark.data.prepare, earmark.data.clips",
        "earmark.runs.run, earmark.runs.predictions, earmark.runs.votes",
        "earmark.scoring.scorer, earmark.scoring.clips",
        "earmark.tagging.bulk, earmark.tagging.tagger",
        "earmark.web.serve",
        "earmark.assess.evaluate, earmark.assess.joined, earmark.assess.report, earmark.assess.describe",
        "earmark.assess.audit_page, earmark.assess.duplicates, earmark.audio.spectrogram",
    ],
)
def test_what_needs_no_torch_does_not_import_it(modules: str) -> None:
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tagging_imports_what_the_base_install_has() -> None:
    code = "import sys, earmark.tagging.bulk; sys.exit(bool({'pyarrow', 'sklearn', 'safetensors', 'jinja2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
