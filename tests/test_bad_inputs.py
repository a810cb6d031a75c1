"""What earmark says to bad and odd inputs: the command, the line on stderr, the exit status.

Exit status 0: all done. 3: done, but some inputs were skipped, each named with its reason. 2: the request or its inputs are
unusable, one line ``error: …``. Never a traceback, and never 1, which would be a fault of earmark's own.

In the tables ``{…}`` is filled in from the places of the `places` fixture, ``{here}`` being the case's own empty folder;
``<…>`` stands for words that are libsndfile's or the system's, or that may be chosen freely. A table's text is the whole of
stderr.
"""

import csv
import json
import os
import re
import resource
import shlex
import shutil
import struct
import tempfile
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from earmark import audio
from earmark.assess.evaluate import samples_of
from earmark.cli import run
from earmark.data import manifest as manifest_module
from earmark.data.clips import ClipSet, load_clips
from earmark.data.sources import source_names
from earmark.data.store import Store
from earmark.data.synth import render_clips
from earmark.recipe import Recipe, built_in_recipes

RATE = 16000
FAST = (
    "--device cpu --set precision=float32 --set members.*.schedule.0.batches=2 --set members.*.batch.clips_per_class=1 "
    "--set members.*.input.window=4000 --set members.*.backbone.growth=[4,4]"
)
WEIGHTS = "logmel-fold0.safetensors"  # of the only net in the bundle
Places = dict[str, Any]
Capture = pytest.CaptureFixture[str]
Arrange = Callable[[Places], object]

# --------------------------------------------------------------------------------------------------------------- helpers


def no_change(_: object) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A command that cannot do all it was asked for.

    Attributes:
        name: what is wrong.
        command: what is typed after ``earmark``.
        said: all of stderr.
        status: the exit status.
        arrange: puts the bad thing into the case's own folder.
        within: what the command runs in: fewer rights, a full disk.
    """

    name: str
    command: str
    said: str
    status: int = 2
    arrange: Arrange = no_change
    within: Callable[[], AbstractContextManager[None]] = nullcontext


def matches(text: str, said: str, places: Places) -> bool:
    parts = re.split(r"<[^<>\n]+>", said.format(**places))
    return re.fullmatch(".*".join(map(re.escape, parts)), text) is not None


def check(case: Case, places: Places, capsys: Capture) -> str:
    """Runs a case; returns what it wrote to stdout."""
    case.arrange(places)
    quoted = {name: shlex.quote(str(value)) for name, value in places.items()}
    to_store = f"--out {quoted['here']}/store --sample-rate {RATE}"
    command = shlex.split(case.command.format(**{**quoted, "fast": FAST, "to_store": to_store}))
    capsys.readouterr()
    with case.within():
        status = run(command)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    errors = [line for line in err.split("\n") if line.startswith("error:")]
    assert len(errors) == (1 if case.status == 2 else 0), f"status {status}, stderr {err!r}"
    as_said = matches(err.removesuffix("\n"), case.said, places)
    assert as_said, f"{err!r}\nis not\n{case.said.format(**places)!r}"
    assert status == case.status, err
    return out


def table(*cases: Case) -> pytest.MarkDecorator:
    assert len({case.name for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def tone(seconds: float = 0.1, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    """A sine of amplitude 0.5, float64 ``[samples]``."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_wav(path: Path, samples: np.ndarray | None = None, rate: int = RATE, **how: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone() if samples is None else samples, rate, **how)
    return path


def prepare(manifest: Path, store: Path, *more: str) -> int:
    return run(["prepare", "manifest", str(manifest), "--out", str(store), "--sample-rate", str(RATE), *more])


def stored(store: Path) -> ClipSet:
    return load_clips(Store.open(store), RATE)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def traces_of_store(folder: Path) -> list[str]:
    """``store`` and what is left of making it; a lock is an empty file that stays."""
    return sorted(path.name for path in folder.iterdir() if "store" in path.name and path.suffix != ".lock")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A small data set, its store, a run of one fold on it, the run's bundle. No test may change them; see `copied`."""
    root = tmp_path_factory.mktemp("made")
    clips = render_clips(root / "data", per_kind=2, verified_share=1.0, folds=2, seed=0)
    manifest_module.write_manifest(root / "data/manifest.csv", clips)
    assert prepare(root / "data/manifest.csv", root / "store") == 0
    train = f"train tiny --store {shlex.quote(str(root / 'store'))} --out {shlex.quote(str(root / 'run'))} --folds 0 {FAST}"
    assert run(shlex.split(train)) == 0
    return {
        "manifest": root / "data/manifest.csv",
        "sound": root / "data/audio/0000.wav",
        "store": root / "store",
        "run": root / "run",
        "bundle": root / "run/bundle",
        "recipes": ", ".join(built_in_recipes()),
        "sources": ", ".join(source_names()),
        "settings": ", ".join(Recipe.model_fields),
        "endings": ", ".join(sorted(audio.SUFFIXES)),
        "long": "x" * 300,  # file systems allow 255 bytes
    }


@pytest.fixture
def places(made: Places, tmp_path: Path) -> Places:
    return {**made, "here": tmp_path}


# ------------------------------------------------------------------------------------------------------------- arrangements


def all_of(*steps: Arrange) -> Arrange:
    return lambda places: [step(places) for step in steps]


def copied(what: str, change: Callable[[Path], object] = no_change) -> Arrange:
    """A copy of the session's store, run or bundle in ``{here}``, under the same name, with something changed."""

    def arrange(places: Places) -> None:
        shutil.copytree(places[what], places["here"] / what)
        change(places["here"] / what)

    return arrange


def text(name: str, content: str | bytes) -> Arrange:
    def arrange(places: Places) -> None:
        path = places["here"] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return arrange


def sound(*names: str) -> Arrange:
    return lambda places: [write_wav(places["here"] / name) for name in names]


def folder(name: str) -> Arrange:
    return lambda places: (places["here"] / name).mkdir(parents=True)


def link(name: str, to: str) -> Arrange:
    return lambda places: (places["here"] / name).symlink_to(to)


def data(content: str, *sounds: str) -> Arrange:
    """A manifest, the sounds named, and a store of it in ``{here}/data-store``, whatever is bad in it."""

    def arrange(places: Places) -> None:
        all_of(text("data.csv", content), sound(*sounds))(places)
        prepare(places["here"] / "data.csv", places["here"] / "data-store")

    return arrange


def other_data(places: Places) -> None:
    """The session's data set with another sound in it, and a store of that in ``{here}/data-store``."""
    shutil.copytree(places["manifest"].parent, places["here"] / "data")
    write_wav(places["here"] / "data/audio/0000.wav")
    prepare(places["here"] / "data/manifest.csv", places["here"] / "data-store")


