"""What wrong labels would do to a store's clips, and what each method gets back: plantings, trainings, tables, a page."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from earmark import __version__, files
from earmark.assess.methods import MethodTable, write_method_page
from earmark.assess.metrics import Estimate, values
from earmark.data.cells import text_of
from earmark.data.manifest import NO_FOLD
from earmark.data.plant import Protocol, planted_store
from earmark.data.store import Store
from earmark.data.table import Array
from earmark.data.tables import read_table, require_columns
from earmark.errors import EarmarkError, EarmarkWarning, ManifestError, RunError, StoreError
from earmark.labels import LabelSet, normal_label
from earmark.recipe import Recipe
from earmark.runs.data import load_unchanged_inputs
from earmark.runs.predictions import Block, read_scores_of, write_predictions
from earmark.training.begin import check_out
from earmark.training.compare import check_names, choose_methods, gap_of, learn, method_table
from earmark.training.methods import METHODS, Methods, derive_methods
from earmark.training.plantings import Plantings, plantings_of
from earmark.training.splits import folds_of
from earmark.training.train import TrainRequest

FACTS, RESULT, PAGE = "request.json", "noise.json", "noise.html"
SEEDS = (1, 2, 3)

#: What is planted, with which seed, and the methods; None: nothing is planted.
Training = tuple[Protocol | None, int | None, list[str]]


@dataclass(frozen=True)
class NoiseRequest:
    """What to plant in which clips, and what to train on them.

    Attributes:
        recipe: the recipe whose net learns; the models of its embeddings are resolved.
        store: the store. The labels of its verified clips are taken for right; it is not changed, but for embeddings that it lacks.
        out: folder of the results, new or of the same request.
        protocols: what to plant; by default `Plantings.default_protocols`.
        seeds: seeds of the plantings.
        methods: names of `METHODS`; by default all that can be trained.
        unverified: what happens to the clips that really are unverified: they are left out, so that every wrong label is a planted
            one, or they are kept as they are.
        kin: the kin of each class, int ``[K]``, for the kind ``related``.
        device: see `TrainRequest`, as ``jobs`` and ``threads``.
    """

    recipe: Recipe
    store: Store
    out: Path
    protocols: Sequence[Protocol] = ()
    seeds: Sequence[int] = SEEDS
    methods: Sequence[str] | None = None
    unverified: Literal["leave-out", "keep"] = "leave-out"
    kin: Array | None = None
    device: str = "auto"
    jobs: int = 1
    threads: int | None = None


@dataclass(frozen=True)
class NoiseTable:
    """The result of one protocol.

    Attributes:
        protocol: what was planted.
        table: the methods' figures over all seeds.
        by_seed: the table's metric of each method for each seed, by the method's title.
        gap: how much right all labels as given are short of no wrong labels, both on the same clips.
        refused: the methods that could not be trained, by their names, with the reasons.
    """

    protocol: Protocol
    table: MethodTable
    by_seed: dict[str, list[float]]
    gap: Estimate
    refused: dict[str, str]


def measure_noise(request: NoiseRequest, tell: Callable[[str], None]) -> list[NoiseTable]:
    """Plants wrong labels, trains all methods, writes ``noise.json`` and ``noise.html``. Stopped at any moment, it goes on.

    What is trained already is not trained again: further seeds, protocols and methods may be asked for in the same folder.

    Args:
        request: what to do.
        tell: called with each line about the work.

    Raises:
        RunError: the folder is of something else, or of another store or recipe.
        StoreError: there are too few verified clips.
        EarmarkError: a protocol or a method cannot be had with these clips and this recipe.
    """
    check_names(request.methods)
    plantings = plantings_of(request.store, request.unverified, request.kin)
    _refuse_gaps(request, plantings)
    derived = derive_methods(request.recipe, len(request.store.labels))
    protocols = request.protocols or plantings.default_protocols(request.seeds)
    plans = [(protocol, *_methods_for(protocol, plantings, derived, request)) for protocol in protocols]
    _check_folder(request.out)
    with files.locked(request.out / ".lock", request.out):
        folder = _Folder(request, plantings, derived)
        trainings: list[Training] = [(None, None, ["given"])]
        trainings += [(protocol, seed, names) for protocol, names, _ in plans for seed in request.seeds]
        for number, (protocol, seed, names) in enumerate(trainings, start=1):
            if missing := [name for name in names if folder.scores(protocol, seed, name) is None]:
                what = "no wrong labels" if protocol is None else f"{protocol.title}, seed {seed}"
                tell(f"{number} of {len(trainings)}: {what}: {', '.join(METHODS[name] for name in missing)}")
                folder.train(protocol, seed, missing)
        shutil.rmtree(folder.work, ignore_errors=True)
        results = [_result(folder, protocol, names, refused) for protocol, names, refused in plans]
        _write(request, results)
    return results


def _refuse_gaps(request: NoiseRequest, plantings: Plantings) -> None:
    """Refuses clips from which some class cannot be learned in some fold, though those that are left out could teach it."""
    clips = plantings.clips
    for fold in folds_of(clips) if plantings.left_out.any() else ():
        taught = clips[~clips.test & (clips.fold != fold)].positive.any(axis=0)
        if not taught.all():
            raise StoreError(
                f"{request.store.path}: outside fold {fold} no verified clip has the label {clips.labels.names[taught.argmin()]!r}; verify "
                "some, or say --unverified keep, and the others teach it"
            )


def _methods_for(
    protocol: Protocol, plantings: Plantings, derived: Methods, request: NoiseRequest
) -> tuple[list[str], dict[str, str]]:
    """The methods to train on a protocol's plantings, and those that cannot be trained, with the reasons."""
    planted = [plantings.planted(protocol, seed) for seed in request.seeds]
    if any((clips.positive == plantings.clips.positive).all() for clips in planted):
        raise EarmarkError(f"--protocol {protocol.text}: of {len(plantings.truth)} clips not one would get a wrong label")
    try:
        return choose_methods(derived, request.methods, planted)
    except EarmarkError as error:
        raise EarmarkError(f"{protocol.text}: {error}") from None


