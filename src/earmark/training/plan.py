"""The plan of a training: every stage with its clips, batches and estimated hours, before anything is trained."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.errors import RecipeError
from earmark.machine import arithmetic_threads, choose_device
from earmark.progress import progress_bar
from earmark.recipe import MemberSettings, Recipe
from earmark.runs.votes import ensemble_votes
from earmark.training import splits
from earmark.training.checks import check_members
from earmark.training.probe import CLASSES, faster_precision, faster_threads, noise_clips, seconds_per_clip, with_noise_vectors
from earmark.training.schedule import batch_size, plan_schedule
from earmark.training.splits import choose_folds, folds_of, learns_from_unverified, refuse_unlearnable
from earmark.training.stages import Stage, plan_stages
from earmark.training.trainer import make_fabric

FORWARD_SHARE = 1 / 3  # the forward pass's share of the time of a training step


@dataclass(frozen=True)
class PlannedStage:
    """A stage with its clips, batches and hours.

    Attributes:
        title: the stage's name for people.
        kind: ``net``, ``pseudo`` or ``agreement``.
        needs: titles of the stages that must be made before.
        clips: number of clips that the first task learns from; for pseudo labels, the clips whose labels are guessed.
        noisy: number of clips of the noisy task.
        soft: number of clips with pseudo labels.
        schedule: the schedule as the recipe gives it.
        batches: number of batches of the whole schedule.
        batch_size: examples of the first task in a batch.
        hours: estimated hours of training, without validation and scoring.
    """

    title: str
    kind: str
    needs: list[str]
    clips: int
    noisy: int
    soft: int
    schedule: str
    batches: int
    batch_size: int
    hours: float


@dataclass(frozen=True)
class Counts:
    """Numbers of the clips that may train in one fold."""

    verified: int
    unverified: int
    unlabelled: int


def plan(
    recipe: Recipe,
    store: Store | None,
    members: Sequence[str] | None = None,
    folds: Sequence[int] | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> dict[str, Any]:
    """The plan of a training: the stages in order, and the ensembles that can be made of them.

    The hours come from the time of a few batches of each kind of net, measured on this machine with the store's clips, or
    with noise if there is no store.

    Args:
        recipe: the whole recipe.
        store: the store to train on; if None, the plan is for the data that the recipe was published with.
        members: names of members; all by default.
        folds: numbers of folds; all by default.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: threads of the CPU's arithmetic; by default those that a run would choose.

    Returns:
        ``recipe``, ``data``, ``device``, ``precision``, ``threads``, ``stages`` (the fields of each `PlannedStage`), ``nets`` (their number),
        ``hours`` (of all stages) and ``ensembles`` (those whose members are all trained).

    Raises:
        RecipeError: there is no store and the recipe names no published data, or a member cannot be trained.
        RunError: there is no such fold, or a member lacks clips that it needs.
        EarmarkError: a GPU was asked for, and there is none.
    """
    chosen_members = recipe.choose_members(members)
    clips = load_clips(store, min(store.sample_rates)) if store is not None else None
    if clips is not None:
        all_folds, classes, data_name = folds_of(clips), len(clips.labels), "the store"
    elif recipe.published is not None:
        all_folds, classes, data_name = list(range(recipe.published.folds)), recipe.published.classes, "the published data"
    else:
        raise RecipeError(f"recipe {recipe.name} names no published data to count with; say --store")
    chosen_folds = choose_folds(all_folds, folds, data_name)
    suffice = clips is None or splits.verified_suffice(clips)
    stages = plan_stages(recipe, chosen_members, chosen_folds, all_folds, suffice, clips is None or splits.unverified_labels(clips))
    trained_members = list(dict.fromkeys(stage.name for stage in stages if stage.kind == "net"))
    for stage in stages:
        if clips is not None and stage.kind == "net" and stage.fold is not None:
            refuse_unlearnable(clips, stage.fold, recipe, stage.name, stage.part)
    check_members(recipe, trained_members, classes, examples=CLASSES)  # as many are measured where whole batches have no room
    device = choose_device(device)
    precision, threads, seconds = _probe(recipe, trained_members, store, device, threads)
    planned = [_planned(stage, recipe, clips, classes, seconds, suffice) for stage in stages]
    ensembles = [
        {
            "name": name,
            "rule": ensemble.rule,
            "members": {member: voter.weight for member, voter in recipe.voters(name).items()},
            "predictions": len(ensemble_votes(recipe, name, list(recipe.voters(name)), chosen_folds)),
            "leaks": any(map(recipe.leaks, recipe.voters(name))),
        }
        for name, ensemble in recipe.ensembles.items()
        if set(recipe.voters(name)) <= set(trained_members)
    ]
    return {
        "recipe": recipe.name,
        "data": str(store.path) if store is not None else "as published",
        "device": device,
        "precision": precision,
        "threads": threads,
        "stages": [asdict(stage) for stage in planned],
        "nets": sum(stage.kind == "net" for stage in planned),
        "hours": sum(stage.hours for stage in planned),
        "ensembles": ensembles,
    }


def plan_lines(planned: dict[str, Any]) -> list[str]:
    """The result of `plan` as lines for people."""
    stages = planned["stages"]
    width = max(len(stage["title"]) for stage in stages)
    lines = [f"{planned['recipe']} on {planned['data']}: {len(stages)} stages in this order"]
    for number, stage in enumerate(stages, start=1):
        parts = [f"{stage['clips']:,} clips"]
        parts += [f"{stage[kind]:,} {kind}" for kind in ("noisy", "soft") if stage[kind]]
        if stage["kind"] == "net":
            parts.append(f"{stage['schedule']} = {stage['batches']:,} batches of {stage['batch_size']}")
        parts.append(_duration(stage["hours"]))
        if stage["needs"]:
            parts.append("after " + ", ".join(stage["needs"]))
        lines.append(f"{number:>3}  {stage['title']:<{width}}  {'; '.join(parts)}")
    batches = sorted({stage["batches"] for stage in stages if stage["kind"] == "net"})
    length = f"{batches[0]:,} batches each" if len(batches) == 1 else f"{batches[0]:,} to {batches[-1]:,} batches each"
    lines.append(
        f"{planned['nets']} models, {length}; about {_duration(planned['hours'])} of training on this machine "
        f"({planned['device']}, {planned['precision']}{_threads_in_words(planned)}; by a few batches of each)"
    )
    for ensemble in planned["ensembles"]:
        members = ", ".join(f"{name} {weight:g}" for name, weight in ensemble["members"].items())
        leaks = "; validation labels leak into it" if ensemble["leaks"] else ""
        lines.append(
            f"ensemble {ensemble['name']}: {ensemble['predictions']} predictions a clip, {ensemble['rule'].replace('_', ' ')} "
            f"of {members}{leaks}"
        )
    return lines


def _threads_in_words(planned: dict[str, Any]) -> str:
    if planned["device"] == "cuda":
        return ""
    return ", one thread" if planned["threads"] == 1 else f", {planned['threads']} threads"


def _duration(hours: float) -> str:
    """A number of hours as text for people.

    >>> _duration(0.04), _duration(3.27), _duration(1234.5)
    ('2 min', '3.3 h', '1,234 h')
    """
    if hours < 1:
        return f"{max(round(hours * 60), 1)} min"
    return f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"


def _probe(
    recipe: Recipe, members: Sequence[str], store: Store | None, device: str, threads: int | None
) -> tuple[str, int, dict[str, float]]:
    """The precision and threads that a run would choose, and the measured seconds per clip of each member.

    Members whose settings take the same time are measured once.
    """
    data: dict[tuple[int, int, int], ClipSet] = {}
    clips_of = {}
    for name in members:
        settings, frontend = recipe.members[name].input, recipe.members[name].frontend
        # For nets that take vectors any vectors will do: their model is not asked for a plan.
        size = int(frontend.arguments.get("size", 600)) if frontend.name == "embedding" else 0
        key = (settings.sample_rate, settings.window, size)
        if key not in data:
            clips = load_clips(store, settings.sample_rate) if store else noise_clips(settings.sample_rate, settings.window)
            data[key] = with_noise_vectors(clips, size) if size else clips
        clips_of[name] = data[key]
    first = recipe.members[members[0]]
    precision = faster_precision(first, clips_of[members[0]], device) if recipe.precision == "auto" else recipe.precision
    threads = threads or faster_threads(first, clips_of[members[0]], device, precision)
    fabric = make_fabric(device, precision)
    measured: dict[str, float] = {}
    seconds = {}
    with arithmetic_threads(threads), progress_bar("probe", len(members), unit="nets") as bar:
        for number, name in enumerate(members, start=1):
            key_settings = _settings_that_take_time(recipe.members[name])
            if key_settings not in measured:
                measured[key_settings] = seconds_per_clip(recipe.members[name], clips_of[name], fabric)
            seconds[name] = measured[key_settings]
            bar.update(number)
    return precision, threads, seconds


def _settings_that_take_time(settings: MemberSettings) -> str:
    """The settings that the time of a training step depends on, as text; of the soft stream, only whether there is one."""
    without_soft = settings.model_copy(update={"soft": None})
    parts = without_soft.model_dump_json(include={"input", "frontend", "backbone", "head", "batch", "noisy", "optimiser"})
    return f"{parts} {settings.soft is not None}"


def _planned(
    stage: Stage, recipe: Recipe, clips: ClipSet | None, classes: int, seconds: dict[str, float], suffice: bool
) -> PlannedStage:
    """The plan of one stage.

    Args:
        stage: the stage.
        recipe: the recipe.
        clips: all clips of the store; None for the published data.
        classes: number of classes.
        seconds: the measured seconds per clip of each member.
        suffice: see `splits.verified_suffice`.
    """
    needs = [need.title for need in stage.needs]
    if stage.kind != "net":
        name = recipe.pseudo_labels[stage.name].member if stage.kind == "pseudo" else recipe.agreements[stage.name].member
        member = recipe.members[name]
        counts = _counts(recipe, clips, stage.fold)
        count = counts.unverified + (counts.unlabelled if stage.kind == "pseudo" else 0)
        # For an agreement every clip is scored by a single net, in all its views.
        passes = len(member.unbiased_weights) * (len(stage.needs) if stage.kind == "pseudo" else len(member.views))
        window = member.input.window
        mean_length = window if clips is None else float(clips.length.mean()) * member.input.sample_rate / clips.sample_rate
        clip_seconds = seconds[name]
        hours = passes * count * clip_seconds * FORWARD_SHARE * mean_length / window / 3600
        return PlannedStage(stage.title, stage.kind, needs, count, 0, 0, "", 0, 0, hours)
    settings = recipe.members[stage.name]
    counts = _counts(recipe, clips, stage.fold)
    if clips is not None and stage.fold is not None:
        first_task = int(splits.first_task(clips, stage.fold, recipe, settings).sum())
    else:
        first_task = counts.verified + (counts.unverified if learns_from_unverified(settings, suffice) else 0)
    schedule, size = plan_schedule(settings, first_task, classes), batch_size(settings, classes)
    return PlannedStage(
        stage.title,
        stage.kind,
        needs,
        first_task,
        counts.unverified if settings.noisy else 0,
        counts.unverified + counts.unlabelled if settings.soft else 0,
        settings.schedule_words,
        schedule.batches,
        size,
        schedule.batches * size * seconds[stage.name] / 3600,
    )


def _counts(recipe: Recipe, clips: ClipSet | None, fold: int | None) -> Counts:
    """How many clips may train in a fold; ``None``: how many have pseudo labels that all folds share."""
    if clips is not None:
        may_train = splits.allowed(clips, fold, recipe)
        labelled, verified = may_train & clips.labelled, clips.verified
        return Counts(int((labelled & verified).sum()), int((labelled & ~verified).sum()), int((may_train & ~labelled).sum()))
    published = recipe.published
    assert published is not None  # `plan` has checked it
    share = 1.0 if fold is None else (published.folds - 1) / published.folds
    unverified = published.unverified if recipe.unverified == "all" else round(published.unverified * share)
    return Counts(round(published.verified * share), unverified, 0)
