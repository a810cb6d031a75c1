"""Stores that are damaged, and data that cannot be trained on."""

import os

import pytest

from tests.bad_inputs.arrange import bytes_of, copied, data, edited, removed, rewritten
from tests.bad_inputs.cases import PREPARE_MADE, TRAIN, Capture, Case, Places, check, no_store, refused, table

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
    whole = {path: content for path, content in bytes_of(places["store"]).items() if not path.startswith("embeddings/")}
    assert bytes_of(places["here"] / "store") == whole  # vectors are computed again when they are needed


@pytest.mark.slow
def test_bad_store_is_trained_on_when_told_so(places: Places, capsys: Capture) -> None:
    check(
        Case("", TRAIN_DATA + " --allow-bad", "", status=0, arrange=data(ONE_LESS, *(f"{i}.wav" for i in range(11)))),
        places,
        capsys,
    )
