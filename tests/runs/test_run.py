import json
from pathlib import Path

import numpy as np
import pytest

from earmark.errors import EarmarkError, RunError
from earmark.labels import LabelSet
from earmark.recipe import load_recipe
from earmark.runs.predictions import Block, read_predictions, write_predictions
from earmark.runs.run import Run, RunInfo, read_metrics_log

LABELS = LabelSet(("x", "y"))
RECIPE = load_recipe("cochlear2018")


def finish(run: Run, member: str, *folds: int) -> None:
    """Scores of one clip, which a net writes last of all."""
    for fold in folds:
        run.net_folder(member, fold).mkdir(parents=True)
        scores = np.array([[fold, len(member)]], np.float32)
        block = Block(np.array([f"{fold}.wav"]), scores, member, fold, "best", "whole")
        write_predictions(run.scores_file(member, fold), LABELS, [block])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Of six members two have begun: one has folds 0 and 1, the other 1 and 10."""
    run = Run(tmp_path / "run", RECIPE)
    finish(run, "waveform-16k", 10, 1)
    finish(run, "logmel-16k", 1, 0)
    run.net_folder("logmel-16k", 2).mkdir()  # still in training
    (run.path / "members/logmel-16k/fold-old").mkdir()
    (run.path / "members/logmel-16k/fold²").mkdir()
    return run


def test_what_is_finished_is_told_in_the_recipes_order_and_by_number(run: Run) -> None:
    assert run.finished() == {"logmel-16k": [0, 1], "waveform-16k": [1, 10]}
    assert list(run.finished()) == ["logmel-16k", "waveform-16k"]
    assert run.labels() == LABELS
    labels, blocks = run.predictions()
    assert labels == LABELS
    assert {name: [block.scores.tolist() for block in of] for name, of in blocks.items()} == {
        "logmel-16k": [[[0, 10]], [[1, 10]]],
        "waveform-16k": [[[1, 12]], [[10, 12]]],
    }
    run.join_scores()
    gathered = read_predictions(run.path / "oof.parquet")[1]
    assert [(block.member, block.fold) for block in gathered] == [
        ("logmel-16k", 0),
        ("logmel-16k", 1),
        ("waveform-16k", 1),
        ("waveform-16k", 10),
    ]


def test_votes_are_of_the_runs_own_ensemble_as_far_as_it_is_and_of_those_that_are_complete(run: Run) -> None:
    votes = {name: [(v.member, v.fold, v.share) for v in own] for name, own in run.votes().items()}
    both = [("logmel-16k", 1, 1.5), ("waveform-16k", 1, 1.0)]  # the fold that they have in common
    assert votes == {
        "all": both,
        "logmel-16k": [("logmel-16k", 0, 0.75), ("logmel-16k", 1, 0.75)],
        "waveform-16k": [("waveform-16k", 1, 0.5), ("waveform-16k", 10, 0.5)],
        "16k": both,
    }
    assert next(iter(run.votes())) == "all"


def test_an_ensemble_whose_members_share_no_fold_is_left_out_unless_it_is_the_runs_own(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", RECIPE)
    finish(run, "logmel-16k", 0)
    finish(run, "logmel-44k", 0)
    finish(run, "waveform-44k", 1)
    with pytest.raises(RunError, match="its members share no clip; train the same folds of each"):
        run.votes()
    first = load_recipe("cochlear2018", ["ensembles.all.members={logmel-44k: {}}"])
    assert list(Run(run.path, first).votes()) == ["all", "logmel-16k", "logmel-44k", "waveform-44k"]  # not 44k


def test_where_nothing_of_the_runs_own_ensemble_is_finished_it_is_of_what_is(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", load_recipe("cochlear2018", ["ensembles.all.members={logmel-44k: {weight: 7}}"]))
    finish(run, "waveform-16k", 0, 1)
    assert [(vote.member, vote.fold, vote.share) for vote in run.votes()["all"]] == [
        ("waveform-16k", 0, 0.5),
        ("waveform-16k", 1, 0.5),
    ]
    assert list(run.votes()) == ["all", "waveform-16k"]


def test_nothing_finished_is_said(tmp_path: Path) -> None:
    run = Run(tmp_path, RECIPE)
    assert run.finished() == {}
    with pytest.raises(RunError, match="no net of it is finished; `earmark train` goes on with it"):
        run.labels()


def test_an_ensemble_leaks_by_any_of_the_members_that_vote_in_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", load_recipe("akiyama2019"))
    finish(run, "A", 0)
    finish(run, "B", 0)
    assert list(run.votes()) == ["leak-free", "table1-4", "table1-5", "table3-1", "table3-2"]
    assert {
        name: any(run.recipe.leaks(vote.member) for vote in run.votes()[name]) for name in ("leak-free", "table1-4", "table1-5")
    } == {
        "leak-free": False,  # of it only A is there
        "table1-4": False,
        "table1-5": True,
    }


def test_where_everything_lies(tmp_path: Path) -> None:
    run = Run(tmp_path, RECIPE)
    at = tmp_path / "members/logmel-16k/fold3"
    assert run.weights("logmel-16k", 3, "last") == at / "last.safetensors"
    assert run.weights("logmel-16k", 3, "12") == at / "snapshot12.safetensors"
    assert run.scores_file("logmel-16k", 3) == at / "oof.parquet"
    assert run.pseudo_labels("of-A", 3) == tmp_path / "pseudo/of-A/fold3/pseudo.parquet"
    assert run.pseudo_labels("of-A", None) == tmp_path / "pseudo/of-A/pseudo.parquet"


def test_what_a_run_was_started_with_reads_back(tmp_path: Path) -> None:
    run = Run(tmp_path, RECIPE)
    assert run.info is None
    info = RunInfo("1.0", "/stores/Жук", "abc", "cuda", "bfloat16", 3, 12)
    run.write_info(info)
    assert run.info == info
    (tmp_path / "run.json").write_text('{"earmark": "0.1"}')
    with pytest.raises(RunError, match=r"run.json is damaged, or of another version"):
        _ = run.info


INFO = {"earmark": "1", "store": "/s", "store_fingerprint": "abc", "device": "cpu", "precision": "float32", "threads": 1}
NOT_INFO = {
    "empty": "",
    "cut off": json.dumps(INFO)[:-9],
    "no JSON": "text",
    "no text": b"\xff\xfe\0",
    "a list": "[]",
    "null": "null",
    "nested too deeply": "[" * 100_000,
    "a number too long": '{"threads": ' + "9" * 5000 + "}",
    "of a newer version": json.dumps({**INFO, "version": 2}),
    **{f"no {name}": json.dumps({key: value for key, value in INFO.items() if key != name}) for name in INFO},
    **{
        f"{name} is {value!r}": json.dumps({**INFO, name: value})
        for name in INFO
        for value in (None, [], 0, -1, 1.5, True, "a\0")
        if (name, value) != ("threads", True)
    },
    **{f"{value} threads": json.dumps({**INFO, "threads": value}) for value in (True, "1", 10**6, 10**30)},
    **{f"{value!r} clips": json.dumps({**INFO, "store_clips": value}) for value in (True, "1", -1, 1.5)},
}


@pytest.mark.parametrize("fault", list(NOT_INFO))
def test_a_run_json_that_is_damaged_is_refused_in_a_line(fault: str, tmp_path: Path) -> None:
    content = NOT_INFO[fault]
    (tmp_path / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError) as caught:
        Run(tmp_path, RECIPE).started()
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'run.json'} is damaged, or of another version (")
    assert said.endswith("); put back an earlier copy of it, or train into another --out")
    assert said.isprintable() and len(said) < 500 + len(str(tmp_path))


def test_the_run_json_that_is_damaged_here_was_whole(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(INFO))
    assert Run(tmp_path, RECIPE).started() == RunInfo(**INFO)  # type: ignore[arg-type]


def test_results_without_a_run_json_are_not_gone_on_with(run: Run) -> None:
    """Nobody knows what data they were learned from."""
    with pytest.raises(RunError, match=r"run.json is missing, which says what the run learns from; put back a copy of it"):
        run.started()
    with pytest.raises(RunError, match="it has not been started; `earmark train` starts it"):
        Run(run.path / "new", RECIPE).started()


def test_a_run_opens_with_its_own_recipe(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no run directory; `earmark train RECIPE --store STORE --out"):
        Run.open(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE.to_yaml())
    assert Run.open(tmp_path) == Run(tmp_path, RECIPE)


def test_only_one_is_in_a_run_at_a_time(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", RECIPE)
    with run.locked(), pytest.raises(EarmarkError, match="run is in use by another earmark process"), run.locked():
        pass
    with run.locked():
        pass


def test_a_row_of_the_log_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    assert read_metrics_log(tmp_path / "metrics.csv") == []
    (tmp_path / "metrics.csv").write_text("batch,loss,seconds\n25,1.5,3\n50,1.25,6\n75,0.")
    assert read_metrics_log(tmp_path / "metrics.csv") == [
        {"batch": "25", "loss": "1.5", "seconds": "3"},
        {"batch": "50", "loss": "1.25", "seconds": "6"},
    ]


@pytest.mark.parametrize(
    ("damaged", "kept"),
    [
        ("75,0.5,nan\n", []),
        ("seventy-five,0.5,9\n", []),
        ("75,a,9\n", []),
        ("75,0.5\n", []),
        ("75,0.5,9,9,9\n", []),
        ("9" * 5000 + ",0.5,9\n", []),
        ("75,0.5," + "9" * 200_000 + "\n", []),
        ("\0\0\0\0,\0,\0\n75,0.5,9\n", ["75"]),
        ("\udcff\udcfe\n75,0.5,9\n", ["75"]),
        ("75,0.5,9\n100,0.5,1", ["75"]),  # the last number may go on
    ],
)
def test_rows_of_the_log_that_are_damaged_are_left_out(damaged: str, kept: list[str], tmp_path: Path) -> None:
    text = "batch,loss,seconds\n25,1.5,3\n50,,6\n" + damaged
    (tmp_path / "metrics.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert [row["batch"] for row in read_metrics_log(tmp_path / "metrics.csv")] == ["25", "50", *kept]
