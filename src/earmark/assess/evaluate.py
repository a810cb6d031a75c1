"""The metrics of a run: of its out-of-fold scores, and on a test split."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earmark import files
from earmark.assess.joined import Joined, RunScores
from earmark.assess.metrics import (
    METRICS,
    ClipFigures,
    EnsembleFigures,
    Estimate,
    Figures,
    RunMetrics,
    TestFigures,
    TestMetrics,
    clip_sums,
    estimates_of_sets,
)
from earmark.data.clips import ClipSet
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.machine import choose_device
from earmark.runs.data import check_unchanged, load_unchanged_inputs
from earmark.runs.predictions import NO_VIEW, Block, write_predictions
from earmark.runs.run import Run
from earmark.runs.votes import Vote
from earmark.scoring.clips import score_clips
from earmark.scoring.ensemble import combine


def run_metrics(run: Run, scores: RunScores) -> RunMetrics:
    """The content of ``metrics.json``.

    The three metrics at the top are those of the run's own ensemble on *verified* clips; ``all`` has the same metrics on all
    labelled clips, with right and with wrong labels. ``members`` and ``ensembles`` have both for each member and ensemble.
    ``leaks`` says whether validation labels got into the training, through pseudo labels that nets of other folds guessed.
    """
    recipe = run.recipe
    sets = [*scores.members.values(), *scores.ensembles.values()]
    figures = clip_figures(sets)
    of_members = dict(zip(scores.members, figures, strict=False))
    of_ensembles = zip(scores.ensembles, figures[len(of_members) :], strict=True)
    ensembles = {name: _ensemble_figures(run, name, values, scores.votes[name]) for name, values in of_ensembles}
    main = next(iter(ensembles.values()))
    return {
        **{name: main[name] for name in (*METRICS, "all", "leaks")},  # type: ignore[literal-required, typeddict-item]
        "members": {name: {**values, "leaks": recipe.leaks(name)} for name, values in of_members.items()},
        "ensembles": ensembles,
        "folds": run.finished(),
        "keep": {name: recipe.members[name].validation.keep for name in scores.members},
        "recipe": recipe.name,
        "fingerprint": recipe.fingerprint(),
    }


def _ensemble_figures(run: Run, name: str, values: ClipFigures, votes: Sequence[Vote]) -> EnsembleFigures:
    figures: EnsembleFigures = {
        **values,  # type: ignore[typeddict-item]  # it has no key that may be missing
        "leaks": any(run.recipe.leaks(vote.member) for vote in votes),
        "predictions": len(votes),
        "best_weights": any(vote.weights == "best" for vote in votes),
    }
    _add_published(run, name, figures)
    return figures


def clip_figures(sets: Iterable[Joined]) -> list[ClipFigures]:
    """For each set of clips the metrics on its verified clips, and under ``all`` on all its labelled clips, as plain data."""
    parts = []
    for joined in sets:
        judgeable = joined.judgeable
        sums, group = clip_sums(judgeable.scores, judgeable.clips.positive), judgeable.clips.group
        verified = judgeable.clips.verified
        parts += [(sums[verified], group[verified]), (sums, group)]
    found = iter(estimates_of_sets([part for part in parts if len(part[0])]))
    plain = [_plain(next(found) if len(sums) else None) for sums, _ in parts]
    return [{**verified, "all": everything} for verified, everything in zip(plain[0::2], plain[1::2], strict=True)]


def _plain(values: dict[str, Estimate] | None) -> Figures:
    return {name: asdict(values[name]) if values else None for name in METRICS}  # type: ignore[return-value]


def write_metrics(path: Path, metrics: RunMetrics | TestMetrics) -> None:
    """Writes metrics as a JSON file, complete or not at all."""
    files.write_text(path, json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def evaluate_test(run: Run, store: Store) -> TestMetrics:
    """Scores a store's test split with every ensemble of a run; writes ``test.parquet`` and ``metrics-test.json`` into the run.

    All clips of the split get scores. The metrics are over the judgeable clips: over all of them, and, if the data set has a
    column ``usage``, over each of its parts (``Public``, ``Private``).

    Raises:
        RunError: the store has no test split or other classes, no net is finished, or some scores are not finite.
        StoreError: the store is damaged, or is prepared anew meanwhile.
    """
    votes, recipe = run.votes(), run.recipe
    if not votes:
        raise run.unfinished_error()
    members = {vote.member for ensemble_votes in votes.values() for vote in ensemble_votes}
    inputs = load_unchanged_inputs(store, recipe, sorted(members))
    test = {name: clips[clips.test] for name, clips in inputs.items()}
    clips = next(iter(test.values()))
    if not len(clips):
        raise RunError(f"{store.path} has no test split")
    if clips.labels != run.labels():
        raise RunError(f"{store.path} has other classes than {run.path}")
    scores = _scores_of_votes(run, [vote for ensemble_votes in votes.values() for vote in ensemble_votes], test)
    combined = {
        name: combine(
            (scores[_net_and_view(vote)] for vote in ensemble_votes),
            [vote.share for vote in ensemble_votes],
            recipe.ensembles[name].rule,
        )
        for name, ensemble_votes in votes.items()
    }
    blocks = [
        Block(clips.clip_id, ensemble_scores, ensemble_name(name), NO_FOLD, "", NO_VIEW)
        for name, ensemble_scores in combined.items()
    ]
    check_unchanged(store)  # its labels are those that the scores are compared with
    write_predictions(run.path / "test.parquet", clips.labels, blocks)
    figures = _test_figures(run, {name: Joined(clips, ensemble_scores) for name, ensemble_scores in combined.items()})
    metrics: TestMetrics = {
        **next(iter(figures.values())),
        "ensembles": figures,
        "recipe": recipe.name,
        "fingerprint": recipe.fingerprint(),
    }
    write_metrics(run.path / "metrics-test.json", metrics)
    return metrics


def ensemble_name(name: str) -> str:
    """The name of an ensemble in the column ``member`` of ``test.parquet``."""
    return f"ensemble:{name}"


def _net_and_view(vote: Vote) -> tuple[str, int, str, str]:
    return vote.member, vote.fold, vote.weights, vote.view


def _scores_of_votes(
    run: Run, votes: Sequence[Vote], clips: dict[str, ClipSet]
) -> dict[tuple[str, int, str, str], NDArray[np.float32]]:
    """Scores ``[N, K]`` by member, fold, weights and view. The weights of a net are opened once for all views.

    Args:
        run: the run that the nets belong to.
        votes: the votes that need scores.
        clips: the N clips to score, by member.
    """
    from earmark.scoring.opened import open_scorer  # here, so that computing out-of-fold metrics does not import torch

    trained_on_gpu = run.info is not None and run.info.device == "cuda"
    device = choose_device("auto" if trained_on_gpu else "cpu")
    views_by_net: dict[tuple[str, int, str], dict[str, None]] = {}
    for vote in votes:
        views_by_net.setdefault((vote.member, vote.fold, vote.weights), {})[vote.view] = None
    scores: dict[tuple[str, int, str, str], NDArray[np.float32]] = {}
    for (name, fold, weights), views in views_by_net.items():
        settings = run.recipe.members[name]
        net_clips = clips[name]
        scorer = open_scorer(settings, len(net_clips.labels), run.weights(name, fold, weights), device)
        title = f"{name} fold {fold} {weights}"
        scores_of_views = score_clips(scorer, net_clips, list(views), settings.scoring, f"score {title}", net=title)
        scores |= {(name, fold, weights, view): view_scores for view, view_scores in zip(views, scores_of_views, strict=True)}
    return scores


def _test_figures(run: Run, ensembles: dict[str, Joined]) -> dict[str, TestFigures]:
    usages = sorted({usage for joined in ensembles.values() for usage in joined.clips.usage.tolist()} - {""})
    parts = {
        name: [joined, *(joined.chosen(joined.clips.usage == usage) for usage in usages)] for name, joined in ensembles.items()
    }
    found = iter(clip_figures(part for ensemble_parts in parts.values() for part in ensemble_parts))
    by_ensemble: dict[str, TestFigures] = {}
    for name in ensembles:
        figures: TestFigures = {**next(found)}  # type: ignore[typeddict-item]  # it has no key that may be missing
        of_usages = {usage: next(found) for usage in usages}
        if scored := {usage: part for usage, part in of_usages.items() if part["map@3"]}:
            figures["usage"] = scored
        _add_published(run, name, figures)
        by_ensemble[name] = figures
    return by_ensemble


def _add_published(run: Run, ensemble: str, figures: EnsembleFigures | TestFigures) -> None:
    """Adds the title and the figure that a publication gives an ensemble, if the recipe has them."""
    settings = run.recipe.ensembles[ensemble]
    if settings.title:
        figures["title"] = settings.title
    if settings.quoted is not None:
        figures["quoted"] = settings.quoted
