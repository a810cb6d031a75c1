"""Scoring clips with a net, and a run's scores against the labels."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earmark import audio, files
from earmark.assess.metrics import METRICS, Estimate, estimates
from earmark.assess.run import Block, Predictions, Run, write_predictions
from earmark.data.batching import FULL_SCALE
from earmark.data.clips import ClipSet, load_clips
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.nets.member import load_net
from earmark.nets.scoring import score_sounds
from earmark.nets.tagnet import TagNet
from earmark.progress import progress_bar
from earmark.recipe import MemberSettings
from earmark.tagging.ensemble import combine
from earmark.tagging.tagger import net_input


@dataclass(frozen=True)
class Scored:
    """Clips with scores and the labels to hold them against.

    Attributes:
        clips: N clips.
        scores: float32 ``[N, K]``.
    """

    clips: ClipSet
    scores: NDArray[np.float32]

    def chosen(self, mask: NDArray[np.bool_]) -> "Scored":
        return Scored(self.clips[mask], self.scores[mask])

    def estimates(self) -> dict[str, Estimate] | None:
        """The metrics over the clips that have labels to be scored against; None where there are none."""
        usable = self.chosen(self.clips.scored & self.clips.positive.any(axis=1))
        if not len(usable.clips):
            return None
        return estimates(usable.scores, usable.clips.positive, usable.clips.group)


def samples_of(clips: ClipSet, index: int) -> audio.Samples:
    """One clip's samples as they were before they were stored, float32 ``[samples]``."""
    first = int(clips.offset[index])
    pcm = clips.pcm[first : first + int(clips.length[index])].cpu().numpy()
    return pcm.astype(np.float32) * np.float32(clips.scale[index] / FULL_SCALE)


def score_clips(
    net: TagNet, clips: ClipSet, settings: MemberSettings, device: torch.device, views: Sequence[str] = ("whole",), title: str = ""
) -> NDArray[np.float32]:
    """Scores whole clips (Jeong & Lim §3.4, Akiyama & Sato §3.6), in float32; clips of like length go through the net together.

    Args:
        net: the member's.
        clips: N clips at the member's rate.
        settings: the member's.
        device: of the net.
        views: V versions of each clip.
        title: of a progress bar; none is shown without it.

    Returns:
        float32 ``[V, N, K]``, in the order of the clips.

    Raises:
        RunError: the scores are not finite.
    """
    own = settings.input
    sounding = clips.length - clips.lead - clips.tail if own.trim_silence else clips.length
    lengths = np.maximum(sounding, own.window if own.fill_short else 1)
    was_training = net.training
    net.eval()
    with progress_bar(title, len(clips), hidden=not title) as bar:
        found = score_sounds(
            net,
            lengths,
            lambda index: net_input(samples_of(clips, index), own),
            len(clips.labels),
            views,
            settings.scoring,
            device,
            bar.update,
        )
    net.train(was_training)
    if not np.isfinite(found).all():
        raise RunError("the net's scores are not numbers: the training diverged; start it anew with a lower rate")
    return found


@dataclass(frozen=True)
class Scores:
    """A run's scores, joined.

    Attributes:
        members: of each finished member: the mean over its weights that count and its views.
        ensembles: of each ensemble whose members are all finished; the run's own is always the first, of whichever of its
            members are.
        predictions: how many scores a clip has in each ensemble: members × folds × snapshots × views.
    """

    members: dict[str, Scored]
    ensembles: dict[str, Scored]
    predictions: dict[str, int]

    @property
    def main(self) -> Scored:
        """The run's own ensemble."""
        return next(iter(self.ensembles.values()))


def out_of_fold(run: Run, clips: ClipSet) -> Scores:
    """A run's out-of-fold scores with their clips. An ensemble covers the clips that all its members have scores for.

    Raises:
        RunError: nothing is finished, or the store is not the one that the run was trained on.
    """
    predictions = run.predictions()
    if not predictions:
        raise RunError(f"{run.path}: no net of it is finished; `earmark train` goes on with it")
    for found in predictions.values():
        if not np.isin(found.clip_id, clips.clip_id).all():
            raise RunError(f"{run.path}: its clips are not those of the store; it was trained on another one")
        if found.labels != clips.labels:
            raise RunError(f"{run.path}: its classes are not those of the store; it was trained on other labels")
    recipe = run.recipe
    rule = next(iter(recipe.ensembles.values())).rule
    members = {name: _together(clips, {name: found.chosen()}, {name: 1.0}, rule, run) for name, found in predictions.items()}
    ensembles, counts = {}, {}
    for ensemble, voices in run.ensembles().items():
        chosen = {name: predictions[name].chosen(recipe.counted(name, voice), voice.views) for name, voice in voices.items()}
        weights = {name: voice.weight for name, voice in voices.items()}
        ensembles[ensemble] = _together(clips, chosen, weights, recipe.ensembles[ensemble].rule, run)
        counts[ensemble] = sum(len(found) for found in chosen.values()) * len(run.common_folds(voices))
    return Scores(members, ensembles, counts)


def _together(
    clips: ClipSet, each: Mapping[str, Sequence[Predictions]], weights: Mapping[str, float], rule: str, run: Run
) -> Scored:
    """One score a clip: a member's weight is shared equally by its snapshots and views."""
    common = np.logical_and.reduce([np.isin(clips.clip_id, one.clip_id) for found in each.values() for one in found])
    if not common.any():
        raise RunError(f"{run.path}: its members share no clip; train the same folds of each")
    chosen = clips[common]
    scores = (one.scores[_positions(one.clip_id, chosen.clip_id)] for found in each.values() for one in found)
    shares = [weights[name] / len(found) for name, found in each.items() for _ in found]
    return Scored(chosen, combine(scores, shares, rule))


