"""A whole run: the nets of all members and folds, then scores, metrics, report and bundle."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import earmark
from earmark import files
from earmark.assess.evaluate import run_metrics, write_metrics
from earmark.assess.joined import out_of_fold
from earmark.assess.metrics import RunMetrics
from earmark.assess.report import write_report
from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.data.table import load_table
from earmark.errors import EarmarkWarning, RunError, StoreError
from earmark.machine import arithmetic_threads, choose_device, keep_freed_memory
from earmark.recipe import Recipe
from earmark.runs.run import RUN_NAMES, Run, RunInfo
from earmark.training.checks import check_members
from earmark.training.export import write_bundle
from earmark.training.jobs import make_at_once
from earmark.training.make import is_made, make, make_alone, missing_scores, score_held_out
from earmark.training.probe import faster_precision, faster_threads
from earmark.training.splits import choose_folds, folds_of, refuse_unlearnable
from earmark.training.stages import plan_stages

MAX_BAD_SHARE = 0.05  # if more of a store's clips are bad, training is refused


@dataclass(frozen=True)
class TrainRequest:
    """What to train, and how.

    Attributes:
        recipe: the whole recipe.
        store: a store with the sample rates that the members need.
        out: the run directory, new or of a run to go on with.
        members: names of members; all by default.
        folds: numbers of folds; all by default.
        device: ``auto``, ``cpu`` or ``cuda``.
        allow_bad: train even if more than 5 % of the store's clips are bad.
        jobs: number of nets trained at once, each in its own process.
        threads: threads of each net on a CPU; by default those that `faster_threads` finds.
    """

    recipe: Recipe
    store: Store
    out: Path
    members: Sequence[str] | None = None
    folds: Sequence[int] | None = None
    device: str = "auto"
    allow_bad: bool = False
    jobs: int = 1
    threads: int | None = None


def train(request: TrainRequest) -> RunMetrics:
    """Trains the nets that are not finished yet, then evaluates all finished nets.

    Returns:
        The run's metrics, as in ``metrics.json``.

    Raises:
        RecipeError: a member is not known, or cannot be trained as its settings say.
        RunError: the directory holds another run or cannot be written to, or the data lacks clips that the recipe needs.
        StoreError: too many clips of the store are bad, or a sample rate is missing.
        EarmarkError: another process uses the run directory.
    """
    recipe, store = request.recipe, request.store
    members = recipe.choose_members(request.members)
    _refuse_bad_store(store, request.allow_bad)
    clips = load_table(store)
    folds = folds_of(clips)
    stages = plan_stages(recipe, members, choose_folds(folds, request.folds), folds)
    nets = [(stage.name, stage.fold) for stage in stages if stage.kind == "net" and stage.fold is not None]
    for name, fold in nets:
        refuse_unlearnable(clips, fold, recipe, name)
    trained_members = list(dict.fromkeys(name for name, _ in nets))
    check_members(recipe, trained_members, len(store.labels))  # now, so that a wrong setting does not show hours later
    data = {rate: load_clips(store, rate) for rate in {recipe.members[name].input.sample_rate for name in trained_members}}
    device = choose_device(request.device)
    if (request.out / "store.json").exists():
        raise RunError(f"{request.out} is a store; choose another --out")
    try:
        with files.locked(request.out / ".lock", request.out):
            run = _open_run(request.out, recipe)
            info = _start(run, store, data, trained_members, request, device)
            keep_freed_memory()
            with arithmetic_threads(info.threads):
                if request.jobs > 1:
                    made = [stage for stage in stages if is_made(run, stage)]
                    make_at_once(stages, made, partial(make_alone, run.path, store.path), request.jobs)
                else:
                    for stage in stages:
                        make(run, info, stage, data)
                return _finish(run, store)
    except OSError as error:
        file_name = f" ({name})" if (name := error.filename2 or error.filename) else ""
        raise RunError(
            f"cannot write the run directory {request.out}: {error.strerror or error}{file_name}; what is done is kept, "
            "and the same command goes on from there"
        ) from error


def finish(run: Run, store: Store) -> RunMetrics:
    """Computes again what follows from a run's finished nets: joined scores, metrics, bundle, report.

    Returns:
        The metrics, as in ``metrics.json``.

    Raises:
        RunError: no net is finished, or the store has other clips or classes than the run was trained on.
        EarmarkError: another process uses the run directory.
    """
    with run.locked():
        return _finish(run, store)


def _finish(run: Run, store: Store) -> RunMetrics:
    _make_missing_scores(run, store)
    sounds = load_clips(store, min(store.sample_rates))
    scores = out_of_fold(run, sounds)
    if left_out := [name for name in run.recipe.ensembles if name not in scores.ensembles]:
        shown = ", ".join(left_out[:3]) + (f" and {len(left_out) - 3} more" if len(left_out) > 3 else "")
        text = f"no figures of ensemble {shown} yet: its members have no finished fold in common"
        warnings.warn(text, EarmarkWarning, stacklevel=2)
    metrics = run_metrics(run, scores)
    run.join_scores()
    write_metrics(run.path / "metrics.json", metrics)
    if run.info is not None and run.info.store_fingerprint == store.fingerprint:
        write_bundle(run, store, metrics)  # not for another store: the bundle says what the nets were trained on
    write_report(run, sounds, scores, metrics)
    return metrics


def _make_missing_scores(run: Run, store: Store) -> None:
    """Makes the scores that an ensemble needs which was added after the nets were finished."""
    for name, folds in run.finished().items():
        if folds_to_score := [fold for fold in folds if missing_scores(run, name, fold)]:
            info = run.info
            if info is None or info.store_fingerprint != store.fingerprint:
                raise RunError(
                    f"{run.path}: ensembles need further scores of {name}, and those need the store that it was trained on"
                )
            clips = load_clips(store, run.recipe.members[name].input.sample_rate)
            with arithmetic_threads(info.threads):
                for fold in folds_to_score:
                    score_held_out(run, info, name, fold, clips)


def _refuse_bad_store(store: Store, allow: bool) -> None:
    share = store.bad_count / (store.bad_count + store.clip_count)
    if share > MAX_BAD_SHARE and not allow:
        raise StoreError(
            f"{store.path}: {store.bad_count} of {store.bad_count + store.clip_count} clips ({share:.0%}) are bad, more than "
            f"{MAX_BAD_SHARE:.0%}; see {store.path / 'bad.csv'}, mend them and prepare again, or train on the rest with --allow-bad"
        )


def _open_run(path: Path, recipe: Recipe) -> Run:
    if (path / "recipe.yaml").is_file():
        run = Run.open(path)
        if run.recipe.fingerprint() != recipe.fingerprint():
            changed = ", ".join(_differences(run.recipe.training_settings(), recipe.training_settings()))
            raise RunError(f"{path} holds a run of another recipe (changed: {changed}); choose another --out, or the same settings")
        if run.recipe != recipe:  # the ensembles differ, which training does not depend on
            files.write_text(path / "recipe.yaml", recipe.to_yaml())
        return Run(path, recipe)
    if taken := sorted({child.name for child in path.iterdir()} & set(RUN_NAMES)):
        raise RunError(f"{path} is no run directory and has {', '.join(taken)} already; choose another --out")
    files.write_text(path / "recipe.yaml", recipe.to_yaml())
    return Run(path, recipe)


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """The dotted names of the settings in which two recipes differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(dict.fromkeys([*old, *new]))
        return [
            different
            for key in keys
            for different in _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [name] if old != new else []


def _start(run: Run, store: Store, data: dict[int, ClipSet], members: Sequence[str], request: TrainRequest, device: str) -> RunInfo:
    """The device, precision and threads of a run: chosen when the run is first started, and kept at every later start.

    Raises:
        RunError: the run cannot go on with this store or on this device.
    """
    if (info := run.info) is not None:
        if info.store_fingerprint != store.fingerprint:
            raise RunError(f"{run.path} was trained on other data than {store.path} has now; choose another --out")
        if request.device not in ("auto", info.device):
            raise RunError(f"{run.path} was started on {info.device} and goes on there; leave --device out")
        if info.device == "cuda" and not torch.cuda.is_available():
            raise RunError(f"{run.path} was started on a GPU, and there is none here")
        if request.threads not in (None, info.threads):
            raise RunError(f"{run.path} was started with --threads {info.threads} and goes on so; leave --threads out")
        return info
    precision: str = run.recipe.precision
    settings = run.recipe.members[members[0]]
    clips = data[settings.input.sample_rate]
    if precision == "auto":
        with arithmetic_threads(request.threads):
            precision = faster_precision(settings, clips, device)
    threads = request.threads or faster_threads(settings, clips, device, precision, request.jobs)
    if threads == 1 < torch.get_num_threads() // request.jobs and request.threads is None:
        warnings.warn(
            "several threads are no faster here than one, as where other programs keep the machine busy: this run has one; "
            "--threads N chooses otherwise at its start",
            EarmarkWarning,
            stacklevel=2,
        )
    info = RunInfo(earmark.__version__, str(store.path.resolve()), store.fingerprint, device, precision, threads)
    run.write_info(info)
    return info
