"""Members that stand on an embedding, and agreement, through a whole run: files, leaks, resuming, the bundle."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

import earmark
from earmark.data.clips import ClipSet, load_clips
from earmark.data.embeddings import embed_store, load_inputs, load_vectors
from earmark.data.manifest import read_manifest
from earmark.data.models import resolve_models
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.embedding.onnx_model import OnnxModel
from earmark.embedding.variations import varied
from earmark.errors import EarmarkError, EmbeddingError, RecipeError, RunError, StoreError
from earmark.nets.member import load_tensors
from earmark.recipe import EnsembleSettings, Recipe, VoterSettings, load_recipe
from earmark.runs.predictions import read_predictions
from earmark.runs.run import Run
from earmark.scoring.clips import score_clips
from earmark.scoring.opened import open_scorer
from earmark.tagging.bundle import read_bundle
from earmark.training import splits
from earmark.training.piece import make_piece
from earmark.training.train import TrainRequest, finish, train
from tests.embedding.models import SIZE, apart, expected, write_model

SHORT = (
    "members.*.schedule=[{batches: 40, rate: 1.0e-2, final_rate: 1.0e-4}]",
    "members.*.validation.every=40",
    "members.*.batch.size=16",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "means.onnx")


@pytest.fixture(scope="module")
def store(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of its own, since vectors are written into it."""
    return prepare(read_manifest(rendered), str(rendered), tmp_path_factory.mktemp("own") / "store", [8000, 16000]).store


def quick(model: Path | None = None, *sets: str) -> Recipe:
    return resolve_models(load_recipe("quick", [*SHORT, *sets]), model)


