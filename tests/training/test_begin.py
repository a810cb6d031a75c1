"""Which folders become run directories, and which are left alone; the messages are in tests/bad_inputs/test_paths.py."""

from pathlib import Path

import pytest

from earmark.errors import RunError
from earmark.recipe import load_recipe
from earmark.runs.run import Run
from earmark.training.begin import BEGUN, check_out, open_run

RECIPE = load_recipe("tiny")


@pytest.mark.skipif(Path("/recipe.yaml").exists(), reason="somebody has made the whole disk a run directory")
def test_the_whole_disk_is_no_run_directory() -> None:
    with pytest.raises(RunError, match=r"^/ is no run directory and has .* more already; choose another --out$"):
        check_out(Path("/"))


def test_a_new_or_empty_folder_becomes_one_and_is_one_from_then_on(tmp_path: Path) -> None:
    for path in (tmp_path / "new", tmp_path / "empty", tmp_path / "link"):
        if path.name == "empty":
            path.mkdir()
        if path.name == "link":
            (tmp_path / "there").mkdir()
            path.symlink_to("there")
        check_out(path)
        assert path.exists() == (path.name != "new")  # nothing is made yet
        path.mkdir(exist_ok=True)
        assert open_run(path, RECIPE) == Run(path, RECIPE)
        assert [child.name for child in path.iterdir()] == ["recipe.yaml"]
        assert open_run(path, RECIPE) == Run(path, RECIPE)


def test_what_a_run_that_was_stopped_early_leaves_does_not_keep_it_from_going_on(tmp_path: Path) -> None:
    for name in BEGUN - {"recipe.yaml"}:
        (tmp_path / name).touch()
    open_run(tmp_path, RECIPE)
    check_out(tmp_path)


def test_a_run_may_have_any_files_beside_its_own(tmp_path: Path) -> None:
    open_run(tmp_path, RECIPE)
    (tmp_path / "run.json").touch()
    (tmp_path / "notes.txt").touch()
    check_out(tmp_path)
    with pytest.raises(RunError, match=r"holds a run of another recipe \(changed: seed\)"):
        open_run(tmp_path, load_recipe("tiny", ["seed=2"]))


def test_a_model_that_has_changed_is_named_in_words(tmp_path: Path) -> None:
    old, new = (load_recipe("quick", [f"members.*.frontend.sha256={digit * 64}"]) for digit in "ab")
    open_run(tmp_path, old)
    with pytest.raises(
        RunError, match=r"learned from another model: the file of the embedding has changed since; put that one back"
    ):
        open_run(tmp_path, new)
    other = load_recipe("quick", [f"members.*.frontend.sha256={'b' * 64}", "seed=5"])
    with pytest.raises(RunError, match=r"another recipe \(changed: seed, members\.teacher\.frontend\.sha256"):
        open_run(tmp_path, other)
