"""A whole run: the nets of all members and folds, then scores, metrics, report and bundle."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

import earmark
from earmark import files
from earmark.assess.evaluate import run_metrics, write_metrics
from earmark.assess.joined import out_of_fold
from earmark.assess.metrics import RunMetrics
from earmark.assess.report import write_report
from earmark.data.clips import ClipSet
from earmark.data.store import Store
from earmark.errors import EarmarkWarning, RunError, StoreError
from earmark.machine import arithmetic_threads, choose_device, keep_freed_memory
from earmark.recipe import Recipe
from earmark.runs.data import (
    check_store,
    check_unchanged,
    load_run_clips,
    load_run_inputs,
    load_unchanged_inputs,
    load_unchanged_table,
)
from earmark.runs.run import Run, RunInfo
from earmark.runs.votes import needed_scores
from earmark.training.begin import check_out, open_run
from earmark.training.checks import check_members
from earmark.training.export import write_bundle
from earmark.training.floor import floor_metrics
from earmark.training.jobs import make_at_once
from earmark.training.make import is_made, make, make_alone, missing_scores, score_held_out, scores_fault
from earmark.training.probe import faster_precision, faster_threads
from earmark.training.splits import (
    choose_folds,
    folds_of,
    refuse_unlearnable,
    unverified_labels,
    verified_suffice,
    warn_of_few_verified,
    warn_of_nothing_to_score,
)
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
        RunError: the directory holds another run or something else, or cannot be written to; the data lacks clips that the recipe
            needs; the store is not the one that the run learns from; or a training diverged.
        StoreError: too many clips of the store are bad, or a sample rate is missing.
        EarmarkError: another process uses the run directory.
    """
    with _nets_made(request) as run:
        return _finish(run, request.store)


def train_nets(request: TrainRequest) -> Run:
    """Trains the nets that are not finished yet, as `train` does, and computes nothing of them but their out-of-fold scores."""
    with _nets_made(request) as run:
        return run


@contextmanager
def _nets_made(request: TrainRequest) -> Iterator[Run]:
    """A run with all its nets, locked while the block runs."""
    recipe, store = request.recipe, request.store
    check_out(request.out)
    members = recipe.choose_members(request.members)
    _refuse_bad_store(store, request.allow_bad)
    clips = load_unchanged_table(store)
    folds = folds_of(clips)
    stages = plan_stages(
        recipe, members, choose_folds(folds, request.folds), folds, verified_suffice(clips), unverified_labels(clips)
    )
    for stage in stages:
        if stage.kind == "net" and stage.fold is not None:
            refuse_unlearnable(clips, stage.fold, recipe, stage.name, stage.part)
    nets = [(stage.name, stage.fold) for stage in stages if stage.kind == "net" and stage.fold is not None and stage.part is None]
    warn_of_nothing_to_score(clips, recipe, nets)
    trained_members = list(dict.fromkeys(stage.name for stage in stages if stage.kind == "net"))
    warn_of_few_verified(clips, recipe, trained_members)
    check_members(recipe, trained_members, len(store.labels))  # now, so that a wrong setting does not show hours later
    data = load_unchanged_inputs(store, recipe, trained_members)
    device = choose_device(request.device)
    try:
        with files.locked(request.out / ".lock", request.out):
            run = open_run(request.out, recipe)
            info = _start(run, store, data, trained_members, request, device)
            keep_freed_memory()
            _mend_scores(run, store)
            with arithmetic_threads(info.threads):
                if request.jobs > 1:
                    made = [stage for stage in stages if is_made(run, stage)]
                    make_at_once(stages, made, partial(make_alone, run.path, store.path), request.jobs)
                else:
                    for stage in stages:
                        make(run, info, stage, store, data)
                yield run
    except OSError as error:
        file_name = f" ({name})" if (name := error.filename2 or error.filename) else ""
        raise RunError(
            f"cannot write the run directory {request.out}: {error.strerror or error}{file_name}; what is done is kept, "
            "and the same command goes on from there"
        ) from error


