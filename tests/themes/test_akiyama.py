"""A run of the 2019 system: its ensembles, what leaks, the bundle, a test split in two parts.

Every member's net is tiny and its cycles a batch long; snapshots, views, weights and needs are the recipe's own.
"""

import csv
import itertools
import json
import re
import shutil
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import safetensors.torch
import sklearn.metrics
import soundfile
import torch

import earmark
from earmark import cli
from earmark.assess.joined import out_of_fold
from earmark.data.clips import ClipSet, load_clips
from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.synth import RATE, render
from earmark.data.table import load_table
from earmark.errors import EarmarkWarning
from earmark.nets.member import load_net
from earmark.recipe import Recipe
from earmark.runs.run import Run
from earmark.training.piece import Piece, make_piece
from earmark.training.train import TrainRequest, train
from earmark.training.trainer import FoldTrainer, make_fabric
from tests.conftest import read_mono
from tests.small import small_akiyama

pytestmark = pytest.mark.slow

KINDS = ("bell", "clicks", "hum", "wind")
MEMBERS = {"row1": 1, "A": 4, "B": 2, "row6": 2, "F": 7}  # cycles
FOLDS = 2
USAGE = ("Public", "Private", "Private")  # of each kind's test clips
Rows = dict[tuple[str, str, str], dict[str, np.ndarray]]  # member, snapshot, view → clip → scores


@dataclass(frozen=True)
class Part:
    """A member's part in an ensemble, of what is made here: its weight, which of its nets' weights vote, on which views."""

    weight: float
    weights: tuple[str, ...]
    views: tuple[str, ...]


MEL, WAVEFORM, WHOLE = ("pad8", "pad64"), ("pad8000", "pad32000"), ("whole",)
# The submissions are the paper's §3.6: A : B : C : D : E : F = 3 : 4 : 3 : 1 : 1 : 1, with the cycles and paddings of its released
# code; leak-free is the first with #6 in the place of #5. Tables 1 and 2 quote each fold's best epoch, table 3 averages cycles 1-8
# of A and 1-7 of B, paddings 8 and 32.
ENSEMBLES = {
    "leak-free": {"A": Part(3, ("2", "4"), MEL), "row6": Part(4, ("1", "2"), MEL), "F": Part(1, ("7",), WAVEFORM)},
    "submission1": {"A": Part(3, ("2", "4"), MEL), "B": Part(4, ("1", "2"), MEL), "F": Part(1, ("7",), WAVEFORM)},
    "submission2": {"A": Part(3, ("2", "4"), WHOLE), "B": Part(4, ("1", "2"), WHOLE), "F": Part(1, ("6", "7"), WHOLE)},
    "table1-5": {"B": Part(1, ("best",), WHOLE)},
    "table2-11": {"F": Part(1, ("best",), WHOLE)},
    "table3-8": {"A": Part(3, ("1", "2", "3", "4"), ("pad8", "pad32")), "B": Part(4, ("1", "2"), ("pad8", "pad32"))},
}
OWN = {"row1": ("best",), "A": tuple("1234"), "B": tuple("12"), "row6": tuple("12"), "F": tuple("1234567")}  # weights of a member
QUOTED = {"submission1": 0.896, "submission2": 0.895, "table1-5": 0.870, "table2-11": 0.820, "table3-8": 0.890}


def votes_of(ensemble: str) -> int:
    """Scores of all folds that it is made of."""
    return FOLDS * sum(len(part.weights) * len(part.views) for part in ENSEMBLES[ensemble].values())


