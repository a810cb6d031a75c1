"""A run: every member of a recipe on every fold, then scores, metrics, report and bundle."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import earmark
from earmark import files
from earmark.assess.evaluate import any_rate, out_of_fold, run_metrics, score_clips, write_metrics
from earmark.assess.report import write_report
from earmark.assess.run import RUN_NAMES, Block, Run, RunInfo, write_predictions
from earmark.data.clips import ClipSet, load_clips
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.errors import EarmarkWarning, RunError, StoreError
from earmark.machine import arithmetic_threads, keep_freed_memory
from earmark.nets.member import load_net
from earmark.recipe import Recipe
from earmark.training.export import write_bundle
from earmark.training.jobs import make_at_once
from earmark.training.module import Piece, check_members, make_fabric, train_piece
from earmark.training.probe import faster_precision
from earmark.training.pseudo import guess_labels, soft_clips
from earmark.training.stages import Stage, plan_stages

MAX_BAD_SHARE = 0.05  # of a store's clips, before training is refused


@dataclass(frozen=True)
class TrainRequest:
    """What to train.

    Attributes:
        recipe: complete.
        store: with the rates that the members need.
        out: the run directory, new or begun.
        members: names; all by default.
        folds: numbers; all by default.
        device: ``auto``, ``cpu`` or ``cuda``.
        allow_bad: train on a store however many of its files were bad.
        jobs: nets trained at once, each in a process of its own.
    """

    recipe: Recipe
    store: Store
    out: Path
    members: Sequence[str] | None = None
    folds: Sequence[int] | None = None
    device: str = "auto"
    allow_bad: bool = False
    jobs: int = 1


def train(request: TrainRequest) -> dict[str, Any]:
    """Trains what is not trained yet, then evaluates everything that is finished.

    Returns:
        The run's metrics, as in ``metrics.json``.

    Raises:
        RecipeError: a member or a setting is not known.
        RunError: the directory holds another run, or the data has not what the recipe needs.
        StoreError: too much of the store is bad, or a rate is missing.
    """
    recipe, store = request.recipe, request.store
    members = recipe.choose_members(request.members)
    _refuse_bad_store(store, request.allow_bad)
    plain = any_rate(store)
    there = folds_of(plain)
    stages = plan_stages(recipe, members, choose_folds(there, request.folds), there)
    nets = [(stage.name, stage.fold) for stage in stages if stage.kind == "net" and stage.fold is not None]
    for name, fold in nets:
        refuse_unlearnable(plain, fold, recipe, name)
    needed = list(dict.fromkeys(name for name, _ in nets))
    check_members(recipe, needed, len(store.labels))  # a setting that is wrong is told now, not hours later
    data = {rate: load_clips(store, rate) for rate in {recipe.members[name].input.sample_rate for name in needed}}
    device = choose_device(request.device)
    if (request.out / "store.json").exists():
        raise RunError(f"{request.out} is a store; choose another --out")
    try:
        with files.locked(request.out / ".lock", request.out):
            run = _open_run(request.out, recipe)
            info = _start(run, store, data, needed, request, device)
            keep_freed_memory()
            with arithmetic_threads(info.threads):
                if request.jobs > 1:
                    made = [stage for stage in stages if _is_made(run, stage)]
                    make_at_once(stages, made, partial(_make_alone, run.path, store.path), request.jobs)
                else:
                    for stage in stages:
                        _make(run, info, stage, data)
                return _finish(run, store)
    except OSError as error:
        at = f" ({name})" if (name := error.filename2 or error.filename) else ""
        raise RunError(
            f"cannot write the run directory {request.out}: {error.strerror or error}{at}; what is done is kept, "
            "and the same command goes on from there"
        ) from error


def finish(run: Run, store: Store) -> dict[str, Any]:
    """Computes anew what follows from a run's finished pieces: joined scores, metrics, bundle, report.

    Returns:
        The metrics, as in ``metrics.json``.

    Raises:
        RunError: nothing is finished, or the store has other clips or classes than the run was trained on.
        EarmarkError: another process is in the run directory.
    """
    with run.locked():
        return _finish(run, store)


def _finish(run: Run, store: Store) -> dict[str, Any]:
    clips = any_rate(store)
    scores = out_of_fold(run, clips)
    if left_out := [name for name in run.recipe.ensembles if name not in scores.ensembles]:
        text = f"no figures of ensemble {', '.join(left_out)} yet: its members have no finished fold in common"
        warnings.warn(text, EarmarkWarning, stacklevel=2)
    metrics = run_metrics(run, scores)
    run.gather()
    write_metrics(run.path / "metrics.json", metrics)
    if run.info is not None and run.info.store_fingerprint == store.fingerprint:
        write_bundle(run, store, metrics)  # on another store's clips it stays: it says what the nets were trained on
    write_report(run, clips, scores, metrics)
    return metrics


def _make_alone(path: Path, store: Path, stage: Stage) -> None:
    """Makes a stage in a process of its own, out of what lies in files."""
    run, opened = Run.open(path), Store.open(store)
    assert run.info is not None  # written before the first stage
    keep_freed_memory()
    name = stage.name if stage.kind == "net" else run.recipe.pseudo_labels[stage.name].member
    rate = run.recipe.members[name].input.sample_rate
    with arithmetic_threads(run.info.threads):
        _make(run, run.info, stage, {rate: load_clips(opened, rate)})


def _is_made(run: Run, stage: Stage) -> bool:
    if stage.kind == "net" and stage.fold is not None:
        return run.is_finished(stage.name, stage.fold)
    return run.pseudo_labels(stage.name, stage.fold).is_file()


def _make(run: Run, info: RunInfo, stage: Stage, data: Mapping[int, ClipSet]) -> None:
    """Makes a stage that is not made yet."""
    recipe = run.recipe
    if _is_made(run, stage):
        return
    if stage.kind == "net" and stage.fold is not None:
        _train_one(run, info, stage.name, stage.fold, data[recipe.members[stage.name].input.sample_rate])
    else:
        path = run.pseudo_labels(stage.name, stage.fold)
        settings = recipe.pseudo_labels[stage.name]
        member = recipe.members[settings.member]
        clips = data[member.input.sample_rate]
        guessed = allowed(clips, stage.fold, recipe) & ~clips.verified
        weights = [
            run.weights(need.name, need.fold, counted)
            for need in stage.needs
            if need.fold is not None
            for counted in member.unselected
        ]
        device = make_fabric(info.device, info.precision).device
        fold = NO_FOLD if stage.fold is None else stage.fold
        guess_labels(path, clips[guessed], member, weights, settings.temperature, device, title=stage.title, fold=fold)


def _train_one(run: Run, info: RunInfo, name: str, fold: int, clips: ClipSet) -> None:
    recipe, settings = run.recipe, run.recipe.members[name]
    piece = make_piece(run, name, fold, clips)
    fabric = make_fabric(info.device, info.precision)
    train_piece(piece, fabric, _tensorboard(run.path / "tensorboard" / name / f"fold{fold}"))
    # With `unverified: all` the fold's own unverified clips were trained on: their scores would not be out of fold.
    trained = taught(clips, fold, recipe) | (allowed(clips, fold, recipe) & ~clips.verified & (settings.soft is not None))
    held_out = clips[(clips.fold == fold) & ~trained]
    blocks = []
    for counted in settings.counted:
        net = load_net(settings, len(clips.labels), run.weights(name, fold, counted)).to(fabric.device)
        title = f"score {piece.title}" + (f" {counted}" if len(settings.counted) > 1 else "")
        each = score_clips(net, held_out, settings, fabric.device, settings.views, title)
        blocks += [
            Block(list(held_out.clip_id), scores, name, fold, counted, view)
            for view, scores in zip(settings.views, each, strict=True)
        ]
    write_predictions(piece.path / "oof.parquet", clips.labels, blocks)


def make_piece(run: Run, name: str, fold: int, clips: ClipSet) -> Piece:
    """What one net is trained on.

    Args:
        run: what the net needs of other stages is there.
        name: the member.
        fold: left out of the training.
        clips: of the store, at the member's rate.
    """
    recipe, settings = run.recipe, run.recipe.members[name]
    labelled = taught(clips, fold, recipe)
    unverified = allowed(clips, fold, recipe) & ~clips.verified
    soft, start = None, None
    if settings.soft:
        of_fold = recipe.pseudo_labels[settings.soft.labels].folds == "same"
        path = run.pseudo_labels(settings.soft.labels, fold if of_fold else None)
        soft = soft_clips(path, clips[labelled & clips.verified], clips[unverified])
    if settings.start_from:
        start = run.weights(settings.start_from, fold, recipe.members[settings.start_from].unselected[-1])
    return Piece(
        title=f"{name} fold {fold}",
        path=run.piece(name, fold),
        settings=settings,
        training=clips[labelled & (clips.verified | (settings.clips == "labelled"))],
        validation=clips[(clips.fold == fold) & clips.verified & clips.positive.any(axis=1) & clips.scored],
        seed=np.random.SeedSequence([recipe.seed, list(recipe.members).index(name), fold]),
        noisy=clips[labelled & ~clips.verified] if settings.noisy else None,
        soft=soft,
        start=start,
    )


def allowed(clips: ClipSet, fold: int | None, recipe: Recipe) -> np.ndarray:
    """Training clips of the other folds; with ``unverified: all`` the fold's own unverified ones too. ``None``: of all folds.

    Not those of a recording that the fold's verified clips are of: what is scored was never heard.
    """
    others: np.ndarray = clips.fold != fold if fold is not None else np.ones(len(clips), bool)
    if recipe.unverified == "all" and fold is not None:
        heard = clips.group[(clips.fold == fold) & clips.verified]
        others = others | (~clips.verified & ~np.isin(clips.group, heard))
    mask: np.ndarray = others & ~clips.test
    return mask


def taught(clips: ClipSet, fold: int, recipe: Recipe) -> np.ndarray:
    """Those of them that have labels to learn from."""
    mask: np.ndarray = allowed(clips, fold, recipe) & clips.labelled
    return mask


def choose_device(asked: str) -> str:
    """``cpu`` or ``cuda``; for ``auto`` the GPU where there is one.

    Raises:
        RunError: a GPU was asked for, and there is none.
    """
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        raise RunError("--device cuda: there is no GPU here; leave it out, or say --device cpu")
    return asked


def folds_of(clips: ClipSet) -> list[int]:
    """The folds of a store's training clips, in order."""
    return sorted({int(fold) for fold in clips.fold if fold != NO_FOLD})


