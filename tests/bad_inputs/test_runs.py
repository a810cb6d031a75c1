"""Runs of something else, unfinished or damaged."""

import shutil
from pathlib import Path

from tests.bad_inputs.arrange import all_of, copied, data, prepare, removed, rewritten, write_wav
from tests.bad_inputs.cases import TRAIN_ON, Arrange, Capture, Case, Places, check, no_run, refused, table

EVALUATE = "evaluate {here}/run"
PIECE = "members/logmel/fold0"


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
        "{here}/run was trained on other data than {here}/data-store has now; choose another --out",
        arrange=all_of(copied("run"), other_data),
    ),
    refused(
        "evaluated on clips it does not know",
        "evaluate {run} --store {here}/data-store",
        "{run}: its clips are not those of the store; it was trained on another one",
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
        arrange=copied("run", removed("run.json")),
    ),
    refused(
        "run.json is text",
        EVALUATE,
        "{here}/run/run.json is damaged, or of another version",
        arrange=copied("run", rewritten("run.json", "text")),
    ),
    refused(
        "recipe.yaml is text",
        EVALUATE,
        "{here}/run/recipe.yaml: a recipe is a mapping with a mapping `members` in it",
        arrange=copied("run", rewritten("recipe.yaml", "text")),
    ),
    refused(
        "scores are text",
        EVALUATE,
        f"{{here}}/run/{PIECE}/oof.parquet <words>",
        arrange=copied("run", rewritten(f"{PIECE}/oof.parquet", "text")),
    ),
    refused(
        "weights are text",
        TRAIN_ON,
        f"{{here}}/run/{PIECE}/last.safetensors is damaged (<its words>); remove it to train this piece again",
        arrange=begun("last.safetensors", "text"),
    ),
    refused(
        "checkpoint is text",
        TRAIN_ON,
        f"{{here}}/run/{PIECE}/checkpoint.safetensors is damaged (<its words>); remove it to train this piece again",
        arrange=begun("checkpoint.safetensors", "text"),
    ),
)


@table(*BAD_RUNS)
def test_run_is_refused(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)
