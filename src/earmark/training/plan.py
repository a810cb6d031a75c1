"""What training a recipe would take: every stage with its clips, batches and hours, before anything is trained."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.errors import RecipeError
from earmark.machine import choose_device
from earmark.progress import progress_bar
from earmark.recipe import MemberSettings, Recipe
from earmark.runs.votes import ensemble_votes
from earmark.training import splits
from earmark.training.checks import check_members
from earmark.training.probe import faster_precision, noise_clips, seconds_per_clip
from earmark.training.schedule import batch_size, plan_schedule
from earmark.training.splits import choose_folds, folds_of, refuse_unlearnable
from earmark.training.stages import Stage, plan_stages
from earmark.training.trainer import make_fabric

FORWARD_SHARE = 1 / 3  # of a training step's time is the forward pass


@dataclass(frozen=True)
class PlannedStage:
    """A stage and what it takes.

    Attributes:
        title: its name for people.
        kind: ``net`` or ``pseudo``.
        needs: titles of the stages before it.
        clips: that the first task is taught by; of pseudo labels: that are guessed.
        noisy: clips of the noisy task.
        soft: pseudo-labelled clips.
        schedule: in the recipe's words.
        batches: in all.
        batch_size: examples of the first task in each.
        hours: estimated, of the training alone.
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
    """Clips by what they are used for, for one fold."""

    verified: int
    unverified: int
    unlabelled: int


