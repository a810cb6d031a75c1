"""The published recipes against the papers' tables and sections, written down here from these and never from the recipes."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from earmark.nets.member import new_net
from earmark.nets.tagnet import FRONTENDS
from earmark.recipe import MemberSettings, load_recipe
from earmark.runs.votes import ensemble_votes

Read = Callable[[MemberSettings], Any]


def all_settings(name: str) -> Any:
    return load_recipe(name).model_dump(mode="json")


# ------------------------------------------------------------------------------------------------- Jeong & Lim, DCASE 2018 Task 2

GROWTH = {
    "logmel": [16, 32, 64, 128, 256, 512, 512, 512],
    "waveform": [2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512, 512, 512, 512, 512],
}
NETS_2018 = [
    # name, kind, rate in Hz (§3.1), filters of the low-level module (§3.2.4), kernel and pooling (§3.2.2), weight (§3.4)
    ("logmel-16k", "logmel", 16_000, 15, [3, 3], [2, 2], 1.5),
    ("logmel-32k", "logmel", 32_000, 15, [3, 3], [2, 2], 1.5),
    ("logmel-44k", "logmel", 44_100, 15, [3, 3], [2, 2], 1.5),
    ("waveform-16k", "waveform", 16_000, 1, [1, 3], [1, 2], 1.0),
    ("waveform-32k", "waveform", 32_000, 1, [1, 3], [1, 2], 1.0),
    ("waveform-44k", "waveform", 44_100, 1, [1, 3], [1, 2], 1.0),
]
SAME_2018: list[tuple[str, Any, Read]] = [
    # where it says so, what it says, and where the recipe has it; of all six nets
    ("§3.1: a window of 64,000 samples", 64_000, lambda m: m.input.window),
    ("§3.1: no silence removal", False, lambda m: m.input.trim_silence),
    ("§3.1: zeros before and behind a short clip", "zeros", lambda m: m.input.fill),
    ("§3.4: so when it is scored, too", True, lambda m: m.input.fill_short),
    ("equation (2): divided by max |x|", (True, "window"), lambda m: (m.input.peak_normalised, m.batch.peak)),
    ("§3.1: a recording of each class: batches of 41", 1, lambda m: m.batch.clips_per_class),
    ("§3.1.1: the other one of another class", "other_class", lambda m: m.batch.partner),
    ("§3.1.1: α = β = 0.4", 0.4, lambda m: m.batch.mix_alpha),
    ("§3.1.1: w is uniform; the range is ours", (0.0, 1.0), lambda m: m.batch.gain),
    ("no other augmentation", ((1.0, 1.0), None), lambda m: (m.batch.speed, m.batch.frequency_mask)),
    ("§3.2.3: eight softmaxes", ("mean_of_softmax", 8), lambda m: (m.head.name, m.head.arguments["heads"])),
    ("equations (4) and (7): cross-entropy, α = 0.8", ("cross_entropy", 0.8), lambda m: (m.loss.kind, m.loss.masking)),
    ("§3.3: Adam, in Keras", ("adam", 1e-7), lambda m: (m.optimiser.name, m.optimiser.epsilon)),
    (
        "§3.3: learning rates",
        [(150_000, 1e-3, None), (100_000, 1e-4, None), (50_000, 1e-5, None)],
        lambda m: [(phase.batches, phase.rate, phase.final_rate) for phase in m.schedule],
    ),
    ("§3.3: none of it in cycles", {None}, lambda m: {phase.cycles for phase in m.schedule}),
    (
        "§3.3: accuracy every 1,000 batches, the best is kept",
        (1000, "accuracy", "best"),
        lambda m: (m.validation.every, m.validation.metric, m.validation.keep),
    ),
    ("§3.4: the whole clip", ("whole",), lambda m: m.views),
    ("no weights to start from, no second task, no pseudo labels", (None,) * 3, lambda m: (m.start_from, m.noisy, m.soft)),
]


@pytest.mark.parametrize("row", NETS_2018, ids=lambda row: row[0])
def test_each_2018_net(row: tuple[Any, ...]) -> None:
    name, kind, rate, stem, kernel, pool, weight = row
    recipe = load_recipe("cochlear2018")
    member = recipe.members[name]
    given = member.backbone.arguments
    assert (member.frontend.name, member.input.sample_rate, member.backbone.name) == (kind, rate, "densenet_se")
    assert (given["stem"], given["growth"], given["kernel"], given["pool"]) == (stem, GROWTH[kind], kernel, pool)
    assert recipe.ensembles["all"].members[name].weight == weight


@pytest.mark.parametrize("name", [row[0] for row in NETS_2018])
@pytest.mark.parametrize(("where", "expected", "read"), SAME_2018, ids=[row[0] for row in SAME_2018])
def test_what_all_2018_nets_share(name: str, where: str, expected: Any, read: Read) -> None:
    assert read(load_recipe("cochlear2018").members[name]) == expected, where


@pytest.mark.parametrize("name", [row[0] for row in NETS_2018 if row[1] == "logmel"])
def test_log_mel_of_2018_is_the_papers_and_kapres(name: str) -> None:
    """§3.2.1: a window of 1,024 samples, a shift of 128, 64 bands; the rest is kapre 0.1.3.1's."""
    assert load_recipe("cochlear2018").members[name].frontend.arguments == {
        "n_fft": 1024,
        "hop_length": 128,
        "n_mels": 64,
        "reference": "batch",
        "floor": 1e-20,  # 1e-10 of the square root
        "dynamic_range": 80,
    }