def rewritten(name: str, content: str | bytes) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        (path / name).unlink()
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def removed(name: str) -> Callable[[Path], object]:
    return lambda path: shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Some keys of a JSON file changed."""

    def edit(path: Path) -> None:
        content = json.loads((path / name).read_text())
        change(content)
        (path / name).write_text(json.dumps(content))

    return edit


def weights_of_nan(bundle: Path) -> None:
    tensors = safetensors.torch.load_file(bundle / WEIGHTS)
    (bundle / WEIGHTS).unlink()
    safetensors.torch.save_file({name: value * float("nan") for name, value in tensors.items()}, bundle / WEIGHTS)


# -------------------------------------------------------------------------------------------------------------- bad manifests

PREPARE = "prepare manifest {here}/m.csv {to_store}"


def bad_manifest(name: str, content: str | bytes, fault: str) -> Case:
    return Case(name, PREPARE, f"error: {{here}}/m.csv: {fault}", arrange=all_of(text("m.csv", content), sound("a.wav", "b.wav")))


def bad_cell(column: str, cell: str, fault: str) -> Case:
    return bad_manifest(f"{column} is {cell}", f"file_name,labels,{column}\na.wav,x,{cell}\nb.wav,y,\n", f"row 1: {fault}")


BAD_MANIFESTS = (
    bad_manifest("empty file", "", "is empty"),
    bad_manifest("header only", "file_name,labels\n", "no clips"),
    bad_manifest("not UTF-8", b"file_name,labels\n\xff.wav,x\n", "is not UTF-8 text (byte 17)"),
    bad_manifest("binary", bytes(range(128, 256)), "is not UTF-8 text (byte 0)"),
    bad_manifest("unclosed quote", 'file_name,labels\n"a.wav,x\n', "is not CSV (line 2: unexpected end of data)"),
    bad_manifest("cell beyond sense", f"file_name,labels\na.wav,{'x' * 200000}\n", "is not CSV (line 2: <words of csv>)"),
    bad_manifest("missing column", "file_name,label\na.wav,x\n", "no column 'labels'; it has 'file_name', 'label'"),
    bad_manifest(
        "both columns missing",
        "name;label\na.wav;x\n",
        "no column 'file_name'; it has 'name;label'; no column 'labels'; it has 'name;label'",
    ),
    bad_manifest("column twice", "file_name,labels,labels\na.wav,x,y\n", "column 'labels' stands 2 times"),
    bad_manifest(
        "rows of other lengths",
        "file_name,labels\na.wav\nb.wav,x,y\n",
        "row 1: 1 cells under 2 columns; row 2: 3 cells under 2 columns",
    ),
    bad_manifest("duplicate row", "file_name,labels\na.wav,x\nb.wav,y\na.wav,x\n", "clip 'a.wav' stands 2 times"),
    # The same sound in two folds would be trained on and scored.
    bad_manifest("duplicate under another spelling", "file_name,labels\na.wav,x\n./a.wav,y\n", "<words>a.wav<words>"),
    bad_manifest("nothing labelled", "file_name,labels\na.wav,\nb.wav,\n", "no training clip has a label"),
    bad_manifest(
        "label of test clips only", "file_name,labels,split\na.wav,x,train\nb.wav,y,test\n", "label 'y' is in the test split only"
    ),
    bad_manifest(
        "name leaves the folder", "file_name,labels\n../a.wav,x\n", "row 1: file_name '../a.wav' is not below the manifest's folder"
    ),
    bad_manifest("absolute name", "file_name,labels\n/a.wav,x\n", "row 1: file_name '/a.wav' is not below the manifest's folder"),
    bad_manifest("no name", "file_name,labels\n,x\n", "row 1: file_name is empty"),
    bad_manifest("name with a NUL", 'file_name,labels\n"a\0.wav",x\nb.wav,y\n', "row 1: file_name <words>"),
    bad_manifest("a label twice", 'file_name,labels\na.wav,"x, x"\n', "row 1: labels 'x, x' names a label twice"),
    bad_cell("verified", "maybe", "verified is 'maybe', not 0 or 1"),
    bad_cell("verified", "2", "verified is '2', not 0 or 1"),
    bad_cell("split", "val", "split is 'val', not train or test"),
    bad_cell("fold", "-1", "fold is '-1', not a whole number from 0"),
    bad_cell("fold", "1.5", "fold is '1.5', not a whole number from 0"),
    bad_cell("fold", "99999999999999999999", "fold is '99999999999999999999', not <words>"),
    bad_cell("start", "soon", "start is 'soon', not seconds from 0"),
    bad_cell("start", "-1", "start is '-1', not seconds from 0"),
    bad_cell("start", "nan", "start is 'nan', not seconds from 0"),
    bad_cell("end", "inf", "end is 'inf', not seconds from 0"),
    bad_manifest("end before start", "file_name,labels,start,end\na.wav,x,3,2\n", "row 1: end 2 is not after start 3"),
    bad_manifest(
        "several faults in several rows",
        "file_name,labels,verified,fold\na.wav,x,perhaps,first\nb.wav,y,1,0\n../c.wav,y,1,0\n",
        "row 1: verified is 'perhaps', not 0 or 1; row 1: fold is 'first', not a whole number from 0; "
        "row 3: file_name '../c.wav' is not below the manifest's folder",
    ),
    bad_manifest(
        "more faults than anybody reads",
        "file_name,labels,fold\n" + "".join(f"{i}.wav,x,zero\n" for i in range(1, 26)),
        "; ".join(f"row {i}: fold is 'zero', not a whole number from 0" for i in range(1, 21)) + "; and 5 more",
    ),
    Case(
        "no Parquet in a Parquet file",
        "prepare manifest {here}/m.parquet {to_store}",
        "error: {here}/m.parquet: not readable as Parquet: <words of pyarrow>",
        arrange=text("m.parquet", "file_name,labels\n"),
    ),
)


@table(*BAD_MANIFESTS)
def test_manifest_is_refused_with_all_its_faults(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)
    assert traces_of_store(places["here"]) == []  # refused before anything is decoded


# --------------------------------------------------------------------------------------------------------------- bad requests

PREPARE_MADE = "prepare manifest {manifest} {to_store}"
TRAIN = "train tiny --store {store} --out {here}/run {fast}"
TAG = "tag {sound} --model {bundle}"
CORRUPT = "data corrupt {here}/m.csv --kind symmetric"
UNVERIFIED = text("m.csv", "file_name,labels,verified\na.wav,x,0\nb.wav,y,0\n")
NO_RECIPE = "neither a YAML file nor one of {recipes}"


def refused(name: str, command: str, fault: str, arrange: Arrange = no_change) -> Case:
    return Case(name, command, f"error: {fault}", arrange=arrange)


def no_store(path: str) -> str:
    return f"{path} is no store; `earmark prepare SOURCE ROOT --out {path} --sample-rate HZ` makes one"


def no_run(path: str) -> str:
    return f"{path} is no run directory; `earmark train RECIPE --store STORE --out {path}` makes one"


def no_model(path: str) -> str:
    return f"{path} is no model: no config.json in it; a finished run has one in RUN/bundle"


UNUSABLE = "<words>{long}<words>"  # what is said of a name that no file can have may differ


def setting(override: str, said: str) -> Case:
    return Case(f"--set {override}", TRAIN + f" --set '{override}'", f"error: {said}")


# One member of `akiyama2019` that needs no other and no unverified clips, narrow; and all of them, which are refused before that.
AKIYAMA = "train akiyama2019 --store {store} --out {here}/run --device cpu"
NARROW = " --set members.*.backbone.width=2 --set members.*.head.hidden=8 --set precision=float32"


def of_row1(override: str, said: str, store: str = "{store}", arrange: Arrange = no_change) -> Case:
    """Settings of a net on mels with a sigmoid and no second task that do not go together."""
    sets = " ".join(f"--set '{one}'" for one in override.split("; "))
    command = AKIYAMA.replace("{store}", store) + " --members row1" + NARROW + " "
    return Case(f"row1: {override}", command + sets.replace("{", "{{").replace("}", "}}"), f"error: {said}", arrange=arrange)


def of_akiyama(override: str, said: str) -> Case:
    return Case(f"akiyama2019: {override}", f"{AKIYAMA} --set '{override}'", f"error: akiyama2019.yaml: {said}")


def extending(base: str) -> Arrange:
    """A recipe in ``{here}/r.yaml`` that extends another."""
    return lambda places: (places["here"] / "r.yaml").write_text(f"extends: {base.format(**places)}\nmembers: {{}}\n")


def said_of_extending(name: str, base: str, said: str, *others: Arrange) -> Case:
    return refused(name, "train {here}/r.yaml --store {store} --out {here}/run", said, arrange=all_of(*others, extending(base)))


def back_to_r(places: Places) -> None:
    (places["here"] / "s.yaml").write_text(f"extends: {places['here']}/r.yaml\nmembers: {{}}\n")


# Verified and unverified clips of both labels in both folds.
UNVERIFIED_TOO = "file_name,labels,verified,fold\n" + "".join(f"{i}.wav,{'xy'[i % 2]},{i // 4},{i // 2 % 2}\n" for i in range(8))


BAD_REQUESTS = (
    # Paths.
    refused("prepare: no such manifest", "prepare manifest {here}/no.csv {to_store}", "{here}/no.csv: no such file or folder"),
    refused("prepare: no such folder", "prepare folder {here}/no {to_store}", "{here}/no: no such file or folder"),
    refused("train: no such store", "train tiny --store {here}/no --out {here}/run", no_store("{here}/no")),
    refused("evaluate: no such run", "evaluate {here}/no", no_run("{here}/no")),
    refused("evaluate: no such store", "evaluate {run} --store {here}/no", no_store("{here}/no")),
    refused("tag: no such file", "tag {here}/no.wav --model {bundle}", "{here}/no.wav: no such file or folder"),
    refused("tag: one of two is not there", "tag {sound} {here}/no.wav --model {bundle}", "{here}/no.wav: no such file or folder"),
    refused("tag: below a file", "tag {sound}/a.wav --model {bundle}", "{sound}/a.wav: no such file or folder"),
    refused("tag: no such model", "tag {sound} --model {here}/no", no_model("{here}/no")),
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
        "{here}: 'a.wav' lies in no class folder",
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
    # Names that are not known.
    refused("unknown command", "prepair", "No such command 'prepair'.<words of typer>"),
    refused("unknown option", TAG + " --topk 3", "No such option: --topk<words of typer>"),
    refused("missing option", "prepare manifest {manifest} --out {here}/s", "Missing option '--sample-rate'."),
    refused("unknown source", "prepare nosuch {here} {to_store}", "nosuch: no such source; the sources are {sources}"),
    refused("unknown recipe", "train nosuch --store {store} --out {here}/run", "no recipe 'nosuch': " + NO_RECIPE),
    refused(
        "recipe file that is not there",
        "train {here}/r.yaml --store {store} --out {here}/run",
        "no recipe '{here}/r.yaml': " + NO_RECIPE,
    ),
    refused(
        "recipe of no YAML",
        "train {here}/r.yaml --store {store} --out {here}/run",
        "{here}/r.yaml: not readable as YAML: <words of yaml>",
        arrange=text("r.yaml", "a: ["),
    ),
    refused(
        "recipe of something else",
        "train {here}/r.yaml --store {store} --out {here}/run",
        "{here}/r.yaml: a recipe is a mapping with a mapping `members` in it",
        arrange=text("r.yaml", "members: [1]"),
    ),
    refused("unknown member", TRAIN + " --members a,logmel", "no member a in recipe tiny; its members are logmel"),
    refused("fold that does not exist", TRAIN + " --folds 9", "no fold 9; the store has the folds 0, 1"),
    refused("fold that is no number", TRAIN + " --folds a", "--folds 'a': whole numbers with commas between them are needed"),
    refused("not ESC-50", "prepare esc50 {here} {to_store}", "{here}: is not ESC-50: no meta/esc50.csv or esc50.csv"),
    refused(
        "ESC-50 with a bad cell",
        "prepare esc50 {here} {to_store}",
        "{here}/esc50.csv: row 1: target <words>",
        arrange=text("esc50.csv", "filename,fold,target,category,src_file\na.wav,1,x,dog,1\n"),
    ),
    refused(
        "FSDKaggle2018 without a column",
        "prepare fsdkaggle2018 {here} {to_store}",
        "{here}/test_post_competition.csv: no column 'usage'",
        arrange=all_of(
            text("train.csv", "fname,label,manually_verified\na.wav,x,1\n"),
            text("test_post_competition.csv", "fname,label\nb.wav,x\n"),
        ),
    ),
    # Values.
    refused(
        "rate that is no number",
        "prepare manifest {manifest} --out {here}/s --sample-rate high",
        "--sample-rate 'high': whole numbers with commas between them are needed",
    ),
    refused(
        "rate in kHz", "prepare manifest {manifest} --out {here}/s --sample-rate 16", "--sample-rate 16: rates are in Hz, from 1000"
    ),
    refused("no jobs", PREPARE_MADE + " --jobs 0", "Invalid value for '--jobs': <words of typer>"),
    refused("no separator", PREPARE_MADE + " --label-separator ''", "--label-separator<words>"),
    refused("no labels wanted", TAG + " --top-k 0", "Invalid value for '--top-k': <words of typer>"),
    refused("threshold above 1", TAG + " --threshold 2", "Invalid value for '--threshold': <words of typer>"),
    refused("unknown format", TAG + " --format xml", "Invalid value for '--format': <words of typer>"),
    refused(
        "corrupt: rate above 1",
        CORRUPT + " --rate 2 --out {here}/o.csv",
        "corrupt: rate 2 is not between 0 and 1",
        arrange=UNVERIFIED,
    ),
    refused("corrupt: negative seed", CORRUPT + " --rate 1 --seed -1 --out {here}/o.csv", "<words>seed<words>", arrange=UNVERIFIED),
    refused(
        "corrupt: nothing unverified",
        CORRUPT + " --rate 1 --out {here}/o.csv",
        "corrupt: no unverified, labelled training clip to corrupt (column verified = 0)",
        arrange=text("m.csv", "file_name,labels\na.wav,x\nb.wav,y\n"),
    ),
    setting("seed", "--set seed: write it as key=value, for example --set seed=1"),
    setting("seed=x", "tiny.yaml: seed: <words of pydantic>integer<words>"),
    setting("seed=-1", "tiny.yaml: seed: Input should be greater than or equal to 0"),
    setting("members.*.loss.masking=2", "tiny.yaml: members.logmel.loss.masking: Input should be less than or equal to 1"),
    # Weights, scores and metrics would be NaN.
    setting("members.*.schedule.0.rate=.inf", "tiny.yaml: members.logmel.schedule.0.rate: <words>finite<words>"),
    setting("members.*.schedule.5.rate=1", "--set members.*.schedule.5.rate=1: no setting 'members.*.schedule.5.rate'"),
    # What would be valid belongs to the line.
    setting("nosuch=1", "tiny.yaml: nosuch: no such setting; there are {settings}"),
    setting(
        "members.*.loss.maskin=1", "tiny.yaml: members.logmel.loss.maskin: no such setting; there are kind, masking, double_sigmoid"
    ),
    setting("members.nosuch.loss.masking=1", "--set members.nosuch.loss.masking=1: no member <words>nosuch<words>logmel<words>"),
    setting(
        "members.*.backbone.name=nosuch", "members.logmel: backbone.name: no backbone 'nosuch'; there are <names>densenet_se<names>"
    ),
    setting(
        "members.*.frontend.n_mel=3",
        "members.logmel: frontend logmel: no setting n_mel; it has n_fft, hop_length, n_mels, dynamic_range, epsilon, momentum",
    ),
    # A setting that is wrong is told before a run directory is begun.
    setting("members.*.frontend.n_fft=0", "members.logmel: frontend logmel: <words>n_fft<words>"),
    setting("members.*.frontend.hop_length=0", "members.logmel: frontend logmel: <words>hop_length<words>"),
    setting("members.*.frontend.n_mels=0", "members.logmel: frontend logmel: <words>n_mels<words>"),
    setting("members.*.frontend.n_mels=many", "members.logmel: frontend logmel: <words of torch>"),
    setting("members.*.head.heads=0", "members.logmel: head mean_of_softmax: <words>heads<words>"),
    setting("members.*.backbone.growth=[0]", "members.logmel: backbone densenet_se: <words>growth<words>"),
    setting("members.*.backbone.kernel=[3]", "members.logmel: backbone densenet_se: <words>"),
    # Settings of which each is right, but not with the others.
    setting("members.*.loss.kind=bce", "members.logmel: loss bce: needs a sigmoid; the head mean_of_softmax has a softmax here"),
    setting("members.*.loss.kind=kl", "members.logmel: loss kl: needs a head with logits, which mean_of_softmax has not"),
    setting("members.*.loss.double_sigmoid=true", "tiny.yaml: members.logmel.loss: double_sigmoid is a way of bce"),
    setting(
        "members.*.noisy.weight=1",
        "tiny.yaml: members.logmel: noisy: its clips are the unverified ones; the first task takes clips: verified then",
    ),
    setting(
        "members.*.noisy.weight=1' --set 'members.*.clips=verified",
        "tiny.yaml: members.logmel: noisy and soft tasks go with loss.kind bce or kl",
    ),
    setting(
        "members.*.input.fill=tile",
        "tiny.yaml: members.logmel: noisy and soft tasks, and input.fill tile, go with batch.sampling shuffled",
    ),
    setting(
        "members.*.validation.keep=snapshots",
        "tiny.yaml: members.logmel: validation.keep is snapshots, and no phase of the schedule has cycles",
    ),
    setting("members.*.validation.epochs=1", "tiny.yaml: members.logmel.validation: says either every (so many batches) or epochs"),
    setting("members.*.schedule.0.epochs=1", "tiny.yaml: members.logmel.schedule.0: says either batches or epochs"),
    setting("members.*.batch.sampling=random", "tiny.yaml: members.logmel.batch: no kind 'random'; there are balanced, shuffled"),
    setting("members.*.optimiser.name=rmsprop", "tiny.yaml: members.logmel.optimiser: no kind 'rmsprop'; there are adam, sgd"),
    setting("members.*.views=[whole, whole]", "tiny.yaml: members.logmel: a view stands twice"),
    setting("members.*.views=[left]", "tiny.yaml: members.logmel.views.0: String should match pattern <its pattern>"),
    setting("members.*.views=[]", "tiny.yaml: members.logmel.views: <words of pydantic>at least 1<words>"),
    setting(
        "members.*.start_from=nobody", "tiny.yaml: recipe: members.logmel.start_from: no member 'nobody'; the members are logmel"
    ),
    setting("members.*.start_from=logmel", "tiny.yaml: recipe: members need each other in a circle: logmel → logmel"),
    setting("ensembles.all.members.nobody.weight=2", "tiny.yaml: recipe: ensembles.all.members: no member 'nobody'; <words>logmel"),
    setting(
        "ensembles.all.members.logmel.snapshots=[1]",
        "tiny.yaml: recipe: ensembles.all.members.logmel.snapshots: of logmel no snapshots are kept",
    ),
    of_akiyama("members.row6.batch.size=1", "members.row6: soft: half of a batch are verified clips, <words>at least 2"),
    of_akiyama("ensembles.submission1.members.A.snapshots=[2, 9]", "recipe: ensembles.submission1.members.A.snapshots: A has 8"),
    of_akiyama(
        "ensembles.submission1.members.A.views=[pad8, pad64]",
        "recipe: ensembles.submission1.members.A.views: A has no view pad64; it has whole, pad8, pad32",
    ),
    of_akiyama(
        "ensembles.submission1.members.A.snapshots=[2, 2]", "ensembles.submission1.members.A: one of the snapshots stands twice"
    ),
    of_akiyama(
        "ensembles.submission1.members.A.views=[pad8, pad8]", "ensembles.submission1.members.A: one of the views stands twice"
    ),
    of_akiyama("ensembles.submission1.members.G.weight=1", "recipe: ensembles.submission1.members: no member 'G'; <words>"),
    of_akiyama("ensembles.submission1.rule=median", "ensembles.submission1.rule: <words of pydantic>arithmetic_mean<words>"),
    of_akiyama("pseudo_labels.of-A.member=G", "recipe: pseudo_labels.of-A.member: no member 'G'; <words>"),
    of_akiyama(
        "members.B.soft.labels=of-B", "recipe: members.B.soft.labels: no pseudo labels 'of-B'; there are of-A, of-A-all-folds"
    ),
    of_akiyama("members.A.start_from=B", "recipe: members need each other in a circle: A → B → A"),
    of_akiyama("members.E.noisy.double_sigmoid=true", "members.E: noisy.double_sigmoid is a way of bce"),
    of_row1("members.row1.loss.kind=kl", "members.row1: loss kl: needs a softmax; the head curated_noisy has a sigmoid here"),
    of_row1(
        "members.row1.loss.kind=kl; members.row1.head.activation=softmax; members.row1.soft={labels: of-A, loss: bce}",
        "members.row1: loss bce: needs a sigmoid; the head curated_noisy has a softmax here",
        "{here}/data-store",
        data(UNVERIFIED_TOO, *(f"{i}.wav" for i in range(8))),
    ),
    of_row1(
        "members.row1.noisy.weight=1",
        "members.row1: noisy: the head curated_noisy has no noisy task here; curated_noisy with noisy: true has one",
        "{here}/data-store",
        data(UNVERIFIED_TOO, *(f"{i}.wav" for i in range(8))),
    ),
    of_row1(
        "members.row1.head.noisy=true",
        "members.row1: head: it has a noisy task that nothing would teach; say noisy: false in it, or give the member one",
    ),
    of_row1(
        "members.row1.frontend={name: raw_waveform}; members.row1.backbone={name: envnet_v2, width: 10}; "
        "members.row1.batch.frequency_mask.width=[8, 32]",
        "members.row1: batch: frequency_mask needs a mel front end",
    ),
    of_row1(
        "members.row1.batch.mix.kind=between_class",
        "members.row1: batch: mix.kind between_class weighs waveforms: it needs the front end raw_waveform",
    ),
    of_row1(
        "members.row1.batch.gain={unit: decibel, range: [-6, 6]}",
        "members.row1: batch: gain.unit decibel is of a waveform's amplitude; a mel front end takes a factor on its power",
    ),
    of_row1("members.row1.batch.gain.range=[-1, 1]", "akiyama2019.yaml: members.row1.batch.gain: a factor is not below 0"),
    of_row1(
        "members.row1.batch.speed.range=[2, 1]",
        "akiyama2019.yaml: members.row1.batch.speed.range: the lower limit is above the upper one",
    ),
    of_row1(
        "members.row1.head.noisy=true; members.row1.noisy.weight=1; members.row1.head.split=layer9",
        "members.row1: head curated_noisy: split: backbone resnet34 has no stage 'layer9'; it has stem, layer1, layer2, layer3, layer4",
        "{here}/data-store",
        data(UNVERIFIED_TOO, *(f"{i}.wav" for i in range(8))),
    ),
    # Told before row8 is trained for hours.
    of_row1(
        "members.row8.noisy=null; members.row8.head.noisy=false; members.row8.backbone.width=10; members.row1.start_from=row8",
        "members.row1: start_from: member row8 is of another net: it has no fitting backbone<words>",
    ),
    refused(
        "shuffled batches with the front end of 2018",
        "train tiny --store {store} --out {here}/run --set 'members.*.batch={{sampling: shuffled, size: 4}}'",
        "members.logmel: batch: sampling shuffled mixes behind the front end's first stage, which must have nothing to train: "
        "take standardised_logmel or raw_waveform",
    ),
    refused(
        "noisy task without unverified clips",
        AKIYAMA + " --members A",
        "fold 0: member A has a noisy task, and no unverified clip with labels is there to train on",
    ),
    refused(
        "pseudo labels without unverified clips",
        AKIYAMA + " --members row6 --set members.*.noisy=null --set members.*.head.noisy=false",
        "fold 0: member row6 learns from pseudo labels, and no unverified clip is there to train on",
    ),
    said_of_extending("recipe that extends itself", "{here}/r.yaml", "{here}/r.yaml: extends itself"),
    said_of_extending("recipes that extend each other", "{here}/s.yaml", "{here}/s.yaml: extends itself", back_to_r),
    said_of_extending("recipe that extends nothing known", "nosuch", "no recipe 'nosuch': " + NO_RECIPE),
    said_of_extending(
        "recipe that extends no recipe",
        "{here}/s.yaml",
        "{here}/s.yaml: a recipe is a mapping with a mapping `members` in it",
        text("s.yaml", "members: [1]"),
    ),
    # What --plan asks for, and what only it can do without.
    refused(
        "train: a mask without bands",
        "train tiny --store {store} --out {here}/run --set 'members.*.frontend={{name: waveform}}' "
        "--set 'members.*.batch.frequency_mask={{width: [1, 4]}}'",
        "members.logmel: batch: frequency_mask needs a mel front end",
    ),
    refused(
        "plan: several at once",
        "train cochlear2018 --plan --jobs 2",
        "--plan counts the hours of one net after the other; leave --jobs out",
    ),
    refused("train: no store", "train tiny --out {here}/run", "Missing option '--store'."),
    refused("train: no run directory", "train tiny --store {store}", "Missing option '--out'."),
    refused(
        "plan: no store, nothing published", "train tiny --plan", "recipe tiny names no published data to count with; say --store"
    ),
    refused("plan: no such store", "train tiny --plan --store {here}/no", no_store("{here}/no")),
    refused(
        "plan: unknown member",
        "train tiny --plan --store {store} --members a",
        "no member a in recipe tiny; its members are logmel",
    ),
    refused(
        "plan: fold that does not exist", "train tiny --plan --store {store} --folds 9", "no fold 9; the store has the folds 0, 1"
    ),
    refused(
        "plan: fold that was not published",
        "train cochlear2018 --plan --folds 0,5",
        "no fold 5; the published data has the folds 0, 1, 2, 3, 4",
    ),
    refused(
        "plan: missing rate",
        "train tiny --plan --store {store} --set members.*.input.sample_rate=8000",
        "{store} has 16000 Hz, not 8000 Hz; `earmark prepare manifest {manifest} --out {store} --sample-rate 8000` adds it",
    ),
    refused(
        "plan: a setting that is wrong",
        "train tiny --plan --store {store} --set members.*.loss.kind=bce",
        "members.logmel: loss bce: needs a sigmoid; the head mean_of_softmax has a softmax here",
    ),
    # Faulty labels that are known.
    refused(
        "prepare: no errata of a manifest",
        PREPARE_MADE + " --no-errata",
        "--no-errata: manifest has no list of faulty labels that could be left as published",
    ),
    refused(
        "prepare: no errata of class folders",
        "prepare folder {here} --no-errata {to_store}",
        "--no-errata: folder has no list of faulty labels that could be left as published",
        arrange=sound("dog/a.wav"),
    ),
    refused(
        "not FSDKaggle2019",
        "prepare fsdkaggle2019 {here} {to_store}",
        "{here}: is not FSDKaggle2019: no train_curated_post_competition.csv or train_curated.csv in it or in FSDKaggle2019.meta",
    ),
)


@table(*BAD_REQUESTS)
def test_request_is_refused_in_one_line(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)
    if case.command.startswith("train"):
        assert not (places["here"] / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_is_asked_for_where_there_is_none(places: Places, capsys: Capture) -> None:
    said = "error: --device cuda: there is no GPU here; leave it out, or say --device cpu"
    check(Case("cuda", TRAIN + " --device cuda", said), places, capsys)
    check(Case("plan", "train tiny --plan --store {store} --device cuda", said), places, capsys)
    assert not (places["here"] / "run").exists()  # else other settings would be refused there: "a run of another recipe"


# ------------------------------------------------------------------------------------------ data that cannot be trained on

TRAIN_DATA = "train tiny --store {here}/data-store --out {here}/run {fast}"
TRAIN_COPY = "train tiny --store {here}/store --out {here}/run {fast}"
ONE_LESS = "file_name,labels,fold\n" + "".join(f"{i}.wav,{'xy'[i % 2]},{i // 2 % 2}\n" for i in range(12))  # 1 of 12 is 8 %

BAD_STORES = (
    refused(
        "label in one fold only",
        TRAIN_DATA,
        "fold 0: no training clip outside it has the label 'x'; give every label clips in two folds or more",
        arrange=data("file_name,labels,fold\na.wav,x,0\nb.wav,y,0\nc.wav,y,1\n", "a.wav", "b.wav", "c.wav"),
    ),
    refused(
        "one class",
        TRAIN_DATA,
        "training needs at least two classes",
        arrange=data("file_name,labels,fold\na.wav,x,0\nb.wav,x,1\n", "a.wav", "b.wav"),
    ),
    refused(
        "more than 5 % bad",
        TRAIN_DATA,
        "{here}/data-store: 1 of 12 clips (8%) are bad, more than 5%; see {here}/data-store/bad.csv, mend them and "
        "prepare again, or train on the rest with --allow-bad",
        arrange=data(ONE_LESS, *(f"{i}.wav" for i in range(11))),
    ),
    refused(
        "missing rate",
        TRAIN + " --set members.*.input.sample_rate=8000",
        "{store} has 16000 Hz, not 8000 Hz; `earmark prepare manifest {manifest} --out {store} --sample-rate 8000` adds it",
    ),
    refused("not a store", "train tiny --store {bundle} --out {here}/run", no_store("{bundle}")),
    refused("store.json is text", TRAIN_COPY, no_store("{here}/store"), arrange=copied("store", rewritten("store.json", "text"))),
    refused(
        "store of a newer version",
        TRAIN_COPY,
        "{here}/store is a store of version 2; this earmark reads version 1: prepare into another folder",
        arrange=copied("store", rewritten("store.json", '{"version": 2}')),
    ),
    refused(
        "store.json lacks keys",
        TRAIN_COPY,
        "{here}/store<words>",
        arrange=copied("store", rewritten("store.json", '{"version": 1}')),
    ),
    refused(
        "store.json names a label twice",
        TRAIN_COPY,
        "{here}/store<words>",
        arrange=copied("store", edited("store.json", lambda info: info.update(labels=["x", "x"]))),
    ),
    refused(
        "clips.parquet is missing",
        TRAIN_COPY,
        "{here}/store is damaged<words>clips.parquet<words>",
        arrange=copied("store", removed("clips.parquet")),
    ),
    refused(
        "clips.parquet is text",
        TRAIN_COPY,
        "{here}/store is damaged<words>clips.parquet<words>",
        arrange=copied("store", rewritten("clips.parquet", "text")),
    ),
    refused(
        "samples are missing",
        TRAIN_COPY,
        "{here}/store is damaged<words>pcm-16000.i16<words>",
        arrange=copied("store", removed("pcm-16000.i16")),
    ),
    refused(
        "samples are cut off",
        TRAIN_COPY,
        "{here}/store is damaged<words>pcm-16000.i16 is shorter than clips.parquet says<words>",
        arrange=copied("store", lambda store: os.truncate(store / "pcm-16000.i16", 1000)),
    ),
)


@table(*BAD_STORES)
def test_store_is_refused(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)
    assert not (places["here"] / "run").exists()


@pytest.mark.parametrize("name", ["bad.csv", "clips.parquet", "pcm-16000.i16"])
def test_store_with_a_file_missing_is_mended(name: str, places: Places, capsys: Capture) -> None:
    check(Case(name, PREPARE_MADE, "", status=0, arrange=copied("store", removed(name))), places, capsys)
    assert bytes_of(places["here"] / "store") == bytes_of(places["store"])


def test_bad_store_is_trained_on_when_told_so(places: Places, capsys: Capture) -> None:
    check(
        Case("", TRAIN_DATA + " --allow-bad", "", status=0, arrange=data(ONE_LESS, *(f"{i}.wav" for i in range(11)))),
        places,
        capsys,
    )


# ---------------------------------------------------------------------------------------------------------- bad runs, bundles

TRAIN_ON = "train tiny --store {store} --out {here}/run --folds 0 {fast}"
EVALUATE = "evaluate {here}/run"
PIECE = "members/logmel/fold0"


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


TAG_BY_COPY = "tag {sound} --model {here}/bundle"


def bad_bundle(name: str, change: Callable[[Path], object], said: str) -> Case:
    return Case(name, TAG_BY_COPY, f"error: {said}", arrange=copied("bundle", change))


def config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    return edited("config.json", change)


BAD_BUNDLES = (
    bad_bundle(
        "newer version",
        config(lambda c: c.update(version=2, earmark="9.0")),
        "{here}/bundle is a bundle of version 2, made by earmark 9.0; this one reads up to version 1",
    ),
    bad_bundle("no JSON", rewritten("config.json", "{no"), "{here}/bundle/config.json is no bundle's: <words of json>"),
    bad_bundle(
        "binary", rewritten("config.json", b"\xff\xfe\x00"), "{here}/bundle/config.json is no bundle's: <words of the codec>"
    ),
    bad_bundle(
        "JSON of something else",
        rewritten("config.json", "[1]"),
        "{here}/bundle/config.json is no bundle's: it says nothing of an earmark bundle",
    ),
    bad_bundle("no config", removed("config.json"), no_model("{here}/bundle")),
    bad_bundle("no labels", config(lambda c: c.pop("labels")), "{here}/bundle/config.json: labels: Field required"),
    bad_bundle(
        "a label twice", config(lambda c: c["labels"].__setitem__(1, c["labels"][0])), "{here}/bundle/config.json: labels: <words>"
    ),
    bad_bundle(
        "a label too few",
        config(lambda c: c["labels"].pop()),
        "{here}/bundle/" + WEIGHTS + ": not this net's weights: <words of torch>",
    ),
    bad_bundle(
        "weights outside the bundle",
        config(lambda c: c["members"][0].update(file="../w.safetensors")),
        "{here}/bundle/config.json: members.0.file: <words of pydantic>",
    ),
    bad_bundle(
        "a member's weight is endless",
        config(lambda c: c["members"][0].update(weight=float("inf"))),
        "{here}/bundle/config.json: members.0.weight: <words>",
    ),
    bad_bundle(
        "unknown backbone",
        config(lambda c: c["members"][0]["backbone"].update(name="nosuch")),
        "<where>backbone.name: no backbone 'nosuch'; there are <names>densenet_se<names>",
    ),
    bad_bundle(
        "no step between frames",
        config(lambda c: c["members"][0]["frontend"].update(hop_length=0)),
        "<where>frontend logmel: <words>hop_length<words>",
    ),
    bad_bundle(
        "a view that is none",
        config(lambda c: c["members"][0].update(views=["left"])),
        "{here}/bundle/config.json: members.0.views.0: <words of pydantic>",
    ),
    bad_bundle(
        "no view", config(lambda c: c["members"][0].update(views=[])), "{here}/bundle/config.json: members.0.views: <words>"
    ),
    bad_bundle(
        "a weight of nothing",
        config(lambda c: c["members"][0].update(weight=0)),
        "{here}/bundle/config.json: members.0.weight: <words>",
    ),
    bad_bundle("weights missing", removed(WEIGHTS), "{here}/bundle: " + WEIGHTS + " is missing"),
    bad_bundle(
        "weights are text",
        rewritten(WEIGHTS, "text"),
        "{here}/bundle/" + WEIGHTS + ": not this net's weights: <words of safetensors>",
    ),
    bad_bundle(
        "weights are cut off",
        lambda bundle: os.truncate(bundle / WEIGHTS, 5000),
        "{here}/bundle/" + WEIGHTS + ": not this net's weights: <words of safetensors>",
    ),
    # Its scores would be NaN, and every sound would get no tag at all, without a word.
    bad_bundle("weights are NaN", weights_of_nan, "{here}/bundle/" + WEIGHTS + ": <words>NaN<words>"),
    refused(
        "info: nothing about the data",
        "info {here}/bundle",
        "{here}/bundle/config.json: data<words>",
        arrange=copied("bundle", config(lambda c: c.update(data={}))),
    ),
)


@table(*BAD_BUNDLES)
def test_bundle_is_refused(case: Case, places: Places, capsys: Capture) -> None:
    assert check(case, places, capsys) == ""


def test_weights_of_a_bundle_are_as_readable_as_its_config(made: Places) -> None:
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in made["bundle"].iterdir()}
    assert set(modes.values()) == {modes["config.json"]}, modes  # a bundle is made to be passed on


# ----------------------------------------------------------------------------------------------------------- places for output

KEEP_OUT = "{here}/out is there already and is no store; choose another --out"


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
        "cannot write <what>{here}/f: <reason>",
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
    before = bytes_of(here)
    check(Case(case.name, case.command, case.said), places, capsys)
    after = {name: content for name, content in bytes_of(here).items() if not name.endswith(".lock")}  # empty, and stays
    assert after == before  # nothing replaced, nothing left behind


# ------------------------------------------------------------------------------------------------------------------ bad audio


@dataclass(frozen=True)
class BadSound:
    """A file that cannot be used.

    Attributes:
        name: of the file.
        make: writes it at a path.
        reason: what is said of it.
    """

    name: str
    make: Callable[[Path], object]
    reason: str


def of_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def of_floats(*samples: float, kind: str = "FLOAT", rate: int = RATE) -> Callable[[Path], object]:
    return lambda path: soundfile.write(path, np.array(samples), rate, format="WAV", subtype=kind)


def cut(keep: float | int, form: str, **how: str) -> Callable[[Path], object]:
    """A second of sound of which a share or a number of bytes (from the end where negative) is there."""

    def make(path: Path) -> None:
        soundfile.write(path, tone(1.0), RATE, format=form, **how)
        content = path.read_bytes()
        path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])

    return make


def patched(offset: int, value: bytes) -> Callable[[Path], object]:
    """A WAV file with a part of its 44-byte header replaced."""

    def make(path: Path) -> None:
        write_wav(path, subtype="PCM_16")
        content = path.read_bytes()
        path.write_bytes(content[:offset] + value + content[offset + len(value) :])

    return make


def overflowing(path: Path) -> None:
    """Samples that float32 just holds, with edges: resampled, they overshoot to infinity."""
    soundfile.write(path, np.tile(np.repeat([3.4e38, -3.4e38], 20), 50).astype(np.float32), 44100, subtype="FLOAT")


BAD_SOUNDS = (
    BadSound("text.wav", of_bytes(b"this is no sound\n"), "not readable as audio (<words of libsndfile>)"),
    BadSound("empty.wav", of_bytes(b""), "the file is empty"),
    BadSound("cut.wav", cut(1044, "WAV", subtype="PCM_16"), "cut off: 1000 of 32000 bytes of samples are there"),
    BadSound("header-alone.wav", cut(44, "WAV", subtype="PCM_16"), "cut off: 0 of 32000 bytes of samples are there"),
    BadSound("half-a-header.wav", cut(20, "WAV", subtype="PCM_16"), "not readable as audio (<words of libsndfile>)"),
    BadSound("half.ogg", cut(0.5, "OGG"), "cut off: the Ogg stream has no last page"),
    BadSound("cut.ogg", cut(-10, "OGG"), "cut off within the last Ogg page"),
    BadSound("cut.flac", cut(0.5, "FLAC"), "<words of libsndfile>"),
    BadSound("cut.mp3", cut(0.5, "MP3"), "cut off: <number> of 16000 samples can be decoded"),
    BadSound("cut.caf", cut(0.5, "CAF"), "<words of libsndfile>"),
    # libsndfile reads these three without a word, as it does WAV.
    BadSound("cut.aiff", cut(0.5, "AIFF"), "cut off<words>"),
    BadSound("cut.au", cut(0.5, "AU"), "cut off<words>"),
    BadSound("cut.w64", cut(0.5, "W64"), "cut off<words>"),
    BadSound("no-samples.wav", of_floats(), "no samples"),
    BadSound("nan.wav", of_floats(0, float("nan"), 0.5), "holds NaN or infinite samples"),
    BadSound("infinite.wav", of_floats(0, float("inf"), 0.5), "holds NaN or infinite samples"),
    BadSound("beyond-float32.wav", of_floats(0, 1e300, 0.5, kind="DOUBLE"), "holds NaN or infinite samples"),
    BadSound("overflowing.wav", overflowing, "<words>infinite<words>"),
    BadSound("short.wav", of_floats(0.5, rate=192000), "too short: 1 samples at 192000 Hz leave none at 16000 Hz"),
    BadSound("no-channels.wav", patched(22, struct.pack("<H", 0)), "not readable as audio (<words of libsndfile>)"),
    BadSound("no-rate.wav", patched(24, struct.pack("<I", 0)), "not readable as audio (<words of libsndfile>)"),
    BadSound("line\nbreak.wav", of_bytes(b""), "the file is empty"),  # and still one line on stderr
    BadSound("link-to-itself.wav", lambda path: path.symlink_to(path.name), "a link that leads to itself"),
)
each_bad_sound = pytest.mark.parametrize("bad", BAD_SOUNDS, ids=lambda bad: repr(bad.name)[1:-1])


def one_line(name: str) -> str:
    return name.replace("\n", r"\n").replace("\r", r"\r")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file_name", "labels"), *rows])
    return path


@each_bad_sound
def test_prepare_leaves_a_bad_sound_out_and_says_why(bad: BadSound, places: Places, capsys: Capture) -> None:
    here = places["here"]
    write_wav(here / "good.wav")
    bad.make(here / bad.name)
    write_rows(here / "m.csv", ("good.wav", "x"), (bad.name, "y"))
    check(Case(bad.name, PREPARE, f"skipped: {one_line(bad.name)}: {bad.reason}", status=3), places, capsys)
    assert stored(here / "store").clip_id.tolist() == ["good.wav"]
    [row] = read_rows(here / "store/bad.csv")
    assert row["file_name"] == bad.name
    assert matches(row["reason"], bad.reason, places)


@each_bad_sound
def test_tag_leaves_a_bad_sound_out_and_says_why(bad: BadSound, places: Places, capsys: Capture) -> None:
    here = places["here"]
    write_wav(here / "sounds/good.wav")
    bad.make(here / "sounds" / bad.name)
    skipped = f"skipped: {{here}}/sounds/{one_line(bad.name)}: {bad.reason}"
    out = check(Case("to stdout", "tag {here}/sounds --model {bundle}", skipped, status=3), places, capsys)
    assert [line.split("  ")[0] for line in out.splitlines()] == [str(here / "sounds/good.wav")]
    said = f"1 files tagged: {{here}}/tags.csv\n{skipped}"
    check(
        Case("to a file", "tag {here}/sounds --model {bundle} --format csv --out {here}/tags.csv", said, status=3), places, capsys
    )
    [row] = read_rows(here / "tags.csv.bad.csv")
    assert row["file_name"] == str(here / "sounds" / bad.name)
    assert matches(row["reason"], bad.reason, places)
    (here / "sounds/good.wav").unlink()
    said = f"{skipped}\nerror: none of the 1 files could be used"
    assert check(Case("alone", "tag {here}/sounds --model {bundle}", said), places, capsys) == ""


BAD_PLACES = (
    Case(
        "prepare: no such clip",
        PREPARE,
        "skipped: 1 of 2 audio files are not there (the first: no.wav); all are in {here}/store/bad.csv",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels\na.wav,x\nno.wav,y\n"), sound("a.wav")),
    ),
    refused(
        "prepare: no clip at all",
        PREPARE,
        "none of the 4 clips of {here}/m.csv can be used: 1.wav: no such file; 2.wav: no such file; 3.wav: no such file; …",
        arrange=text("m.csv", "file_name,labels\n1.wav,x\n2.wav,y\n3.wav,y\n4.wav,x\n"),
    ),
    Case(
        "prepare: a folder named like a clip",
        PREPARE,
        "skipped: b.wav: is a folder, not a file",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels\na.wav,x\nb.wav,y\n"), sound("a.wav"), folder("b.wav")),
    ),
    Case(
        "prepare: a clip after the end of its file",
        PREPARE,
        "skipped: a.wav: 5 s to the end asked for, but the file is 0.1 s long",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels,start\na.wav,x,5\nb.wav,y,\n"), sound("a.wav", "b.wav")),
    ),
    Case(
        "prepare: a clip beyond the end of its file",
        PREPARE,
        "skipped: a.wav: 0 s to 5 s asked for, but the file is 0.1 s long",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels,end\na.wav,x,5\nb.wav,y,\n"), sound("a.wav", "b.wav")),
    ),
    Case(
        "prepare: a clip beyond the end of time",
        PREPARE,
        "skipped: a.wav: <words>",
        status=3,
        arrange=all_of(text("m.csv", "file_name,labels,start\na.wav,x,1e308\nb.wav,y,\n"), sound("a.wav", "b.wav")),
    ),
    Case(
        "tag: links that lead nowhere",  # no --out, so stderr is the only place that can name them
        "tag {here} --model {bundle}",
        "<words>{here}/1.wav<words>\n<words>{here}/2.wav<words>",
        status=3,
        arrange=all_of(sound("a.wav"), link("1.wav", "no"), link("2.wav", "no")),
    ),
    Case(
        "tag: more bad files than twenty",
        "tag {here} --model {bundle}",
        "\n".join(f"skipped: {{here}}/{i}.wav: the file is empty" for i in range(10, 35)),
        status=3,
        arrange=all_of(sound("a.wav"), *(text(f"{i}.wav", b"") for i in range(10, 35))),
    ),
)


@table(*BAD_PLACES)
def test_what_is_not_there_is_skipped_and_named(case: Case, places: Places, capsys: Capture) -> None:
    check(case, places, capsys)


@pytest.mark.parametrize("command", ["prepare", "tag"])
def test_a_pipe_named_like_a_sound_stops_nothing(command: str, places: Places, capsys: Capture) -> None:
    here, pipe, fired = places["here"], places["here"] / "pipe.wav", threading.Event()
    write_wav(here / "a.wav")
    write_rows(here / "m.csv", ("a.wav", "x"), ("pipe.wav", "y"))
    os.mkfifo(pipe)

    def end_the_wait() -> None:
        fired.set()
        os.close(os.open(pipe, os.O_RDWR))

    timer = threading.Timer(60.0, end_the_wait)  # else a program that reads the pipe would wait for ever
    timer.start()
    name = "pipe.wav" if command == "prepare" else "{here}/pipe.wav"
    case = Case("pipe", PREPARE if command == "prepare" else "tag {here} --model {bundle}", f"skipped: {name}: <words>", status=3)
    try:
        check(case, places, capsys)
    finally:
        timer.cancel()
    assert not fired.is_set()


# ------------------------------------------------------------------------------------------------- links, rights, a full disk


def test_folders_that_link_in_a_circle_are_walked_once(places: Places, capsys: Capture) -> None:
    here = places["here"]
    write_wav(here / "sounds/bark/1.wav")
    (here / "sounds/bark/up").symlink_to("..")
    (here / "sounds/self").symlink_to("self")
    out = check(Case("tag", "tag {here}/sounds --model {bundle}", "", status=0), places, capsys)
    assert [line.split("  ")[0] for line in out.splitlines()] == [str(here / "sounds/bark/1.wav")]
    check(Case("prepare", "prepare folder {here}/sounds {to_store}", "", status=0), places, capsys)
    assert stored(here / "store").clip_id.tolist() == ["bark/1.wav"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Rights do not bind the superuser: the command runs as another user where the tests are run by root."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("no other user to become")
    if not os.access(audio.__file__, os.R_OK, effective_ids=True):
        os.seteuid(0)
        pytest.skip("the other user may not read the package itself")
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public(made: Places) -> Iterator[Places]:
    """A folder for these cases, and a copy of everything in it: pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory(prefix="earmark-") as name:
        here = Path(name)
        here.chmod(0o777)
        for what in ("store", "run"):
            shutil.copytree(made[what], here / what)
            for path in (here / what).rglob("*.safetensors"):
                path.chmod(0o644)
        write_wav(here / "a.wav")
        write_wav(here / "b.wav")
        write_wav(here / "locked/c.wav")
        write_rows(here / "m.csv", ("a.wav", "x"), ("b.wav", "x"))
        write_rows(here / "n.csv", ("locked/c.wav", "x"), ("b.wav", "x"))
        write_rows(here / "p.csv", ("b.wav", "x"))
        write_rows(here / "locked/m.csv", ("c.wav", "x"))
        (here / "r.yaml").write_text("members: {}")
        (here / "fixed").mkdir()
        for closed, mode in (("a.wav", 0), ("p.csv", 0), ("r.yaml", 0), ("locked", 0), ("fixed", 0o555), ("run", 0o555)):
            (here / closed).chmod(mode)
        try:
            yield {**made, "here": here, "bundle": here / "run/bundle", "store": here / "store"}
        finally:
            for closed in ("locked", "fixed", "run"):
                (here / closed).chmod(0o755)