def trimmed(recipe: Recipe) -> Recipe:
    """Some members with fewer cycles, and some ensembles without the members and snapshots that then are not made."""
    data = recipe.model_dump(mode="json")
    data["members"] = {name: data["members"][name] for name in MEMBERS}
    for name, cycles in MEMBERS.items():
        if name != "row1":
            data["members"][name]["schedule"][0]["cycles"] = cycles
    data["ensembles"] = {name: data["ensembles"][name] for name in ENSEMBLES}
    for ensemble in data["ensembles"].values():
        ensemble["members"] = {name: voter for name, voter in ensemble["members"].items() if name in MEMBERS}
        for name, voter in ensemble["members"].items():
            if voter["snapshots"]:
                voter["snapshots"] = [number for number in voter["snapshots"] if number <= MEMBERS[name]]
    return Recipe.model_validate(data)


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        run: of all members on both folds.
        store: what it was trained on.
        sounds: the folder of its clips.
        first: the metrics when row1, A and B were finished alone.
        metrics: the last ones.
    """

    run: Run
    store: Store
    sounds: Path
    first: dict[str, Any]
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("akiyama")
    clips = []
    rng = np.random.default_rng(8)
    for kind in KINDS:
        for place in range(8 + len(USAGE)):
            name = f"{kind}-{place}.wav"
            soundfile.write(folder / name, 0.7 * render(kind, rng)[: RATE * 3 // 4], RATE, subtype="PCM_16")
            if place < 8:
                clips.append(Clip(name, (kind,), verified=place < 4, fold=place % FOLDS, group=name, extra={"usage": ""}))
            else:
                clips.append(Clip(name, (kind,), split="test", group=name, extra={"usage": USAGE[place - 8]}))
    write_manifest(folder / "manifest.csv", clips)
    store = prepare(read_manifest(folder / "manifest.csv"), str(folder / "manifest.csv"), folder / "store", [8000]).store
    recipe = trimmed(small_akiyama(cycle=1))
    with pytest.warns(EarmarkWarning, match="no figures of ensemble submission1, submission2, table2-11 yet"):
        first = train(TrainRequest(recipe, store, folder / "run", members=["B"], device="cpu"))
    metrics = train(TrainRequest(recipe, store, folder / "run", device="cpu"))
    return Trained(Run.open(folder / "run"), store, folder, first, metrics)


@pytest.fixture(scope="module")
def rows(trained: Trained) -> Rows:
    """The run's own ``oof.parquet``, as any other program reads it."""
    found: Rows = defaultdict(dict)
    for row in pyarrow.parquet.read_table(trained.run.path / "oof.parquet").to_pylist():
        of_view = found[row["member"], row["snapshot"], row["view"]]
        assert row["clip_id"] not in of_view
        of_view[row["clip_id"]] = np.array(row["scores"])
    return dict(found)


def lwlrap(scores: np.ndarray, positive: np.ndarray) -> float:
    return float(sklearn.metrics.label_ranking_average_precision_score(positive, scores, sample_weight=positive.sum(axis=1)))


def ensemble_by_hand(rows: Rows, ensemble: str, clip: str) -> np.ndarray:
    """A clip's own fold's nets: each member's mean, then the weighted mean of those."""
    total, parts = np.zeros(len(KINDS)), ENSEMBLES[ensemble]
    for member, part in parts.items():
        votes = [rows[member, weights, view][clip] for weights in part.weights for view in part.views]
        total += part.weight / sum(other.weight for other in parts.values()) * np.mean(votes, axis=0)
    return total


# ------------------------------------------------------------------------------------------------------- scores, ensembles


def test_there_are_the_scores_that_members_and_ensembles_need_and_no_others(rows: Rows) -> None:
    whole = {(member, weights, "whole") for member, own in OWN.items() for weights in own}
    best = {(member, "best", "whole") for member in ("B", "F")}  # the tables'
    submission1 = {
        (member, number, view) for member in ("A", "B", "row6") for number in ("24" if member == "A" else "12") for view in MEL
    }
    of_f = {("F", "7", view) for view in WAVEFORM}
    table3 = {(member, number, view) for member in ("A", "B") for number in OWN[member] for view in ("pad8", "pad32")}
    assert set(rows) == whole | best | submission1 | of_f | table3
    # The fold's unverified clips train in it, too (`unverified: all`): of them there is no score out of fold.
    verified = {f"{kind}-{place}.wav" for kind in KINDS for place in range(4)}
    assert {frozenset(found) for found in rows.values()} == {frozenset(verified)}
    for member, number, views in (("A", "2", 4), ("F", "7", 3)):
        seen = [np.stack(list(found.values())) for key, found in rows.items() if key[:2] == (member, number)]
        assert len(seen) == views
        assert all(np.abs(one - other).max() > 1e-6 for one, other in itertools.combinations(seen, 2))