@pytest.mark.parametrize("name", [row[0] for row in NETS_2018])
def test_batch_normalisation_of_2018_is_kerass(name: str) -> None:
    net = new_net(load_recipe("cochlear2018").members[name], 41)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) > 16
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}  # ε 1e-3, momentum 0.99


RATES = ("16k", "32k", "44k")
#: Table 1: MAP@3 of each row by rate, then of the three rates together.
TABLE_1_2018 = {
    "logmel": (0.932, 0.940, 0.942, 0.947),
    "waveform": (0.924, 0.925, 0.915, 0.933),
    "": (0.944, 0.949, 0.948, 0.954),
}


def test_the_twelve_cells_of_table_1() -> None:
    recipe = load_recipe("cochlear2018")
    assert next(iter(recipe.ensembles)) == "all"  # the run's own is the best: all thirty nets
    cells = {}
    for row, figures in TABLE_1_2018.items():
        kinds = [row] if row else ["logmel", "waveform"]
        for rates, figure in zip([*((rate,) for rate in RATES), RATES], figures, strict=True):
            members = {f"{kind}-{rate}" for kind in kinds for rate in rates}
            name = "all" if len(members) == 6 else "-".join(filter(None, [row, rates[0] if len(rates) == 1 else ""]))
            cells[name] = (members, figure)
    assert len(cells) == 12
    assert set(recipe.ensembles) == set(cells)
    for name, (members, figure) in cells.items():
        ensemble, voters = recipe.ensembles[name], recipe.voters(name)
        assert (set(voters), ensemble.quoted, ensemble.rule) == (members, figure, "geometric_mean")  # equation (8)
        assert ensemble.title.startswith("Table 1: ")
        for of, voter in voters.items():
            assert voter.weight == (1.5 if of.startswith("logmel") else 1.0)
            assert (voter.weights, voter.snapshots, voter.views) == (None, None, None)  # the best ones, on the whole clip


def test_the_2018_data() -> None:
    recipe = load_recipe("cochlear2018")
    assert list(recipe.members) == [row[0] for row in NETS_2018]
    assert recipe.published is not None
    assert recipe.published.model_dump() == {"verified": 3710, "unverified": 5763, "classes": 41, "folds": 5}  # §2, §4.1
    assert (recipe.precision, recipe.unverified, recipe.pseudo_labels) == ("float32", "other_folds", {})


# -------------------------------------------------------------------------------------------- Akiyama & Sato, DCASE 2019 Task 2

