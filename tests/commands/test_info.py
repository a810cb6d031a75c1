"""``earmark info``: the list of recipes, and no empty lines about a recipe or a bundle."""

import json
from pathlib import Path

import pytest

from earmark import cli
from earmark.recipe import built_in_recipes, load_recipe

Capture = pytest.CaptureFixture[str]


def test_without_a_name_the_recipes_are_listed_with_a_sentence_each(capsys: Capture) -> None:
    assert cli.run(["info"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == built_in_recipes()
    for line in lines:
        assert line.endswith(f"  {load_recipe(line.split()[0]).about}")
        assert line.endswith(".") and len(line) < 150
    assert "earmark info RECIPE" in last
    assert cli.run(["info", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["kind"] == "recipes"
    assert [recipe["name"] for recipe in listed["recipes"]] == built_in_recipes()
    assert all(recipe["about"] and recipe["title"] for recipe in listed["recipes"])


def test_no_field_is_blank(finished_run: Path, capsys: Capture) -> None:
    for model in ("tiny", "quick", str(finished_run)):
        assert cli.run(["info", model]) == 0
        for line in capsys.readouterr().out.splitlines():
            assert not line.rstrip().endswith(":")
            assert line == line.rstrip()


def test_what_a_recipe_says_about_itself_changes_no_training() -> None:
    assert load_recipe("tiny", ["about=Other words."]).fingerprint() == load_recipe("tiny").fingerprint()
