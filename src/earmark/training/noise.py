"""What wrong labels would do to a store's clips, and what each method gets back: plantings, trainings, tables, a page."""

import csv
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from earmark import __version__, files
from earmark.assess.methods import MethodTable, write_method_page
from earmark.assess.metrics import values
from earmark.data.manifest import NO_FOLD
from earmark.data.plant import Protocol, plant, planted_store
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable
from earmark.errors import EarmarkError, EarmarkWarning, RunError, StoreError
from earmark.labels import LabelSet
from earmark.recipe import Recipe
from earmark.runs.data import load_unchanged_inputs, load_unchanged_table
from earmark.runs.predictions import Block, read_scores_of, write_predictions
from earmark.runs.run import Run
from earmark.training.begin import check_out
from earmark.training.compare import choose_methods, judgeable, learn, method_table
from earmark.training.methods import METHODS, derive_methods
from earmark.training.splits import folds_of, verified_suffice
from earmark.training.train import TrainRequest

FACTS, RESULT, PAGE = "request.json", "noise.json", "noise.html"
RATE = 0.3  # share of wrong labels, if nobody says another
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8)  # of verified clips; the first with which every method can be trained
SEEDS = (1, 2, 3)
WORDS = {
    "symmetric": "any other class",
    "class": "the one class that its class is always mistaken for",
    "related": "another class of the same kin",
}


@dataclass(frozen=True)
class NoiseRequest:
    """What to plant in which clips, and what to train on them.

    Attributes:
        recipe: the recipe whose net learns; the models of its embeddings are resolved.
        store: the store. The labels of its verified clips are taken for right; it is not changed, but for embeddings that it lacks.
        out: folder of the results, new or of the same request.
        protocols: what to plant; by default `default_protocols`.
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
        refused: the methods that could not be trained, by their names, with the reasons.
    """

    protocol: Protocol
    table: MethodTable
    by_seed: dict[str, list[float]]
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
    world = _World(request)
    plans = world.plans()
    _check_folder(request.out)
    with files.locked(request.out / ".lock", request.out):
        world.keep_facts()
        trainings = [
            ("clean", ["given"], None),
            *((world.name(p, s), names, (p, s)) for p, names, _ in plans for s in request.seeds),
        ]
        for number, (name, methods, planting) in enumerate(trainings, start=1):
            if missing := [method for method in methods if world.scores(name, method) is None]:
                tell(f"{number} of {len(trainings)}: {name}: {', '.join(METHODS[method] for method in missing)}")
                world.train(name, missing, planting)
        tables = [world.table(protocol, names, refused) for protocol, names, refused in plans]
        _write(request, tables)
    return tables


