import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from earmark.assess.advice import MOST, Step, correcting, next_steps, steps_after_audit
from earmark.assess.pictures import MixUp
from earmark.cli import app
from earmark.data.clips import ClipSet
from earmark.data.store import Store
from earmark.labels import LabelSet
from earmark.recipe import load_recipe
from earmark.runs.run import Run
from tests.assess.test_report import clip_set


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value, "high": value, "clips": 100}


METRICS: Any = {"accuracy": estimate(0.8)}
PLENTY = np.repeat(np.eye(2, dtype=bool), 40, axis=0)  # 40 clips of each of two classes


def run_in(folder: Path, recipe: str = "tiny", folds: tuple[int, ...] = (0, 1), settings: tuple[str, ...] = ()) -> Run:
    run = Run(folder, load_recipe(recipe, settings))
    for member in run.recipe.members:
        for fold in folds:
            run.net_folder(member, fold).mkdir(parents=True)
            run.scores_file(member, fold).touch()
    return run


def of(steps: list[Step], word: str) -> list[Step]:
    return [step for step in steps if word in step.text]


def commands(steps: list[Step]) -> list[str]:
    return [command for step in steps for command in step.commands]


def test_a_run_with_nothing_amiss_is_told_to_tag(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", settings=("members.*.frontend={name: embedding, model: some.onnx, sha256: x, size: 4}",))
    (step,) = next_steps(run, clip_set(PLENTY, ("a", "b")), METRICS, 0, [])
    assert step.commands == (f"earmark tag SOUNDS --model {tmp_path / 'run'}",)


def test_folds_that_are_missing_are_trained_first(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", folds=(1,))
    steps = next_steps(run, clip_set(PLENTY, ("a", "b"), folds=3), METRICS, 5, [])
    assert steps[0].text.startswith("Folds 0, 2 of 3 folds")
    assert steps[0].commands == (f"earmark train {tmp_path / 'run/recipe.yaml'} --store STORE --out {tmp_path / 'run'}",)


def test_doubtful_labels_are_audited_and_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = run_in(Path("my run"))
    (step,) = of(next_steps(run, clip_set(PLENTY, ("a", "b")), METRICS, 1, []), "doubtful")
    assert step.commands == ("earmark audit 'my run' --out 'my run-audit'", "earmark review 'my run-audit'")
    assert not of(next_steps(run, clip_set(PLENTY, ("a", "b")), METRICS, 0, []), "doubtful")


@pytest.mark.parametrize(
    ("source", "root", "table"),
    [
        ("manifest", "my sounds/labels.csv", "'my sounds/corrected-run-audit.csv'"),
        ("esc50", "ESC-50", "ESC-50/corrected-run-audit.csv"),
    ],
)
def test_what_was_heard_is_applied_to_the_store(source: str, root: str, table: str) -> None:
    store = Store(Path("store"), source, root, (8000, 16000), LabelSet(("a", "b")), 80, 0, "f", "")
    assert commands(steps_after_audit(Path("run-audit"), Path("run"), store)) == [
        "earmark review run-audit",
        f"earmark apply-corrections store run-audit --out {table}",
        f"earmark prepare manifest {table} --out store-corrected --sample-rate 8000,16000",
        "earmark train run/recipe.yaml --store store-corrected --out run-corrected",
        "earmark compare run run-corrected",
    ]


def test_labels_with_commas_have_another_separator_in_the_commands() -> None:
    store = Store(Path("store"), "manifest", "sounds/labels.csv", (8000,), LabelSet(("a, x", "b")), 80, 0, "f", "")
    assert correcting(Path("audit"), store) == (
        "earmark apply-corrections store audit --out sounds/corrected-audit.csv --label-separator ';'",
        "earmark prepare manifest sounds/corrected-audit.csv --out store-corrected --sample-rate 8000 --label-separator ';'",
    )


def test_what_was_corrected_before_is_not_written_over() -> None:
    store = Store(Path("store"), "manifest", "sounds/corrected-audit.csv", (8000,), LabelSet(("a", "b")), 80, 0, "f", "")
    assert correcting(Path("audit"), store)[0].endswith("--out sounds/corrected-audit-again.csv")


def with_verified(clips: ClipSet, count: int) -> ClipSet:
    """All clips of the first class are verified, and so many of the second."""
    second = np.cumsum(clips.positive[:, 1]) * clips.positive[:, 1]
    return replace(clips, verified=clips.positive[:, 0] | ((second > 0) & (second <= count)))


def test_classes_with_few_verified_clips_are_named(tmp_path: Path) -> None:
    clips = clip_set(PLENTY, ("a", "b"))
    run = run_in(tmp_path / "run")
    (step,) = of(next_steps(run, with_verified(clips, 9), METRICS, 0, []), "Check")
    assert step.text.startswith("Check more clips of b (9):")
    assert not of(next_steps(run, with_verified(clips, 10), METRICS, 0, []), "Check")
    (step,) = of(next_steps(run, replace(clips, verified=np.zeros(80, bool)), METRICS, 0, []), "Check")
    assert step.text.startswith("No label is verified")
    few = clip_set(PLENTY[::8], ("a", "b"))  # five of each, all verified: there are no more to check
    assert not of(next_steps(run, few, METRICS, 0, []), "Check")


@pytest.mark.parametrize(
    ("recipe", "settings", "said"),
    [
        ("quick", (), "stands on built-in statistics"),
        ("tiny", (), "has learned from 80 clips alone"),
        ("quick", ("members.*.frontend={name: embedding, model: some.onnx, sha256: x, size: 4}",), ""),
    ],
)
def test_a_pre_trained_model_is_recommended_where_there_is_none(
    recipe: str, settings: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    run = run_in(tmp_path / "run", recipe, settings=settings)
    steps = of(next_steps(run, clip_set(PLENTY, ("a", "b")), METRICS, 0, []), "pre-trained")
    assert [said in step.text for step in steps] == [True] * bool(said)
    assert commands(steps) == [
        f"earmark train quick --store STORE --out {tmp_path / 'run-embedding'} --embedding MODEL.onnx"
    ] * bool(said)


def test_a_floor_as_high_as_the_run_is_pointed_at(tmp_path: Path) -> None:
    run, clips = run_in(tmp_path / "run"), clip_set(PLENTY, ("a", "b"))
    for floor, said in ((0.8, True), (0.79, False)):
        metrics = {**METRICS, "floor": {"accuracy": estimate(floor)}}
        assert bool(of(next_steps(run, clips, metrics, 0, []), "The floor is as good as this run")) == said
    assert next_steps(run, clips, {**METRICS, "floor": {"accuracy": None}}, 0, [])


def test_what_is_often_taken_for_another_class_is_named(tmp_path: Path) -> None:
    run, clips = run_in(tmp_path / "run"), clip_set(PLENTY, ("a", "b"))
    pairs = [MixUp("a", "b", 5, 40), MixUp("b", "a", 1, 40)]
    (step,) = of(next_steps(run, clips, METRICS, 0, pairs), "taken for")
    assert "a for b (5 of 40)." in step.text
    assert not of(next_steps(run, clips, METRICS, 0, pairs[1:]), "taken for")


def test_wrong_labels_are_planted_where_enough_is_verified(tmp_path: Path) -> None:
    run, clips = run_in(tmp_path / "run"), clip_set(PLENTY, ("a", "b"))
    steps = next_steps(run, with_verified(clips, 10), METRICS, 0, [])
    assert commands(of(steps, "Plant")) == [f"earmark noise STORE --recipe {tmp_path / 'run/recipe.yaml'}"]
    assert not of(next_steps(run, clips, METRICS, 0, []), "Plant")  # all labels are verified: nothing to ask
    few = replace(clips, verified=np.arange(80) < 15)
    assert not of(next_steps(run, few, METRICS, 0, []), "Plant")


def test_a_test_split_is_scored(tmp_path: Path) -> None:
    clips = clip_set(PLENTY, ("a", "b"))
    clips = replace(clips, test=np.arange(80) < 10, fold=np.where(np.arange(80) < 10, -1, clips.fold))
    steps = next_steps(run_in(tmp_path / "run"), clips, METRICS, 0, [])
    assert commands(of(steps, "test split")) == [f"earmark evaluate {tmp_path / 'run'} --split test"]


def test_commands_exist_and_are_few(tmp_path: Path) -> None:
    """Whatever is suggested can be typed: each command is parsed by the command line itself, and quoted where it must be."""
    folder = tmp_path / "a run & more"
    clips = clip_set(PLENTY, ("a", "b"), folds=3)
    clips = replace(with_verified(clips, 3), test=np.arange(80) % 8 == 0, fold=np.where(np.arange(80) % 8 == 0, -1, clips.fold))
    steps = next_steps(run_in(folder), clips, METRICS, 7, [])
    assert len(steps) == MOST + 1
    group = typer.main.get_command(app)
    for command in commands(steps):
        program, name, *words = shlex.split(command)
        assert program == "earmark"
        parsed = group.commands[name]  # type: ignore[attr-defined]
        parsed.parse_args(typer.Context(parsed), list(words))
    assert f"'{folder}'" in commands(steps)[-1]


def test_paths_below_the_current_folder_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = run_in(Path(os.path.abspath("run")))
    assert next_steps(run, clip_set(PLENTY, ("a", "b")), METRICS, 0, [])[-1].commands == ("earmark tag SOUNDS --model run",)
