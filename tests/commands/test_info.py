"""``earmark info``: the list of recipes, and no empty lines about a recipe or a bundle."""

import json
import shutil
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


def test_a_bundle_says_whether_it_has_calibration_and_thresholds(finished_run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["info", str(finished_run)]) == 0
    assert "\ncalibration: none\nthresholds: none\n" in capsys.readouterr().out
    shutil.copytree(finished_run / "bundle", tmp_path / "bundle")
    path = tmp_path / "bundle/config.json"
    config = json.loads(path.read_text())
    scores = [[0.2, 0.5]] * 3 + [[0.2, None]] * 7
    config["calibration"] = {"temperature": 0.625, "clips": 1780}
    config["thresholds"] = {"clips": 1780, "f1": [0.4] * 10, "precisions": [0.5, 0.9], "scores": scores}
    path.write_text(json.dumps(config))
    assert cli.run(["info", str(tmp_path / "bundle")]) == 0
    text = capsys.readouterr().out
    assert "\ncalibration: temperature 0.625, fitted on 1,780 verified clips\n" in text
    never = ", ".join(config["labels"][3:8]) + " and 2 more"
    assert f"\nthresholds: auto, precision:P; chosen on 1,780 verified clips; precision:0.7 never gives {never}; " in text
    assert cli.run(["info", str(tmp_path / "bundle"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["calibration"] == config["calibration"]
    assert told["thresholds"]["never_given"]["precision:0.9"] == config["labels"][3:]
    assert told["thresholds"]["never_given"]["precision:0.5"] == []