class _Folder:
    """The folder of a request: what its results depend on, the scores of each training, and the training that is at work.

    Raises:
        RunError: what is there depends on something else.
    """

    def __init__(self, request: NoiseRequest, plantings: Plantings, derived: Methods) -> None:
        self.request, self.plantings, self.derived, self.path = request, plantings, derived, request.out
        self.work = self.path / "work"
        kin = plantings.kin.tolist() if plantings.kin is not None else None
        own = {
            "store": request.store.fingerprint,
            # With what it scores, not only what it trains.
            "recipe": hashlib.sha256(derived.recipe.to_yaml().encode()).hexdigest()[:32],
            "unverified": request.unverified,
            "kin": kin,
        }
        self.facts = {**self._kept_facts(own), **{name: value for name, value in own.items() if value is not None}}
        for name, wanted, kept in self._wishes():
            if wanted != kept:
                raise RunError(f"{self.path} was begun with --{name} {kept} and goes on so; leave --{name} out")
        self._write_facts()

    def _kept_facts(self, own: dict[str, Any]) -> dict[str, Any]:
        if not (path := self.path / FACTS).is_file():
            return own
        try:
            kept = dict(files.read_json(path))
            if "machine" in kept:
                kept["machine"] = {name: kept["machine"][name] for name in ("device", "precision", "threads")}
            changed = [name for name in own if kept[name] != own[name] and None not in (kept[name], own[name])]
        except (OSError, ValueError, KeyError, TypeError):
            raise RunError(f"{path} is damaged; remove {self.path}, or choose another --out") from None
        if changed:
            raise RunError(f"{self.path} has results of another request (changed: {', '.join(changed)}); choose another --out")
        return kept

    def _wishes(self) -> Iterator[tuple[str, object, object]]:
        """What the request says of the machine and what the folder's trainings have: all are to compute alike."""
        machine = self.facts.get("machine", {})
        if machine and self.request.device != "auto":
            yield "device", self.request.device, machine["device"]
        if machine and self.request.threads is not None:
            yield "threads", self.request.threads, machine["threads"]

    def _write_facts(self) -> None:
        files.write_text(self.path / FACTS, json.dumps(self.facts, indent=1) + "\n")

    def train(self, protocol: Protocol | None, seed: int | None, methods: Sequence[str]) -> None:
        """Trains methods on a planting, or on the right labels, and keeps their scores. Its store and its nets are removed then."""
        request, plantings, folder = self.request, self.plantings, self.work / _name(protocol, seed)
        load_unchanged_inputs(request.store, self.derived.recipe, self.derived.members(methods))  # once, not in each planted store
        clips = plantings.clips if protocol is None or seed is None else plantings.planted(protocol, seed)
        store = planted_store(request.store, folder / "store", clips.positive, clips.verified, plantings.left_out)
        recipe, machine = self.derived.recipe, self.facts.get("machine", {})
        if machine:  # all trainings compute alike
            recipe = recipe.model_copy(update={"precision": machine["precision"]})
        device, threads = machine.get("device", request.device), machine.get("threads", request.threads)
        asked = TrainRequest(recipe, store, folder / "run", None, None, device, True, request.jobs, threads)
        learned, info = learn(self.derived, methods, asked)
        for method, scores in learned.items():
            path = self._scores_file(protocol, seed, method)
            path.parent.mkdir(parents=True, exist_ok=True)
            block = Block(plantings.truth.clip_id, scores[plantings.judged], method, NO_FOLD, "", "whole")
            write_predictions(path, request.store.labels, [block])
        self.facts.setdefault("machine", {"device": info.device, "precision": info.precision, "threads": info.threads})
        self._write_facts()
        shutil.rmtree(folder)

    def _scores_file(self, protocol: Protocol | None, seed: int | None, method: str) -> Path:
        return self.path / "scores" / _name(protocol, seed) / f"{method}.parquet"

    def scores(self, protocol: Protocol | None, seed: int | None, method: str) -> Array | None:
        """A method's scores of all clips whose labels are right, float32 ``[N, K]``; None if it is to be trained."""
        path = self._scores_file(protocol, seed, method)
        if not path.exists():
            return None
        try:
            return read_scores_of(path, self.request.store.labels, self.plantings.truth.clip_id)
        except RunError:
            warnings.warn(f"{path} is damaged; it is made again", EarmarkWarning, stacklevel=2)
            return None

    def finished_scores(self, protocol: Protocol | None, seed: int | None, method: str) -> Array:
        """The same, where it is trained.

        Raises:
            RunError: the file is not there any more.
        """
        scores = self.scores(protocol, seed, method)
        if scores is None:
            path = self._scores_file(protocol, seed, method)
            raise RunError(f"{path} was removed while it was needed; the same command makes it anew")
        return scores