FRAMES_512, FRAMES_1024 = 511 * 347, 1023 * 347  # the fewest samples of so many frames: the first one lies on sample 0
PLAIN_MIX = {"kind": "plain", "chance": 0.5, "alpha": 1.0, "self_mix": False}  # §3.3.1: with a ratio of 0.5
BETWEEN_CLASS = {"kind": "between_class", "chance": 1.0, "alpha": 1.0, "self_mix": False}  # §3.3.2
LEVELS = {"level_frame": 4096, "level_hop": 2048, "level_floor": -80.0}  # Tokozume et al.'s code
MEL_GAIN = {"chance": 0.5, "unit": "factor", "range": [0.8, 1.2]}
WAVE_GAIN = {"chance": 1.0, "unit": "decibel", "range": [-6.0, 6.0]}  # 0.501 to 2.00
MASK = {"chance": 0.5, "width": [8, 32]}
EXTRA_CROP = {"chance": 0.5, "keep": [0.25, 1.0]}
SPEED = {"chance": 1.0, "range": [0.8, 1.25]}

# Tables 1 and 2. Name, cycles × epochs (no cycles: no snapshots), crop in samples, batch size, augmentations, additional crop, multitask,
# pseudo labels, whose weights it starts from, output, which weights count.
ROWS_2019 = [
    ("row1", None, 512, FRAMES_512, 64, False, False, False, None, None, "sigmoid", "best"),
    ("row2", None, 512, FRAMES_512, 64, True, False, False, None, None, "sigmoid", "best"),
    ("row3", 8, 64, FRAMES_512, 64, True, False, False, None, None, "sigmoid", "best"),
    ("A", 8, 64, FRAMES_512, 64, True, False, True, None, None, "sigmoid", "snapshots"),
    ("B", 7, 64, FRAMES_512, 32, True, True, True, "all", "row1", "sigmoid", "snapshots"),
    ("row6", 7, 64, FRAMES_512, 32, True, True, True, "same", "row1", "sigmoid", "snapshots"),
    ("C", 6, 64, FRAMES_1024, 64, True, False, True, None, None, "sigmoid", "snapshots"),
    ("row8", None, 400, 133_300, 16, True, False, True, None, None, "softmax", "last"),
    ("D", 3, 80, 133_300, 64, True, False, True, None, "row8", "sigmoid", "snapshots"),
    ("E", 5, 80, 133_300, 16, True, False, True, None, "row8", "softmax", "snapshots"),
    ("F", 10, 80, 200_000, 16, True, False, True, None, None, "softmax", "snapshots"),
]
ENVNETS = ("row8", "D", "E", "F")


@pytest.mark.parametrize("row", ROWS_2019, ids=lambda row: row[0])
def test_rows_of_tables_1_and_2(row: tuple[Any, ...]) -> None:
    name, cycles, epochs, crop, size, augmented, shortened, multitask, pseudo, start, output, keep = row
    wave = name in ENVNETS
    recipe = load_recipe("akiyama2019")
    member = recipe.members[name]
    [phase] = member.schedule
    rates = (1e-1, 1e-6) if wave else (1e-3, 1e-6)  # §3.5.1, §3.5.2
    assert (phase.cycles, phase.epochs, phase.batches, (phase.rate, phase.final_rate)) == (cycles, epochs, None, rates)
    assert (member.validation.epochs, member.validation.metric, member.validation.keep) == (1, "lwlrap", keep)
    assert (member.input.sample_rate, member.input.window) == (44_100, crop)
    frontend = FRONTENDS[member.frontend.name](sample_rate=44_100, **member.frontend.arguments)
    assert frontend.frames(crop) == {FRAMES_512: 512, FRAMES_1024: 1024}.get(crop, crop)
    batch = all_settings("akiyama2019")["members"][name]["batch"]
    assert (batch["sampling"], batch["size"], batch["windows"]) == ("shuffled", size, [])
    mix, gain, mask = (BETWEEN_CLASS, WAVE_GAIN, None) if wave else (PLAIN_MIX, MEL_GAIN, MASK)
    assert batch["mix"] == ({**mix, **LEVELS} if augmented else None)
    assert batch["gain"] == (gain if augmented else None)
    assert batch["frequency_mask"] == (mask if augmented else None)
    assert batch["additional_crop"] == (EXTRA_CROP if shortened else None)
    assert batch["speed"] == (SPEED if wave else None)
    assert batch["edge"] == (0.5 if wave else 0)  # the released code's
    assert member.start_from == start
    assert member.clips == "verified"  # the curated ones
    assert (member.noisy.weight if member.noisy else None) == (1.0 if multitask else None)  # §2.1: 1 : 1
    if pseudo is None:
        assert member.soft is None
    else:  # §2.2
        assert member.soft is not None
        assert (member.soft.weight, member.soft.loss) == (20.0, "mse")
        guessed = recipe.pseudo_labels[member.soft.labels]
        assert (guessed.member, guessed.temperature, guessed.folds) == ("A", 2.0, pseudo)
    assert member.head.arguments["activation"] == output
    assert (member.loss.kind, member.loss.masking) == ("kl" if output == "softmax" else "bce", None)  # §3.5.2
    assert not member.loss.double_sigmoid and not (member.noisy and member.noisy.double_sigmoid)