def finish(run: Run, store: Store) -> RunMetrics:
    """Computes again what follows from a run's finished nets: joined scores, metrics, bundle, report.

    Scores that are damaged are made again.

    Returns:
        The metrics, as in ``metrics.json``.

    Raises:
        RunError: no net is finished, the store is not the one that the run learns from, or weights are missing or damaged.
        EarmarkError: another process uses the run directory.
    """
    with run.locked():
        return _finish(run, store)


def _finish(run: Run, store: Store) -> RunMetrics:
    _mend_scores(run, store)
    sounds = load_run_clips(run, store, min(store.sample_rates))
    scores = out_of_fold(run, sounds)
    if left_out := [name for name in run.recipe.ensembles if name not in scores.ensembles]:
        shown = ", ".join(left_out[:3]) + (f" and {len(left_out) - 3} more" if len(left_out) > 3 else "")
        text = f"no figures of ensemble {shown} yet: its members have no finished fold in common"
        warnings.warn(text, EarmarkWarning, stacklevel=2)
    metrics: RunMetrics = {**run_metrics(run, scores), **floor_metrics(run, store, sounds, scores)}
    check_store(run, store)
    write_bundle(run, store, metrics, scores.main)  # first, since it finds out whether weights are damaged
    run.join_scores()
    write_metrics(run.path / "metrics.json", metrics)
    write_report(run, sounds, scores, metrics)
    return metrics


def _mend_scores(run: Run, store: Store) -> None:
    """Makes scores that finished nets lack, because they are damaged, or because an ensemble needs them that was added later."""
    info = run.started()
    for name, folds in run.finished().items():
        clips = load_run_inputs(run, store, name)
        for fold in folds:
            if fault := scores_fault(run, name, fold, clips):
                files_needed = {run.weights(name, fold, weights) for weights, _ in needed_scores(run.recipe, name)}
                if missing := sorted(path.name for path in files_needed if not path.is_file()):
                    raise RunError(
                        f"{fault}, and {', '.join(missing)} is not there to make it again; remove it, and `earmark train` trains the "
                        "net again"
                    )
                warnings.warn(f"{fault}; it is made again", EarmarkWarning, stacklevel=2)
            elif not missing_scores(run, name, fold):
                continue
            with arithmetic_threads(info.threads):
                score_held_out(run, info, name, fold, clips, anew=fault is not None)


def _refuse_bad_store(store: Store, allow: bool) -> None:
    share = store.bad_count / (store.bad_count + store.clip_count)
    if share > MAX_BAD_SHARE and not allow:
        raise StoreError(
            f"{store.path}: {store.bad_count} of {store.bad_count + store.clip_count} clips ({share:.0%}) are bad, more than "
            f"{MAX_BAD_SHARE:.0%}; see {store.path / 'bad.csv'}, mend them and prepare again, or train on the rest with --allow-bad"
        )


def _start(run: Run, store: Store, data: dict[str, ClipSet], members: Sequence[str], request: TrainRequest, device: str) -> RunInfo:
    """The device, precision and threads of a run: chosen when the run is first started, and kept at every later start.

    Raises:
        RunError: the run cannot go on with this store or on this device.
    """
    if (info := run.info) is not None or run.has_results:
        info = run.started()
        check_store(run, store)
        if request.device not in ("auto", info.device):
            raise RunError(f"{run.path} was started on {info.device} and goes on there; leave --device out")
        if info.device == "cuda" and not torch.cuda.is_available():
            raise RunError(f"{run.path} was started on a GPU, and there is none here")
        if request.threads not in (None, info.threads):
            raise RunError(f"{run.path} was started with --threads {info.threads} and goes on so; leave --threads out")
        return info
    precision: str = run.recipe.precision
    settings = run.recipe.members[members[0]]
    clips = data[members[0]]
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
    check_unchanged(store)
    path = str(store.path.resolve())
    info = RunInfo(earmark.__version__, path, store.fingerprint, device, precision, threads, store.clip_count)
    run.write_info(info)
    return info
