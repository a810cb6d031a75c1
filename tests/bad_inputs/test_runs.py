"""Runs of something else, unfinished or damaged."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.bad_inputs.arrange import all_of, copied, data, edited, prepare, removed, rewritten, write_wav
from tests.bad_inputs.cases import TRAIN_ON, Arrange, Capture, Case, Places, check, no_run, refused, table

EVALUATE = "evaluate {here}/run"
PIECE = "members/logmel/fold0"
AGAIN = f"; remove {{here}}/run/{PIECE} to train this piece again"
TEXT = "last.safetensors is damaged (<its words>)" + AGAIN
NOT_ITS_OWN = "last.safetensors has not this net's weights (<which>)" + AGAIN
BAD_INFO = (
    "{here}/run/run.json is damaged, or of another version (<why>); put back an earlier copy of it, or train into another --out"
)


def other_data(places: Places) -> None:
    """The session's data set with another sound in it, and a store of that in ``{here}/data-store``."""
    shutil.copytree(places["manifest"].parent, places["here"] / "data")
    write_wav(places["here"] / "data/audio/0000.wav")
    prepare(places["here"] / "data/manifest.csv", places["here"] / "data-store")


def begun(name: str, content: str) -> Arrange:
    """A run whose training stopped, with a damaged file."""

    def change(run_path: Path) -> None:
        for made_last in ("oof.parquet", "last.safetensors"):
            (run_path / PIECE / made_last).unlink()
        (run_path / PIECE / name).write_text(content)

    return copied("run", change)


def weights(change: Callable[[Tensor], Tensor]) -> Callable[[Path], object]:
    def rewrite(run_path: Path) -> None:
        path = run_path / PIECE / "last.safetensors"
        tensors = load_file(path)
        path.unlink()
        save_file({name: change(value) for name, value in tensors.items()}, path)

    return rewrite