def forbidden(name: str, command: str, said: str, status: int = 2) -> Case:
    return Case(name, command, said, status, within=as_nobody)


NO_RIGHT = "<words>ermission<words>"
NO_RIGHTS = (
    forbidden(
        "prepare: clip",
        PREPARE.replace("{to_store}", "--out {here}/s --sample-rate 16000"),
        "skipped: a.wav: no permission to read it",
        3,
    ),
    forbidden(
        "prepare: folder of a clip",
        "prepare manifest {here}/n.csv {to_store}",
        "skipped: locked/c.wav: no permission to read it",
        3,
    ),
    forbidden("prepare: manifest", "prepare manifest {here}/p.csv {to_store}", "error: {here}/p.csv: Permission denied"),
    forbidden(
        "prepare: folder of the manifest",
        "prepare manifest {here}/locked/m.csv {to_store}",
        "error: {here}/locked/m.csv" + NO_RIGHT,
    ),
    forbidden("prepare: folder", "prepare folder {here}/locked {to_store}", "error: {here}/locked" + NO_RIGHT),
    forbidden(
        "prepare: folder of the store is fixed",
        "prepare manifest {here}/m.csv --out {here}/fixed/s --sample-rate 16000",
        "error: cannot write <what>{here}/fixed/s: Permission denied<words>",
    ),
    forbidden(
        "prepare: folder of the store is closed",
        "prepare manifest {here}/m.csv --out {here}/locked/s --sample-rate 16000",
        "error: <words>{here}/locked/s" + NO_RIGHT,
    ),
    forbidden("train: store", "train tiny --store {here}/locked --out {here}/r {fast}", "error: {here}/locked" + NO_RIGHT),
    forbidden("train: recipe", "train {here}/r.yaml --store {store} --out {here}/r {fast}", "error: {here}/r.yaml" + NO_RIGHT),
    forbidden(
        "train: folder of the recipe",
        "train {here}/locked/r.yaml --store {store} --out {here}/r {fast}",
        "error: <words>{here}/locked/r.yaml" + NO_RIGHT,
    ),
    forbidden(
        "train: folder of the run is fixed",
        "train tiny --store {store} --out {here}/fixed/r {fast}",
        "error: cannot write <what>{here}/fixed/r: Permission denied<words>",
    ),
    forbidden("evaluate: run is fixed", "evaluate {here}/run --store {store}", "error: <words>{here}/run" + NO_RIGHT),
    forbidden("evaluate: run", "evaluate {here}/locked", "error: {here}/locked" + NO_RIGHT),
    forbidden(
        "tag: file",
        "tag {here}/a.wav --model {bundle}",
        "skipped: {here}/a.wav: no permission to read it\nerror: none of the 1 files could be used",
    ),
    forbidden(
        "tag: one file of two",
        "tag {here}/a.wav {here}/b.wav --model {bundle}",
        "skipped: {here}/a.wav: no permission to read it",
        3,
    ),
    forbidden(
        "tag: folder",
        "tag {here}/locked --model {bundle}",
        "skipped: {here}/locked: no permission to read it\nerror: none of the 1 files could be used",
    ),
    forbidden(
        "tag: folder of the file", "tag {here}/locked/c.wav --model {bundle}", "<words>{here}/locked/c.wav" + NO_RIGHT + "<words>"
    ),
    forbidden(
        "tag: output",
        "tag {here}/b.wav --model {bundle} --out {here}/fixed/tags.csv",
        "error: cannot write {here}/fixed/tags.csv: Permission denied",
    ),
    forbidden("tag: model", "tag {here}/b.wav --model {here}/locked", "error: {here}/locked" + NO_RIGHT),
)


