"""Making a stage of a run: a net with its out-of-fold scores, or pseudo labels."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earmark.data.clips import ClipSet
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.data.table import ClipTable
from earmark.errors import RunError
from earmark.machine import arithmetic_threads, keep_freed_memory
from earmark.recipe import Recipe
from earmark.runs.data import check_store, load_run_inputs, open_store
from earmark.runs.predictions import REMEDY, Block, read_predictions, read_weights_and_views, write_predictions
from earmark.runs.run import Run, RunInfo
from earmark.runs.votes import needed_scores
from earmark.scoring.clips import score_clips
from earmark.scoring.opened import open_scorer
from earmark.training import splits
from earmark.training.agreement import write_agreement
from earmark.training.loop import train_piece
from earmark.training.piece import make_piece
from earmark.training.pseudo import guess_labels
from earmark.training.stages import Stage
from earmark.training.trainer import make_fabric


def is_made(run: Run, stage: Stage) -> bool:
    """Whether all files of a stage are written."""
    if stage.fold is not None and stage.kind == "net":
        if stage.part is None:
            return run.is_finished(stage.name, stage.fold)
        kept = run.recipe.members[stage.name].unbiased_weights
        return all(run.weights(stage.name, stage.fold, name, stage.part).is_file() for name in ("last", *kept))
    if stage.fold is not None and stage.kind == "agreement":
        return run.agreement(stage.name, stage.fold).is_file()
    return run.pseudo_labels(stage.name, stage.fold).is_file()


def make(run: Run, info: RunInfo, stage: Stage, store: Store, data: Mapping[str, ClipSet]) -> None:
    """Makes a stage, unless it is made already.

    Args:
        run: the run; the stages that this one needs are made.
        info: the run's device and precision.
        stage: a net, or pseudo labels.
        store: the store that the run learns from.
        data: all clips of the store as the nets of members take them, by the member's name.

    Raises:
        RunError: the store was prepared anew since the run began, or the training diverged.
    """
    if is_made(run, stage):
        return
    check_store(run, store)  # `data` is that of the run, but what is trained on it now could not be evaluated
    if stage.kind == "net" and stage.fold is not None:
        clips = data[stage.name]
        fabric = make_fabric(info.device, info.precision)
        piece = make_piece(run, stage.name, stage.fold, clips, stage.part)
        train_piece(piece, fabric, _tensorboard(run.path / "tensorboard" / stage.name / piece.path.name))
        if stage.part is None:
            score_held_out(run, info, stage.name, stage.fold, clips)
    elif stage.kind == "agreement" and stage.fold is not None:
        _agree(run, info, stage, stage.fold, data)
    else:
        _guess(run, info, stage, data)


def make_alone(path: Path, store: Path, stage: Stage) -> None:
    """Makes a stage in a process of its own, which reads all it needs from files.

    Args:
        path: the run directory.
        store: folder of the store.
        stage: a net, or pseudo labels.

    Raises:
        RunError: the store was prepared anew since the run began, or the training diverged.
    """
    run = Run.open(path)
    info, opened_store = run.started(), open_store(run, store)
    keep_freed_memory()
    name = _member_of(run.recipe, stage)
    with arithmetic_threads(info.threads):
        make(run, info, stage, opened_store, {name: load_run_inputs(run, opened_store, name)})


def _member_of(recipe: Recipe, stage: Stage) -> str:
    """The member whose nets a stage trains or asks."""
    match stage.kind:
        case "pseudo":
            return recipe.pseudo_labels[stage.name].member
        case "agreement":
            return recipe.agreements[stage.name].member
    return stage.name


def missing_scores(run: Run, name: str, fold: int) -> list[tuple[str, str]]:
    """The pairs of weights and view that a finished net lacks scores for, because an ensemble was added to the recipe."""
    written = read_weights_and_views(run.scores_file(name, fold))
    if not written:  # the fold holds no clip out: its file is empty, and stays so
        return []
    return [pair for pair in needed_scores(run.recipe, name) if pair not in written]


def scores_fault(run: Run, name: str, fold: int, clips: ClipTable) -> str | None:
    """What is wrong with a finished net's out-of-fold scores; None if they are whole: of this net, of all its held-out clips.

    Args:
        run: the run.
        name: name of the net's member.
        fold: the fold that the net was not trained on.
        clips: all clips of the store.
    """
    path = run.scores_file(name, fold)
    try:
        labels, blocks = read_predictions(path)
    except RunError as error:
        return str(error).removesuffix(REMEDY)
    if labels != clips.labels:
        return f"{path} has other classes than the store"
    if any((block.member, block.fold) != (name, fold) for block in blocks):
        return f"{path} has scores of another net"
    held_out = sorted(clips.clip_id[splits.held_out(clips, fold, run.recipe, run.recipe.members[name])].tolist())
    if any(sorted(block.clip_id.tolist()) != held_out for block in blocks) or (held_out and not blocks):
        return f"{path} has not the scores of all clips that its fold holds out, and of no others"
    return None


def score_held_out(run: Run, info: RunInfo, name: str, fold: int, clips: ClipSet, anew: bool = False) -> None:
    """Writes a net's out-of-fold scores: those of the fold's clips that it was not trained on.

    Args:
        run: a run in which the net is trained.
        info: the run's device and precision.
        name: name of the net's member.
        fold: the fold that the net was not trained on.
        clips: all clips of the store, at the member's sample rate.
        anew: make the scores that are there already, too; else they stay.

    Raises:
        RunError: the net's weights are missing or damaged, or some scores are not finite.
    """
    settings, path = run.recipe.members[name], run.scores_file(name, fold)
    anew = anew or not path.exists()
    blocks = [] if anew else read_predictions(path)[1]
    pairs = needed_scores(run.recipe, name) if anew else missing_scores(run, name, fold)
    held_out = clips[splits.held_out(clips, fold, run.recipe, settings)]
    device = make_fabric(info.device, info.precision).device
    for weights in dict.fromkeys(weights for weights, _ in pairs):
        views = [view for pair_weights, view in pairs if pair_weights == weights]
        scorer = open_scorer(settings, len(clips.labels), run.weights(name, fold, weights), device)
        title = f"score {name} fold {fold}" + (f" {weights}" if len(pairs) > 1 else "")
        scores = score_clips(scorer, held_out, views, settings.scoring, title, net=f"{name} fold {fold} {weights}")
        blocks += [
            Block(held_out.clip_id, view_scores, name, fold, weights, view) for view, view_scores in zip(views, scores, strict=True)
        ]
    write_predictions(path, clips.labels, blocks)


def _guess(run: Run, info: RunInfo, stage: Stage, data: Mapping[str, ClipSet]) -> None:
    settings = run.recipe.pseudo_labels[stage.name]
    member = run.recipe.members[settings.member]
    clips = data[settings.member]
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


def _agree(run: Run, info: RunInfo, stage: Stage, fold: int, data: Mapping[str, ClipSet]) -> None:
    settings = run.recipe.agreements[stage.name]
    member, clips = run.recipe.members[settings.member], data[settings.member]
    chosen = splits.judged(clips, fold, run.recipe)
    judges = [
        (net.part, [run.weights(net.name, net.fold, name, net.part) for name in member.unbiased_weights])
        for net in stage.needs
        if net.fold is not None
    ]
    write_agreement(
        run.agreement(stage.name, fold),
        clips[chosen],
        splits.parts(clips)[chosen],
        settings,
        member,
        judges,
        make_fabric(info.device, info.precision).device,
        title=stage.title,
        fold=fold,
    )


def _tensorboard(path: Path) -> Any | None:
    from lightning_fabric.loggers import TensorBoardLogger

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return TensorBoardLogger(path.parent, name="", version=path.name)
    except ModuleNotFoundError:
        return None