def choose_folds(there: Sequence[int], asked: Sequence[int] | None, whose: str = "the store") -> list[int]:
    """The folds asked for, all by default, in order.

    Raises:
        RunError: there is no such fold.
    """
    if unknown := sorted(set(asked or ()) - set(there)):
        raise RunError(f"no fold {', '.join(map(str, unknown))}; {whose} has the folds {', '.join(map(str, there))}")
    return [fold for fold in there if asked is None or fold in asked]


def refuse_unlearnable(clips: ClipSet, fold: int, recipe: Recipe, member: str) -> None:
    """Every class must have a clip to learn from, and every stream clips at all.

    Raises:
        RunError: something has none.
    """
    if len(clips.labels) < 2:
        raise RunError("training needs at least two classes")
    settings, labelled = recipe.members[member], taught(clips, fold, recipe)
    verified = " verified" if settings.clips == "verified" else ""
    untaught = np.flatnonzero(~clips[labelled & (clips.verified | (not verified))].positive.any(axis=0))
    if len(untaught):
        names = [clips.labels.names[i] for i in untaught]
        shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise RunError(
            f"fold {fold}: no{verified} training clip outside it has the label {shown}; give every label{verified} clips in two "
            "folds or more"
        )
    if settings.noisy and not (labelled & ~clips.verified).any():
        raise RunError(f"fold {fold}: member {member} has a noisy task, and no unverified clip with labels is there to train on")
    if settings.soft and not (allowed(clips, fold, recipe) & ~clips.verified).any():
        raise RunError(f"fold {fold}: member {member} learns from pseudo labels, and no unverified clip is there to train on")


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
            changed = ", ".join(_differences(run.recipe.model_dump(mode="json"), recipe.model_dump(mode="json")))
            raise RunError(f"{path} holds a run of another recipe (changed: {changed}); choose another --out, or the same settings")
        return run
    if taken := sorted({child.name for child in path.iterdir()} & set(RUN_NAMES)):
        raise RunError(f"{path} is no run directory and has {', '.join(taken)} already; choose another --out")
    files.write_text(path / "recipe.yaml", recipe.to_yaml())
    return Run(path, recipe)


