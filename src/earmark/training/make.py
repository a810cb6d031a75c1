"""Making a stage of a run: a net with its out-of-fold scores, or pseudo labels."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earmark.data.clips import ClipSet, load_clips
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.machine import arithmetic_threads, keep_freed_memory
from earmark.runs.predictions import Block, read_predictions, read_weights_and_views, write_predictions
from earmark.runs.run import Run, RunInfo
from earmark.runs.votes import needed_scores
from earmark.scoring.clips import score_clips
from earmark.scoring.torch_scorer import open_scorer
from earmark.training import splits
from earmark.training.loop import train_piece
from earmark.training.piece import make_piece
from earmark.training.pseudo import guess_labels
from earmark.training.stages import Stage
from earmark.training.trainer import make_fabric


def is_made(run: Run, stage: Stage) -> bool:
    """Whether all files of a stage are written."""
    if stage.kind == "net" and stage.fold is not None:
        return run.is_finished(stage.name, stage.fold)
    return run.pseudo_labels(stage.name, stage.fold).is_file()


def make(run: Run, info: RunInfo, stage: Stage, data: Mapping[int, ClipSet]) -> None:
    """Makes a stage, unless it is made already.

    Args:
        run: the run; the stages that this one needs are made.
        info: the run's device and precision.
        stage: a net, or pseudo labels.
        data: all clips of the store, by sample rate in Hz.
    """
    if is_made(run, stage):
        return
    if stage.kind == "net" and stage.fold is not None:
        clips = data[run.recipe.members[stage.name].input.sample_rate]
        fabric = make_fabric(info.device, info.precision)
        piece = make_piece(run, stage.name, stage.fold, clips)
        train_piece(piece, fabric, _tensorboard(run.path / "tensorboard" / stage.name / f"fold{stage.fold}"))
        score_held_out(run, info, stage.name, stage.fold, clips)
    else:
        _guess(run, info, stage, data)


def make_alone(path: Path, store: Path, stage: Stage) -> None:
    """Makes a stage in a process of its own, which reads all it needs from files.

    Args:
        path: the run directory.
        store: folder of the store.
        stage: a net, or pseudo labels.
    """
    run, opened_store = Run.open(path), Store.open(store)
    assert run.info is not None  # it is written before the first stage
    keep_freed_memory()
    name = stage.name if stage.kind == "net" else run.recipe.pseudo_labels[stage.name].member
    rate = run.recipe.members[name].input.sample_rate
    with arithmetic_threads(run.info.threads):
        make(run, run.info, stage, {rate: load_clips(opened_store, rate)})


def missing_scores(run: Run, name: str, fold: int) -> list[tuple[str, str]]:
    """The pairs of weights and view that a finished net lacks scores for, because an ensemble was added to the recipe."""
    written = read_weights_and_views(run.scores_file(name, fold))
    if not written:  # the fold holds no clip out: its file is empty, and stays so
        return []
    return [pair for pair in needed_scores(run.recipe, name) if pair not in written]


def score_held_out(run: Run, info: RunInfo, name: str, fold: int, clips: ClipSet) -> None:
    """Writes a net's out-of-fold scores: those of the fold's clips that it was not trained on. Scores that are there already stay.

    Args:
        run: a run in which the net is trained.
        info: the run's device and precision.
        name: name of the net's member.
        fold: the fold that the net was not trained on.
        clips: all clips of the store, at the member's sample rate.
    """
    settings, path = run.recipe.members[name], run.scores_file(name, fold)
    blocks = read_predictions(path)[1] if path.is_file() else []
    pairs = missing_scores(run, name, fold) if path.is_file() else needed_scores(run.recipe, name)
    held_out = clips[splits.held_out(clips, fold, run.recipe, settings)]
    device = make_fabric(info.device, info.precision).device
    for weights in dict.fromkeys(weights for weights, _ in pairs):
        views = [view for pair_weights, view in pairs if pair_weights == weights]
        scorer = open_scorer(settings, len(clips.labels), run.weights(name, fold, weights), device)
        title = f"score {name} fold {fold}" + (f" {weights}" if len(pairs) > 1 else "")
        scores = score_clips(scorer, held_out, views, settings.scoring, title)
        blocks += [
            Block(held_out.clip_id, view_scores, name, fold, weights, view) for view, view_scores in zip(views, scores, strict=True)
        ]
    write_predictions(path, clips.labels, blocks)


def _guess(run: Run, info: RunInfo, stage: Stage, data: Mapping[int, ClipSet]) -> None:
    settings = run.recipe.pseudo_labels[stage.name]
    member = run.recipe.members[settings.member]
    clips = data[member.input.sample_rate]
    weights = [
        run.weights(net.name, net.fold, name) for net in stage.needs if net.fold is not None for name in member.unbiased_weights
    ]
    guess_labels(
        run.pseudo_labels(stage.name, stage.fold),
        clips[splits.unverified(clips, stage.fold, run.recipe)],
        member,
        weights,
        settings.temperature,
        make_fabric(info.device, info.precision).device,
        title=stage.title,
        fold=NO_FOLD if stage.fold is None else stage.fold,
    )


def _tensorboard(path: Path) -> Any | None:
    from lightning_fabric.loggers import TensorBoardLogger

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return TensorBoardLogger(path.parent, name="", version=path.name)
    except ModuleNotFoundError:
        return None