@pytest.fixture(scope="module")
def run(store: Store, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A whole run of ``quick`` on a small model."""
    out = tmp_path_factory.mktemp("quick") / "run"
    train(TrainRequest(quick(model), store, out))
    return Run.open(out)


@pytest.fixture(scope="module")
def clips(store: Store) -> ClipSet:
    return load_clips(store, 16000)


def weights(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("members/**/*.safetensors"))}


def test_vectors_of_a_store_are_those_of_its_clips_and_are_made_once(store: Store, model: Path, clips: ClipSet) -> None:
    settings = quick(model).members["teacher"]
    vectors = load_inputs(store, settings).vectors
    assert vectors is not None and vectors.shape == (len(clips), 2, SIZE)
    for number in (0, 40, 79):
        np.testing.assert_allclose(vectors[number, 0], expected(clips.samples(number)), rtol=1e-4)
    np.testing.assert_allclose(vectors[40, 1], expected(varied(clips.samples(40), 1)), rtol=1e-4)
    assert (vectors[:, 1] != vectors[:, 0]).any(axis=1).all()  # the variations are other sounds
    folder = embed_store(store, OnnxModel(model), 1)
    made = (folder / "vectors.f32").stat().st_mtime_ns
    assert embed_store(store, OnnxModel(model), 1) == folder
    assert embed_store(store, OnnxModel(model), 0) == folder  # fewer variations are there already
    assert (folder / "vectors.f32").stat().st_mtime_ns == made


def test_stopped_embedding_goes_on_to_the_same_vectors(store: Store, model: Path, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "store", ignore=shutil.ignore_patterns("embeddings"))
    copy = Store.open(tmp_path / "store")
    embedder = OnnxModel(model)
    whole = load_vectors(store, embed_store(store, embedder, 1).name, 1, 80)

    class Stopping(OnnxModel):
        calls = 0

        def vector(self, samples: np.ndarray, variation: int = 0) -> np.ndarray:
            Stopping.calls += 1
            if Stopping.calls > 100:
                raise KeyboardInterrupt
            return super().vector(samples, variation)

    with pytest.raises(KeyboardInterrupt):
        embed_store(copy, Stopping(model), 1, jobs=1)
    with pytest.raises(StoreError, match="are not there"):
        load_vectors(copy, embedder.key, 1, 80)
    partial = tmp_path / "store" / "embeddings" / f".{embedder.key}.partial" / "vectors.f32"
    assert 0 < partial.stat().st_size < 80 * 2 * SIZE * 4
    with partial.open("ab") as file:
        file.write(b"half a row")
    folder = embed_store(copy, embedder, 1)
    assert load_vectors(copy, folder.name, 1, 80).tobytes() == whole.tobytes()


def test_vectors_stay_when_a_rate_is_added_and_go_when_the_data_change(rendered: Path, model: Path, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    few = replace(manifest, clips=manifest.clips[:20])
    made = prepare(few, "x", tmp_path / "store", [16000]).store
    vectors = load_inputs(made, quick(model).members["teacher"]).vectors
    more = prepare(few, "x", tmp_path / "store", [16000, 8000]).store
    assert more.sample_rates == (8000, 16000)
    kept = load_vectors(more, OnnxModel(model).key, 1, 20)
    assert vectors is not None and kept.tobytes() == np.array(vectors).tobytes()
    other = prepare(replace(manifest, clips=manifest.clips[:19]), "x", tmp_path / "store", [16000]).store
    with pytest.raises(StoreError, match="are not there"):
        load_vectors(other, OnnxModel(model).key, 1, 19)


def test_run_keeps_the_models_hash_and_notices_another_model(run: Run, store: Store, model: Path, tmp_path: Path) -> None:
    frontend = run.recipe.members["third"].frontend.arguments
    assert frontend["sha256"] == OnnxModel(model).sha256 and frontend["size"] == SIZE
    other = write_model(tmp_path / "other.onnx", factor=2.0)
    with pytest.raises(RunError, match=r"another recipe \(changed: members\.teacher\.frontend"):
        train(TrainRequest(quick(other), store, run.path))
    shutil.copytree(run.path, tmp_path / "run")
    recipe = (tmp_path / "run" / "recipe.yaml").read_text().replace(str(model), str(other))
    (tmp_path / "run" / "recipe.yaml").write_text(recipe)
    with pytest.raises(EmbeddingError, match="is another model now"):
        load_inputs(store, Run.open(tmp_path / "run").recipe.members["third"])


def test_no_label_is_judged_by_a_net_that_learned_it_and_no_held_out_clip_is_judged(run: Run, store: Store, clips: ClipSet) -> None:
    fold_of = dict(zip(clips.clip_id.tolist(), clips.fold.tolist(), strict=True))
    verified = dict(zip(clips.clip_id.tolist(), clips.verified.tolist(), strict=True))
    for name in ("first", "second"):
        for fold in (0, 1):
            _, (block,) = read_predictions(run.agreement(name, fold))
            judged = block.clip_id.tolist()
            assert judged and all(fold_of[clip] == 1 - fold and not verified[clip] for clip in judged)
            np.testing.assert_allclose(block.scores.sum(axis=1), 1, rtol=1e-5)
    folders = sorted(path.name for path in (run.path / "members" / "second").iterdir())
    assert folders == [name for fold in (0, 1) for name in (f"fold{fold}", *(f"fold{fold}-part{part}" for part in range(4)))]
    part_of, recording = splits.parts(clips), clips.group
    assert all(len(set(part_of[recording == name])) == 1 for name in recording)
    assert np.bincount(part_of).tolist() == [20, 20, 20, 20]
    for part in range(4):
        piece = make_piece(run, "second", 0, load_inputs(store, run.recipe.members["second"]), part)
        assert not np.isin(piece.training.clip_id, clips.clip_id[(part_of == part) & ~clips.verified]).any()
        assert np.isin(clips.clip_id[(clips.fold == 1) & clips.verified], piece.training.clip_id).all()
        assert (piece.training.fold == 1).all() and len(piece.training) > 20


def test_scores_of_vectors_that_are_not_finite_are_no_scores(run: Run, store: Store) -> None:
    settings = run.recipe.members["third"]
    clips = load_inputs(store, settings)
    assert clips.vectors is not None
    spoilt = replace(clips, vectors=np.array(clips.vectors))
    assert spoilt.vectors is not None
    spoilt.vectors[3, 0] = np.nan
    scorer = open_scorer(settings, len(clips.labels), run.weights("third", 0, "last"))
    with pytest.raises(RunError, match=f"third fold 0: its scores of clip '{clips.clip_id[3]}' are not finite"):
        score_clips(scorer, spoilt, net="third fold 0")


@pytest.mark.parametrize(("view", "message"), [("varied2", r"view varied2: frontend\.variations is 1"), ("pad8", "views pad8")])
def test_views_of_an_ensemble_that_is_added_later_are_refused_if_there_are_no_vectors_of_them(
    run: Run, store: Store, tmp_path: Path, view: str, message: str
) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    recipe = run.recipe.model_copy(
        update={"ensembles": run.recipe.ensembles | {"new": EnsembleSettings(members={"third": VoterSettings(views=(view,))})}}
    )
    (tmp_path / "run" / "recipe.yaml").write_text(recipe.to_yaml())
    with pytest.raises(RecipeError, match=message):
        finish(Run.open(tmp_path / "run"), store)


def test_support_is_what_the_agreement_says_of_the_given_labels(run: Run, clips: ClipSet) -> None:
    table = pyarrow.parquet.read_table(run.agreement("second", 0))
    rows = {clip: row for row, clip in enumerate(clips.clip_id.tolist())}
    _, (block,) = read_predictions(run.agreement("second", 0))
    for clip, support, scores in zip(table["clip_id"].to_pylist(), table["support"].to_pylist(), block.scores, strict=True):
        assert support == pytest.approx(scores[clips.positive[rows[clip]]].mean(), abs=1e-5)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_run_that_was_stopped_ends_bit_equal(run: Run, store: Store, model: Path, tmp_path: Path, jobs: int) -> None:
    partial = tmp_path / "run"
    shutil.copytree(run.path, partial)
    shutil.rmtree(partial / "members" / "third")
    shutil.rmtree(partial / "agreements" / "second")
    (partial / "members" / "second" / "fold1-part0" / "last.safetensors").unlink()
    train(TrainRequest(quick(model), store, partial, jobs=jobs))
    assert weights(partial) == weights(run.path)
    assert (partial / "oof.parquet").read_bytes() == (run.path / "oof.parquet").read_bytes()


def test_bundle_scores_as_evaluate_does_wherever_it_lies(run: Run, rendered: Path, tmp_path: Path) -> None:
    shutil.copytree(run.bundle, tmp_path / "moved")
    tagger = earmark.load(tmp_path / "moved")
    config = json.loads((tmp_path / "moved" / "config.json").read_text())
    assert {member["frontend"]["model"] for member in config["members"]} == {
        f"{config['members'][0]['frontend']['sha256'][:12]}.onnx"
    }
    _, read = read_predictions(run.scores_file("third", 0))
    blocks = {block.view: dict(zip(block.clip_id.tolist(), block.scores, strict=True)) for block in read}
    assert list(blocks) == ["whole", "varied1"]
    fold0 = [net for net, member in zip(tagger.scorers, tagger.config.members, strict=True) if member.fold == 0]
    for clip in list(blocks["whole"])[:5]:
        samples, rate = earmark_read(rendered.parent / clip)
        inputs = fold0[0].sounds([samples])
        assert rate == 16000
        for view, rows in blocks.items():
            np.testing.assert_allclose(fold0[0].scores(inputs, [view])[0, 0], rows[clip], atol=1e-5)
        assert len(tagger.tag(rendered.parent / clip)) == 3
    whole, changed = ([net.scores(net.sounds([samples]), [view])[0, 0] for net in tagger.scorers] for view in blocks)
    mean = np.exp(np.mean(np.log(np.maximum([*whole, *changed], 1e-30)), axis=0))  # a geometric mean of all nets and views
    np.testing.assert_allclose(tagger.combined([{16000: samples}])[0], mean / mean.sum(), atol=1e-4)


def earmark_read(path: Path) -> tuple[np.ndarray, int]:
    from earmark import audio

    samples, rate = audio.read(path)
    return audio.to_mono(samples), rate


def test_model_that_must_not_be_copied_stays_out_of_the_bundle(store: Store, rendered: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "mine.onnx", facts={"sample_rate": "16000", "licence": "no-copy"})
    train(TrainRequest(quick(model), store, tmp_path / "run", members=["teacher"], folds=[0]))
    nets = {member.onnx for member in read_bundle(tmp_path / "run" / "bundle").members}
    assert {path.name for path in (tmp_path / "run" / "bundle").glob("*.onnx")} == nets  # the nets alone, no model before them
    sound = next(rendered.parent.rglob("*.wav"))
    assert earmark.load(tmp_path / "run").tag(sound)
    model.unlink()
    with pytest.raises(EarmarkError, match=r"mine\.onnx: no such file"):
        earmark.load(tmp_path / "run").tag(sound)


@pytest.mark.slow
def test_built_in_statistics_need_no_file(store: Store, tmp_path: Path) -> None:
    metrics = train(TrainRequest(quick(), store, tmp_path / "run"))
    assert metrics["accuracy"] is not None and metrics["accuracy"]["value"] > 0.5  # ten kinds of sound
    nets = {member.onnx for member in read_bundle(tmp_path / "run" / "bundle").members}
    assert {path.name for path in (tmp_path / "run" / "bundle").glob("*.onnx")} == nets  # the nets alone, no model before them
    net = load_tensors(tmp_path / "run" / "members" / "third" / "fold0" / "last.safetensors")[0]
    assert net["frontend.mean"].shape == (600,)


def sets_of(*values: str) -> Sequence[str]:
    return [*SHORT, *values]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("members.*.input.peak_normalised=true", "input.peak_normalised: must be false"),
        ("members.*.views=[whole, pad8]", "views pad8: the front end embedding has whole and varied1"),
        ("members.*.views=[varied2]", r"view varied2: frontend\.variations is 1, and must be 2 or more"),
        ("ensembles.quick.members.third.views=[whole, varied3]", "view varied3"),
        ("members.*.validation.view=varied7", "view varied7"),
        ("members.*.batch.gain={range: [0.5, 1.0]}", "gain changes sounds"),
        ("members.*.batch.frequency_mask={width: [1, 2]}", "frequency_mask needs a mel front end"),
    ],
)
def test_settings_that_do_not_go_with_vectors_are_refused(store: Store, tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(EarmarkError, match=message):
        train(TrainRequest(quick(None, setting), store, tmp_path / "run"))


def test_all_files_of_a_model_go_into_the_bundle(store: Store, rendered: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    weights = apart(model, "parts/weights.bin")
    train(TrainRequest(quick(model), store, tmp_path / "run", members=["teacher"], folds=[0]))
    weights.unlink()
    shutil.move(tmp_path / "run" / "bundle", tmp_path / "moved")
    assert earmark.load(tmp_path / "moved").tag(next(rendered.parent.rglob("*.wav")))


def test_a_model_whose_file_does_not_say_its_rate_goes_into_a_bundle(store: Store, rendered: Path, tmp_path: Path) -> None:
    silent = write_model(tmp_path / "silent.onnx", facts={})
    recipe = resolve_models(load_recipe("quick", [*SHORT]), silent, 8000)
    train(TrainRequest(recipe, store, tmp_path / "run", members=["teacher"], folds=[0]))
    silent.unlink()
    assert earmark.load(tmp_path / "run").tag(next(rendered.parent.rglob("*.wav")))


def test_a_rate_that_the_file_does_not_say_is_said_beside_it_or_by_the_recipe(tmp_path: Path) -> None:
    silent = write_model(tmp_path / "silent.onnx", facts={})
    with pytest.raises(EmbeddingError, match=r"does not say its sample rate .* --embedding-rate HZ"):
        resolve_models(load_recipe("quick"), silent)
    assert resolve_models(load_recipe("quick"), silent, 8000).members["third"].input.sample_rate == 8000
    named = load_recipe("quick", [f"members.*.frontend.model={silent}", "members.*.input.sample_rate=22050"])
    assert {member.input.sample_rate for member in resolve_models(named).members.values()} == {22050}
    assert resolve_models(resolve_models(named)) == resolve_models(named)
    with pytest.raises(EmbeddingError, match="--embedding-rate is of the model that --embedding names"):
        resolve_models(load_recipe("quick"), None, 8000)
