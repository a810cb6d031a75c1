"""``earmark noise``: what it refuses, and the lines that it prints."""

import json
from pathlib import Path

import pytest

from earmark import cli
from earmark.assess.methods import Method, MethodTable
from earmark.assess.metrics import Estimate, Figures
from earmark.data.plant import Protocol
from earmark.data.store import Store
from earmark.training import noise
from earmark.training.noise import NoiseRequest, NoiseTable

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seeds", "0"], "Invalid value for '--seeds'"),
        (["--protocol", "symmetric"], "--protocol 'symmetric': KIND:RATE:VERIFIED is needed, such as symmetric:0.3:0.4; KIND is"),
        (["--protocol", "any:0.3:0.4"], "--protocol 'any:0.3:0.4': KIND:RATE:VERIFIED is needed"),
        (["--protocol", "symmetric:0:0.4"], "--protocol 'symmetric:0:0.4': KIND:RATE:VERIFIED is needed"),
        (["--protocol", "symmetric:1.1:0.4"], "--protocol 'symmetric:1.1:0.4': KIND:RATE:VERIFIED is needed"),
        (["--protocol", "symmetric:0.3:1"], "--protocol 'symmetric:0.3:1': KIND:RATE:VERIFIED is needed"),
        (["--protocol", "symmetric:nan:0.4"], "--protocol 'symmetric:nan:0.4': KIND:RATE:VERIFIED is needed"),
        (
            ["--protocol", "related:0.3:0.4"],
            "--protocol related:0.3:0.4: it needs to know which classes are kin; --kin FILE says it",
        ),
        (
            ["--protocol", "related:0.3:0.4", "--kin", "{here}/nowhere.csv"],
            "--kin {here}/nowhere.csv: no such file",
        ),
        (["--kin", "{here}/nowhere.csv"], "--kin: only a --protocol of the kind related asks which classes are kin"),
        (["--methods", "masking,all"], "no method 'all'; there are given, masking, multitask, verified, pseudo, agreement, clean"),
        (
            ["--recipe", "tiny", "--methods", "pseudo", "--unverified", "keep"],
            "symmetric:0.3:0.5: method pseudo: tiny's logmel cannot: noisy and soft tasks",
        ),
        (["--recipe", "none"], "no recipe 'none'"),
        (["--recipe", "tiny", "--embedding", "{here}/m.onnx"], "--embedding: no member of recipe tiny has the front end embedding"),
        (["--unverified", "drop"], "Invalid value for '--unverified'"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line_before_anything_is_written(
    options: list[str], said: str, store: Store, tmp_path: Path, capsys: Capture
) -> None:
    given = [option.format(here=tmp_path) for option in options]
    assert cli.run(["noise", str(store.path), "--out", str(tmp_path / "out"), *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith(f"error: {said.format(here=tmp_path)}") and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def figures(value: float) -> Figures:
    return {
        name: {"value": value, "low": value - 0.05, "high": value + 0.05, "clips": 40} for name in ("map@3", "accuracy", "lwlrap")
    }  # type: ignore[return-value]


def result() -> NoiseTable:
    rows = (
        Method("all labels as given", figures(0.5), "start"),
        Method("agreement", figures(0.8)),
        Method("no wrong labels", figures(0.9), "goal"),
    )
    by_seed = {"all labels as given": [0.45, 0.55], "agreement": [0.7, 0.9], "no wrong labels": [0.9]}
    table = MethodTable("A half wrong", "40 clips.", rows)
    return NoiseTable(Protocol("symmetric", 0.5, 0.2), table, by_seed, Estimate(0.4, 0.3, 0.5, 40), {"pseudo": "it cannot"})


def test_the_table_is_printed_with_shares_seeds_and_words(
    store: Store, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[NoiseRequest] = []

    def measured(request: NoiseRequest, _: object) -> list[NoiseTable]:
        asked.append(request)
        return [result(), result()]

    monkeypatch.setattr(noise, "measure_noise", measured)
    command = ["noise", str(store.path), "--out", str(tmp_path / "out"), "--seeds", "2", "--methods", "agreement,pseudo"]
    command += ["--protocol", "symmetric:0.5:0.2", "--protocol", "symmetric:0.50:0.2", "--protocol", "class:1:0"]
    assert cli.run(command) == 0
    (request,) = asked
    assert request.protocols == (Protocol("symmetric", 0.5, 0.2), Protocol("class", 1.0, 0.0))  # not one of them twice
    assert (request.seeds, request.methods, request.unverified) == ((1, 2), ["agreement", "pseudo"], "leave-out")
    assert request.recipe.name == "quick"
    lines = capsys.readouterr().out.splitlines()
    first = lines[: len(lines) // 2]
    assert first[:4] == [
        "A half wrong: accuracy (95 % interval), share of the gap got back, each planting",
        "  all labels as given  0.5000 (0.4500–0.5500)      –  0.4500 0.5500",
        "  agreement            0.8000 (0.7500–0.8500)    75%  0.7000 0.9000",
        "  no wrong labels      0.9000 (0.8500–0.9500)      –  0.9000",
    ]
    assert first[4] == "40 clips." and "gets 75 % of that back" in first[5]
    assert lines[-1] == f"drawn: {tmp_path / 'out' / 'noise.html'}"
    assert cli.run([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["tables"][0]["methods"]["agreement"]["recovered"] == pytest.approx(0.75)
    assert data["tables"][0]["gap"]["low"] == 0.3 and data["seeds"] == [1, 2]