def _name(protocol: Protocol | None, seed: int | None) -> str:
    """The name of a training's files."""
    return "clean" if protocol is None else f"{protocol.name}-seed{seed}"


def _result(folder: _Folder, protocol: Protocol, methods: Sequence[str], refused: dict[str, str]) -> NoiseTable:
    seeds, truth = folder.request.seeds, folder.plantings.truth
    scores = {method: [folder.finished_scores(protocol, seed, method) for seed in seeds] for method in methods}
    scores["clean"] = [folder.finished_scores(None, None, "given")]
    gap = gap_of(scores, truth)
    note = [folder.plantings.note(protocol, seeds), f"Between the ends lie {gap.value:.3f} ({gap.low:.3f}–{gap.high:.3f})."]
    if gap.low <= 0 < gap.value:
        note.append("That may be chance, and shares of it say little.")
    note += [f"Not trained: {METHODS[method]} ({reason})." for method, reason in refused.items()]
    table = method_table(scores, truth, title=protocol.title, note=" ".join(note))
    by_seed = {METHODS[method]: [values(part, truth.positive)[table.metric] for part in parts] for method, parts in scores.items()}
    return NoiseTable(protocol, table, by_seed, gap, refused)


def _check_folder(out: Path) -> None:
    """Refuses a folder of something else."""
    if not (out / FACTS).is_file():
        check_out(out, "folder of `earmark noise`")
        if (out / "recipe.yaml").is_file():
            raise RunError(f"{out} is a run directory; choose another --out")


def _write(request: NoiseRequest, tables: Sequence[NoiseTable]) -> None:
    name = request.recipe.name
    note = (
        "What wrong labels would do to these clips, and what each way to learn gets back: some verified clips are taken for "
        f"unverified, some of those get a wrong label, and nets of the recipe {name} learn from the result."
    )
    write_method_page(request.out / PAGE, "Wrong labels, and what is got back", note, [result.table for result in tables])
    files.write_text(
        request.out / RESULT, json.dumps(as_data(request, tables), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )


def as_data(request: NoiseRequest, tables: Sequence[NoiseTable]) -> dict[str, Any]:
    """The results as plain data, the content of ``noise.json``."""
    return {
        "earmark": __version__,
        "recipe": request.recipe.name,
        "unverified": request.unverified,
        "seeds": list(request.seeds),
        "tables": [
            {
                "kind": result.protocol.kind,
                "rate": result.protocol.rate,
                "verified": result.protocol.verified,
                "metric": result.table.metric,
                "gap": asdict(result.gap),
                "methods": {
                    row.name: {**row.figures, "seeds": result.by_seed[row.name], "recovered": result.table.recovered(row)}
                    for row in result.table.rows
                },
                "refused": {METHODS[method]: reason for method, reason in result.refused.items()},
                "in_words": result.table.in_words,
            }
            for result in tables
        ],
    }


def read_kin(path: Path, labels: LabelSet) -> Array:
    """The kin of each class, int ``[K]``, from a table with the columns ``label`` and ``kin``.

    Raises:
        EarmarkError: the file cannot be read, says the kin of a label twice, or does not say the kin of every class.
    """
    kin_of: dict[str, str] = {}
    try:
        header, lines = read_table(path)
        require_columns(path, header, ("label", "kin"))
        for _, row in lines:
            label, kin = normal_label(text_of(row["label"])), text_of(row["kin"]).strip()
            if kin_of.setdefault(label, kin) != kin:
                raise ManifestError(str(path), [f"label {label!r} stands twice, with the kin {kin_of[label]!r} and {kin!r}"])
    except ManifestError as error:
        raise EarmarkError(f"--kin {error}") from None
    if missing := [name for name in labels.names if not kin_of.get(name)]:
        raise EarmarkError(
            f"--kin {path}: no kin of label {missing[0]!r}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
        )
    return np.unique([kin_of[name] for name in labels.names], return_inverse=True)[1]
