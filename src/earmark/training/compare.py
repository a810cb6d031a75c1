"""Methods side by side: trained on the same clips, of which some labels are wrong, and held against the right labels."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from earmark.assess.compare import metric_of
from earmark.assess.joined import out_of_fold
from earmark.assess.methods import Method, MethodTable
from earmark.assess.metrics import METRICS, Estimate, Figures, clip_sums, estimates, estimates_of_sets
from earmark.data.plant import planted_store
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable
from earmark.errors import EarmarkError, RunError
from earmark.recipe import Recipe
from earmark.runs.data import load_unchanged_table
from earmark.runs.run import RunInfo
from earmark.training.methods import METHODS, ON_VERIFIED, Methods, derive_methods
from earmark.training.splits import folds_of, refuse_unlearnable, unverified_labels, verified_suffice
from earmark.training.stages import plan_stages
from earmark.training.train import TrainRequest, train_nets


def compare_methods(
    recipe: Recipe,
    store: Store,
    truth: Array,
    out: Path,
    clean: Path,
    *,
    title: str,
    note: str,
    methods: Sequence[str] | None = None,
    threads: int | None = None,
    jobs: int = 1,
) -> MethodTable:
    """Trains methods on a store some of whose labels are known to be wrong. Stopped at any moment, the same call goes on.

    All training clips that have a right label are scored, each by nets that never heard its recording.

    Args:
        recipe: any recipe, see `derive_methods`; the models of its embeddings are resolved.
        store: a store with wrong labels.
        truth: the right labels of all its clips, bool ``[N, K]``, in the order of its table.
        out: the folder that becomes a run directory, with an ensemble of each method's name; new, or that of an earlier call.
        clean: likewise, for the training without wrong labels. The folder beside it, with ``-store`` added, is used on the way.
        title: heading of the table.
        note: what to say under it.
        methods: names of `METHODS`; by default all that the recipe's net and the clips allow. The two ends are always there.
        threads: see `TrainRequest`; of runs that are not begun yet.
        jobs: see `TrainRequest`; without wrong labels the nets are few, and are trained one after the other.

    Raises:
        EarmarkError: a method is not known, or cannot be trained, and the reason.
    """
    check_names(methods)
    clips = load_unchanged_table(store)
    derived = derive_methods(recipe, len(clips.labels))
    chosen = choose_methods(derived, methods, [clips])[0]
    right = replace(clips, positive=truth, verified=clips.verified | truth.any(axis=1))
    judged = judgeable(right)

    def scores_on(learned: Store, names: Sequence[str], run: Path, jobs: int) -> dict[str, Array]:
        return learn(derived, names, compare_request(derived, learned, run, threads, jobs))[0]

    scores = {name: [values[judged]] for name, values in scores_on(store, chosen, out, jobs).items()}
    without = planted_store(store, clean.with_name(f"{clean.name}-store"), right.positive, right.verified)
    scores["clean"] = [scores_on(without, ["given"], clean, 1)["given"][judged]]
    shutil.rmtree(without.path)
    return method_table(scores, right[judged], title=title, note=note)


def compare_request(derived: Methods, store: Store, out: Path, threads: int | None, jobs: int) -> TrainRequest:
    """What to train for a comparison; a run that was begun keeps its threads."""
    begun = (out / "run.json").is_file()
    return TrainRequest(derived.recipe, store, out, threads=None if begun else threads, jobs=jobs)


def judgeable(truth: ClipTable) -> Array:
    """Which clips with right labels can be scored, bool ``[N]``: verified training clips that have a label."""
    mask: Array = truth.verified & truth.judgeable & ~truth.test
    return mask


def check_names(methods: Sequence[str] | None) -> None:
    """Checks that methods that were asked for are methods.

    Raises:
        EarmarkError: one is not.
    """
    if unknown := [name for name in methods or () if name not in METHODS]:
        raise EarmarkError(f"no method {unknown[0][:100]!r}; there are {', '.join(METHODS)}")


def choose_methods(
    derived: Methods, wanted: Sequence[str] | None, plantings: Sequence[ClipTable]
) -> tuple[list[str], dict[str, str]]:
    """The methods to train, without ``clean``, and those that the net or the clips do not allow, with the reasons.

    Args:
        derived: the methods that the net can have.
        wanted: the names that were asked for; None for all that can be had.
        plantings: the clips with the labels that are learned from, of each seed.

    Raises:
        EarmarkError: a method that was asked for, or ``given``, cannot be trained.
    """
    asked = [name for name in METHODS if name != "clean" and (wanted is None or name in wanted or name == "given")]
    refused = {name: derived.refused.get(name) or _unlearnable(derived, name, plantings) for name in asked}
    reasons = {name: reason for name, reason in refused.items() if reason is not None}
    for name, reason in reasons.items():
        if wanted is not None or name == "given":
            raise EarmarkError(f"method {name}: {reason}")
    return [name for name in asked if name not in reasons], reasons


def _unlearnable(derived: Methods, method: str, plantings: Sequence[ClipTable]) -> str | None:
    """Why some clips are too few for a method; None if all suffice."""
    for clips in plantings:
        suffice, folds = verified_suffice(clips), folds_of(clips)
        if method in ON_VERIFIED and not suffice:
            return "too few clips stay verified: outside some fold a class has none; let more stay verified"
        try:
            for stage in plan_stages(derived.recipe, derived.members([method]), folds, folds, suffice, unverified_labels(clips)):
                if stage.kind == "net" and stage.fold is not None:
                    refuse_unlearnable(clips, stage.fold, derived.recipe, stage.name, stage.part)
        except RunError as error:
            return str(error)
    return None


def learn(derived: Methods, methods: Sequence[str], request: TrainRequest) -> tuple[dict[str, Array], RunInfo]:
    """Trains methods on a store.

    Args:
        derived: the methods of the request's recipe.
        methods: their names, without ``clean``.
        request: what to train them on, and how; the members are those of the methods.

    Returns:
        Each method's scores of all clips of the store, ``[N, K]``: NaN where a clip is not held out. What the run computed with.
    """
    run = train_nets(replace(request, members=derived.members(methods)))
    clips = load_unchanged_table(request.store)
    ensembles = out_of_fold(run, clips).ensembles
    row_of = {clip: row for row, clip in enumerate(clips.clip_id.tolist())}
    scores = {}
    for name in methods:
        scores[name] = np.full(clips.positive.shape, np.nan, np.float32)
        scores[name][[row_of[clip] for clip in ensembles[name].clips.clip_id.tolist()]] = ensembles[name].scores
    return scores, run.started()


def method_table(scores: Mapping[str, Sequence[Array]], truth: ClipTable, *, title: str, note: str) -> MethodTable:
    """The table of some methods.

    Args:
        scores: of each method, by its name, the scores of all clips, ``[N, K]``, of each seed.
        truth: the N clips with their right labels. The metric is accuracy, or lwlrap if some clip has several labels.
        title: heading of the table.
        note: what to say under it.
    """
    roles = {"given": "start", "clean": "goal"}
    rows = tuple(
        Method(METHODS[name], _figures(scores[name], truth), roles.get(name, "method"))  # type: ignore[arg-type]
        for name in METHODS
        if name in scores
    )
    return MethodTable(title, note, rows, metric_of(truth))


def gap_of(scores: Mapping[str, Sequence[Array]], truth: ClipTable) -> Estimate:
    """How much the methods' metric is higher without wrong labels than with all labels as given, with an interval of the difference.

    Args:
        scores: as `method_table` has them; those of ``given`` and ``clean`` are used.
        truth: the clips with their right labels.
    """
    given = np.mean([clip_sums(part, truth.positive) for part in scores["given"]], axis=0)
    clean = np.mean([clip_sums(part, truth.positive) for part in scores["clean"]], axis=0)
    clean[:, 0::2] -= given[:, 0::2]  # the numerators: the difference of two means with the same denominators is a mean
    return estimates_of_sets([(clean, truth.group)])[0][metric_of(truth)]


def _figures(scores: Sequence[Array], truth: ClipTable) -> Figures:
    """The metrics over all seeds. Intervals are of recordings: what all seeds make of a recording is drawn together."""
    seeds = len(scores)
    pooled = estimates(np.concatenate(scores), np.tile(truth.positive, (seeds, 1)), np.tile(truth.group, seeds))
    return {name: asdict(pooled[name]) | {"clips": len(truth)} for name in METRICS}  # type: ignore[return-value]
