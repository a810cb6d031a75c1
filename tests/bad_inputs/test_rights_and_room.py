"""Without the right to read or to write, and without room on the disk."""

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from earmark import audio
from tests.bad_inputs.arrange import bytes_of, prepare, tone, traces_of_store, write_rows, write_wav
from tests.bad_inputs.cases import PREPARE, TRAIN_ON, WEIGHTS, Capture, Case, Places, check, table


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
    check(
        Case("full", command, "error: cannot write {here}/tags.csv.journal: No room left<words>", within=lambda: full_at(100)),
        places,
        capsys,
    )
    assert bytes_of(here) == {"tags.csv": b"old"}
