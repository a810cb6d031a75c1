"""Every option does what it says: each test fails where the option does nothing."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch

from earmark.data.batching import Batch
from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.nets.member import load_net, load_tensors, new_net, save_tensors
from earmark.recipe import ScoringSettings, load_recipe
from earmark.runs.run import Run, RunInfo
from earmark.runs.votes import ensemble_votes
from earmark.training import train as training
from earmark.training.piece import Piece
from earmark.training.pseudo import SoftClips
from earmark.training.train import TrainRequest
from earmark.training.trainer import FoldTrainer, make_fabric
from tests.conftest import SMALL, scores_of
from tests.small import ENVNETS, RESNETS, small_akiyama

CPU = torch.device("cpu")
UNMIXED = ("mix=null", "gain=null")
PLAIN_MEL = (*UNMIXED, "frequency_mask=null")
PLAIN_WAVE = (*UNMIXED, "speed=null", "edge=0")


@pytest.fixture(scope="module")
def clips(store: Store) -> ClipSet:
    """The training clips at 8 kHz, about half of them verified."""
    found = load_clips(store, 8000)
    return found[~found.test]


def trainer(clips: ClipSet, member: str, *sets: str, training: ClipSet | None = None) -> FoldTrainer:
    """The trainer of a small member; ``sets`` are below it, as ``batch.windows=[1024]``."""
    recipe = small_akiyama(*(f"members.{member}.{one}" for one in sets))
    settings = recipe.members[member]
    verified, unverified = clips[clips.verified], clips[~clips.verified]
    soft = None
    if settings.soft:
        guesses = np.random.default_rng(2).dirichlet(np.full(10, 0.2), len(unverified)).astype(np.float32)
        both = verified.followed_by(unverified)
        targets = np.concatenate([verified.multi_hot("sigmoid"), guesses])
        soft = SoftClips(both, targets, np.arange(len(both)) >= len(verified))
    piece = Piece(
        "t",
        Path(),
        settings,
        verified if training is None else training,
        clips[:0],
        np.random.SeedSequence(3),
        noisy=unverified if settings.noisy else None,
        soft=soft,
    )
    return FoldTrainer(piece, make_fabric("cpu", "float32"))


def batches(clips: ClipSet, count: int, member: str, *sets: str, stream: str = "curated", **more: Any) -> list[Batch]:
    drawn = trainer(clips, member, *sets, **more).streams[stream].batches
    return [drawn.next() for _ in range(count)]


# --------------------------------------------------------------------------------------------------------------------- batches


def test_each_batch_is_of_one_of_the_windows(clips: ClipSet) -> None:
    """One net for many lengths; `input.window` is then no training example's."""
    sets = ("batch.windows=[1024, 4096]",)
    for stream in ("curated", "noisy"):
        frames = {batch.sound.shape[2] for batch in batches(clips, 12, "A", *sets, stream=stream)}
        assert frames == {1 + 1024 // 64, 1 + 4096 // 64}
    assert {batch.sound.shape[2] for batch in batches(clips, 12, "A")} == {1 + 2048 // 64}
    whole = trainer(clips, "A", *sets)
    for _ in range(4):
        whole.step()
    assert torch.isfinite(whole.tally).all()


def short_clip(clips: ClipSet, window: int) -> tuple[ClipSet, int]:
    """The training clip that is furthest below a window; a training set of it alone."""
    i = int(clips.length.argmin())
    length = int(clips.length[i])
    assert length < window / 2
    return clips[[i]], length


def test_a_short_clip_is_repeated_in_training_where_the_recipe_says_tile(clips: ClipSet) -> None:
    one, length = short_clip(clips, 9000)
    plain = [f"batch.{setting}" for setting in PLAIN_WAVE]
    samples = one.samples(0)
    [tiled] = batches(clips, 1, "F", *plain, "input.fill=tile", training=one)
    places = set()
    for sound in tiled.sound[:, 0].numpy():
        assert np.array_equal(sound[length:], sound[:-length])
        [place] = [p for p in range(length) if np.array_equal(np.roll(samples, -p), sound[:length])]
        places.add(place)
    assert len(places) > 1  # it begins anywhere
    [among_zeros] = batches(clips, 1, "F", *plain, training=one)
    for sound in among_zeros.sound[:, 0].numpy():
        assert np.count_nonzero(sound) == np.count_nonzero(samples)


def test_no_frame_of_a_tiled_mel_is_silent(clips: ClipSet) -> None:
    one, _ = short_clip(clips, 8192)
    plain = [f"batch.{setting}" for setting in PLAIN_MEL]
    [tiled] = batches(clips, 1, "A", *plain, "input.window=8192", "input.fill=tile", training=one)
    [among_zeros] = batches(clips, 1, "A", *plain, "input.window=8192", training=one)
    assert float(tiled.sound.sum(dim=1).min()) > 0
    assert float(among_zeros.sound.sum(dim=1).min()) == 0


def test_a_short_clip_is_repeated_when_it_is_scored(clips: ClipSet) -> None:
    one, length = short_clip(clips, 8192)
    sets = ("members.A.input.window=8192", "members.A.input.fill_short=true")
    settings = small_akiyama(*sets, "members.A.input.fill=tile").members["A"]
    net = new_net(settings, 10).eval()
    times = -(-8192 // length)
    repeated = np.tile(one.samples(0), times)[:8192]
    with torch.inference_mode():
        expected = net(torch.from_numpy(repeated[None]))[0].numpy()
    assert np.allclose(scores_of(net, one, settings)[0, 0], expected, atol=1e-6)
    among_zeros = scores_of(net, one, small_akiyama(*sets).members["A"])
    assert np.abs(among_zeros[0, 0] - expected).max() > 1e-4


def test_self_mix_mixes_the_labels_and_leaves_the_sound_as_it_is(clips: ClipSet) -> None:
    """A sound mixed with itself in the ratio r is itself times 1/√(r² + (1 − r)²)."""
    sets = ("batch.speed=null", "batch.gain=null")
    many = 5
    plain = batches(clips, many, "F", *sets, "batch.mix=null")
    with_itself = batches(clips, many, "F", *sets, "batch.mix.self_mix=true")
    with_another = batches(clips, many, "F", *sets)
    compared = 0
    for own, itself, another in zip(plain, with_itself, with_another, strict=True):
        assert torch.equal(itself.targets, another.targets)  # the option changes no label
        for b in range(len(own.targets)):
            share = float(itself.targets[b] @ own.targets[b])
            if share > 0.999:  # the partner has the same label: r cannot be read from the targets
                continue
            factor = 1 / np.sqrt(share**2 + (1 - share) ** 2)
            assert torch.allclose(itself.sound[b], factor * own.sound[b], atol=1e-6)
            assert float((another.sound[b] - factor * own.sound[b]).abs().max()) > 1e-5
            compared += 1
    assert compared > 10
    [own] = batches(clips, 1, "A", *(f"batch.{setting}" for setting in PLAIN_MEL))
    [itself] = batches(clips, 1, "A", "batch.gain=null", "batch.frequency_mask=null", "batch.mix={self_mix: true, chance: 1}")
    assert torch.allclose(itself.sound, own.sound, rtol=1e-5)
    assert not torch.equal(itself.targets, own.targets)


@pytest.mark.parametrize(("sets", "low", "high"), [((), 0.8, 1.2), (("batch.gain.range=[0.9, 1.1]",), 0.9, 1.1)])
def test_the_gain_of_a_mel_is_within_its_range_and_all_over_it(
    sets: tuple[str, ...], low: float, high: float, clips: ClipSet
) -> None:
    plain = ("batch.mix=null", "batch.frequency_mask=null")
    factors = []
    for own, louder in zip(batches(clips, 40, "A", *plain, "batch.gain=null"), batches(clips, 40, "A", *plain, *sets), strict=True):
        at = own.sound > own.sound.amax(dim=(1, 2), keepdim=True) / 10
        for b in range(len(own.sound)):
            ratio = (louder.sound[b] / own.sound[b])[at[b]]
            assert float(ratio.max() - ratio.min()) < 1e-5  # the whole example
            factors.append(float(ratio[0]))
    changed = [factor for factor in factors if abs(factor - 1) > 1e-6]
    assert 0.35 < len(changed) / len(factors) < 0.65  # half of 240
    assert low <= min(changed) < low + 0.15 * (high - low)
    assert high - 0.15 * (high - low) < max(changed) <= high


# ---------------------------------------------------------------------------------------------------------------------- losses


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def bce(probability: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return -(targets * np.log(probability) + (1 - targets) * np.log(1 - probability)).mean(axis=1)


def of_stream(found: FoldTrainer, stream: str, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The loss that a stream takes of a net's logits, activated first where it says so."""
    own = found.streams[stream]
    outputs = torch.from_numpy(logits)
    outputs = found.plain_net.head.activate(outputs) if own.activate else outputs
    return own.losses(outputs, torch.from_numpy(targets)).numpy()


@pytest.fixture
def guesses() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    return 2 * rng.standard_normal((4, 10)), (rng.random((4, 10)) < 0.2).astype(np.float64)


@pytest.mark.parametrize(("option", "doubled"), [(None, ()), ("loss", ("curated",)), ("noisy", ("noisy",))])
def test_double_sigmoid_is_of_the_task_that_says_so(
    option: str | None, doubled: tuple[str, ...], clips: ClipSet, guesses: tuple[np.ndarray, np.ndarray]
) -> None:
    logits, targets = guesses
    found = trainer(clips, "D", *([f"{option}.double_sigmoid=true"] if option else []))
    for stream in ("curated", "noisy"):
        probability = sigmoid(sigmoid(logits)) if stream in doubled else sigmoid(logits)
        assert np.allclose(of_stream(found, stream, logits, targets), bce(probability, targets))


@pytest.mark.parametrize(
    ("member", "sets", "kind"),
    [("B", (), "mse"), ("B", ("soft.loss=bce",), "bce"), ("F", ("soft={labels: of-A, loss: kl}",), "kl")],
)
def test_the_soft_loss_is_the_one_that_the_recipe_says(
    member: str, sets: tuple[str, ...], kind: str, clips: ClipSet, guesses: tuple[np.ndarray, np.ndarray]
) -> None:
    logits, _ = guesses
    targets = np.random.default_rng(1).dirichlet(np.full(10, 0.5), 4)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = {
        "mse": ((sigmoid(logits) - targets) ** 2).mean(axis=1),
        "bce": bce(sigmoid(logits), targets),
        "kl": (targets * np.log(targets / softmax)).mean(axis=1),
    }[kind]
    found = trainer(clips, member, *sets)
    assert np.allclose(of_stream(found, "soft", logits, targets), expected)
    found.step()
    assert float(found.tally[4]) > 0  # the sum of the soft losses so far


# --------------------------------------------------------------------------------------------------------------- what is taught

ONE_STEP = ("optimiser={name: sgd, momentum: 0.0, nesterov: false}", "schedule.0.rate=0.1")


def after_one_step(clips: ClipSet, member: str, *sets: str) -> Mapping[str, torch.Tensor]:
    found = trainer(clips, member, *ONE_STEP, *sets)
    found.step()
    return {name: value.detach().double() for name, value in found.plain_net.named_parameters()}


@pytest.mark.parametrize(("member", "weight"), [("A", "noisy.weight"), ("B", "soft.weight")])
def test_a_streams_weight_is_that_of_its_gradient(member: str, weight: str, clips: ClipSet) -> None:
    """One step of plain SGD is linear in it: from 1 to 3 the weights move as far as from 3 to 5."""
    one, three, five = (after_one_step(clips, member, f"{weight}={value}") for value in (1, 3, 5))
    for name in ("backbone.stages.stem.0.weight", "head.noisy.last.weight" if member == "A" else "head.curated.last.weight"):
        first, second = three[name] - one[name], five[name] - three[name]
        assert float(first.norm()) > 1e-5
        assert float((second - first).norm()) < 0.01 * float(first.norm())


@pytest.mark.slow
def test_behind_the_split_the_noisy_task_has_stages_of_its_own(clips: ClipSet) -> None:
    """It teaches those, and the shared ones before them; the curated task's own stay as if it were not there."""
    behind, before, own = "backbone.stages.layer4.0.conv1.weight", "backbone.stages.layer3.0.conv1.weight", "noisy_stages."

    def moved(*sets: str) -> dict[str, float]:
        light, heavy = (after_one_step(clips, "A", *sets, f"noisy.weight={value}") for value in (1, 5))
        return {name: float((light[name] - heavy[name]).abs().max()) for name in light}

    split, shared = moved("head.split=layer4"), moved()
    assert not any(name.startswith(own) for name in shared)
    assert shared[behind] > 1e-6
    assert split[behind] == 0
    assert split[before] > 1e-6
    assert split[f"{own}layer4.0.conv1.weight"] > 1e-6


# ------------------------------------------------------------------------------------------------------------ which weights count


@pytest.mark.parametrize(
    ("keep", "files"), [("best", {"best": "best"}), ("last", {"last": "last"}), ("snapshots", {"1": "snapshot1", "2": "snapshot2"})]
)
def test_the_weights_that_count_are_scored_and_served(
    keep: str, files: dict[str, str], store: Store, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file of weights is another here, so that the scores say which one was taken; only the scoring is left to be done."""
    cycles = "members.logmel.schedule=[{batches: 6, rate: 1.0e-3, cycles: 2}]"
    recipe = load_recipe("tiny", [*SMALL, cycles, f"members.logmel.validation.keep={keep}"])
    monkeypatch.setattr(training, "write_report", lambda *_: None)
    run = Run(tmp_path, recipe)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    weights, _ = load_tensors(finished_run / "members/logmel/fold0/last.safetensors")
    for number, name in enumerate(("best", "last", "snapshot1", "snapshot2")):
        run.net_folder("logmel", 0).mkdir(parents=True, exist_ok=True)
        turned = {**weights, "head.linear.weight": weights["head.linear.weight"].roll(number, dims=0)}
        save_tensors(run.net_folder("logmel", 0) / f"{name}.safetensors", turned)
    run.write_info(RunInfo("1", str(store.path), store.fingerprint, "cpu", "float32", 1))
    training.train(TrainRequest(recipe, store, tmp_path, folds=[0], device="cpu"))
    clips = load_clips(store, 16000)
    place = {name: i for i, name in enumerate(clips.clip_id.tolist())}
    rows = pyarrow.parquet.read_table(tmp_path / "oof.parquet").to_pylist()
    assert {row["snapshot"] for row in rows} == set(files)
    for snapshot, file in files.items():
        settings = recipe.members["logmel"]
        net = load_net(settings, 10, run.net_folder("logmel", 0) / f"{file}.safetensors")
        own = [row for row in rows if row["snapshot"] == snapshot]
        chosen = clips[[place[row["clip_id"]] for row in own]]
        assert np.allclose([row["scores"] for row in own], scores_of(net, chosen, settings)[0], atol=1e-6)
    config = json.loads((tmp_path / "bundle/config.json").read_text())
    assert {member["snapshot"]: member["weight"] for member in config["members"]} == dict.fromkeys(files, 1 / len(files))
    for member in config["members"]:
        served = load_tensors(tmp_path / "bundle" / member["file"])[0]["head.linear.weight"]
        taken = load_tensors(run.net_folder("logmel", 0) / f"{files[member['snapshot']]}.safetensors")[0]["head.linear.weight"]
        assert torch.equal(served, taken)


# --------------------------------------------------------------------------------------------------------- the released recipe


def leaves(tree: Any, at: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        return {path: leaf for key, value in tree.items() for path, leaf in leaves(value, f"{at}.{key}" if at else key).items()}
    return {at: tree}


def test_the_released_recipe_differs_in_what_is_documented_and_in_nothing_else() -> None:
    """SYSTEMS.md, section B: the notes on the authors' code."""
    paper, released = (leaves(load_recipe(name).model_dump(mode="json")) for name in ("akiyama2019", "akiyama2019-released"))
    expected: dict[str, Any] = {
        "name": "akiyama2019-released",
        "title": "akiyama2019, as the released code does it",
        "about": released["about"],
    }
    for member in ("A", "B", "row6", "C"):  # a second sigmoid on the noisy head
        expected[f"members.{member}.noisy.double_sigmoid"] = True
    expected |= {"members.D.loss.double_sigmoid": True, "members.D.noisy.double_sigmoid": True}  # … and on both of D's
    for member in set(RESNETS) - {"row1"}:  # row1 has no augmentation
        expected[f"members.{member}.batch.gain.range"] = [0.9, 1.1]
    for member in ENVNETS:
        expected[f"members.{member}.batch.mix.self_mix"] = True
    for member in ("B", "row6"):
        expected |= {f"members.{member}.start_from": "A", f"members.{member}.batch.size": 64}
    for member in ("row1", "row2", "row3", "A", "C", "row8", "F"):  # those that start from no other net
        expected[f"members.{member}.backbone.initialisation"] = "released"
    for ensemble, second in (("leak-free", "row6"), ("submission1", "B"), ("submission2", "B")):
        at = f"ensembles.{ensemble}.members"
        expected |= {f"{at}.A.weight": 4.0, f"{at}.{second}.weight": 3.0}  # 4 : 3 : 3 : 1 : 1 : 1
    for member, view in {"A": "pad8", "B": "pad8", "C": "pad8", "D": "pad8000", "E": "pad8000", "F": "pad8000"}.items():
        expected[f"ensembles.submission2.members.{member}.views"] = [view]  # the paper's has no padding
    half = {"row8": "pad66650", "D": "pad66650", "E": "pad66650", "F": "pad100000"}  # of 133,300 and 200,000 samples
    for number, (member, view) in enumerate(half.items(), start=8):
        expected[f"members.{member}.validation.view"] = view
        expected[f"ensembles.table2-{number}.members.{member}.views"] = [view]
    different = {path: value for path, value in released.items() if paper.get(path) != value}
    assert set(paper) == set(released)
    assert different == expected


def test_the_released_recipe_has_170_and_95_predictions_too() -> None:
    recipe = load_recipe("akiyama2019-released")
    for name, predictions in (("leak-free", 170), ("submission1", 170), ("submission2", 95)):
        assert len(ensemble_votes(recipe, name, list(recipe.voters(name)), range(5))) == predictions


# ------------------------------------------------------------------------------------------------------------ views and patience


@pytest.mark.slow
def test_views_and_patience_of_the_recipe_reach_the_scores_of_a_run(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights, scored by two recipes that differ in nothing else."""
    monkeypatch.setattr(training, "write_report", lambda *_: None)
    monkeypatch.setattr("earmark.scoring.scorer.length_groups", in_few_groups)
    found: dict[tuple[str, float], np.ndarray] = {}
    for patience, views in ((0.0, "[whole, pad4]"), (0.2, "[whole]")):
        sets = [f"members.row1.scoring.patience={patience}", f"members.row1.views={views}", "members.row1.validation.keep=last"]
        run = tmp_path / str(patience)
        training.train(TrainRequest(small_akiyama(*sets), store, run, ["row1"], [0], "cpu"))
        rows = pyarrow.parquet.read_table(run / "oof.parquet").to_pylist()
        for view in dict.fromkeys(row["view"] for row in rows):
            found[view, patience] = np.array([row["scores"] for row in rows if (row["view"], row["snapshot"]) == (view, "last")])
    assert set(found) == {("whole", 0.0), ("pad4", 0.0), ("whole", 0.2)}
    for one, other in itertools.combinations(found.values(), 2):
        assert one.shape == other.shape
        assert np.abs(one - other).max() > 1e-5


def in_few_groups(lengths: np.ndarray, settings: ScoringSettings, *_: int) -> list[np.ndarray]:
    """All that the patience allows at once: a fold has too few clips for the rule of 60 groups."""
    order = np.argsort(lengths, kind="stable")
    bounds = [0]
    for place, clip in enumerate(order):
        if lengths[clip] > lengths[order[bounds[-1]]] * (1 + settings.patience):
            bounds.append(place)
    return np.split(order, bounds[1:])


def test_masks_of_a_balanced_recipe_reach_the_net(clips: ClipSet) -> None:
    losses = []
    for sets in ([], ["members.*.batch.frequency_mask={chance: 1, width: [10, 30]}"]):
        settings = load_recipe("tiny", [*SMALL, *sets]).members["logmel"]
        piece = Piece("t", Path(), settings, clips, clips[:0], np.random.SeedSequence(3))
        one = FoldTrainer(piece, make_fabric("cpu", "float32"))
        one.step()
        losses.append(float(one.tally[0]))
    assert losses[0] != losses[1]