@pytest.mark.parametrize("ensemble", list(ENSEMBLES))
def test_an_ensemble_is_the_weighted_mean_over_weights_and_views(ensemble: str, rows: Rows, trained: Trained) -> None:
    found = out_of_fold(trained.run, load_table(trained.store)).ensembles[ensemble]
    expected = np.stack([ensemble_by_hand(rows, ensemble, clip) for clip in found.clips.clip_id.tolist()])
    assert found.scores.shape == (16, 4)
    assert np.allclose(found.scores, expected, atol=1e-6)
    written = json.loads((trained.run.path / "metrics.json").read_text())["ensembles"][ensemble]
    assert written["lwlrap"]["value"] == pytest.approx(lwlrap(expected, found.clips.positive))
    assert written["lwlrap"]["clips"] == 16
    assert written["predictions"] == votes_of(ensemble)
    assert written["best_weights"] == (ensemble in ("table1-5", "table2-11"))
    assert written.get("quoted") == QUOTED.get(ensemble)


def test_a_members_figure_is_that_of_its_mean_over_its_own_weights_and_view(rows: Rows, trained: Trained) -> None:
    clips = load_table(trained.store)
    label = dict(zip(clips.clip_id.tolist(), clips.positive, strict=True))
    scores = out_of_fold(trained.run, clips).members
    assert set(scores) == set(MEMBERS)
    for member, found in scores.items():
        names = found.clips.clip_id.tolist()
        means = np.stack([np.mean([rows[member, weights, "whole"][clip] for weights in OWN[member]], axis=0) for clip in names])
        assert np.allclose(found.scores, means, atol=1e-6)
        value = trained.metrics["members"][member]["lwlrap"]["value"]
        assert value == pytest.approx(lwlrap(means, np.stack([label[clip] for clip in names])))


def test_an_ensemble_waits_for_all_its_members_but_the_runs_own(trained: Trained) -> None:
    """B alone was asked for: with row1, which it starts from, and A, whose guesses it learns from."""
    assert trained.first["folds"] == {"row1": [0, 1], "A": [0, 1], "B": [0, 1]}
    assert list(trained.first["ensembles"]) == ["leak-free", "table1-5", "table3-8"]
    assert trained.first["ensembles"]["leak-free"]["predictions"] == FOLDS * 2 * 2  # of A alone
    assert trained.first["ensembles"]["table3-8"] == trained.metrics["ensembles"]["table3-8"]
    assert list(trained.metrics["ensembles"]) == list(ENSEMBLES)


def test_an_ensemble_has_the_folds_that_its_members_have_in_common(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.run.path / "members", tmp_path / "members")
    (tmp_path / "members/F/fold1/oof.parquet").unlink()
    clips = load_table(trained.store)
    scores = out_of_fold(Run(tmp_path, trained.run.recipe), clips)
    assert list(scores.ensembles) == list(ENSEMBLES)
    for name, found in scores.ensembles.items():
        folds = {0} if "F" in ENSEMBLES[name] else {0, 1}
        assert set(found.clips.fold.tolist()) == folds  # the clips that all its members have scores for
        assert {vote.fold for vote in scores.votes[name]} == folds
    assert len(scores.votes["leak-free"]) == 2 * 2 + 2 * 2 + 2
    (tmp_path / "members/F/fold0/oof.parquet").unlink()
    assert list(out_of_fold(Run(tmp_path, trained.run.recipe), clips).ensembles) == ["leak-free", "table1-5", "table3-8"]


