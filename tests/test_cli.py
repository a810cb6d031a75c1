import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from earmark import __version__, cli
from earmark.data.store import Store
from earmark.recipe import Recipe, load_recipe
from tests.conftest import SMALL


def test_parameters_of_each_member_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", "cochlear2018", "--classes", "41", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {member["name"]: member["parameters"] for member in found["members"]} == {
        **{f"logmel-{rate}k": 11_092_200 for rate in (16, 32, 44)},
        **{f"waveform-{rate}k": 16_521_187 for rate in (16, 32, 44)},
    }
    assert found["parameters"] == 3 * (11_092_200 + 16_521_187)


def test_parameters_of_the_nets_of_2019(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """EnvNet-v2 with one head is the paper's 4,128,912; of ResNet-34 the trunk and a head by themselves."""
    data = load_recipe("akiyama2019", ["members.D.start_from=null"]).model_dump(mode="json")
    data |= {"members": {name: data["members"][name] for name in ("A", "D")}, "pseudo_labels": {}, "ensembles": {"all": {}}}
    (tmp_path / "r.yaml").write_text(Recipe.model_validate(data).to_yaml())
    assert cli.run(["info", str(tmp_path / "r.yaml"), "--classes", "80", "--json"]) == 0
    a, d = json.loads(capsys.readouterr().out)["members"]
    assert (a["trunk"], a["head"], a["parameters"]) == (21_278_400, 1_656_912, 24_592_224)
    assert d["trunk"] + d["head"] == 4_128_912
    assert (a["schedule"], d["schedule"]) == ("8 × 64 epochs", "3 × 80 epochs")


def test_info_of_a_run_is_that_of_its_bundle(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", str(finished_run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["classes"], len(found["members"])) == ("bundle", 10, 2)
    sizes = sum(path.stat().st_size for path in (finished_run / "bundle").iterdir())
    assert found["bytes"] == sizes
    assert cli.run(["info", str(finished_run / "bundle")]) == 0
    assert "labels: bell, chirps" in capsys.readouterr().out


def test_evaluate_prints_what_it_writes(finished_run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.copytree(finished_run, tmp_path / "run")
    before = json.loads((finished_run / "metrics.json").read_text())
    assert cli.run(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == before


@pytest.mark.slow
def test_a_run_can_be_evaluated_from_anywhere(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.path.parent)
    sets = [part for setting in SMALL for part in ("--set", setting)]
    assert cli.run(["train", "tiny", "--store", store.path.name, "--out", str(tmp_path / "run"), "--folds", "0", *sets]) == 0
    monkeypatch.chdir(tmp_path)
    assert cli.run(["evaluate", "run"]) == 0


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"earmark {__version__}\n"
    assert cli.run([]) == 0
    shown = capsys.readouterr().out
    for command in ("demo", "prepare", "train", "evaluate", "tag", "info", "data"):
        assert command in shown


def test_a_fault_of_ours_is_status_1_and_debug_shows_where(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("earmark.recipe.load_recipe", broken)
    command = ["train", "tiny", "--store", str(store.path), "--out", "x"]
    assert cli.run(command) == 1
    assert capsys.readouterr().err == "error: a fault of earmark's own (ZeroDivisionError: oh); --debug shows where\n"
    assert cli.run([*command, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_without_the_training_extra_the_missing_package_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "earmark.data.store", raising=False)
    monkeypatch.delitem(sys.modules, "earmark.data.prepare", raising=False)
    assert cli.run(["train", "tiny", "--store", "s", "--out", "r"]) == 2
    assert "pip install 'earmark[train]'" in capsys.readouterr().err


def test_a_second_prepare_imports_no_torch(rendered: Path, store: Store) -> None:
    """Else doing nothing would take seconds."""
    code = (
        "import sys; from earmark import cli;"
        f"status = cli.run(['prepare', 'manifest', {str(rendered)!r}, '--out', {str(store.path)!r}, '--sample-rate', '8000,16000']);"
        "sys.exit(status or 10 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "unchanged" in done.stdout