def plan(
    recipe: Recipe,
    store: Store | None,
    members: Sequence[str] | None = None,
    folds: Sequence[int] | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """The stages of a training in their order, and the predictions that its ensembles will be made of.

    Hours come from a few small batches of each kind of net, measured on this machine: on the store's clips, or on noise.

    Args:
        recipe: complete.
        store: its clips are counted; where None, those of the data that the recipe was published with.
        members: names; all by default.
        folds: numbers; all by default.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        ``recipe``, ``data``, ``device``, ``precision``, ``stages`` (as `PlannedStage`), ``nets``, ``hours``, ``ensembles`` (those
        whose members are all among the stages).

    Raises:
        RecipeError: there is no store, and the recipe names no published data.
        RunError: there is no such fold, no GPU where one is asked for, or not the clips that a member needs.
    """
    chosen = recipe.choose_members(members)
    clips = load_clips(store, min(store.sample_rates)) if store is not None else None
    if clips is not None:
        all_folds, classes, whose = folds_of(clips), len(clips.labels), "the store"
    elif recipe.published is not None:
        all_folds, classes, whose = list(range(recipe.published.folds)), recipe.published.classes, "the published data"
    else:
        raise RecipeError(f"recipe {recipe.name} names no published data to count with; say --store")
    wanted = choose_folds(all_folds, folds, whose)
    stages = plan_stages(recipe, chosen, wanted, all_folds)
    needed = list(dict.fromkeys(stage.name for stage in stages if stage.kind == "net"))
    for stage in stages:
        if clips is not None and stage.kind == "net" and stage.fold is not None:
            refuse_unlearnable(clips, stage.fold, recipe, stage.name)
    check_members(recipe, needed, classes)
    device = choose_device(device)
    precision, seconds = _probe(recipe, needed, store, device)
    planned = [_planned(stage, recipe, clips, classes, seconds) for stage in stages]
    ensembles = [
        {
            "name": name,
            "rule": ensemble.rule,
            "members": {of: voter.weight for of, voter in recipe.voters(name).items()},
            "predictions": len(ensemble_votes(recipe, name, list(recipe.voters(name)), wanted)),
            "leaks": any(map(recipe.leaks, recipe.voters(name))),
        }
        for name, ensemble in recipe.ensembles.items()
        if set(recipe.voters(name)) <= set(needed)
    ]
    return {
        "recipe": recipe.name,
        "data": str(store.path) if store is not None else "as published",
        "device": device,
        "precision": precision,
        "stages": [asdict(stage) for stage in planned],
        "nets": sum(stage.kind == "net" for stage in planned),
        "hours": sum(stage.hours for stage in planned),
        "ensembles": ensembles,
    }


def plan_lines(planned: dict[str, Any]) -> list[str]:
    """The plan as lines for people."""
    stages = planned["stages"]
    width = max(len(stage["title"]) for stage in stages)
    lines = [f"{planned['recipe']} on {planned['data']}: {len(stages)} stages in this order"]
    for number, stage in enumerate(stages, start=1):
        words = [f"{stage['clips']:,} clips"]
        words += [f"{stage[kind]:,} {kind}" for kind in ("noisy", "soft") if stage[kind]]
        if stage["kind"] == "net":
            words.append(f"{stage['schedule']} = {stage['batches']:,} batches of {stage['batch_size']}")
        words.append(_duration(stage["hours"]))
        if stage["needs"]:
            words.append("after " + ", ".join(stage["needs"]))
        lines.append(f"{number:>3}  {stage['title']:<{width}}  {'; '.join(words)}")
    batches = sorted({stage["batches"] for stage in stages if stage["kind"] == "net"})
    each = f"{batches[0]:,} batches each" if len(batches) == 1 else f"{batches[0]:,} to {batches[-1]:,} batches each"
    lines.append(
        f"{planned['nets']} models, {each}; about {_duration(planned['hours'])} of training on this machine "
        f"({planned['device']}, {planned['precision']}; by a few small batches of each)"
    )
    for ensemble in planned["ensembles"]:
        members = ", ".join(f"{name} {weight:g}" for name, weight in ensemble["members"].items())
        leaks = "; validation labels leak into it" if ensemble["leaks"] else ""
        lines.append(
            f"ensemble {ensemble['name']}: {ensemble['predictions']} predictions a clip, {ensemble['rule'].replace('_', ' ')} "
            f"of {members}{leaks}"
        )
    return lines


def _duration(hours: float) -> str:
    """Hours for people.

    >>> _duration(0.04), _duration(3.27), _duration(1234.5)
    ('2 min', '3.3 h', '1,234 h')
    """
    if hours < 1:
        return f"{max(round(hours * 60), 1)} min"
    return f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"


def _probe(recipe: Recipe, members: Sequence[str], store: Store | None, device: str) -> tuple[str, dict[str, float]]:
    """The precision that a run would take, and each member's seconds a clip; nets that are trained alike are tried once."""
    data: dict[tuple[int, int], ClipSet] = {}
    for name in members:
        own = recipe.members[name].input
        key = (own.sample_rate, own.window)
        if key not in data:
            data[key] = load_clips(store, own.sample_rate) if store else noise_clips(own.sample_rate, own.window)
    of = {name: data[recipe.members[name].input.sample_rate, recipe.members[name].input.window] for name in members}
    first = recipe.members[members[0]]
    precision = faster_precision(first, of[members[0]], device) if recipe.precision == "auto" else recipe.precision
    fabric = make_fabric(device, precision)
    tried: dict[str, float] = {}
    seconds = {}
    with progress_bar("probe", len(members)) as bar:
        for number, name in enumerate(members, start=1):
            alike = _what_takes_time(recipe.members[name])
            if alike not in tried:
                tried[alike] = seconds_per_clip(recipe.members[name], of[name], fabric)
            seconds[name] = tried[alike]
            bar.update(number)
    return precision, seconds


def _what_takes_time(settings: MemberSettings) -> str:
    same = settings.model_copy(update={"soft": None})
    parts = same.model_dump_json(include={"input", "frontend", "backbone", "head", "batch", "noisy", "optimiser"})
    return f"{parts} {settings.soft is not None}"


def _planned(stage: Stage, recipe: Recipe, clips: ClipSet | None, classes: int, seconds: dict[str, float]) -> PlannedStage:
    needs = [need.title for need in stage.needs]
    if stage.kind == "pseudo":
        member = recipe.members[recipe.pseudo_labels[stage.name].member]
        guessed = _counts(recipe, clips, stage.fold)
        count = guessed.unverified + guessed.unlabelled
        nets = len(stage.needs) * len(member.unbiased_weights)
        own = member.input
        mean = own.window if clips is None else float(clips.length.mean()) * own.sample_rate / clips.sample_rate
        hours = nets * count * seconds[recipe.pseudo_labels[stage.name].member] * FORWARD_SHARE * mean / own.window / 3600
        return PlannedStage(stage.title, stage.kind, needs, count, 0, 0, "", 0, 0, hours)
    settings = recipe.members[stage.name]
    counts = _counts(recipe, clips, stage.fold)
    first = counts.verified + (counts.unverified if settings.clips == "labelled" else 0)
    schedule, size = plan_schedule(settings, first, classes), batch_size(settings, classes)
    return PlannedStage(
        stage.title,
        stage.kind,
        needs,
        first,
        counts.unverified if settings.noisy else 0,
        counts.unverified + counts.unlabelled if settings.soft else 0,
        settings.schedule_words,
        schedule.batches,
        size,
        schedule.batches * size * seconds[stage.name] / 3600,
    )


def _counts(recipe: Recipe, clips: ClipSet | None, fold: int | None) -> Counts:
    """Training clips for a fold (None: for pseudo labels of all folds)."""
    if clips is not None:
        may_train = splits.allowed(clips, fold, recipe)
        labelled, verified = may_train & clips.labelled, clips.verified
        return Counts(int((labelled & verified).sum()), int((labelled & ~verified).sum()), int((may_train & ~labelled).sum()))
    published = recipe.published
    assert published is not None  # `plan` has looked
    share = 1.0 if fold is None else (published.folds - 1) / published.folds
    unverified = published.unverified if recipe.unverified == "all" else round(published.unverified * share)
    return Counts(round(published.verified * share), unverified, 0)