@pytest.mark.parametrize("name", [row[0] for row in ROWS_2019])
def test_nets_and_optimisers_of_2019(name: str) -> None:
    member = load_recipe("akiyama2019").members[name]
    wave = name in ENVNETS
    net = new_net(member, 80)
    assert member.backbone.name == ("envnet_v2" if wave else "resnet34")  # §3.4.1, §3.4.2
    stack = [tuple(layer.weight.shape) for layer in net.head.curated.modules() if isinstance(layer, nn.Linear)]
    assert stack == [(1024, 2560 if wave else 512), (1024, 1024), (80, 1024)]  # §3.4.3
    assert [layer.p for layer in net.head.curated.modules() if isinstance(layer, nn.Dropout)] == [0.2, 0.1]
    assert net.head.split is None  # only the layers behind the pooling are two of each
    if wave:
        assert member.frontend.name == "raw_waveform"
        assert (member.optimiser.name, member.optimiser.momentum, member.optimiser.nesterov) == ("sgd", 0.9, True)
    else:
        assert member.frontend.name == "standardised_logmel"
        assert (member.optimiser.name, member.optimiser.epsilon) == ("adam", 1e-8)  # PyTorch's
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}  # PyTorch's


@pytest.mark.parametrize("name", [row[0] for row in ROWS_2019 if row[0] not in ENVNETS])
def test_log_mel_of_2019(name: str) -> None:
    """§3.2.2: 128 bands, a hop of 347 samples; the rest is the released code's and librosa 0.6.3's."""
    assert load_recipe("akiyama2019").members[name].frontend.arguments == {
        "n_fft": 2560,
        "hop_length": 347,
        "n_mels": 128,
        "f_min": 20,
        "floor": 1e-10,
        "dynamic_range": 80,
        "epsilon": 1e-7,
    }


@pytest.mark.parametrize("name", [row[0] for row in ROWS_2019])
def test_clips_of_2019_are_taken_as_they_are(name: str) -> None:
    """§3.2.1: divided by 32,768; §3.6: of their full length, with patience."""
    member = load_recipe("akiyama2019").members[name]
    own = member.input
    assert (own.peak_normalised, own.trim_silence, own.fill, own.fill_short) == (False, False, "zeros", False)
    assert (member.scoring.patience, member.scoring.samples, member.scoring.clips) == (0.2, 20_000_000, 512)  # the released code's