def test_weights_that_count_are_those_that_the_scores_are_of(rows: Rows, trained: Trained) -> None:
    clips = load_clips(trained.store, 8000)
    for member, snapshot, file in (
        ("row1", "best", "best.safetensors"),
        ("A", "1", "snapshot1.safetensors"),
        ("A", "4", "snapshot4.safetensors"),
        ("F", "best", "best.safetensors"),
    ):
        for i in (0, 1):  # of both folds
            assert clips.fold[i] == i
            net = load_net(trained.run.recipe.members[member], 4, trained.run.net_folder(member, i) / file).eval()
            with torch.inference_mode():
                expected = net(torch.from_numpy(clips.samples(i)[None]))[0].numpy()
            assert np.allclose(rows[member, snapshot, "whole"][str(clips.clip_id[i])], expected, atol=1e-5)


# ----------------------------------------------------------------------------------------------------------------------- leaks

LEAKS = {"row1": False, "A": False, "B": True, "row6": False, "F": False}
ENSEMBLE_LEAKS = {name: "B" in parts for name, parts in ENSEMBLES.items()}


def marked(page: str) -> dict[str, bool]:
    """The rows of a report's two tables, and whether they are marked."""
    cells = re.findall(r"<tr><td>([\w-]+)(?:: [^<]*)?( <span class=\"leak\">leaks</span>)?</td>", page)
    return {name: bool(mark) for name, mark in cells if name in LEAKS | ENSEMBLE_LEAKS}


def test_what_leaks_is_said_in_metrics_and_report(trained: Trained) -> None:
    written = json.loads((trained.run.path / "metrics.json").read_text())
    assert {name: found["leaks"] for name, found in written["members"].items()} == LEAKS
    assert {name: found["leaks"] for name, found in written["ensembles"].items()} == ENSEMBLE_LEAKS
    assert written["leaks"] is False
    page = (trained.run.path / "report.html").read_text()
    assert marked(page) == LEAKS | ENSEMBLE_LEAKS
    assert "These figures leak" not in page  # the run's own do not