@table(*NO_RIGHTS)
def test_without_the_right_to(case: Case, public: Places, capsys: Capture) -> None:
    check(case, public, capsys)


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """A disk that is full as soon as any file reaches ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores the signal, so that writing fails with an error
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("clips", "samples", "size"),
    [
        pytest.param(8, 100, 700, id="within the samples"),
        pytest.param(12, 1, 500, id="within the journal"),
        pytest.param(8, 100, 3000, id="within the table of clips"),
    ],
)
def test_prepare_on_a_full_disk_goes_on_where_it_stopped(
    clips: int, samples: int, size: int, places: Places, capsys: Capture
) -> None:
    here = places["here"]
    for i in range(clips):
        write_wav(here / f"{i}.wav", tone()[i : i + samples] + 0.01)
    write_rows(here / "m.csv", *((f"{i}.wav", "xy"[i % 2]) for i in range(clips)))
    assert prepare(here / "m.csv", here / "never-stopped") == 0
    said = (
        "error: cannot write the store {here}/store: <words>File too large; what is done is kept, and the same command goes on "
        "from there"
    )
    check(Case("full", PREPARE + " --jobs 1", said, within=lambda: full_at(size)), places, capsys)
    assert not (here / "store").exists()
    check(Case("with room", PREPARE + " --jobs 1", "", status=0), places, capsys)
    assert bytes_of(here / "store") == bytes_of(here / "never-stopped")
    assert traces_of_store(here) == ["store"]


@pytest.mark.parametrize("size", [100, 6000, 60000], ids=["at its beginning", "within the weights", "within the report"])
def test_train_on_a_full_disk_goes_on_where_it_stopped(size: int, places: Places, capsys: Capture) -> None:
    said = "error: <words>{here}/run<words>File too large<words>"
    check(Case("full", TRAIN_ON, said, within=lambda: full_at(size)), places, capsys)
    check(Case("with room", TRAIN_ON, "", status=0), places, capsys)
    assert (places["here"] / "run/bundle" / WEIGHTS).read_bytes() == (places["bundle"] / WEIGHTS).read_bytes()


def test_tag_on_a_full_disk_leaves_the_old_output(places: Places, capsys: Capture) -> None:
    here = places["here"]
    (here / "tags.csv").write_text("old")
    command = f"tag {places['manifest'].parent} --model {{bundle}} --out {{here}}/tags.csv"
    check(Case("full", command, "error: cannot write {here}/tags.csv: File too large", within=lambda: full_at(100)), places, capsys)
    assert bytes_of(here) == {"tags.csv": b"old"}


# ---------------------------------------------------------------------------------------------------------------- odd but valid


@dataclass(frozen=True)
class OddSound:
    """A file that is to be read like any other.

    Attributes:
        name: what is odd about it.
        make: writes the file at a path.
        samples: what it is at 16 kHz, mono, float64 ``[samples]``.
        within: how far a sample may be off; None: half a step of 16 bits at the clip's own scale.
        margin: samples at both ends that are not compared (a resampler's filter has no past there).
    """

    name: str
    make: Callable[[Path], object]
    samples: np.ndarray
    within: float | None = None
    margin: int = 0
    file: str = "odd.wav"


def integer_wav(values: np.ndarray, width: int) -> Callable[[Path], object]:
    """Whole numbers as PCM of ``width`` bytes, by Python's own `wave`: soundfile must not be the judge of itself."""

    def make(path: Path) -> None:
        content = (
            (values + 128).astype(np.uint8).tobytes()
            if width == 1
            else b"".join(int(v).to_bytes(width, "little", signed=True) for v in values)
        )
        with wave.open(str(path), "wb") as file:
            file.setparams((1, width, RATE, 0, "NONE", ""))
            file.writeframes(content)

    return make


def whole_numbers(width: int) -> np.ndarray:
    """The tone in steps of ``width`` bytes, with the least and the greatest that there is."""
    reach = 2 ** (8 * width - 1)
    values = np.rint(tone() * reach)
    values[:2] = -reach, reach - 1
    return values


def integer_case(width: int) -> OddSound:
    values = whole_numbers(width)
    exact = 0.0 if width <= 2 else None
    return OddSound(f"{8 * width}-bit", integer_wav(values, width), values / 2 ** (8 * width - 1), exact)


def by_soundfile(samples: np.ndarray, rate: int = RATE, **how: str) -> Callable[[Path], object]:
    return lambda path: soundfile.write(path, samples, rate, **how)


SIX = np.outer(tone(), np.arange(1, 7) / 6)  # six channels, from quiet to loud
STEPS_16 = whole_numbers(2)

ODD_SOUNDS = (
    OddSound("one sample", integer_wav(np.array([16384]), 2), np.array([0.5]), 0.0),
    OddSound("silence", integer_wav(np.zeros(100), 2), np.zeros(100), 0.0),
    *(integer_case(width) for width in (1, 2, 3, 4)),
    OddSound("float", by_soundfile(tone(), subtype="FLOAT"), tone()),
    OddSound("double", by_soundfile(tone(), subtype="DOUBLE"), tone()),
    OddSound("over-full: peak 3", by_soundfile(6 * tone(), subtype="FLOAT"), 6 * tone()),
    OddSound("very quiet: peak 1e-6", by_soundfile(2e-6 * tone(), subtype="FLOAT"), 2e-6 * tone()),
    OddSound("six channels", by_soundfile(SIX, subtype="FLOAT"), SIX.mean(axis=1)),
    OddSound("192 kHz", by_soundfile(tone(0.5, 192000), 192000, subtype="FLOAT"), tone(0.5), 1e-4, 500),
    OddSound("44.1 kHz", by_soundfile(tone(1.0, 44100), 44100, subtype="FLOAT"), tone(1.0), 1e-4, 500),
    OddSound("8 kHz", by_soundfile(tone(0.5, 8000), 8000, subtype="FLOAT"), tone(0.5), 1e-4, 500),
    OddSound("FLAC", by_soundfile(STEPS_16.astype(np.int16), format="FLAC"), STEPS_16 / 32768, 0.0, file="odd.flac"),
    OddSound("FLAC named WAV", by_soundfile(STEPS_16.astype(np.int16), format="FLAC"), STEPS_16 / 32768, 0.0),
    OddSound("Ogg", by_soundfile(tone(0.5), format="OGG"), tone(0.5), 0.02, 500, file="odd.ogg"),
    OddSound("ending in capitals", by_soundfile(tone(), format="WAV", subtype="FLOAT"), tone(), file="ODD.WAV"),
    OddSound(  # as a recorder leaves it that does not know the length yet
        "length not known",
        lambda path: (
            patched(4, b"\xff" * 4)(path),
            path.write_bytes(path.read_bytes()[:40] + b"\xff" * 4 + path.read_bytes()[44:]),
        ),
        np.rint(tone() * 32768) / 32768,
        1 / 32768,
    ),
)


def half_a_step(samples: np.ndarray) -> float:
    """Of 16 bits at the least power of two that the clip does not pass; the topmost step is missing above zero."""
    reach = max(samples.max() * 32768 / 32767, -samples.min())
    return 2.0 ** np.ceil(np.log2(reach)) / 65536 * 1.01  # 1 % for float32's own rounding


@pytest.mark.parametrize("odd", ODD_SOUNDS, ids=lambda odd: odd.name)
def test_odd_sound_is_stored_as_it_is(odd: OddSound, places: Places, capsys: Capture) -> None:
    here = places["here"]
    odd.make(here / odd.file)
    write_rows(here / "m.csv", (odd.file, "x"))
    check(Case(odd.name, PREPARE, "", status=0), places, capsys)
    clips = stored(here / "store")
    found = samples_of(clips, 0).astype(np.float64)
    assert clips.clip_id.tolist() == [odd.file]
    assert len(found) == len(odd.samples)
    inner = slice(odd.margin, len(found) - odd.margin)
    allowed = half_a_step(odd.samples) if odd.within is None else odd.within
    assert np.abs(found - odd.samples)[inner].max() <= allowed
    if not odd.margin:
        assert clips.peak[0] == pytest.approx(np.abs(odd.samples).max(), rel=1e-6)
    out = check(Case("tag", f"tag {{here}}/{odd.file} --model {{bundle}} --format csv", "", status=0), places, capsys)
    assert len(out.splitlines()) == 4  # the header and three labels


ODD_NAMES = (
    "with space.wav",
    " at the ends .wav",
    "quote'.wav",
    'double"quote.wav',
    "com,ma.wav",
    "line\nbreak.wav",
    "carriage\rreturn.wav",
    "tab\t.wav",
    "line\u2028separator.wav",
    "Glöckchen 鈴 🔔.wav",
    "-option.wav",
    "hash#1-2.wav",
    "=1+1.wav",
    "{here}[bold]%s\\.wav",
)


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_name_comes_back_as_it_was(name: str, places: Places, capsys: Capture) -> None:
    here = places["here"]
    path = write_wav(here / "sounds" / name)
    missing = "no " + name
    manifest = write_rows(here / "sounds/m.csv", (name, "x"), (missing, "y"))
    assert prepare(manifest, here / "store") == 3
    assert stored(here / "store").clip_id.tolist() == [name]
    assert read_rows(here / "store/bad.csv") == [{"file_name": missing, "reason": "no such file"}]
    for form in ("csv", "jsonl", "table"):
        assert (
            run(["tag", str(here / "sounds"), "--model", str(places["bundle"]), "--format", form, "--out", str(here / form)]) == 0
        )
    assert {row["file"] for row in read_rows(here / "csv")} == {str(path)}
    [line] = (here / "jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert json.loads(line)["file"] == str(path)
    assert (here / "table").read_text(encoding="utf-8").count("\n") == 1  # for reading: a line a file, whatever its name
    (here / "sounds" / name).write_bytes(b"")
    assert run(["tag", str(here / "sounds"), "--model", str(places["bundle"]), "--out", str(here / "tags")]) == 2
    assert [row["file_name"] for row in read_rows(here / "tags.bad.csv")] == [str(path)]
    capsys.readouterr()


def with_broken_name(folder_path: Path) -> Path:
    """A sound whose name is no UTF-8, as old archives unpack."""
    whole = write_wav(folder_path / "whole.wav")
    broken = folder_path / os.fsdecode(b"caf\xe9.wav")
    try:
        whole.rename(broken)
    except OSError:
        pytest.skip("this file system refuses such names")
    return broken


def test_name_of_no_utf8_is_tagged(places: Places, capsys: Capture) -> None:
    here = places["here"]
    broken = with_broken_name(here / "sounds")
    write_wav(here / "sounds/good.wav")
    said = "2 files tagged: {here}/tags.csv"
    check(Case("tag", "tag {here}/sounds --model {bundle} --format csv --out {here}/tags.csv", said, status=0), places, capsys)
    with (here / "tags.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == {str(broken), str(here / "sounds/good.wav")}


def test_name_of_no_utf8_is_refused_by_prepare(places: Places, capsys: Capture) -> None:
    with_broken_name(places["here"] / "sounds/bark")
    write_wav(places["here"] / "sounds/purr/good.wav")
    said = r"error: {here}/sounds: 'bark/caf\udce9.wav' <words>UTF-8<words>"  # a store's table holds nothing else
    check(Case("prepare", "prepare folder {here}/sounds {to_store}", said), places, capsys)


def test_a_warning_stays_one_line(places: Places, capsys: Capture) -> None:
    content = 'file_name,labels,fold,group\na.wav,x,0,"two\nlines"\nb.wav,y,1,"two\nlines"\n'
    said = r"warning: 1 recording lies in more than one published fold, which is kept: two\nlines"
    check(Case("warning", PREPARE, said, status=0, arrange=all_of(text("m.csv", content), sound("a.wav", "b.wav"))), places, capsys)
