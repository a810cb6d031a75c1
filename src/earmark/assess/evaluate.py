"""Scoring clips with a net, and a run's scores against the labels."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earmark import audio, files
from earmark.assess.metrics import METRICS, Estimate, estimates
from earmark.assess.run import Predictions, Run, write_predictions
from earmark.data.batching import FULL_SCALE
from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.progress import progress_bar
from earmark.recipe import InputSettings
from earmark.tagging.ensemble import combine
from earmark.tagging.tagger import Tagger

BATCH_SAMPLES = 16 * 64000  # bounds the memory of one forward pass, save for a single clip that is longer


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
    net: torch.nn.Module, clips: ClipSet, settings: InputSettings, device: torch.device, title: str | None = None
) -> NDArray[np.float32]:
    """Scores whole clips (Jeong & Lim §3.4), in float32; clips of equal length go through the net together.

    Args:
        net: waveform ``[B, T]`` → scores ``[B, K]``.
        clips: N clips at the member's rate.
        settings: the member's input.
        device: of the net.
        title: of a progress bar; none is shown without it.

    Returns:
        float32 ``[N, K]``, in the order of the clips.

    Raises:
        RunError: the scores are not finite.
    """
    found = np.zeros((len(clips), len(clips.labels)), np.float32)
    was_training = net.training
    net.eval()
    done = 0
    with torch.inference_mode(), progress_bar(title or "", len(clips), hidden=title is None) as bar:
        for indices, waveform in _equal_lengths(clips, settings):
            found[indices] = net(torch.from_numpy(waveform).to(device)).float().cpu().numpy()
            bar.update(done := done + len(indices))
    net.train(was_training)
    if not np.isfinite(found).all():
        raise RunError("the net's scores are not numbers: the training diverged; start it anew with a lower rate")
    return found


def _equal_lengths(clips: ClipSet, settings: InputSettings) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    indices: list[int] = []
    inputs: list[audio.Samples] = []
    sounding = clips.length - clips.lead - clips.tail if settings.trim_silence else clips.length
    for index in np.argsort(np.maximum(sounding, settings.window), kind="stable"):
        waveform = audio.model_input(samples_of(clips, index), settings.window, settings.trim_silence)
        if inputs and (len(waveform) != len(inputs[0]) or len(waveform) * (len(inputs) + 1) > BATCH_SAMPLES):
            yield indices, np.stack(inputs)
            indices, inputs = [], []
        indices.append(int(index))
        inputs.append(waveform)
    if inputs:
        yield indices, np.stack(inputs)


def out_of_fold(run: Run, clips: ClipSet) -> tuple[Scored, dict[str, Scored]]:
    """A run's out-of-fold scores with their clips: of the ensemble, and of each member.

    The ensemble covers the clips that every finished member has scores for.

    Raises:
        RunError: nothing is finished, or the store is not the one that the run was trained on.
    """
    predictions = run.predictions()
    if not predictions:
        raise RunError(f"{run.path}: no net of it is finished; `earmark train` goes on with it")
    members = {name: _with_clips(found, clips, run) for name, found in predictions.items()}
    common = np.logical_and.reduce([np.isin(clips.clip_id, found.clips.clip_id) for found in members.values()])
    if not common.any():
        raise RunError(f"{run.path}: its members share no clip; train the same folds of each")
    weights = [run.recipe.ensemble.weights.get(name, 1.0) for name in members]
    aligned = [found.scores[_positions(found.clips.clip_id, clips.clip_id[common])] for found in members.values()]
    return Scored(clips[common], combine(aligned, weights, run.recipe.ensemble.rule)), members


def _with_clips(predictions: Predictions, clips: ClipSet, run: Run) -> Scored:
    if not np.isin(predictions.clip_id, clips.clip_id).all():
        raise RunError(f"{run.path}: its clips are not those of the store; it was trained on another one")
    if predictions.labels != clips.labels:
        raise RunError(f"{run.path}: its classes are not those of the store; it was trained on other labels")
    return Scored(clips[_positions(clips.clip_id, predictions.clip_id)], predictions.scores)


def _positions(names: NDArray[np.str_], wanted: NDArray[np.str_]) -> NDArray[np.int64]:
    order = np.argsort(names)
    found: NDArray[np.int64] = order[np.searchsorted(names, wanted, sorter=order)]
    return found


def run_metrics(run: Run, ensemble: Scored, members: Mapping[str, Scored]) -> dict[str, Any]:
    """What ``metrics.json`` holds.

    The three metrics at the top are the ensemble's on *verified* clips; ``all`` is the same on every labelled clip, right
    or wrong labels alike; ``members`` has both for each member.
    """
    return {
        **_verified_and_all(ensemble),
        "members": {name: _verified_and_all(found) for name, found in members.items()},
        "folds": run.finished(),
        "keep": {name: run.recipe.members[name].validation.keep for name in members},
        "recipe": run.recipe.name,
        "fingerprint": run.recipe.fingerprint(),
    }


def _verified_and_all(found: Scored) -> dict[str, Any]:
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
    """Scores a store's test split with the run's bundle; writes ``test.parquet`` and ``metrics-test.json`` into the run.

    Every clip of the split gets scores; the metrics are over the clips whose labels may be scored against.

    Raises:
        RunError: the store has no test split.
        BundleError: the run has no bundle yet.
    """
    tagger = Tagger.load(run.bundle)
    sets = {rate: (clips := load_clips(store, rate))[clips.test] for rate in tagger.sample_rates}
    first = next(iter(sets.values()))
    if not len(first):
        raise RunError(f"{store.path} has no test split")
    if first.labels != tagger.labels:
        raise RunError(f"{store.path} has other classes than {run.path}")
    on_gpu = run.info is not None and run.info.device == "cuda" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    members = tagger.config.members
    each = [
        score_clips(
            net.to(device), sets[member.input.sample_rate], member.input, device, f"score with {member.name} fold {member.fold}"
        )
        for member, net in zip(members, tagger.nets, strict=True)
    ]
    scores = combine(each, [member.weight for member in members], tagger.config.rule)
    write_predictions(
        run.path / "test.parquet", first.labels, list(first.clip_id), scores, member="ensemble", fold=-1, snapshot="bundle"
    )
    found = Scored(first, scores)
    metrics = {**_verified_and_all(found), "recipe": run.recipe.name, "fingerprint": run.recipe.fingerprint()}
    write_metrics(run.path / "metrics-test.json", metrics)
    return metrics
