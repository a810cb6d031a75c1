import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from earmark import audio, load
from earmark.assess.evaluate import clip_figures, evaluate_test
from earmark.assess.joined import out_of_fold
from earmark.assess.metrics import METRICS
from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.nets.member import new_net
from earmark.recipe import InputSettings, load_recipe
from earmark.runs.run import Run
from earmark.tagging.tagger import Tagger
from tests.conftest import read_mono, scores_of


def test_scores_of_grouped_clips_are_those_of_one_clip_at_a_time(store: Store) -> None:
    import torch

    clips = load_clips(store, 16000)[:12]
    member = load_recipe("tiny").members["logmel"]
    net = new_net(member, 10).eval()
    for own in (member.input, InputSettings(sample_rate=16000, window=16000, trim_silence=True)):
        [found] = scores_of(net, clips, member.model_copy(update={"input": own}))
        for i in range(len(clips)):
            waveform = audio.model_input(clips.samples(i), own.window, trim_silence=own.trim_silence)
            with torch.inference_mode():
                alone = net(torch.from_numpy(waveform[None]))[0].numpy()
            assert np.allclose(found[i], alone, atol=1e-5)
    assert not net.training


def test_the_bundle_tags_a_file_as_the_run_scored_the_clip(finished_run: Path, store: Store, rendered: Path) -> None:
    """Of the two nets, the one of the clip's own fold made its out-of-fold score."""
    run = Run.open(finished_run)
    clips = load_table(store)
    tagger = Tagger.load(finished_run / "bundle", runtime="torch")
    found = out_of_fold(run, clips).members["logmel"]
    for i in (0, 3, 20):
        fold = int(found.clips.fold[i])
        net = next(
            net for net, m in zip((scorer.net for scorer in tagger.scorers), tagger.config.members, strict=True) if m.fold == fold
        )
        import torch

        waveform = audio.model_input(read_mono(rendered.parent / str(found.clips.clip_id[i]), 16000), 16000)
        with torch.inference_mode():
            assert np.allclose(net(torch.from_numpy(waveform[None]))[0].numpy(), found.scores[i], atol=1e-4)


def test_the_test_split_is_scored_with_the_bundle(finished_run: Path, store: Store, rendered: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    metrics = evaluate_test(Run.open(copy), store)
    assert metrics["all"]["map@3"]["clips"] == 5
    assert json.loads((copy / "metrics-test.json").read_text()) == metrics
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(copy / "test.parquet").to_pylist()
    tagger = load(copy)
    for row in rows:
        expected = tagger.scores(read_mono(rendered.parent / row["clip_id"], 16000)[None], 16000)[0]
        assert np.allclose(row["scores"], expected, atol=1e-4)


def test_verified_clips_are_scored_apart_from_all(finished_run: Path, store: Store) -> None:
    ensemble = out_of_fold(Run.open(finished_run), load_table(store)).main
    verified = ensemble.chosen(ensemble.clips.verified).estimates()
    everything = ensemble.estimates()
    assert verified is not None and everything is not None
    right = ensemble.clips.positive[np.arange(len(ensemble.scores)), ensemble.scores.argmax(axis=1)]
    assert everything["accuracy"].value == pytest.approx(right.mean())
    assert verified["accuracy"].value == pytest.approx(right[ensemble.clips.verified].mean())


def test_figures_of_several_sets_are_those_of_each_and_none_where_no_clip_is_verified(finished_run: Path, store: Store) -> None:
    ensemble = out_of_fold(Run.open(finished_run), load_table(store)).main
    verified, first = ensemble.clips.verified, np.arange(len(ensemble.scores)) < 30
    sets = [ensemble.chosen(~verified), ensemble, ensemble.chosen(first), ensemble.chosen(first & ~first)]
    found = clip_figures(sets)
    for figures, joined in zip(found, sets, strict=True):
        for own, chosen in ((figures, joined.chosen(joined.clips.verified)), (figures["all"], joined)):
            alone = chosen.estimates()
            assert {name: own[name] for name in METRICS} == {name: alone and pytest.approx(asdict(alone[name])) for name in METRICS}
    assert found[0]["map@3"] is None
    assert found[0]["all"]["map@3"] is not None
    assert found[3]["all"]["map@3"] is None
