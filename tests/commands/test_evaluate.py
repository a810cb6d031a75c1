"""``earmark evaluate``: what it refuses, the lines that it prints, the submission that it writes."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from earmark import cli
from earmark.commands.figures import show_metrics
from earmark.data.store import Store
from earmark.recipe import load_recipe
from earmark.runs.run import Run

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--submission", "{here}/s.csv"], "--submission: only with --split test"),
        (["--ensemble", "all"], "--ensemble: only with --split test"),
        (["--threads", "2"], "--threads: only with --split test"),
        (["--ensemble", "all", "--submission", "{here}/s.csv"], "--submission and --ensemble: only with --split test"),
        (["--split", "test", "--ensemble", "all"], "--ensemble says whose scores a --submission has"),
        (["--split", "test", "--ensemble", "al", "--submission", "{here}/s.csv"], "--ensemble al: the recipe has all"),
        (
            ["--split", "test", "--submission", "{here}/s.csv"],
            "manifest: no competition asked for a submission file; fsdkaggle2018 and fsdkaggle2019 had one",
        ),
    ],
)
def test_what_goes_with_no_submission_is_refused_in_a_line_before_anything_is_scored(
    options: list[str], said: str, finished_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert cli.run(["evaluate", str(finished_run), *(option.format(here=tmp_path) for option in options)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {said}\n")
    assert not (finished_run / "test.parquet").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def competition(store: Store, tmp_path: Path) -> Path:
    """The rendered clips, as if they were FSDKaggle2018's: a store, and the sample of a submission."""
    shutil.copytree(store.path, tmp_path / "store")
    info = json.loads((tmp_path / "store/store.json").read_text())
    info |= {"source": "fsdkaggle2018", "root": str(tmp_path / "root")}
    (tmp_path / "store/store.json").write_text(json.dumps(info))
    (tmp_path / "root").mkdir()
    names = ["0064.wav", "nowhere.wav", "0000.wav", "0032.wav", "0048.wav", "0016.wav"]
    (tmp_path / "root/sample_submission.csv").write_text("fname,label\n" + "".join(f"{name},x y z\n" for name in names))
    return tmp_path / "store"


def test_a_submission_has_the_best_labels_of_the_ensemble_that_is_asked_for(
    finished_run: Path, competition: Path, tmp_path: Path, capsys: Capture
) -> None:
    run, out = tmp_path / "run", tmp_path / "s.csv"
    shutil.copytree(finished_run, run)
    late = "ensembles={all: {}, late: {members: {logmel: {weights: best, views: [pad90]}}}}"
    (run / "recipe.yaml").write_text(load_recipe(str(run / "recipe.yaml"), [late]).to_yaml())
    command = ["evaluate", str(run), "--store", str(competition), "--split", "test", "--submission", str(out)]
    written = {}
    for ensemble, options in (("all", []), ("late", ["--ensemble", "late"])):
        capsys.readouterr()
        assert cli.run([*command, *options]) == 0
        captured = capsys.readouterr()
        assert captured.err.endswith(f"submission: {out}; 1 clips without scores have the same for every class\n")
        assert captured.out.endswith(f"scores: {run / 'test.parquet'}\n")
        with out.open(newline="") as file:
            head, *rows = csv.reader(file)
        assert head == ["fname", "label"]
        assert [name for name, _ in rows] == ["0064.wav", "nowhere.wav", "0000.wav", "0032.wav", "0048.wav", "0016.wav"]
        written[ensemble] = dict(rows)
    labels = Run.open(run).labels().names
    scores = {
        (row["member"], row["clip_id"]): row["scores"] for row in pyarrow.parquet.read_table(run / "test.parquet").to_pylist()
    }
    assert len(scores) == 2 * 5
    for ensemble, answers in written.items():
        assert answers.pop("nowhere.wav") == " ".join(labels[:3])
        for name, best in answers.items():
            own = scores[f"ensemble:{ensemble}", f"audio/{name}"]
            assert best.split() == [labels[k] for k in sorted(range(10), key=lambda k: -own[k])[:3]]
    assert written["all"] != written["late"]


def figures(value: float, **more: Any) -> dict[str, Any]:
    own = {
        name: {"value": value, "low": value - 0.125, "high": value + 0.125, "clips": 1234}
        for name in ("map@3", "accuracy", "lwlrap")
    }
    return {**own, "all": own, **more}


def test_lines_say_what_a_publication_calls_and_quotes_and_what_speaks_against_the_figure(capsys: Capture) -> None:
    nothing = dict.fromkeys(("map@3", "accuracy", "lwlrap"))
    metrics = {
        **figures(0.5, leaks=True),
        "members": {"A": figures(0.25, leaks=False), "B": {**nothing, "all": nothing, "leaks": True}},
        "ensembles": {
            "all": figures(0.5, leaks=True, predictions=30, best_weights=True, title="Table 1: logmel, 16 kHz", quoted=0.932),
            "late": figures(0.75, leaks=False, predictions=2, best_weights=False, usage={"Public": figures(0.625)}),
        },
    }
    show_metrics(metrics, False, "report: here")
    half, quarter = (
        f"map@3 {text}, accuracy {text}, lwlrap {text}, 1,234 clips"
        for text in ("0.5000 (0.3750–0.6250)", "0.2500 (0.1250–0.3750)")
    )
    three, five = (
        f"map@3 {text}, accuracy {text}, lwlrap {text}, 1,234 clips"
        for text in ("0.7500 (0.6250–0.8750)", "0.6250 (0.5000–0.7500)")
    )
    assert capsys.readouterr().out.splitlines() == [
        f"verified clips: {half} – leaks validation labels",
        f"all labelled clips: {half} – leaks validation labels",
        f"member A, verified: {quarter}",
        "member B, verified: no clip to score – leaks validation labels",
        f"ensemble all (Table 1: logmel, 16 kHz), verified: {half} – published: 0.932 – the weights were chosen on these clips – "
        "leaks validation labels",
        f"ensemble late, verified: {three}",
        f"ensemble late, verified, Public: {five}",
        "report: here",
    ]


def test_a_run_of_one_member_and_one_ensemble_says_its_figures_once(capsys: Capture) -> None:
    metrics = {
        **figures(0.5, leaks=False),
        "members": {"A": figures(0.5, leaks=False)},
        "ensembles": {"all": figures(0.5, leaks=False)},
    }
    show_metrics(metrics, False, "report: here")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["verified clips", "all labelled clips", "report"]


@pytest.mark.slow
def test_the_published_figure_of_a_built_in_ensemble_stands_in_its_line(
    finished_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    """From the recipe through the run to the line."""
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    ensembles = 'ensembles={all: {}, cell: {title: "Table 1: logmel, 16 kHz", quoted: 0.932, members: {logmel: {weights: best}}}}'
    (run / "recipe.yaml").write_text(load_recipe(str(run / "recipe.yaml"), [ensembles]).to_yaml())
    assert cli.run(["evaluate", str(run)]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ensemble cell")]
    assert line.startswith("ensemble cell (Table 1: logmel, 16 kHz), verified: map@3 0.")
    assert line.endswith(" 35 clips – published: 0.932 – the weights were chosen on these clips")
    written = json.loads((run / "metrics.json").read_text())["ensembles"]["cell"]
    assert (written["title"], written["quoted"], written["best_weights"]) == ("Table 1: logmel, 16 kHz", 0.932, True)
