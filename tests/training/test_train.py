import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import load_file, save_file

from earmark import cli
from earmark.assess.joined import out_of_fold
from earmark.data.clips import load_clips
from earmark.data.manifest import read_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.errors import EarmarkError, RunError
from earmark.nets.member import load_net
from earmark.recipe import Recipe, load_recipe
from earmark.runs.run import Run
from earmark.training.loop import train_piece
from earmark.training.make import missing_scores
from earmark.training.piece import Piece
from earmark.training.splits import allowed, labelled
from earmark.training.train import TrainRequest, finish, train
from earmark.training.trainer import make_fabric
from tests.conftest import SMALL, scores_of


def test_a_run_has_what_the_contract_says(finished_run: Path, store: Store, small_recipe: Recipe) -> None:
    assert Run.open(finished_run).recipe == small_recipe
    for fold in (0, 1):
        piece = finished_run / "members" / "logmel" / f"fold{fold}"
        assert sorted(path.name for path in piece.iterdir()) == [
            "best.safetensors",
            "last.safetensors",
            "metrics.csv",
            "oof.parquet",
        ]
        rows = list(csv.DictReader((piece / "metrics.csv").open()))
        assert [int(row["batch"]) for row in rows] == [6, 12]
        assert all(0 <= float(row["masked"]) < 1 and float(row["loss"]) > 0 and row["map@3"] for row in rows)
    table = pyarrow.parquet.read_table(finished_run / "oof.parquet")
    assert table.column_names == ["clip_id", "member", "fold", "snapshot", "view", "scores"]
    assert json.loads(table.schema.metadata[b"labels"]) == list(store.labels.names)
    assert table.schema.field("scores").type.list_size == 10
    clips = load_clips(store, 16000)
    fold_of = dict(zip(clips.clip_id, clips.fold, strict=True))
    assert sorted(table["clip_id"].to_pylist()) == sorted(clips.clip_id[~clips.test])  # every training clip once
    assert [fold_of[c] for c in table["clip_id"].to_pylist()] == table["fold"].to_pylist()
    scores = np.array(table["scores"].to_pylist())
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    metrics = json.loads((finished_run / "metrics.json").read_text())
    for found in (metrics, metrics["all"], metrics["members"]["logmel"], metrics["members"]["logmel"]["all"]):
        for name in ("map@3", "accuracy", "lwlrap"):
            assert 0 <= found[name]["low"] <= found[name]["value"] <= found[name]["high"] <= 1
    assert metrics["map@3"]["clips"] == int((clips.verified & ~clips.test).sum())
    assert metrics["all"]["map@3"]["clips"] == int((~clips.test).sum())


def test_a_finished_run_does_nothing_again(finished_run: Path, store: Store, small_recipe: Recipe, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("fold*/*")}
    train(TrainRequest(small_recipe, store, copy, device="cpu"))
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("fold*/*")} == before


@pytest.mark.slow
def test_members_and_folds_can_be_trained_one_after_the_other(store: Store, tmp_path: Path) -> None:
    both = tmp_path / "both.yaml"
    text = load_recipe("tiny", SMALL).to_yaml()
    both.write_text(text.replace("\npseudo_labels:", "\n  second: {like: logmel, batch: {gain: [0.5, 1.0]}}\npseudo_labels:", 1))
    recipe = load_recipe(str(both), ["ensembles.all.members={logmel: {weight: 1}, second: {weight: 2}}"])
    first = train(TrainRequest(recipe, store, tmp_path / "run", ["logmel"], [1], device="cpu"))
    assert list(first["members"]) == ["logmel"]
    second = train(TrainRequest(recipe, store, tmp_path / "run", ["second"], [1], device="cpu"))
    assert second["folds"] == {"logmel": [1], "second": [1]}
    assert second["members"]["logmel"] == first["members"]["logmel"]
    config = json.loads((tmp_path / "run" / "bundle" / "config.json").read_text())
    assert [(m["name"], m["weight"]) for m in config["members"]] == [("logmel", 1.0), ("second", 2.0)]


