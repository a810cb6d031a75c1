"""Commands, options and their values."""

import pytest
import torch

from tests.bad_inputs.cases import (
    NO_RECIPE,
    PREPARE_MADE,
    TAG,
    TRAIN,
    Capture,
    Case,
    Places,
    check,
    check_request,
    no_store,
    refused,
    table,
)

PREPARE = "prepare manifest {manifest} --out {here}/s"
BAD_OPTIONS = (
    # Names that are not known.
    refused("unknown command", "prepair", "No such command 'prepair'.<words of typer>"),
    refused("unknown option", TAG + " --topk 3", "No such option: --topk<words of typer>"),
    refused(
        "missing option",
        "prepare manifest {manifest} --out {here}/s",
        "Missing option '--sample-rate' or '--for': the rates in Hz, or the recipe that the store is for.",
    ),
    refused("prepare: no such recipe", PREPARE + " --for nosuch", "no recipe 'nosuch': " + NO_RECIPE),
    refused("prepare: one recipe of no name", PREPARE + " --for tiny,", "no recipe '': " + NO_RECIPE),
    refused(
        "prepare: model of no recipe",
        PREPARE + " --sample-rate 8000 --embedding m.onnx",
        "--embedding: its sample rate is taken where --for names a recipe that stands on it, such as quick",
    ),
    refused(
        "prepare: recipe without a model",
        PREPARE + " --for tiny --embedding m.onnx",
        "--embedding: no member of recipe tiny has the front end embedding; quick has",
    ),
    refused("prepare: no such model", PREPARE + " --for quick --embedding {here}/m.onnx", "<words>{here}/m.onnx<words>"),
    # What is said of data that say it themselves.
    refused(
        "prepare: unverified, beside a column",
        PREPARE_MADE + " --unverified",
        "--unverified: manifest.csv has a column verified, which says so of every clip",
    ),
    refused(
        "prepare: groups, beside a column",
        PREPARE_MADE + " --group-by x",
        "--group-by: manifest.csv has a column group, which says so of every clip",
    ),
    refused(
        "info: classes of no recipe",
        "info --classes 3",
        "--classes: say which recipe's parameters are to be counted; `earmark info` lists the recipes",
    ),
    refused("unknown source", "prepare nosuch {here} {to_store}", "nosuch: no such source; the sources are {sources}"),
    refused("unknown member", TRAIN + " --members a,logmel", "no member a in recipe tiny; its members are logmel"),
    refused("fold that does not exist", TRAIN + " --folds 9", "no fold 9; the store has the folds 0, 1"),
    refused("fold that is no number", TRAIN + " --folds a", "--folds 'a': whole numbers with commas between them are needed"),
    refused("train: no store", "train tiny --out {here}/run", "Missing option '--store'."),
    refused("train: no run directory", "train tiny --store {store}", "Missing option '--out'."),
    # Values.
    refused(
        "rate that is no number",
        "prepare manifest {manifest} --out {here}/s --sample-rate high",
        "--sample-rate 'high': whole numbers with commas between them are needed",
    ),
    refused(
        "rate in kHz",
        "prepare manifest {manifest} --out {here}/s --sample-rate 16",
        "--sample-rate 16: rates are in Hz, from 1,000 to 1,000,000",
    ),
    refused("no jobs", PREPARE_MADE + " --jobs 0", "Invalid value for '--jobs': <words of typer>"),
    refused("no separator", PREPARE_MADE + " --label-separator ''", "--label-separator<words>"),
    refused("no labels wanted", TAG + " --top-k 0", "Invalid value for '--top-k': <words of typer>"),
    refused("threshold above 1", TAG + " --threshold 2", "threshold '2': a score from 0 to 1 is needed, <what else>"),
    refused("unknown format", TAG + " --format xml", "Invalid value for '--format': <words of typer>"),
    # What --plan asks for, and what only it can do without.
    refused(
        "plan: several at once",
        "train cochlear2018 --plan --jobs 2",
        "--plan counts the hours of one net after the other; leave --jobs out",
    ),
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
)


@table(*BAD_OPTIONS)
def test_request_is_refused_in_one_line(case: Case, places: Places, capsys: Capture) -> None:
    check_request(case, places, capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_is_asked_for_where_there_is_none(places: Places, capsys: Capture) -> None:
    said = "error: --device cuda: there is no GPU here; leave it out, or say --device cpu"
    check(Case("cuda", TRAIN + " --device cuda", said), places, capsys)
    check(Case("plan", "train tiny --plan --store {store} --device cuda", said), places, capsys)
    assert not (places["here"] / "run").exists()  # else other settings would be refused there: "a run of another recipe"
