"""The metrics of a run: of its out-of-fold scores, and on a test split."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earmark import files
from earmark.assess.joined import Joined, RunScores
from earmark.assess.metrics import METRICS, ClipFigures, EnsembleFigures, Estimate, Figures, RunMetrics, TestFigures, TestMetrics
from earmark.data.clips import ClipSet, load_clips
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.machine import choose_device
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
    ensembles = {name: _ensemble_figures(run, name, joined, scores.votes[name]) for name, joined in scores.ensembles.items()}
    main = next(iter(ensembles.values()))
    return {
        **{name: main[name] for name in (*METRICS, "all", "leaks")},  # type: ignore[literal-required, typeddict-item]
        "members": {name: {**clip_figures(joined), "leaks": recipe.leaks(name)} for name, joined in scores.members.items()},
        "ensembles": ensembles,
        "folds": run.finished(),
        "keep": {name: recipe.members[name].validation.keep for name in scores.members},
        "recipe": recipe.name,
        "fingerprint": recipe.fingerprint(),
    }


def _ensemble_figures(run: Run, name: str, joined: Joined, votes: Sequence[Vote]) -> EnsembleFigures:
    figures: EnsembleFigures = {
        **clip_figures(joined),  # type: ignore[typeddict-item]  # it has no key that may be missing
        "leaks": any(run.recipe.leaks(vote.member) for vote in votes),
        "predictions": len(votes),
        "best_weights": any(vote.weights == "best" for vote in votes),
    }
    _add_published(run, name, figures)
    return figures


def clip_figures(joined: Joined) -> ClipFigures:
    """The metrics on verified clips, and under ``all`` on all labelled clips, as plain data."""

    def plain(values: dict[str, Estimate] | None) -> Figures:
        return {name: asdict(values[name]) if values else None for name in METRICS}  # type: ignore[return-value]

    return {**plain(joined.chosen(joined.clips.verified).estimates()), "all": plain(joined.estimates())}


def write_metrics(path: Path, metrics: RunMetrics | TestMetrics) -> None:
    """Writes metrics as a JSON file, complete or not at all."""
    files.write_text(path, json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def run_store(run: Run, store: Path | None = None) -> Store:
    """The store to evaluate a run on.

    Args:
        run: the run.
        store: folder of the store; by default the store that the run was trained on.

    Raises:
        RunError: no store is given, and the run was never started.
        StoreError: the folder is no store.
    """
    if store is None:
        if run.info is None:
            raise RunError(f"{run.path}: it has not been started; `earmark train` starts it")
        store = Path(run.info.store)
    return Store.open(store)


def evaluate_test(run: Run, store: Store) -> TestMetrics:
    """Scores a store's test split with every ensemble of a run; writes ``test.parquet`` and ``metrics-test.json`` into the run.

    All clips of the split get scores. The metrics are over the judgeable clips: over all of them, and, if the data set has a
    column ``usage``, over each of its parts (``Public``, ``Private``).

    Raises:
        RunError: the store has no test split or other classes, or no net is finished.
    """
    votes, recipe = run.votes(), run.recipe
    if not votes:
        raise run.unfinished_error()
    members = {vote.member for ensemble_votes in votes.values() for vote in ensemble_votes}
    rates = sorted({recipe.members[name].input.sample_rate for name in members})
    test = {rate: (clips := load_clips(store, rate))[clips.test] for rate in rates}
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
    write_predictions(run.path / "test.parquet", clips.labels, blocks)
    figures = {name: _test_figures(run, name, Joined(clips, ensemble_scores)) for name, ensemble_scores in combined.items()}
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
    run: Run, votes: Sequence[Vote], clips: dict[int, ClipSet]
) -> dict[tuple[str, int, str, str], NDArray[np.float32]]:
    """Scores ``[N, K]`` by member, fold, weights and view. The weights of a net are opened once for all views.

    Args:
        run: the run that the nets belong to.
        votes: the votes that need scores.
        clips: the N clips to score, by sample rate in Hz.
    """
    from earmark.scoring.torch_scorer import open_scorer  # here, so that computing out-of-fold metrics does not import torch

    trained_on_gpu = run.info is not None and run.info.device == "cuda"
    device = choose_device("auto" if trained_on_gpu else "cpu")
    views_by_net: dict[tuple[str, int, str], dict[str, None]] = {}
    for vote in votes:
        views_by_net.setdefault((vote.member, vote.fold, vote.weights), {})[vote.view] = None
    scores: dict[tuple[str, int, str, str], NDArray[np.float32]] = {}
    for (name, fold, weights), views in views_by_net.items():
        settings = run.recipe.members[name]
        net_clips = clips[settings.input.sample_rate]
        scorer = open_scorer(settings, len(net_clips.labels), run.weights(name, fold, weights), device)
        scores_of_views = score_clips(scorer, net_clips, list(views), settings.scoring, f"score {name} fold {fold} {weights}")
        scores |= {(name, fold, weights, view): view_scores for view, view_scores in zip(views, scores_of_views, strict=True)}
    return scores


def _test_figures(run: Run, ensemble: str, joined: Joined) -> TestFigures:
    usages = sorted(set(joined.clips.usage.tolist()) - {""})
    parts = {usage: clip_figures(joined.chosen(joined.clips.usage == usage)) for usage in usages}
    figures: TestFigures = {**clip_figures(joined)}  # type: ignore[typeddict-item]  # it has no key that may be missing
    if parts := {usage: part for usage, part in parts.items() if part["map@3"]}:
        figures["usage"] = parts
    _add_published(run, ensemble, figures)
    return figures


def _add_published(run: Run, ensemble: str, figures: EnsembleFigures | TestFigures) -> None:
    """Adds the title and the figure that a publication gives an ensemble, if the recipe has them."""
    settings = run.recipe.ensembles[ensemble]
    if settings.title:
        figures["title"] = settings.title
    if settings.quoted is not None:
        figures["quoted"] = settings.quoted