def test_a_fold_trains_on_labelled_clips_of_the_other_folds_only(store: Store) -> None:
    clips = load_clips(store, 16000)
    clips = replace(
        clips,
        positive=clips.positive & (np.arange(len(clips)) != 5)[:, None],
        verified=clips.verified & (np.arange(len(clips)) != 5),
    )
    recipe = load_recipe("tiny")
    chosen = labelled(clips, 0, recipe)
    assert (clips.fold[chosen] == 1).all()
    assert not clips.test[chosen].any()
    assert not chosen[5]  # unlabelled
    everywhere = labelled(clips, 0, recipe.model_copy(update={"unverified": "all"}))
    assert (everywhere & (clips.fold == 0)).any()
    assert not clips.verified[everywhere & (clips.fold == 0)].any()  # a fold's verified clips stay out whatever the recipe says


@pytest.mark.slow
def test_training_learns(store: Store, tmp_path: Path) -> None:
    """Ten kinds of sound from 38 clips in a few seconds: far better than guessing."""
    overrides = [
        "precision=float32",
        "members.*.backbone.growth=[8, 16, 16, 16]",
        "members.*.batch.mix_alpha=0.1",
        *(f"members.*.{part}.momentum=0.1" for part in ("frontend", "backbone", "head")),  # so few batches: fresher statistics
        "members.*.schedule=[{batches: 80, rate: 5.0e-3, final_rate: 1.0e-4}]",
        "members.*.validation.every=80",
    ]
    metrics = train(TrainRequest(load_recipe("tiny", overrides), store, tmp_path / "run", folds=[0], device="cpu"))
    assert metrics["all"]["map@3"]["value"] > 0.5  # 0.18 by chance


def test_bfloat16_scores_are_those_of_float32_within_its_digits(store: Store, small_recipe: Recipe, tmp_path: Path) -> None:
    clips = load_clips(store, 16000)
    training = clips[labelled(clips, 0, small_recipe)]
    losses = {}
    for precision in ("float32", "bfloat16"):
        piece = Piece("t", tmp_path / precision, small_recipe.members["logmel"], training, clips[:0], np.random.SeedSequence(3))
        train_piece(piece, make_fabric("cpu", precision))
        losses[precision] = float(next(csv.DictReader((tmp_path / precision / "metrics.csv").open()))["loss"])
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)
    assert losses["bfloat16"] != losses["float32"]


def test_two_trainings_in_one_directory_are_kept_apart(store: Store, small_recipe: Recipe, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EarmarkError, match="in use by another earmark process"):
            train(TrainRequest(small_recipe, store, tmp_path / "run", device="cpu"))