def _differences(old: Any, new: Any, at: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(dict.fromkeys([*old, *new]))
        return [found for key in keys for found in _differences(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))]
    return [at] if old != new else []


def _start(run: Run, store: Store, data: dict[int, ClipSet], members: Sequence[str], request: TrainRequest, device: str) -> RunInfo:
    """The choices that hold for the whole run: made at its first start, kept at every other."""
    if (info := run.info) is not None:
        if info.store_fingerprint != store.fingerprint:
            raise RunError(f"{run.path} was trained on other data than {store.path} has now; choose another --out")
        if request.device not in ("auto", info.device):
            raise RunError(f"{run.path} was started on {info.device} and goes on there; leave --device out")
        if info.device == "cuda" and not torch.cuda.is_available():
            raise RunError(f"{run.path} was started on a GPU, and there is none here")
        return info
    precision: str = run.recipe.precision
    if precision == "auto":
        settings = run.recipe.members[members[0]]
        precision = faster_precision(settings, data[settings.input.sample_rate], device)
    threads = max(torch.get_num_threads() // request.jobs, 1)
    info = RunInfo(earmark.__version__, str(store.path.resolve()), store.fingerprint, device, precision, threads)
    run.write_info(info)
    return info


def _tensorboard(path: Path) -> Any | None:
    from lightning_fabric.loggers import TensorBoardLogger

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return TensorBoardLogger(path.parent, name="", version=path.name)
    except ModuleNotFoundError:
        return None