BAD_RUNS = (
    refused(
        "changed recipe",
        TRAIN_ON + " --set seed=2",
        "{here}/run holds a run of another recipe (changed: seed); choose another --out, or the same settings",
        arrange=copied("run"),
    ),
    refused(
        "other data",
        "train tiny --store {here}/data-store --out {here}/run --folds 0 {fast}",
        "{here}/run learns from {store}, and {here}/data-store has other data: name the run's own store, or train into another --out",
        arrange=all_of(copied("run"), other_data),
    ),
    refused(
        "evaluated on clips it does not know",
        "evaluate {run} --store {here}/data-store",
        "{run} learns from {store}, and {here}/data-store has other data: name the run's own store, or train into another --out",
        arrange=data("file_name,labels\na.wav,x\n", "a.wav"),
    ),
    refused("no test split", "evaluate {run} --split test", "{store} has no test split"),
    refused(
        "test split of other classes",
        "evaluate {run} --split test --store {here}/data-store",
        "{here}/data-store has other classes than {run}",
        arrange=data("file_name,labels,split\na.wav,x,train\nb.wav,x,test\n", "a.wav", "b.wav"),
    ),
    refused("no run", "evaluate {store}", no_run("{store}")),
    refused(
        "nothing finished",
        EVALUATE,
        "{here}/run: no net of it is finished; `earmark train` goes on with it",
        arrange=copied("run", removed("members")),
    ),
    refused(
        "never started",
        EVALUATE,
        "{here}/run: it has not been started; `earmark train` starts it",
        arrange=copied("run", lambda run: [removed(name)(run) for name in ("run.json", "members")]),
    ),
    refused(
        "run.json is text",
        EVALUATE,
        BAD_INFO,
        arrange=copied("run", rewritten("run.json", "text")),
    ),
    refused(
        "run.json is nested too deeply",
        TRAIN_ON,
        BAD_INFO,
        arrange=copied("run", rewritten("run.json", "[" * 100_000)),
    ),
    refused(
        "run.json has no number of threads",
        TRAIN_ON,
        BAD_INFO,
        arrange=copied("run", edited("run.json", lambda info: info.update(threads=10**6))),
    ),
    refused(
        "run.json is a folder",
        EVALUATE,
        BAD_INFO,
        arrange=copied("run", lambda run: [removed("run.json")(run), (run / "run.json").mkdir()]),
    ),
    *(
        refused(
            f"run.json is missing, {command.split()[0]}",
            command,
            "{here}/run/run.json is missing, which says what the run learns from; put back a copy of it, or train into another --out",
            arrange=copied("run", removed("run.json")),
        )
        for command in (EVALUATE, TRAIN_ON)
    ),
    refused(
        "recipe.yaml is text",
        EVALUATE,
        "{here}/run/recipe.yaml: a recipe is a mapping with a mapping `members` in it",
        arrange=copied("run", rewritten("recipe.yaml", "text")),
    ),
    Case(
        "scores and weights are text",
        EVALUATE,
        f"warning: {{here}}/run/{PIECE}/oof.parquet is damaged (<its words>); it is made again\nerror: {{here}}/run/{PIECE}/{TEXT}",
        arrange=copied(
            "run", lambda run: [rewritten(f"{PIECE}/{name}", "text")(run) for name in ("oof.parquet", "last.safetensors")]
        ),
    ),
    *(
        refused(
            f"weights of a finished net are {what}",
            EVALUATE,
            f"{{here}}/run/{PIECE}/{said}",
            arrange=copied("run", change),
        )
        for what, said, change in (
            ("text", TEXT, rewritten(f"{PIECE}/last.safetensors", "text")),
            ("missing", "last.safetensors is missing" + AGAIN, removed(f"{PIECE}/last.safetensors")),
            ("not finite", NOT_ITS_OWN, weights(lambda value: value * float("nan"))),
            ("of another type", NOT_ITS_OWN, weights(lambda value: value.double())),
            ("of another shape", NOT_ITS_OWN, weights(lambda value: value[None])),
        )
    ),
    refused(
        "weights are text",
        TRAIN_ON,
        f"{{here}}/run/{PIECE}/last.safetensors is damaged (<its words>)" + AGAIN,
        arrange=begun("last.safetensors", "text"),
    ),
    refused(
        "checkpoint is text",
        TRAIN_ON,
        f"{{here}}/run/{PIECE}/checkpoint.safetensors is damaged (<its words>)" + AGAIN,
        arrange=begun("checkpoint.safetensors", "text"),
    ),
)


@table(*BAD_RUNS)
def test_run_is_refused(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)


MENDED = {
    "scores cut off": lambda run: os.truncate(run / PIECE / "oof.parquet", 500),
    "scores are text": rewritten(f"{PIECE}/oof.parquet", "text"),
    "joined scores are text": rewritten("oof.parquet", "text"),
    "metrics are text": rewritten("metrics.json", "text"),
    "log is binary": rewritten(f"{PIECE}/metrics.csv", b"\xff\xfe\0\1" * 40),
    "log is of something else": rewritten(f"{PIECE}/metrics.csv", "a,b\n1,2\n"),
    "log is cut off": lambda run: os.truncate(run / PIECE / "metrics.csv", 90),
}


@pytest.mark.parametrize("damage", list(MENDED))
def test_what_can_be_made_again_is(damage: str, places: Places, capsys: Capture) -> None:
    """The figures are those of before."""
    again = f"warning: {{here}}/run/{PIECE}/oof.parquet is damaged (<its words>); it is made again"
    said = again if damage in ("scores cut off", "scores are text") else ""
    before = (places["run"] / "metrics.json").read_bytes()
    check(Case(damage, EVALUATE, said, status=0, arrange=copied("run", MENDED[damage])), places, capsys)
    assert (places["here"] / "run/metrics.json").read_bytes() == before
    assert (places["here"] / "run/oof.parquet").read_bytes() == (places["run"] / "oof.parquet").read_bytes()
