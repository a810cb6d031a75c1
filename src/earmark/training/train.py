"""A run: every member of a recipe on every fold, then scores, metrics, report and bundle."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import earmark
from earmark import files
from earmark.assess.evaluate import any_rate, out_of_fold, run_metrics, score_clips, write_metrics
from earmark.assess.report import write_report
from earmark.assess.run import RUN_NAMES, Run, RunInfo, write_predictions
from earmark.data.batching import BalancedBatches
from earmark.data.clips import ClipSet, load_clips
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.errors import RunError, StoreError
from earmark.recipe import MemberSettings, Recipe
from earmark.training.checkpoint import load_tensors
from earmark.training.export import write_bundle
from earmark.training.losses import cross_entropy
from earmark.training.module import Piece, keep_freed_memory, make_fabric, new_net, train_piece

MAX_BAD_SHARE = 0.05  # of a store's clips, before training is refused
PROBE_CLIPS = 8
PROBE_STEPS = 3


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
    """

    recipe: Recipe
    store: Store
    out: Path
    members: Sequence[str] | None = None
    folds: Sequence[int] | None = None
    device: str = "auto"
    allow_bad: bool = False


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
    data = {rate: load_clips(store, rate) for rate in {recipe.members[name].input.sample_rate for name in members}}
    first = next(iter(data.values()))
    folds = _choose_folds(first, request.folds)
    for fold in folds:
        _refuse_unlearnable(first, fold, recipe)
    for name in members:
        new_net(recipe.members[name], len(store.labels))  # a setting that is wrong is told now, not hours later
    if request.device == "cuda" and not torch.cuda.is_available():
        raise RunError("--device cuda: there is no GPU here; leave it out, or say --device cpu")
    if (request.out / "store.json").exists():
        raise RunError(f"{request.out} is a store; choose another --out")
    try:
        with files.locked(request.out / ".lock", request.out):
            run = _open_run(request.out, recipe)
            info = _start(run, store, data, members, request.device)
            torch.set_num_threads(info.threads)
            keep_freed_memory()
            for name in members:
                for fold in folds:
                    if not run.is_finished(name, fold):
                        _train_one(run, info, name, fold, data[recipe.members[name].input.sample_rate])
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
    ensemble, members = out_of_fold(run, clips)
    metrics = run_metrics(run, ensemble, members)
    run.gather()
    write_metrics(run.path / "metrics.json", metrics)
    if run.info is not None and run.info.store_fingerprint == store.fingerprint:
        write_bundle(run, store, metrics)  # on another store's clips it stays: it says what the nets were trained on
    write_report(run, clips, ensemble, members, metrics)
    return metrics


def _train_one(run: Run, info: RunInfo, name: str, fold: int, clips: ClipSet) -> None:
    settings = run.recipe.members[name]
    piece = Piece(
        title=f"{name} fold {fold}",
        path=run.piece(name, fold),
        settings=settings,
        training=clips[_training_mask(clips, fold, run.recipe)],
        validation=clips[(clips.fold == fold) & clips.verified & clips.positive.any(axis=1) & clips.scored],
        seed=np.random.SeedSequence([run.recipe.seed, list(run.recipe.members).index(name), fold]),
    )
    fabric = make_fabric(info.device, info.precision)
    train_piece(piece, fabric, _tensorboard(run.path / "tensorboard" / name / f"fold{fold}"))
    # With `unverified: all` the fold's own unverified clips were trained on: their scores would not be out of fold.
    held_out = clips[(clips.fold == fold) & ~_training_mask(clips, fold, run.recipe)]
    net = new_net(settings, len(clips.labels))
    net.load_state_dict(load_tensors(run.counted_weights(name, fold))[0])
    scores = score_clips(net.to(fabric.device), held_out, settings.input, fabric.device, f"score {piece.title}")
    write_predictions(
        piece.path / "oof.parquet",
        clips.labels,
        list(held_out.clip_id),
        scores,
        member=name,
        fold=fold,
        snapshot=settings.validation.keep,
    )


def _training_mask(clips: ClipSet, fold: int, recipe: Recipe) -> np.ndarray:
    """Labelled training clips of the other folds; with ``unverified: all`` the fold's own unverified ones too."""
    others = clips.fold != fold
    if recipe.unverified == "all":
        others |= ~clips.verified
    mask: np.ndarray = others & ~clips.test & clips.labelled
    return mask


def _choose_folds(clips: ClipSet, asked: Sequence[int] | None) -> list[int]:
    there = sorted({int(fold) for fold in clips.fold if fold != NO_FOLD})
    if asked is None:
        return there
    if unknown := sorted(set(asked) - set(there)):
        raise RunError(f"no fold {', '.join(map(str, unknown))}; the store has the folds {', '.join(map(str, there))}")
    return [fold for fold in there if fold in asked]


def _refuse_unlearnable(clips: ClipSet, fold: int, recipe: Recipe) -> None:
    """Every class must have a clip to learn from."""
    taught = clips.positive[_training_mask(clips, fold, recipe)].any(axis=0)
    if not taught.all():
        names = [name for name, there in zip(clips.labels.names, taught, strict=True) if not there]
        shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise RunError(
            f"fold {fold}: no training clip outside it has the label {shown}; give every label clips in two folds or more"
        )
    if len(clips.labels) < 2:
        raise RunError("training needs at least two classes")


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


def _start(run: Run, store: Store, data: dict[int, ClipSet], members: Sequence[str], device: str) -> RunInfo:
    """The choices that hold for the whole run: made at its first start, kept at every other."""
    if (info := run.info) is not None:
        if info.store_fingerprint != store.fingerprint:
            raise RunError(f"{run.path} was trained on other data than {store.path} has now; choose another --out")
        if device not in ("auto", info.device):
            raise RunError(f"{run.path} was started on {info.device} and goes on there; leave --device out")
        if info.device == "cuda" and not torch.cuda.is_available():
            raise RunError(f"{run.path} was started on a GPU, and there is none here")
        return info
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    precision: str = run.recipe.precision
    if precision == "auto":
        settings = run.recipe.members[members[0]]
        precision = _faster_precision(settings, data[settings.input.sample_rate], chosen)
    info = RunInfo(earmark.__version__, str(store.path.resolve()), store.fingerprint, chosen, precision, torch.get_num_threads())
    run.write_info(info)
    return info


def _faster_precision(settings: MemberSettings, clips: ClipSet, device: str) -> str:
    """float32 or bfloat16, whichever trains a few clips faster here."""
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    labelled = clips[clips.labelled & ~clips.test]
    stream = BalancedBatches(labelled, settings.input.window, settings.batch, np.random.SeedSequence(0))
    batch = stream.next()
    seconds: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    with torch.random.fork_rng(devices=[]):
        net = new_net(settings, len(clips.labels))
    fabrics = {precision: make_fabric(device, precision) for precision in seconds}
    for _ in range(PROBE_STEPS + 1):
        for precision, fabric in fabrics.items():
            begun = time.perf_counter()
            with fabric.autocast():
                scores = net(batch.waveform[:PROBE_CLIPS])
            cross_entropy(scores.float(), batch.targets[:PROBE_CLIPS]).mean().backward()
            seconds[precision].append(time.perf_counter() - begun)
    return min(seconds, key=lambda precision: min(seconds[precision][1:]))  # the first step warms up


def _tensorboard(path: Path) -> Any | None:
    from lightning_fabric.loggers import TensorBoardLogger

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return TensorBoardLogger(path.parent, name="", version=path.name)
    except ModuleNotFoundError:
        return None