def _positions(names: NDArray[np.str_], wanted: NDArray[np.str_]) -> NDArray[np.int64]:
    order = np.argsort(names)
    found: NDArray[np.int64] = order[np.searchsorted(names, wanted, sorter=order)]
    return found


def run_metrics(run: Run, scores: Scores) -> dict[str, Any]:
    """What ``metrics.json`` holds.

    The three metrics at the top are the run's own ensemble's on *verified* clips; ``all`` is the same on every labelled clip,
    right or wrong labels alike; ``members`` and ``ensembles`` have both for each, and whether the figure ``leaks``: validation
    labels have reached the training through pseudo labels of other folds' nets.
    """
    recipe = run.recipe
    ensembles = {
        name: {**verified_and_all(found), "leaks": run.leaks(name), "predictions": scores.predictions[name]}
        for name, found in scores.ensembles.items()
    }
    return {
        **verified_and_all(scores.main),
        "leaks": next(iter(ensembles.values()))["leaks"],
        "members": {name: {**verified_and_all(found), "leaks": recipe.leaks(name)} for name, found in scores.members.items()},
        "ensembles": ensembles,
        "folds": run.finished(),
        "keep": {name: recipe.members[name].validation.keep for name in scores.members},
        "recipe": recipe.name,
        "fingerprint": recipe.fingerprint(),
    }


def verified_and_all(found: Scored) -> dict[str, Any]:
    """The metrics on verified clips, and under ``all`` on every labelled one, as plain data."""

    def plain(values: dict[str, Estimate] | None) -> dict[str, Any]:
        return {name: asdict(values[name]) if values else None for name in METRICS}

    return {**plain(found.chosen(found.clips.verified).estimates()), "all": plain(found.estimates())}


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    files.write_text(path, json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def run_store(run: Run, store: Path | None = None) -> Store:
    """The store that a run was trained on, or another one.

    Raises:
        RunError: the run does not name one yet.
        StoreError: it is not there.
    """
    if store is None:
        if run.info is None:
            raise RunError(f"{run.path}: it has not been started; `earmark train` starts it")
        store = Path(run.info.store)
    return Store.open(store)


def any_rate(store: Store) -> ClipSet:
    """The clips of a store where the samples do not matter: at its lowest rate."""
    return load_clips(store, min(store.sample_rates))


def evaluate_test(run: Run, store: Store) -> dict[str, Any]:
    """Scores a store's test split with every finished net; writes ``test.parquet`` and ``metrics-test.json`` into the run.

    Every clip of the split gets scores, of each ensemble; the metrics are over the clips whose labels may be scored against,
    together and, where the data set has a ``usage``, for each part of it.

    Raises:
        RunError: the store has no test split, or nothing is finished.
    """
    finished, recipe = run.finished(), run.recipe
    if not finished:
        raise RunError(f"{run.path}: no net of it is finished; `earmark train` goes on with it")
    rates = sorted({recipe.members[name].input.sample_rate for name in finished})
    sets = {rate: (clips := load_clips(store, rate))[clips.test] for rate in rates}
    first = next(iter(sets.values()))
    if not len(first):
        raise RunError(f"{store.path} has no test split")
    if first.labels.names != run.labels():
        raise RunError(f"{store.path} has other classes than {run.path}")
    on_gpu = run.info is not None and run.info.device == "cuda" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    ensembles = run.ensembles()
    used = {  # what any ensemble needs of a member
        name: list(
            dict.fromkeys(
                (c, view)
                for v in ensembles.values()
                if name in v
                for c in recipe.counted(name, v[name])
                for view in v[name].views or ()
            )
        )
        for name in finished
    }
    scores: dict[tuple[str, int, str, str], NDArray[np.float32]] = {}
    for name, wanted in used.items():
        settings = recipe.members[name]
        for fold in finished[name]:
            for counted in dict.fromkeys(c for c, _ in wanted):
                net = load_net(settings, len(first.labels), run.weights(name, fold, counted))
                views = [view for c, view in wanted if c == counted]
                title = f"score {name} fold {fold}" + (f" {counted}" if len(settings.counted) > 1 else "")
                each = score_clips(net.to(device), sets[settings.input.sample_rate], settings, device, views, title)
                scores |= {(name, fold, counted, view): one for view, one in zip(views, each, strict=True)}
    combined = {}
    for ensemble, voices in ensembles.items():
        keys = [
            ((name, fold, counted, view), voice.weight)
            for name, voice in voices.items()
            for fold in run.common_folds(voices)
            for counted in recipe.counted(name, voice)
            for view in voice.views or ()
        ]
        of_member = Counter(key[0] for key, _ in keys)
        shares = [weight / of_member[key[0]] for key, weight in keys]
        combined[ensemble] = Scored(first, combine((scores[key] for key, _ in keys), shares, recipe.ensembles[ensemble].rule))
    blocks = [
        Block(list(first.clip_id), found.scores, member=f"ensemble:{ensemble}", fold=NO_FOLD, snapshot="", view="")
        for ensemble, found in combined.items()
    ]
    write_predictions(run.path / "test.parquet", first.labels, blocks)
    each_metrics = {name: _test_metrics(found) for name, found in combined.items()}
    metrics = {
        **next(iter(each_metrics.values())),
        "ensembles": each_metrics,
        "recipe": recipe.name,
        "fingerprint": recipe.fingerprint(),
    }
    write_metrics(run.path / "metrics-test.json", metrics)
    return metrics


def _test_metrics(found: Scored) -> dict[str, Any]:
    usages = sorted(set(found.clips.usage.tolist()) - {""})
    parts = {name: part for name in usages if (part := verified_and_all(found.chosen(found.clips.usage == name)))["map@3"]}
    return {**verified_and_all(found), **({"usage": parts} if parts else {})}
