"""Paths that are not there, or of something else, and places that nothing is written to."""

import os

import pytest

from earmark.tagging.hub import NEEDED
from tests.bad_inputs.arrange import UNVERIFIED, all_of, bytes_of, copied, folder, link, sound, text
from tests.bad_inputs.cases import (
    CORRUPT,
    NO_RECIPE,
    TAG,
    Capture,
    Case,
    Places,
    check,
    check_request,
    no_model,
    no_run,
    no_store,
    refused,
    table,
)

UNUSABLE = "<words>{long}<words>"  # what is said of a name that no file can have may differ
TRAINERS = (("train", "train tiny --store {store} {fast}"), ("demo", "demo"))
NEARLY_LONG = "y" * 240  # a file may have this name, but not the files beside it
KEEP_OUT = "{here}/out is there already and is no store; choose another --out"

BAD_PATHS = (
    refused("prepare: no such manifest", "prepare manifest {here}/no.csv {to_store}", "{here}/no.csv: no such file or folder"),
    refused("prepare: no such folder", "prepare folder {here}/no {to_store}", "{here}/no: no such file or folder"),
    refused("train: no such store", "train tiny --store {here}/no --out {here}/run", no_store("{here}/no")),
    refused("evaluate: no such run", "evaluate {here}/no", no_run("{here}/no")),
    refused("evaluate: no such store", "evaluate {run} --store {here}/no", no_store("{here}/no")),
    refused("tag: no such file", "tag {here}/no.wav --model {bundle}", "{here}/no.wav: no such file or folder"),
    refused("tag: one of two is not there", "tag {sound} {here}/no.wav --model {bundle}", "{here}/no.wav: no such file or folder"),
    refused("tag: below a file", "tag {sound}/a.wav --model {bundle}", "{sound}/a.wav: no such file or folder"),
    refused("tag: no such model", "tag {sound} --model {here}/no", "{here}/no: no such folder; " + NEEDED),
    refused("tag: the model is a file", "tag {sound} --model {sound}", no_model("{sound}")),
    refused("info: no such thing", "info nosuch", "no recipe 'nosuch': " + NO_RECIPE),
    refused(
        "prepare: manifest is a folder",
        "prepare manifest {here} {to_store}",
        "{here}: is a folder; a CSV or Parquet file is needed",
    ),
    refused(
        "prepare: folder is a file",
        "prepare folder {manifest} {to_store}",
        "{manifest}: is a file; the folder that holds the class folders is needed",
    ),
    refused("prepare: empty folder", "prepare folder {here} {to_store}", "{here}: no audio files below it (endings {endings})"),
    refused("tag: empty folder", "tag {here} --model {bundle}", "{here}: no audio files below it (endings {endings})"),
    refused(
        "tag: empty folder named like a sound",
        "tag {here}/x.wav --model {bundle}",
        "{here}/x.wav: no audio files below it (endings {endings})",
        arrange=folder("x.wav"),
    ),
    refused(
        "prepare: sounds in no class folder",
        "prepare folder {here} {to_store}",
        "{here}: 'a.wav' lies in no class folder: {here}/CLASS/FILE is needed",
        arrange=sound("a.wav", "dog/b.wav"),
    ),
    # Names that no file can have: more than 255 bytes.
    refused("prepare: name too long", "prepare manifest {long} {to_store}", UNUSABLE),
    refused("prepare: name of --out too long", "prepare manifest {manifest} --out {here}/{long} --sample-rate 16000", UNUSABLE),
    refused("train: name of a recipe too long", "train {long} --store {store} --out {here}/run", UNUSABLE),
    refused("train: name of --out too long", "train tiny --store {store} --out {here}/{long} {fast}", UNUSABLE),
    refused("evaluate: name too long", "evaluate {long}", UNUSABLE),
    refused("tag: name too long", "tag {long} --model {bundle}", UNUSABLE),
    refused("tag: name of a model too long", "tag {sound} --model {long}", UNUSABLE),
    refused("tag: name of --out too long", TAG + " --out {here}/{long}", UNUSABLE),
)


@table(*BAD_PATHS)
def test_request_is_refused_in_one_line(case: Case, places: Places, capsys: Capture) -> None:
    check_request(case, places, capsys)