WHOLE, MEL_PADS, WAVE_PADS = ("whole",), ("pad8", "pad64"), ("pad8000", "pad32000")
# §3.6, which leaves cycles and paddings to the released code. Ensemble, its predictions, and of each member: weight, cycles, paddings.
CYCLES_1 = {"A": [2, 4, 7, 8], "B": [1, 2, 6, 7], "C": [2, 4, 6], "D": [2, 3], "E": [3, 5], "F": [7, 9]}
CYCLES_2 = {**CYCLES_1, "B": [1, 2, 4, 6, 7], "F": [6, 7, 9]}
PADS_1 = {"A": MEL_PADS, "B": MEL_PADS, "C": MEL_PADS, "D": ("whole", "pad32000"), "E": WAVE_PADS, "F": WAVE_PADS}
PADS_RELEASED_2 = {**dict.fromkeys("ABC", ("pad8",)), **dict.fromkeys("DEF", ("pad8000",))}
WEIGHTS, WEIGHTS_RELEASED = ({"A": a, "B": b, "C": 3.0, "D": 1.0, "E": 1.0, "F": 1.0} for a, b in ((3.0, 4.0), (4.0, 3.0)))
ENSEMBLES = [
    ("akiyama2019", "submission1", 170, WEIGHTS, CYCLES_1, PADS_1),
    ("akiyama2019", "submission2", 95, WEIGHTS, CYCLES_2, dict.fromkeys("ABCDEF", WHOLE)),
    ("akiyama2019-released", "submission1", 170, WEIGHTS_RELEASED, CYCLES_1, PADS_1),
    ("akiyama2019-released", "submission2", 95, WEIGHTS_RELEASED, CYCLES_2, PADS_RELEASED_2),
]


@pytest.mark.parametrize("row", ENSEMBLES, ids=lambda row: f"{row[0]} {row[1]}")
def test_submissions_of_2019(row: tuple[Any, ...]) -> None:
    name, ensemble, predictions, weights, cycles, pads = row
    recipe = load_recipe(name)
    voters = recipe.voters(ensemble)
    assert recipe.ensembles[ensemble].rule == "arithmetic_mean"
    assert {of: voter.weight for of, voter in voters.items()} == weights
    assert {of: list(voter.snapshots or ()) for of, voter in voters.items()} == cycles
    assert {of: voter.views for of, voter in voters.items()} == pads
    assert len(ensemble_votes(recipe, ensemble, list(voters), range(5))) == predictions  # §3.6


@pytest.mark.parametrize("name", ["akiyama2019", "akiyama2019-released"])
def test_the_first_ensemble_is_submission_1_without_the_leak(name: str) -> None:
    recipe = load_recipe(name)
    assert list(recipe.ensembles)[:3] == ["leak-free", "submission1", "submission2"]
    first, published = recipe.voters("leak-free"), recipe.voters("submission1")
    assert {"B" if of == "row6" else of: voter for of, voter in first.items()} == published
    assert not any(recipe.leaks(of) for of in first) and recipe.leaks("B")


#: Tables 1 and 2: number, member, lwlrap. They quote the best epoch of each fold, #8 the last.
TABLES_1_2 = [
    (1, "row1", 0.724), (2, "row2", 0.829), (3, "row3", 0.829), (4, "A", 0.849), (5, "B", 0.870), (6, "row6", 0.858), (7, "C", 0.840),
    (8, "row8", 0.809), (9, "D", 0.814), (10, "E", 0.818), (11, "F", 0.820),
]  # fmt: skip
#: Table 3: number, models, lwlrap.
TABLE_3 = [
    (1, "A", 0.868), (2, "B", 0.886), (3, "C", 0.862), (4, "D", 0.815), (5, "E", 0.818), (6, "F", 0.820),
    (7, "AC", 0.876), (8, "ABC", 0.890), (9, "DEF", 0.836),
]  # fmt: skip
TABLE_3_CYCLES = {"A": range(1, 9), "B": range(1, 8), "C": range(1, 7), "D": range(1, 4), "E": range(1, 6), "F": range(5, 11)}
TABLE_3_PADS = {**dict.fromkeys("ABC", ("pad8", "pad32")), **dict.fromkeys("DEF", WAVE_PADS)}


