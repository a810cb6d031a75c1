"""Both competitions' files, read back by a strict checker that knows nothing of how they were written."""

import csv
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from earmark.assess.metrics import precision_at_3
from earmark.assess.submission import write_submission
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.errors import ManifestError, RunError
from earmark.labels import LabelSet
from earmark.recipe import load_recipe
from earmark.runs.predictions import NO_VIEW, Block, write_predictions
from earmark.runs.run import Run


def scored(tmp_path: Path, labels: tuple[str, ...], clip_id: list[str], scores: np.ndarray) -> Run:
    """A run whose test split has these scores, of an ensemble ``all``."""
    run = Run(tmp_path / "run", load_recipe("tiny"))
    run.path.mkdir()
    block = Block(np.array(clip_id), scores.astype(np.float32), "ensemble:all", NO_FOLD, "", NO_VIEW)
    write_predictions(run.path / "test.parquet", LabelSet(labels), [block])
    return run


def store_of(source: str, root: Path, labels: tuple[str, ...]) -> Store:
    return Store(root, source, str(root), (16000,), LabelSet(labels), 1, 0, "", "")


def check_2018(path: Path, published: Path, labels: set[str]) -> dict[str, list[str]]:
    """Every row of the published sample, in its order, with three different known labels."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    with published.open(newline="") as file:
        sample = list(csv.reader(file))
    assert rows[0] == ["fname", "label"]
    assert [row[0] for row in rows[1:]] == [row[0] for row in sample[1:]]
    answers = {name: three.split(" ") for name, three in rows[1:]}
    assert all(len(set(three)) == 3 and set(three) <= labels for three in answers.values())
    return answers


def check_2019(path: Path, names: list[str], classes: list[str]) -> np.ndarray:
    """A number 0 to 1 for every class, for every clip of the published table in its order: ``[N, K]``."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["fname", *classes]
    assert [row[0] for row in rows[1:]] == names
    scores = np.array([[float(cell) for cell in row[1:]] for row in rows[1:]])
    assert ((scores >= 0) & (scores <= 1)).all()
    return scores


def test_the_file_of_2018_gives_the_map_at_3_of_the_scores(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "fsdkaggle2018"
    with (root / "test_post_competition.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    labels = tuple(sorted({row["label"] for row in table if row["usage"] in ("Public", "Private")}))
    assert len(labels) == 41
    rng = np.random.default_rng(0)
    names = [row["fname"] for row in rng.permutation(np.array(table, dtype=object))[:-40]]  # forty clips could not be read
    scores = rng.dirichlet(np.full(41, 0.05), len(names)).astype(np.float32)
    run = scored(tmp_path, labels, [f"audio_test/{name}" for name in names], scores)

    assert write_submission(run, store_of("fsdkaggle2018", root, labels), tmp_path / "s.csv", "all") == 40
    answers = check_2018(tmp_path / "s.csv", root / "sample_submission.csv", set(labels))
    assert len(answers) == 9400
    truth = {row["fname"]: row["label"] for row in table if row["usage"] in ("Public", "Private")}
    place = {name: i for i, name in enumerate(names)}
    judged = [name for name in names if name in truth]
    assert len(judged) > 1500
    found = np.mean([1 / (answers[n].index(truth[n]) + 1) if truth[n] in answers[n] else 0 for n in judged])
    positive = np.array([[label == truth[name] for label in labels] for name in judged])
    expected = precision_at_3(scores[[place[name] for name in judged]], positive).mean()
    assert found == pytest.approx(expected, abs=1e-12)
    missing = set(answers) - set(names)
    assert {tuple(answers[name]) for name in missing} == {labels[:3]}  # the same score for every class


@pytest.mark.slow
def test_the_file_of_2019_gives_the_lwlrap_of_the_scores(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "fsdkaggle2019"
    with (root / "vocabulary.csv").open(newline="") as file:
        classes = [row[1] for row in csv.reader(file)]
    with (root / "test_post_competition.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert (len(classes), len(table)) == (80, 4481)
    rng = np.random.default_rng(0)
    names = [row["fname"] for row in table]
    known = rng.permutation(names)[: len(names) - 10].tolist()
    scores = (rng.random((len(known), 80)) ** 40).astype(np.float32)  # many below 1e-10: they must not become equal
    run = scored(tmp_path, tuple(classes), [f"test/{name}" for name in known], scores)

    assert write_submission(run, store_of("fsdkaggle2019", root, tuple(classes)), tmp_path / "s.csv", "all") == 10
    read = check_2019(tmp_path / "s.csv", names, classes)
    positive = np.array([[name in row["labels"].split(",") for name in classes] for row in table])
    place = {name: i for i, name in enumerate(known)}
    rows = [i for i, name in enumerate(names) if name in place]
    values = [
        sklearn.metrics.label_ranking_average_precision_score(positive[rows], found, sample_weight=positive[rows].sum(axis=1))
        for found in (read[rows], scores[[place[names[i]] for i in rows]].astype(np.float64))
    ]
    assert values[0] == values[1]
    missing = [i for i, name in enumerate(names) if name not in place]
    assert np.ptp(read[missing], axis=1).max() == 0


def test_the_sample_submissions_columns_count_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "sample_submission.csv").write_text("fname,b,a\ny.wav,0,0\nx.wav,0,0\n")
    run = scored(tmp_path, ("a", "b"), ["test/x.wav"], np.array([[0.125, 0.75]]))
    write_submission(run, store_of("fsdkaggle2019", tmp_path, ("a", "b")), tmp_path / "s.csv", "all")
    assert (tmp_path / "s.csv").read_text() == "fname,b,a\ny.wav,0.5,0.5\nx.wav,0.75,0.125\n"


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample_submission.csv").write_text("fname,b,new\ny.wav,0,0\n")
    run = scored(tmp_path, ("a", "b"), ["test/x.wav"], np.array([[0.125, 0.75]]))
    with pytest.raises(RunError, match="does not know the class 'new'"):
        write_submission(run, store_of("fsdkaggle2019", tmp_path, ("a", "b")), tmp_path / "s.csv", "all")
    with pytest.raises(ManifestError, match="esc50: no competition asked for"):
        write_submission(run, store_of("esc50", tmp_path, ("a", "b")), tmp_path / "s.csv", "all")
    with pytest.raises(ManifestError, match=r"no sample_submission\.csv or test_post_competition\.csv"):
        write_submission(run, store_of("fsdkaggle2018", tmp_path / "run", ("a", "b")), tmp_path / "s.csv", "all")
    with pytest.raises(RunError, match="no scores of an ensemble 'other'; the ensembles with scores are all"):
        write_submission(run, store_of("fsdkaggle2019", tmp_path, ("a", "b")), tmp_path / "s.csv", "other")
    (tmp_path / "2018").mkdir()
    (tmp_path / "2018/sample_submission.csv").write_text("fname,label\nx.wav,a\n")
    spaced = scored(tmp_path / "2018", ("a", "b c"), ["test/x.wav"], np.array([[0.125, 0.75]]))
    with pytest.raises(RunError, match="the label 'b c' would become several"):
        write_submission(spaced, store_of("fsdkaggle2018", tmp_path / "2018", ("a", "b c")), tmp_path / "s.csv", "all")
    assert not (tmp_path / "s.csv").exists()