BAD_OUTPUTS = (
    refused(
        "prepare: a folder with other things",
        "prepare manifest {manifest} --out {here}/out --sample-rate 16000",
        KEEP_OUT,
        arrange=text("out/precious", "x"),
    ),
    refused(
        "prepare: a file", "prepare manifest {manifest} --out {here}/out --sample-rate 16000", KEEP_OUT, arrange=text("out", "x")
    ),
    refused(
        "prepare: below a file",
        "prepare manifest {manifest} --out {here}/f/out --sample-rate 16000",
        "cannot write <what>{here}/f/out: <reason>",
        arrange=text("f", "x"),
    ),
    refused(
        "prepare: this folder",
        "prepare manifest {here}/m.csv --out . --sample-rate 16000",
        "<this folder> is there already and is no store; choose another --out",
        arrange=all_of(text("m.csv", "file_name,labels\na.wav,x\n"), lambda places: os.chdir(places["here"])),
    ),
    refused(
        "train: a file",
        "train tiny --store {store} --out {here}/f {fast}",
        "{here}/f is no folder; --out is a folder, a new one or that of a run",
        arrange=text("f", "x"),
    ),
    refused(
        "train: below a file",
        "train tiny --store {store} --out {here}/f/run {fast}",
        "cannot write <what>{here}/f/run: <reason>",
        arrange=text("f", "x"),
    ),
    refused(
        "train: a folder with such things",
        "train tiny --store {store} --out {here}/o {fast}",
        "{here}/o is no run directory and has metrics.json already; choose another --out",
        arrange=text("o/metrics.json", "x"),
    ),
    *(
        refused(
            f"{command}: a folder with {what}",
            f"{line} --out {{here}}/o",
            "{here}/o is no run directory and has " + shown + " already; choose another --out",
            arrange=all_of(*(text(f"o/{name}", "x") for name in names)),
        )
        for command, line in TRAINERS
        for what, names, shown in (
            ("other things", ("precious", "mine", "work/a", "a b", ".hidden"), ".hidden, a b, mine and 2 more"),
            ("a recipe of something else beside it", ("recipe.yaml", "recipes.csv"), "recipes.csv"),
            ("results, but no recipe", ("members/a",), "members"),
        )
    ),
    *(
        refused(
            f"{command}: this folder",
            f"{line} --out .",
            ". is no run directory and has precious already; choose another --out",
            arrange=all_of(text("precious", "x"), lambda places: os.chdir(places["here"])),
        )
        for command, line in TRAINERS
    ),
    *(
        refused(
            f"{command}: {what}",
            f"{line} --out {{here}}/{out}",
            f"{{here}}/{out} {said}; choose another --out",
            arrange=arrange,
        )
        for command, line in TRAINERS
        for what, out, said, arrange in (
            ("in a store", "store/run", "lies in a store", copied("store")),
            ("a bundle", "bundle", "is a bundle", copied("bundle")),
            ("in a run's bundle", "run/bundle/run", "lies in a bundle", copied("run")),
            ("a link to nothing", "l", "is a link to nowhere, which is not there", link("l", "nowhere")),
        )
    ),
    # The next `prepare` would put a new store in its place, and the run would be gone.
    refused(
        "train: a store",
        "train tiny --store {here}/store --out {here}/store {fast}",
        "{here}/store <words>",
        arrange=copied("store"),
    ),
    refused("tag: in no folder", TAG + " --out {here}/no/tags.csv", "cannot write {here}/no/tags.csv: No such file or directory"),
    refused("tag: a folder", TAG + " --out {here}", "<what>{here}<reason>"),
    refused("tag: below a file", TAG + " --out {sound}/tags.csv", "cannot write {sound}/tags.csv: Not a directory"),
    *(
        refused(
            f"tag: a folder of no name, {name!r}",
            f"{TAG} --out {name or chr(39) * 2}",
            f"--out {name or '.'} is a folder; name a file",
        )
        for name in ("/", ".", "")
    ),
    refused(
        "tag: no room for the ledger's name",
        TAG + f" --out {{here}}/{NEARLY_LONG}",
        f"--out {{here}}/{NEARLY_LONG}: the name is too long: .{NEARLY_LONG}.bad.csv.partial must fit into 255 bytes",
    ),
    refused(
        "tag: a folder where the ledger would be",
        TAG + " --out {here}/tags.csv",
        "--out {here}/tags.csv: files that cannot be used are listed in {here}/tags.csv.bad.csv, and that is a folder; name another file",
        arrange=text("tags.csv.bad.csv/precious", "x"),
    ),
    # A sound must never be replaced by its tags.
    refused(
        "tag: the sound itself",
        "tag {here}/a.wav --model {bundle} --out {here}/a.wav",
        "<words>{here}/a.wav<words>",
        arrange=sound("a.wav"),
    ),
    refused(
        "corrupt: another folder",
        CORRUPT + " --rate 1 --out {here}/o/m.csv",
        "{here}/o/m.csv: must lie in {here}: file names are relative to the manifest",
        arrange=UNVERIFIED,
    ),
    refused(
        "corrupt: a folder that ends like a table",
        CORRUPT + " --rate 1 --out {here}/o.csv",
        "{here}/o.csv: Is a directory",
        arrange=all_of(folder("o.csv"), UNVERIFIED),
    ),
    refused(
        "corrupt: a folder", CORRUPT + " --rate 1 --out {here}/o", "<words>{here}/o<words>", arrange=all_of(folder("o"), UNVERIFIED)
    ),
    # With `vocabulary` it would lose rows of the only table that there is.
    refused(
        "corrupt: the manifest itself", CORRUPT + " --rate 1 --out {here}/m.csv", "<words>{here}/m.csv<words>", arrange=UNVERIFIED
    ),
)


@table(*BAD_OUTPUTS)
def test_output_is_not_written_there(case: Case, places: Places, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(places["here"])  # taken back after the test, wherever the case went
    here = places["here"]
    case.arrange(places)
    before = {name: content for name, content in bytes_of(here).items() if not name.endswith(".lock")}
    check(Case(case.name, case.command, case.said), places, capsys)
    after = {name: content for name, content in bytes_of(here).items() if not name.endswith(".lock")}  # empty, and stays
    assert after == before  # nothing replaced, nothing left behind