def test_what_leaks_is_said_on_the_command_line_and_of_a_run_whose_own_ensemble_does(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same scores with submission 1 in the first place."""
    shutil.copytree(trained.run.path, tmp_path / "run", ignore=shutil.ignore_patterns("bundle"))
    data = trained.run.recipe.model_dump(mode="json")
    data["ensembles"] = {name: data["ensembles"][name] for name in ("submission1", *ENSEMBLES)}
    (tmp_path / "run/recipe.yaml").write_text(Recipe.model_validate(data).to_yaml())
    capsys.readouterr()
    assert cli.run(["evaluate", str(tmp_path / "run")]) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = {re.split(r",|:| \(", line)[0]: line for line in lines[:-1]}  # by part and name
    for part, expected in (("member", LEAKS), ("ensemble", ENSEMBLE_LEAKS)):
        for name, leaks in expected.items():
            assert figures[f"{part} {name}"].endswith(" – leaks validation labels") == leaks
    for title in ("verified clips", "all labelled clips"):
        assert figures[title].endswith(" – leaks validation labels")
    assert "ensemble submission1 (Table 3 #10: submission 1), verified: map@3 " in figures["ensemble submission1"]
    assert " – published: 0.870 – the weights were chosen on these clips" in figures["ensemble table1-5"]
    written = json.loads((tmp_path / "run/metrics.json").read_text())
    assert written["leaks"] is True
    assert written["lwlrap"] == trained.metrics["ensembles"]["submission1"]["lwlrap"]
    page = (tmp_path / "run/report.html").read_text()
    assert "These figures leak" in page
    assert marked(page) == LEAKS | ENSEMBLE_LEAKS
    assert "validation labels leaked" in (tmp_path / "run/bundle/README.md").read_text()
    assert "leaked" not in (trained.run.bundle / "README.md").read_text()
    config = json.loads((tmp_path / "run/bundle/config.json").read_text())
    assert {member["name"] for member in config["members"]} == {"A", "B", "F"}


# ----------------------------------------------------------------------------------------------------------- bundle, test split


def by_hand(trained: Trained, samples: np.ndarray, ensemble: str) -> np.ndarray:
    """A sound's scores by the nets of the run, both folds of them, with the zeros of each view put on here.

    Args:
        trained: the run.
        samples: at 8 kHz, as they are: neither filled to the window nor scaled to peak 1.
        ensemble: whose scores.
    """
    total, parts = np.zeros(len(KINDS)), ENSEMBLES[ensemble]
    for member, part in parts.items():
        votes = []
        for fold in range(FOLDS):
            for weights in part.weights:
                file = trained.run.net_folder(member, fold) / f"{'' if weights == 'best' else 'snapshot'}{weights}.safetensors"
                net = load_net(trained.run.recipe.members[member], len(KINDS), file).eval()
                with torch.inference_mode():
                    power = net.frontend.power(torch.from_numpy(samples[None])).numpy()
                    for view in part.views:
                        zeros = np.zeros((*power.shape[:2], int(view.removeprefix("pad") if view != "whole" else 0)), np.float32)
                        wide = np.concatenate([zeros, power, zeros], axis=2)
                        votes.append(net(torch.from_numpy(wide), "power")[0].numpy())
        total += part.weight / sum(other.weight for other in parts.values()) * np.mean(votes, axis=0)
    return total


def test_the_bundle_is_the_first_ensemble_without_what_only_training_needs(trained: Trained) -> None:
    config = json.loads((trained.run.bundle / "config.json").read_text())
    assert config["rule"] == "arithmetic_mean"
    assert config["labels"] == list(KINDS)
    members = config["members"]
    weight: dict[str, float] = defaultdict(float)
    for member in members:
        name, snapshot, fold = member["name"], member["snapshot"], member["fold"]
        part = ENSEMBLES["leak-free"][name]
        weight[name] += member["weight"]
        assert member["weight"] == pytest.approx(part.weight / (FOLDS * len(part.weights)))
        assert snapshot in part.weights
        assert member["views"] == list(part.views)
        assert member["activation"] == ("softmax" if name == "F" else "sigmoid")
        assert member["head"]["noisy"] is False
        kept = safetensors.torch.load_file(trained.run.bundle / member["file"])
        learned = safetensors.torch.load_file(trained.run.net_folder(name, fold) / f"snapshot{snapshot}.safetensors")
        assert {key for key in learned if key not in kept} == {key for key in learned if key.startswith("head.noisy.")}
        assert all(torch.equal(value, learned[key]) for key, value in kept.items())
        assert member["parameters"] == sum(v.numel() for k, v in kept.items() if "running" not in k and "num_batches" not in k)
    assert len(members) == FOLDS * (2 + 2 + 1)
    assert len({member["file"] for member in members}) == len(members)
    assert weight == pytest.approx({"A": 3, "row6": 4, "F": 1})


def test_the_bundle_scores_a_file_as_the_nets_of_the_run_do(trained: Trained) -> None:
    tagger = earmark.load(trained.run.path)
    for name in ("bell-9.wav", "wind-0.wav"):
        path = trained.sounds / name
        samples, rate = soundfile.read(path, dtype="float32")
        found = tagger.scores(samples[None], rate)[0]
        assert np.allclose(found, by_hand(trained, read_mono(path, 8000), "leak-free"), atol=1e-5)
        best = tagger.tag(path, top_k=1)[0]
        assert (best.label, best.score) == (KINDS[int(found.argmax())], found.max())
    assert not np.allclose(tagger.scores(0.1 * samples[None], rate)[0], found, atol=1e-4)  # a waveform net hears the level


def test_the_test_split_is_scored_by_every_ensemble_and_in_its_parts(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.run.path, run)
    capsys.readouterr()
    assert cli.run(["evaluate", str(run), "--split", "test"]) == 0
    lines = capsys.readouterr().out.splitlines()
    scores: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for row in pyarrow.parquet.read_table(run / "test.parquet").to_pylist():
        scores[row["member"]][row["clip_id"]] = np.array(row["scores"])
    assert set(scores) == {f"ensemble:{name}" for name in ENSEMBLE_LEAKS}
    metrics = json.loads((run / "metrics-test.json").read_text())
    with (trained.sounds / "manifest.csv").open(newline="") as file:
        test = [row for row in csv.DictReader(file) if row["split"] == "test"]
    stored = load_clips(trained.store, 8000)
    for name in ENSEMBLE_LEAKS:
        of_clip = scores[f"ensemble:{name}"]
        assert set(of_clip) == {row["file_name"] for row in test}
        for clip in ("hum-8.wav", "clicks-10.wav"):
            samples = stored.samples(stored.clip_id.tolist().index(clip))
            assert np.allclose(of_clip[clip], by_hand(trained, samples, name), atol=1e-5)
        of_ensemble = metrics["ensembles"][name]
        for usage, found in (
            ("Public", of_ensemble["usage"]["Public"]),
            ("Private", of_ensemble["usage"]["Private"]),
            ("", of_ensemble),
        ):
            chosen = [row for row in test if usage in ("", row["usage"])]
            positive = np.array([[kind == row["labels"] for kind in KINDS] for row in chosen])
            assert found["lwlrap"]["clips"] == len(chosen) == {"Public": 4, "Private": 8, "": 12}[usage]
            assert found["lwlrap"]["value"] == pytest.approx(
                lwlrap(np.stack([of_clip[row["file_name"]] for row in chosen]), positive)
            )
    assert metrics["lwlrap"] == metrics["ensembles"]["leak-free"]["lwlrap"]
    titles = [line.split(": map@3")[0] for line in lines]
    submission1 = "ensemble submission1 (Table 3 #10: submission 1), verified"
    for title in ("verified clips, Public", submission1, f"{submission1}, Private", "ensemble leak-free, verified"):
        assert title in titles


# ------------------------------------------------------------------------------------------------- where training starts from


def before_training(piece: Piece) -> dict[str, torch.Tensor]:
    return FoldTrainer(piece, make_fabric("cpu", "float32")).plain_net.state_dict()


@pytest.mark.parametrize(("recipe", "member", "file"), [("akiyama2019", "row1", "last"), ("akiyama2019-released", "A", "last")])
def test_b_starts_from_the_weights_that_its_recipe_says(recipe: str, member: str, file: str, trained: Trained) -> None:
    """As published from row 1's, as released from A's; the last of the same fold: the best were chosen on its validation clips."""
    settings = trimmed(small_akiyama(cycle=1, recipe=recipe))
    clips = load_clips(trained.store, 8000)
    other = safetensors.torch.load_file(trained.run.net_folder(member, 1) / f"{file}.safetensors")
    piece = make_piece(Run(trained.run.path, settings), "B", 1, clips)
    started, fresh = before_training(piece), before_training(replace(piece, start=None))
    assert not any(torch.equal(fresh[name], value) for name, value in other.items() if name.endswith("conv1.weight"))
    for name, value in started.items():
        assert torch.equal(value, other[name] if name in other else fresh[name]), name
    assert any(name.startswith("head.noisy.") for name in started)


def test_a_member_is_taught_by_the_clips_that_its_recipe_says(trained: Trained) -> None:
    """Verified clips of the other fold; the unverified ones of both folds go to the second task, or with the first."""
    clips = load_clips(trained.store, 8000)
    train_clips = [f"{kind}-{place}.wav" for kind in KINDS for place in range(8)]

    def names(found: ClipSet | None) -> set[str]:
        return set() if found is None else set(found.clip_id.tolist())

    curated = {name for name in train_clips if name[-5] in "02"}
    noisy = {name for name in train_clips if name[-5] in "4567"}
    piece = make_piece(trained.run, "A", 1, clips)
    assert (names(piece.training), names(piece.noisy)) == (curated, noisy)
    assert names(piece.validation) == {name for name in train_clips if name[-5] in "13"}
    assert make_piece(trained.run, "row1", 1, clips).noisy is None
    both = trained.run.recipe.model_dump(mode="json")
    both["members"]["row1"]["clips"] = "labelled"
    run = Run(trained.run.path, Recipe.model_validate(both))
    assert names(make_piece(run, "row1", 1, clips).training) == curated | noisy
    assert names(make_piece(trained.run, "row1", 1, clips).training) == curated