def test_training_draws_nothing_from_the_global_generator(store: Store, small_recipe: Recipe, tmp_path: Path) -> None:
    """Else two members trained in one process would not be what each is alone."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    clips = load_clips(store, 16000)
    training = clips[labelled(clips, 0, small_recipe)]
    train_piece(
        Piece("t", tmp_path, small_recipe.members["logmel"], training, clips[:4], np.random.SeedSequence(3)),
        make_fabric("cpu", "float32"),
    )
    assert torch.equal(torch.rand(1), expected)


def test_a_run_goes_on_where_it_was_started(finished_run: Path, store: Store, small_recipe: Recipe, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    (copy / "run.json").write_text((copy / "run.json").read_text().replace('"cpu"', '"cuda"'))
    with pytest.raises(EarmarkError, match="started on cuda and goes on there; leave --device out"):
        train(TrainRequest(small_recipe, store, copy, device="cpu"))


@pytest.mark.slow
def test_a_run_keeps_the_threads_that_it_was_started_with(store: Store, small_recipe: Recipe, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    request = TrainRequest(small_recipe, store, tmp_path / "run", folds=[0], device="cpu", threads=before + 1)
    train(request)
    info = Run.open(request.out).info
    assert info is not None and info.threads == before + 1
    train(replace(request, threads=None))
    with pytest.raises(EarmarkError, match=f"was started with --threads {before + 1} and goes on so; leave --threads out"):
        train(replace(request, threads=before))
    assert torch.get_num_threads() == before


@pytest.mark.slow
@pytest.mark.parametrize("member", list(load_recipe("cochlear2018").members))
def test_every_member_of_the_2018_system_trains_at_its_rate(member: str, rendered: Path, tmp_path: Path) -> None:
    """In full, but for the width of its modules and the length of the schedule."""
    recipe = load_recipe("cochlear2018", ["members.*.schedule=[{batches: 2, rate: 1.0e-3}]", "members.*.validation.every=2"])
    settings = recipe.members[member]
    narrow = [2 if width < 64 else 4 for width in settings.backbone.arguments["growth"]]
    recipe = load_recipe(
        "cochlear2018",
        ["members.*.schedule=[{batches: 2, rate: 1.0e-3}]", "members.*.validation.every=2", "precision=float32",
         f"members.{member}.backbone.growth={narrow}"],
    )  # fmt: skip
    manifest = read_manifest(rendered)
    store = prepare(manifest, str(rendered), tmp_path / "store", [settings.input.sample_rate]).store
    metrics = train(TrainRequest(recipe, store, tmp_path / "run", [member], [1], device="cpu"))
    assert list(metrics["members"]) == [member]
    rows = list(csv.DictReader((tmp_path / "run" / "members" / member / "fold1" / "metrics.csv").open()))
    assert 0 < float(rows[-1]["loss"]) < 10


def test_unverified_clips_of_a_recording_that_is_scored_train_in_no_way(store: Store) -> None:
    """With `unverified: all` the fold's own unverified clips are heard, but not those cut from a verified clip's recording."""
    clips = load_clips(store, 8000)
    of_fold = np.flatnonzero(clips.fold == 0)
    verified = of_fold[clips.verified[of_fold]][0]
    cousin, stranger = of_fold[~clips.verified[of_fold]][:2]
    group = clips.group.copy()
    group[cousin] = group[verified]
    clips = replace(clips, group=group)
    recipe = load_recipe("tiny", ["unverified=all"])
    heard = allowed(clips, 0, recipe)
    assert heard[stranger]
    assert not heard[cousin]
    assert not heard[verified]
    assert allowed(clips, 1, recipe)[[cousin, verified]].all()
    assert not allowed(clips, 0, load_recipe("tiny"))[[cousin, stranger]].any()  # the default: nothing of the own fold


# --------------------------------------------------------------------------------------------- ensembles of a finished run

LATE = {"rule": "geometric_mean", "members": {"logmel": {"weights": "best", "views": ["pad4", "whole"]}}}


def with_ensembles(recipe: Recipe, **ensembles: Any) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(mode="json"), "ensembles": ensembles})


def rows_of(run: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(run / "oof.parquet").to_pylist()
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("how", ["evaluate", "train"])
def test_an_ensemble_that_is_added_to_a_finished_run_is_scored_and_nothing_is_trained(
    how: str, finished_run: Path, store: Store, small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recipe = tmp_path / "run", with_ensembles(small_recipe, all={}, late=LATE)
    shutil.copytree(finished_run, run)

    def no_training(*_: Any) -> None:
        raise AssertionError("a finished net is trained")

    monkeypatch.setattr("earmark.training.make.train_piece", no_training)
    weights = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.rglob("fold*/*.safetensors")}
    assert len(weights) == 2 * 2
    if how == "evaluate":
        (run / "recipe.yaml").write_text(recipe.to_yaml())
        assert cli.run(["evaluate", str(run)]) == 0
    else:
        train(TrainRequest(recipe, store, run, device="cpu"))
        assert Run.open(run).recipe == recipe
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in weights} == weights

    old, new = rows_of(finished_run), rows_of(run)
    assert [row for row in new if (row["snapshot"], row["view"]) == ("last", "whole")] == old
    added = [row for row in new if row not in old]
    assert len(added) == len(new) - len(old) == 2 * len(old)
    settings, clips = small_recipe.members["logmel"], load_clips(store, 16000)
    for fold in (0, 1):
        held_out = clips[clips.fold == fold]
        net = load_net(settings, 10, Run.open(run).weights("logmel", fold, "best"))
        for view, expected in zip(("pad4", "whole"), scores_of(net, held_out, settings, ("pad4", "whole")), strict=True):
            own = [row for row in added if (row["fold"], row["snapshot"], row["view"]) == (fold, "best", view)]
            assert [row["clip_id"] for row in own] == held_out.clip_id.tolist()
            assert np.allclose([row["scores"] for row in own], expected, atol=1e-6)

    metrics, before = (json.loads((path / "metrics.json").read_text()) for path in (run, finished_run))
    assert metrics["ensembles"]["all"] == before["ensembles"]["all"]
    assert {**metrics, "ensembles": {}} == {**before, "ensembles": {}}  # the fingerprint among them
    late = metrics["ensembles"]["late"]
    assert (late["predictions"], late["best_weights"]) == (2 * 2, True)
    scores = {view: {row["clip_id"]: np.array(row["scores"]) for row in added if row["view"] == view} for view in ("pad4", "whole")}
    verified = np.flatnonzero(clips.verified & ~clips.test)
    names = clips.clip_id[verified].tolist()
    best = [(scores["pad4"][name] * scores["whole"][name]).argmax() for name in names]
    right = clips.positive[verified, best]
    assert late["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert late["accuracy"]["clips"] == len(verified) == 35


def test_scores_that_are_there_are_not_made_again(finished_run: Path, store: Store, small_recipe: Recipe, tmp_path: Path) -> None:
    """An ensemble of what is scored already needs no nets, nor the store's samples."""
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    for path in run.rglob("fold*/*.safetensors"):
        path.unlink()
    files = {path: path.stat().st_mtime_ns for path in run.rglob("fold*/oof.parquet")}
    other = with_ensembles(small_recipe, other={"rule": "arithmetic_mean", "members": {"logmel": {"weight": 3}}})
    scores = out_of_fold(Run(run, other), load_table(store))
    assert list(scores.ensembles) == ["other"]
    assert missing_scores(Run(run, other), "logmel", 0) == []
    assert missing_scores(Run(run, with_ensembles(small_recipe, late=LATE)), "logmel", 0) == [("best", "pad4"), ("best", "whole")]
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_recipe_that_differs_in_training_is_refused_however_its_ensembles_are(
    finished_run: Path, store: Store, small_recipe: Recipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    written = (run / "recipe.yaml").read_text()
    changed = with_ensembles(small_recipe, late=LATE).model_dump(mode="json")
    changed["seed"] = 2
    changed["members"]["logmel"]["batch"]["mix_alpha"] = 0.5
    with pytest.raises(
        RunError, match=r"another recipe \(changed: seed, members\.logmel\.batch\.mix_alpha\); choose another --out"
    ):
        train(TrainRequest(Recipe.model_validate(changed), store, run, device="cpu"))
    assert (run / "recipe.yaml").read_text() == written


def test_further_scores_need_the_store_that_a_run_was_trained_on(
    finished_run: Path, rendered: Path, small_recipe: Recipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / "recipe.yaml").write_text(with_ensembles(small_recipe, all={}, late=LATE).to_yaml())
    manifest = read_manifest(rendered)
    fewer = replace(manifest, clips=manifest.clips[:-1])
    other = prepare(fewer, "m", tmp_path / "store", [16000]).store
    with pytest.raises(RunError, match="name the run's own store, or train into another --out"):
        finish(Run.open(run), other)


@pytest.mark.slow
def test_every_file_of_weights_has_a_name_of_its_own_in_the_bundle(
    finished_run: Path, store: Store, small_recipe: Recipe, tmp_path: Path
) -> None:
    """Also where the run's own ensemble asks for snapshots of a member that by itself keeps the last weights."""
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    data = small_recipe.model_dump(mode="json")
    data["ensembles"] = {"all": {"members": {"logmel": {"snapshots": [2, 1], "weight": 6}}}}
    data["members"]["logmel"]["schedule"][0] |= {"batches": 6, "cycles": 2}
    (run / "recipe.yaml").write_text(Recipe.model_validate(data).to_yaml())
    for fold in (0, 1):  # as if they were its snapshots
        piece = run / f"members/logmel/fold{fold}"
        shutil.copy(piece / "best.safetensors", piece / "snapshot1.safetensors")
        first = load_file(piece / "last.safetensors")
        save_file({name: value + 1 for name, value in first.items()}, piece / "snapshot2.safetensors")
    finish(Run.open(run), store)
    config = json.loads((run / "bundle/config.json").read_text())
    assert [(m["snapshot"], m["fold"], m["weight"]) for m in config["members"]] == [
        ("2", 0, 1.5),
        ("1", 0, 1.5),
        ("2", 1, 1.5),
        ("1", 1, 1.5),
    ]
    for member in config["members"]:
        kept = load_file(run / "bundle" / member["file"])
        learned = load_file(run / f"members/logmel/fold{member['fold']}/snapshot{member['snapshot']}.safetensors")
        assert all(torch.equal(kept[name], learned[name]) for name in kept)