class _World:
    """The clips of a request with their right labels, and the files of its folder."""

    def __init__(self, request: NoiseRequest) -> None:
        self.request, self.store = request, request.store
        clips = load_unchanged_table(self.store)
        self.judged = judgeable(clips)
        if not self.judged.any():
            raise StoreError(
                f"{self.store.path} has no verified training clip with a label: there is no label that is known to be right"
            )
        self.left_out = ~clips.verified & ~clips.test & (request.unverified == "leave-out")
        self.clips = replace(clips, test=clips.test | self.left_out, fold=np.where(self.left_out, NO_FOLD, clips.fold))
        if len(folds_of(self.clips)) < 2:
            raise StoreError(
                f"{self.store.path} has its verified clips in one fold; two are needed, to score clips by nets of others"
            )
        self.truth = clips[self.judged]
        self.derived = derive_methods(request.recipe, len(clips.labels))
        self.protocols = tuple(request.protocols) or self._default_protocols()
        self.facts: dict[str, Any] = {
            "store": self.store.fingerprint,
            "recipe": self.derived.recipe.fingerprint(),
            "unverified": request.unverified,
            "kin": request.kin.tolist() if request.kin is not None else None,
        }

    def planted(self, protocol: Protocol, seed: int) -> ClipTable:
        """All clips, with wrong labels planted among those whose labels are right."""
        kin = self.request.kin
        if protocol.kind == "related" and kin is None:
            raise EarmarkError(f"--protocol {protocol.kind}: a table of the classes' kin is needed; --kin FILE gives it")
        positive, verified = self.clips.positive.copy(), self.clips.verified.copy()
        planted = plant(self.truth, protocol.kind, protocol.rate, protocol.verified, seed, kin)
        positive[self.judged], verified[self.judged] = planted
        return replace(self.clips, positive=positive, verified=verified)

    def plans(self) -> list[tuple[Protocol, list[str], dict[str, str]]]:
        """Each protocol with the methods to train, and those that cannot be trained, with the reasons."""
        plans = []
        for protocol in self.protocols:
            plantings = [self.planted(protocol, seed) for seed in self.request.seeds]
            if any((clips.positive == self.clips.positive).all() for clips in plantings):
                raise EarmarkError(f"--protocol {protocol.text}: of {len(self.truth)} clips not one would get a wrong label")
            try:
                plans.append((protocol, *choose_methods(self.derived, self.request.methods, plantings)))
            except EarmarkError as error:
                raise EarmarkError(f"{protocol.text}: {error}") from None
        return plans

    def _default_protocols(self) -> tuple[Protocol, ...]:
        """Wrong labels by chance, and wrong labels that follow a rule, with as few verified clips as every method can do with."""
        for share in SHARES:
            protocols = (Protocol("symmetric", RATE, share), Protocol("class", RATE, share))
            if all(verified_suffice(self.planted(protocol, seed)) for protocol in protocols for seed in self.request.seeds):
                break
        return protocols

    def name(self, protocol: Protocol, seed: int) -> str:
        """The name of a training's files."""
        return f"{protocol.name}-seed{seed}"

    def keep_facts(self) -> None:
        """Writes down what the folder's results depend on.

        Raises:
            RunError: what is there depends on something else.
        """
        path = self.request.out / FACTS
        if path.is_file():
            try:
                kept = files.read_json(path)
                changed = [
                    name for name in self.facts if kept[name] != self.facts[name] and None not in (kept[name], self.facts[name])
                ]
            except (OSError, ValueError, KeyError, TypeError):
                raise RunError(f"{path} is damaged; remove {self.request.out}, or choose another --out") from None
            if changed:
                raise RunError(
                    f"{self.request.out} has results of another request (changed: {', '.join(changed)}); choose another --out"
                )
            self.facts = {**kept, **{name: value for name, value in self.facts.items() if value is not None}}
        self._write_facts()

    def _write_facts(self) -> None:
        files.write_text(self.request.out / FACTS, json.dumps(self.facts, indent=1) + "\n")

    def train(self, name: str, methods: Sequence[str], planting: tuple[Protocol, int] | None) -> None:
        """Trains methods on a planting, or on the right labels, and keeps their scores; store and nets are removed in the end."""
        request, work = self.request, self.request.out / "work" / name
        load_unchanged_inputs(self.store, self.derived.recipe, self.derived.members(methods))  # once, not in each planted store
        clips = self.clips if planting is None else self.planted(*planting)
        store = planted_store(self.store, work / "store", clips.positive, clips.verified, self.left_out)
        recipe, machine = self.derived.recipe, self.facts.get("machine", {})
        if machine:  # all trainings compute alike
            recipe = recipe.model_copy(update={"precision": machine["precision"]})
        device = request.device if request.device != "auto" else machine.get("device", "auto")
        threads = request.threads or machine.get("threads")
        asked = TrainRequest(recipe, store, work / "run", None, None, device, True, request.jobs, threads)
        for method, scores in learn(self.derived, methods, asked).items():
            path = self._scores_file(name, method)
            path.parent.mkdir(parents=True, exist_ok=True)
            block = Block(self.truth.clip_id, scores[self.judged], method, NO_FOLD, "", "whole")
            write_predictions(path, self.store.labels, [block])
        info = Run.open(work / "run").started()
        self.facts.setdefault("machine", {"device": info.device, "precision": info.precision, "threads": info.threads})
        self._write_facts()
        shutil.rmtree(work)

    def _scores_file(self, name: str, method: str) -> Path:
        return self.request.out / "scores" / name / f"{method}.parquet"

    def scores(self, name: str, method: str) -> Array | None:
        """The scores of a method, float32 ``[N, K]``; None if it is to be trained."""
        path = self._scores_file(name, method)
        if not path.exists():
            return None
        try:
            return read_scores_of(path, self.store.labels, self.truth.clip_id)
        except RunError:
            warnings.warn(f"{path} is damaged; it is made again", EarmarkWarning, stacklevel=2)
            return None

    def table(self, protocol: Protocol, methods: Sequence[str], refused: dict[str, str]) -> NoiseTable:
        """The table of one protocol, from the scores of all seeds."""
        seeds = self.request.seeds
        scores = {method: [self._read(self.name(protocol, seed), method) for seed in seeds] for method in methods}
        scores["clean"] = [self._read("clean", "given")]
        clips = self.planted(protocol, seeds[0])
        unverified = int((~clips.verified & self.judged).sum())
        wrong = int((clips.positive != self.clips.positive).any(axis=1).sum())
        others = int((~self.clips.verified & ~self.clips.test).sum())
        note = (
            f"{len(self.truth):,} clips whose labels are taken for right; {len(self.truth) - unverified:,} of them stay verified, "
            f"{wrong:,} of the other {unverified:,} get a wrong label: {WORDS[protocol.kind]}."
            + (f" {others:,} more clips are unverified, and stay as they are." if others else "")
            + f" Each is scored by nets that never heard its recording; {len(seeds)} planting{'s' if len(seeds) > 1 else ''}."
        )
        table = method_table(scores, self.truth, title=protocol.title, note=note)
        by_seed = {
            METHODS[method]: [values(part, self.truth.positive)[table.metric] for part in parts] for method, parts in scores.items()
        }
        return NoiseTable(protocol, table, by_seed, refused)

    def _read(self, name: str, method: str) -> Array:
        scores = self.scores(name, method)
        if scores is None:
            raise RunError(f"{self._scores_file(name, method)} was removed while it was needed; the same command makes it anew")
        return scores


def _check_folder(out: Path) -> None:
    """Refuses a folder of something else."""
    if not (out / FACTS).is_file():
        check_out(out)
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
    """The kin of each class, int ``[K]``, from a CSV file with the columns ``label`` and ``kin``.

    Raises:
        EarmarkError: the file cannot be read, or does not say the kin of every class.
    """
    try:
        rows = list(csv.DictReader(files.read_small(path).splitlines()))
        kin_of = {row["label"]: row["kin"] for row in rows}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no CSV file with the columns label and kin"
        raise EarmarkError(f"--kin {path}: {reason}") from None
    if missing := [name for name in labels.names if not kin_of.get(name)]:
        raise EarmarkError(
            f"--kin {path}: no kin of label {missing[0]!r}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
        )
    return np.unique([kin_of[name] for name in labels.names], return_inverse=True)[1]
