"""``earmark noise`` from a store to its table: what is trained, what is kept, what another request finds there."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.data.clips import ClipSet
from earmark.data.manifest import read_manifest
from earmark.data.plant import Protocol
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.data.table import Array, load_table
from earmark.errors import EarmarkError, EarmarkWarning, RunError, StoreError
from earmark.recipe import MemberSettings, Recipe, load_recipe
from earmark.runs.run import Run, RunInfo
from earmark.training import noise, train
from earmark.training.make import is_made
from earmark.training.methods import METHODS, Methods
from earmark.training.noise import NoiseRequest, as_data, measure_noise, read_kin
from earmark.training.stages import Stage
from earmark.training.train import TrainRequest
from tests.conftest import REPOSITORY

HALF, MANY = Protocol("symmetric", 0.5, 0.0), Protocol("class", 0.8, 0.0)
INFO = RunInfo("0", "store", "x", "cpu", "float32", 1)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """A net from scratch that can have all methods, very small."""
    sets = [
        "members.*.input.window=8000",
        "members.*.backbone.growth=[4, 8]",
        "members.*.batch.size=8",
        "members.*.schedule=[{batches: 4, rate: 3.0e-3, final_rate: 1.0e-5}]",
        "members.*.validation.every=4",
        "precision=float32",
    ]
    return load_recipe(str(REPOSITORY / "benchmarks" / "label-noise-scratch.yaml"), sets)


@pytest.fixture(scope="module")
def checked(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The rendered clips, all of them verified, but for every fourth; with a test split."""
    manifest = read_manifest(rendered)
    clips = tuple(replace(clip, verified=number % 4 > 0) for number, clip in enumerate(manifest.clips))
    return prepare(replace(manifest, clips=clips), "x", tmp_path_factory.mktemp("verified") / "store", [16000]).store


class Believers:
    """In the place of training: methods that believe what a store says, so that figures are shares of right labels."""

    def __init__(self) -> None:
        self.stores: list[tuple[Store, list[str]]] = []
        self.requests: list[TrainRequest] = []

    def learn(self, _: Methods, methods: Sequence[str], request: TrainRequest) -> tuple[dict[str, Array], RunInfo]:
        self.stores.append((request.store, list(methods)))
        self.requests.append(request)
        clips = load_table(request.store)
        assert (clips.positive.sum(axis=1) == 1).all()
        scores = clips.positive.astype(np.float32)
        scores[clips.test] = np.nan
        return dict.fromkeys(methods, scores), INFO


@pytest.fixture
def believers(monkeypatch: pytest.MonkeyPatch) -> Believers:
    made = Believers()
    monkeypatch.setattr(noise, "learn", made.learn)
    return made


def nothing(_: str) -> None:
    pass


def asked(recipe: Recipe, checked: Store, out: Path, *protocols: Protocol, **others: object) -> NoiseRequest:
    return NoiseRequest(recipe, checked, out, protocols or (HALF,), **{"seeds": (1, 2), "methods": ["masking"], **others})  # type: ignore[arg-type]


def test_figures_are_held_against_the_labels_that_were_there_before(
    believers: Believers, recipe: Recipe, checked: Store, tmp_path: Path
) -> None:
    clips = load_table(checked)
    known = int((clips.verified & ~clips.test).sum())
    half, many = measure_noise(asked(recipe, checked, tmp_path / "out", HALF, MANY), nothing)
    for result, rate in ((half, 0.5), (many, 0.8)):
        given, masking, clean = result.table.rows
        share = 1 - round(rate * known) / known
        for row, value in ((given, share), (masking, share), (clean, 1.0)):
            figure = result.table.figure(row)
            assert figure is not None and figure["value"] == pytest.approx(value) and figure["clips"] == known
            assert result.by_seed[row.name] == pytest.approx([value] * len(result.by_seed[row.name]))
        assert f"Between the ends lie {1 - share:.3f} (" in result.table.note and "chance" not in result.table.note
        assert result.gap.value == pytest.approx(1 - share) and result.table.recovered(masking) == pytest.approx(0.0)
    assert len(believers.stores) == 1 + 2 * 2 and believers.stores[0][1] == ["given"]
    assert all(methods == ["given", "masking"] for _, methods in believers.stores[1:])
    written = json.loads((tmp_path / "out" / "noise.json").read_text())
    assert written == json.loads(json.dumps(as_data(asked(recipe, checked, tmp_path, HALF, MANY), [half, many])))
    assert written["tables"][1]["methods"]["all labels as given"]["seeds"] == many.by_seed["all labels as given"]
    page = (tmp_path / "out" / "noise.html").read_text()
    assert all(text in page for text in (half.table.in_words, half.table.note, many.table.title, "no wrong labels"))