@pytest.mark.parametrize(("number", "member", "figure"), TABLES_1_2)
def test_tables_1_and_2(number: int, member: str, figure: float) -> None:
    recipe = load_recipe("akiyama2019")
    name = f"table{1 if number < 8 else 2}-{number}"
    assert recipe.ensembles[name].quoted == figure
    votes = ensemble_votes(recipe, name, list(recipe.voters(name)), range(5))
    expected = "last" if number == 8 else "best"
    assert [(v.member, v.fold, v.weights, v.view) for v in votes] == [(member, fold, expected, "whole") for fold in range(5)]


@pytest.mark.parametrize(("number", "models", "figure"), TABLE_3)
def test_table_3(number: int, models: str, figure: float) -> None:
    recipe = load_recipe("akiyama2019")
    name = f"table3-{number}"
    assert (recipe.ensembles[name].quoted, recipe.ensembles[name].rule) == (figure, "arithmetic_mean")
    votes = ensemble_votes(recipe, name, list(recipe.voters(name)), range(5))
    expected = {
        (of, fold, str(cycle), pad)
        for of in models
        for fold in range(5)
        for cycle in TABLE_3_CYCLES[of]
        for pad in TABLE_3_PADS[of]
    }
    assert {(v.member, v.fold, v.weights, v.view) for v in votes} == expected
    assert len(votes) == len(expected)
    for of in models:
        assert sum(v.share for v in votes if v.member == of) == pytest.approx(WEIGHTS[of])


def test_the_submissions_are_lines_10_and_11_of_table_3() -> None:
    recipe = load_recipe("akiyama2019")
    assert [recipe.ensembles[name].quoted for name in ("submission1", "submission2")] == [0.896, 0.895]
    assert len(recipe.ensembles) == 3 + len(TABLES_1_2) + len(TABLE_3)


def test_data_of_2019() -> None:
    recipe = load_recipe("akiyama2019")
    assert list(recipe.members) == [row[0] for row in ROWS_2019]
    assert recipe.published is not None
    assert recipe.published.model_dump() == {"verified": 4970, "unverified": 19_815, "classes": 80, "folds": 5}  # §3.1
    assert (recipe.precision, recipe.unverified) == ("float32", "all")


# SYSTEMS.md, section B: of each member what its authors' code does otherwise.
RELEASED: list[tuple[str, dict[str, Any]]] = [
    ("row1", {"initialisation": "released"}),
    ("row2", {"initialisation": "released", "gain": [0.9, 1.1]}),
    ("row3", {"initialisation": "released", "gain": [0.9, 1.1]}),
    ("A", {"initialisation": "released", "gain": [0.9, 1.1], "noisy": True}),
    ("B", {"gain": [0.9, 1.1], "noisy": True, "size": 64, "start_from": "A"}),
    ("row6", {"gain": [0.9, 1.1], "noisy": True, "size": 64, "start_from": "A"}),
    ("C", {"initialisation": "released", "gain": [0.9, 1.1], "noisy": True}),
    ("row8", {"initialisation": "released", "self_mix": True}),
    ("D", {"self_mix": True, "noisy": True, "loss": True}),
    ("E", {"self_mix": True}),
    ("F", {"initialisation": "released", "self_mix": True}),
]


def released_settings(member: dict[str, Any]) -> dict[str, Any]:
    batch = member["batch"]
    return {
        "initialisation": member["backbone"]["initialisation"],
        "gain": (batch["gain"] or {}).get("range"),
        "self_mix": (batch["mix"] or {}).get("self_mix"),
        "noisy": (member["noisy"] or {}).get("double_sigmoid"),
        "loss": member["loss"]["double_sigmoid"],
        "size": batch["size"],
        "start_from": member["start_from"],
    }


@pytest.mark.parametrize(("name", "different"), RELEASED, ids=[row[0] for row in RELEASED])
def test_the_released_recipe(name: str, different: dict[str, Any]) -> None:
    paper, released = (
        released_settings(all_settings(recipe)["members"][name]) for recipe in ("akiyama2019", "akiyama2019-released")
    )
    assert released == {**paper, **different}
    assert {key for key in paper if paper[key] != released[key]} == set(different)