def test_nothing_is_trained_twice_and_more_may_be_asked_for(
    believers: Believers, recipe: Recipe, checked: Store, tmp_path: Path
) -> None:
    out, said = tmp_path / "out", []
    first = measure_noise(asked(recipe, checked, out, seeds=(1,)), said.append)
    assert len(said) == 2 and said[1].startswith(
        "2 of 2: 0 % verified, 50 % of the other labels wrong (symmetric), seed 1: all labels"
    )
    assert measure_noise(asked(recipe, checked, out, seeds=(1,)), said.append) == first and len(said) == 2
    believers.stores.clear()
    measure_noise(asked(recipe, checked, out, MANY, HALF, methods=["masking", "agreement"]), said.append)
    trained = [methods for _, methods in believers.stores]
    assert trained == [["given", "masking", "agreement"]] * 2 + [["agreement"], ["given", "masking", "agreement"]]
    assert sorted(path.name for path in out.iterdir()) == [".lock", "noise.html", "noise.json", "request.json", "scores"]
    assert not (out / "work").exists()
    (out / "scores" / "clean" / "given.parquet").write_bytes(b"damaged")
    with pytest.warns(EarmarkWarning, match=r"given\.parquet is damaged; it is made again"):
        measure_noise(asked(recipe, checked, out, seeds=(1,)), nothing)
    assert believers.stores[-1][1] == ["given"]


def test_all_trainings_compute_as_the_first_one_did(believers: Believers, recipe: Recipe, checked: Store, tmp_path: Path) -> None:
    measure_noise(asked(recipe, checked, tmp_path / "out"), nothing)
    first, *others = believers.requests
    assert (first.threads, first.device, first.recipe.precision) == (None, "auto", recipe.precision)
    assert {(request.threads, request.device, request.recipe.precision) for request in others} == {(1, "cpu", "float32")}


def seen_otherwise(recipe: Recipe) -> dict[str, MemberSettings]:
    """Members of which nothing is trained otherwise, but whose scores are of other views."""
    return {name: member.model_copy(update={"views": ("whole", "pad8")}) for name, member in recipe.members.items()}


@pytest.mark.usefixtures("believers")
@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda request: replace(request, unverified="keep"), "unverified"),
        (lambda request: replace(request, recipe=request.recipe.model_copy(update={"seed": 99})), "recipe"),
        (
            lambda request: replace(request, recipe=request.recipe.model_copy(update={"members": seen_otherwise(request.recipe)})),
            "recipe",
        ),
        (lambda request: replace(request, kin=np.arange(10) // 2), None),
        (lambda request: replace(request, kin=np.arange(10) // 5), "kin"),
    ],
)
def test_results_of_another_request_are_left_alone(
    recipe: Recipe,
    checked: Store,
    tmp_path: Path,
    change: Callable[[NoiseRequest], NoiseRequest],
    changed: str | None,
) -> None:
    request = asked(recipe, checked, tmp_path / "out", seeds=(1,))
    measure_noise(request, nothing)
    if changed == "kin":
        measure_noise(replace(request, kin=np.arange(10) // 2), nothing)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    if changed is None:
        measure_noise(change(request), nothing)
        return
    with pytest.raises(RunError, match=rf"results of another request \(changed: {changed}\); choose another --out"):
        measure_noise(change(request), nothing)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


@pytest.mark.usefixtures("believers")
def test_all_trainings_of_a_folder_compute_alike(recipe: Recipe, checked: Store, tmp_path: Path) -> None:
    request = asked(recipe, checked, tmp_path / "out", seeds=(1,))
    measure_noise(request, nothing)
    measure_noise(replace(request, device="cpu", threads=1, seeds=(1, 2)), nothing)
    with pytest.raises(RunError, match="was begun with --threads 1 and goes on so; leave --threads out"):
        measure_noise(replace(request, threads=2), nothing)
    with pytest.raises(RunError, match="was begun with --device cpu and goes on so; leave --device out"):
        measure_noise(replace(request, device="cuda"), nothing)


@pytest.mark.usefixtures("believers")
def test_what_a_damaged_request_says_of_the_machine_is_not_used(recipe: Recipe, checked: Store, tmp_path: Path) -> None:
    request = asked(recipe, checked, tmp_path / "out", seeds=(1,))
    measure_noise(request, nothing)
    path = tmp_path / "out" / "request.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"machine": {"device": "cpu"}}))
    with pytest.raises(RunError, match=r"request\.json is damaged"):
        measure_noise(request, nothing)


def test_folders_of_something_else_are_left_alone(recipe: Recipe, checked: Store, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(RunError, match=r"is no folder of `earmark noise` and has letter\.txt already"):
        measure_noise(asked(recipe, checked, tmp_path), nothing)
    with pytest.raises(RunError, match="is a run directory; choose another --out"):
        measure_noise(asked(recipe, checked, finished_run), nothing)
    with pytest.raises(RunError, match="is a store; choose another --out"):
        measure_noise(asked(recipe, checked, checked.path), nothing)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "request.json").write_text("{}")
    with pytest.raises(RunError, match=r"request\.json is damaged"):
        measure_noise(asked(recipe, checked, tmp_path / "out"), nothing)


def test_a_protocol_that_makes_no_label_wrong_is_refused(recipe: Recipe, checked: Store, tmp_path: Path) -> None:
    with pytest.raises(EarmarkError, match=r"--protocol symmetric:0\.001:0\.5: of \d+ clips not one would get a wrong label"):
        measure_noise(asked(recipe, checked, tmp_path / "out", Protocol("symmetric", 0.001, 0.5)), nothing)
    with pytest.raises(EarmarkError, match=r"^symmetric:0\.5:0: method verified: too few clips stay verified"):
        measure_noise(asked(recipe, checked, tmp_path / "out", methods=["verified"]), nothing)
    with pytest.raises(EarmarkError, match=r"^no method 'all'; there are given, masking"):
        measure_noise(asked(recipe, checked, tmp_path / "out", methods=["all"]), nothing)
    assert not (tmp_path / "out").exists()


def test_a_class_that_only_clips_that_are_left_out_could_teach_is_named(recipe: Recipe, rendered: Path, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    clips = tuple(replace(clip, verified=clip.labels != ("rain",) or clip.fold == 1) for clip in manifest.clips)
    store = prepare(replace(manifest, clips=clips), "x", tmp_path / "store", [16000]).store
    with pytest.raises(
        StoreError, match=r"outside fold 1 no verified clip has the label 'rain'; verify some, or say --unverified keep"
    ):
        measure_noise(asked(recipe, store, tmp_path / "out"), nothing)


@pytest.mark.usefixtures("believers")
def test_a_gap_that_may_be_chance_is_said_to_be(recipe: Recipe, checked: Store, tmp_path: Path) -> None:
    (result,) = measure_noise(asked(recipe, checked, tmp_path / "out", Protocol("symmetric", 0.02, 0.0), seeds=(1,)), nothing)
    assert result.gap.low == 0 < result.gap.value  # a single wrong label, of a recording that not every resample has
    assert "That may be chance, and shares of it say little." in result.table.note


@pytest.mark.usefixtures("believers")
def test_what_could_not_be_trained_is_said(recipe: Recipe, checked: Store, tmp_path: Path) -> None:
    (result,) = measure_noise(asked(recipe, checked, tmp_path / "out", seeds=(1,), methods=None), nothing)
    assert set(result.refused) == {"multitask", "verified", "pseudo"}
    assert [row.name for row in result.table.rows] == ["all labels as given", "loss masking", "agreement", "no wrong labels"]
    assert "Not trained: verified only (too few clips stay verified" in result.table.note
    data = json.loads((tmp_path / "out" / "noise.json").read_text())["tables"][0]
    assert data["refused"]["verified only"].startswith("too few clips stay verified")


def test_the_kin_of_classes_is_read_from_a_table(checked: Store, tmp_path: Path) -> None:
    names = checked.labels.names
    table = tmp_path / "kin.csv"
    table.write_text("label,kin\n" + "".join(f"{name},{'ab'[number % 2]}\n" for number, name in enumerate(names)) + "other,c\n")
    assert read_kin(table, checked.labels).tolist() == [number % 2 for number in range(len(names))]
    table.write_text(f"label,kin\n{names[0]},a\n")
    with pytest.raises(EarmarkError, match=rf"no kin of label '{names[1]}' and {len(names) - 2} more"):
        read_kin(table, checked.labels)
    table.write_text("\ufefflabel,kin\n" + "".join(f" {name} ,a\n" for name in names))  # as spreadsheets write it
    assert read_kin(table, checked.labels).tolist() == [0] * len(names)
    for text, fault in (
        ("", "is empty"),
        ("name,family\nx,y\n", "no column 'label'"),
        ("label,kin\nx,a\nx,b\n", "label 'x' stands twice"),
    ):
        table.write_text(text)
        with pytest.raises(EarmarkError, match=rf"^--kin .*kin\.csv: {fault}"):
            read_kin(table, checked.labels)
    with pytest.raises(EarmarkError, match=r"nowhere\.csv: no such file"):
        read_kin(tmp_path / "nowhere.csv", checked.labels)


@pytest.mark.slow
def test_stopped_at_any_stage_it_goes_on_to_the_same_scores(
    recipe: Recipe, checked: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real nets. The store that was given has the same files afterwards, and no planted store is left."""
    before = {path: path.read_bytes() for path in checked.path.rglob("*") if path.is_file()}
    request = asked(recipe, checked, tmp_path / "whole", Protocol("class", 0.5, 0.5), seeds=(1,), methods=["agreement"], threads=1)
    (whole,) = measure_noise(request, nothing)
    stopped, make, stages = replace(request, out=tmp_path / "stopped"), train.make, 0

    def stopping(run: Run, info: RunInfo, stage: Stage, store: Store, data: Mapping[str, ClipSet]) -> None:
        nonlocal stages
        stages += not is_made(run, stage)
        if not is_made(run, stage) and stages % 4 == 0:
            raise KeyboardInterrupt
        make(run, info, stage, store, data)

    monkeypatch.setattr(train, "make", stopping)
    stops = 0
    for _ in range(30):
        try:
            (result,) = measure_noise(stopped, nothing)
            break
        except KeyboardInterrupt:
            stops += 1
            assert (tmp_path / "stopped" / "work").exists()
    assert stops >= 2
    assert result == whole
    for path in (tmp_path / "whole" / "scores").rglob("*.parquet"):
        assert (tmp_path / "stopped" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()
    assert {path: path.read_bytes() for path in checked.path.rglob("*") if path.is_file()} == before
    for out in (tmp_path / "whole", tmp_path / "stopped"):
        assert not (out / "work").exists() and not list(out.rglob("*.safetensors"))


@pytest.mark.slow
def test_clips_with_several_labels_are_learned_by_all_methods(recipe: Recipe, rendered: Path, tmp_path: Path) -> None:
    manifest = read_manifest(rendered)
    kinds = sorted({label for clip in manifest.clips for label in clip.labels})
    clips = tuple(
        replace(clip, verified=True, labels=tuple({*clip.labels, kinds[number % len(kinds)]}))
        for number, clip in enumerate(manifest.clips)
    )
    store = prepare(replace(manifest, clips=clips), "x", tmp_path / "store", [16000]).store
    data = recipe.model_dump(mode="json")
    for member in data["members"].values():
        member |= {"loss": {"kind": "bce", "masking": None}, "head": member["head"] | {"activation": "sigmoid"}}
    request = asked(
        Recipe.model_validate(data), store, tmp_path / "out", Protocol("class", 0.5, 0.6), seeds=(1,), methods=None, threads=1
    )
    (result,) = measure_noise(request, nothing)
    assert result.table.metric == "lwlrap" and not result.refused
    assert [row.name for row in result.table.rows] == list(METHODS.values())
    assert all(0 < values[0] < 1 for values in result.by_seed.values())
