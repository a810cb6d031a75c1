"""What to do next with a finished run: a few suggestions, with the commands that do it."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.assess.metrics import RunMetrics
from earmark.assess.page import short
from earmark.assess.pictures import MixUp
from earmark.data.audit_info import label_separator
from earmark.data.clips import ClipSet
from earmark.data.manifest import NO_FOLD
from earmark.data.store import Store
from earmark.embedding.opened import BUILT_IN
from earmark.errors import RunError, StoreError
from earmark.runs.data import open_store
from earmark.runs.run import Run

MOST = 4  # suggestions, at most, before the last one, tagging
FEW_VERIFIED = 10  # clips of a class; of fewer, its figures say little
NAMED = 6  # classes, at most
OFTEN = 2  # clips of one class taken for the same other class; a single clip says little
SMALL_DATA = 10_000  # clips; of fewer, what a net has learned from other sounds is worth more than what it learns here


@dataclass(frozen=True)
class Step:
    """A suggestion.

    Attributes:
        text: what to do, and why.
        commands: command lines that do it, in order.
    """

    text: str
    commands: tuple[str, ...] = ()


def next_steps(run: Run, sounds: ClipSet, metrics: RunMetrics, doubtful: int, mixed_up: Sequence[MixUp]) -> list[Step]:
    """Suggestions, the most urgent first; the last is to tag sounds.

    Args:
        run: the run.
        sounds: all clips of its store.
        metrics: its metrics.
        doubtful: the number of unverified labels that its nets doubt.
        mixed_up: what is taken for what, the most frequent first.
    """
    store = _store(run)
    steps = [
        *_missing_folds(run, store, sounds),
        *_correct(run, doubtful),
        *_check_more(sounds),
        *_pre_trained(run, store, sounds, metrics),
        *_mixed_up(mixed_up),
        *_test_split(run, sounds),
        *_plant(run, store, sounds),
    ]
    return [*steps[:MOST], Step("Tag new sounds, files or whole folders:", (_command("tag", "SOUNDS", "--model", run.path),))]


def steps_after_audit(folder: Path, run: Path, store: Store) -> list[Step]:
    """What to do with an audit, in order.

    Args:
        folder: the audit's folder.
        run: the run that was audited.
        store: its store.
    """
    corrected, again = _beside(store.path, "corrected"), _beside(run, "corrected")
    return [
        Step("Hear the first clips and keep or correct their labels; a page opens in your browser:", (_command("review", folder),)),
        Step("Write what you have heard into a new table of labels, verified, and make a store of it:", correcting(folder, store)),
        Step(
            "Train again, and see whether it is better on the same clips:",
            (
                _command("train", run / "recipe.yaml", "--store", corrected, "--out", again),
                _command("compare", run, again),
            ),
        ),
    ]


def correcting(audit: Path, store: Store) -> tuple[str, str]:
    """The commands that write what was heard into a new table of labels, and make a store of it.

    Args:
        audit: folder of the audit with what was heard.
        store: the store that was audited.
    """
    mark = label_separator(store.labels)
    separator = () if mark == "," else ("--label-separator", mark)
    rates = ",".join(map(str, store.sample_rates))
    table = store.sounds / f"corrected-{audit.name or 'labels'}.csv"
    if store.source == "manifest" and Path(store.root).name == table.name:  # corrected before, and now once more
        table = table.with_stem(f"{table.stem}-again")
    return (
        _command("apply-corrections", store.path, audit, "--out", table, *separator),
        _command("prepare", "manifest", table, "--out", _beside(store.path, "corrected"), "--sample-rate", rates, *separator),
    )


def _store(run: Run) -> Store | None:
    """The run's store, if it is still where it was."""
    try:
        return open_store(run) if run.info is not None else None
    except (StoreError, RunError):
        return None


def _command(*words: str | Path) -> str:
    return shlex.join(["earmark", *(_near(word) if isinstance(word, Path) else word for word in words)])


def _near(path: Path) -> str:
    """A path as a command wants it: from the current folder, if it lies in there."""
    try:
        absolute, here = os.path.abspath(path), os.getcwd()  # `Path.resolve` would follow links
    except FileNotFoundError:  # the current folder is gone
        return str(path)
    return os.path.relpath(absolute, here) if Path(absolute).is_relative_to(here) else str(path)


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.name}-{word}") if path.name else Path(word)


def _path_of(store: Store | None) -> Path:
    return store.path if store is not None else Path("STORE")


def _missing_folds(run: Run, store: Store | None, sounds: ClipSet) -> list[Step]:
    folds, finished = sorted({int(fold) for fold in sounds.fold if fold != NO_FOLD}), run.finished()
    members = run.recipe.voters(next(iter(run.recipe.ensembles)))
    missing = sorted({fold for name in members for fold in folds if fold not in finished.get(name, [])})
    if not missing:
        return []
    shown = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
    text = f"{'Folds' if len(missing) > 1 else 'Fold'} {shown} of {len(folds)} folds: not all nets are trained yet. The same training goes on with them:"
    return [Step(text, (_command("train", run.path / "recipe.yaml", "--store", _path_of(store), "--out", run.path),))]


def _correct(run: Run, doubtful: int) -> list[Step]:
    if not doubtful:
        return []
    audit = _beside(run.path, "audit")
    text = "Listen to the doubtful labels above, or better: have all labels ranked, and correct them by ear. The page of the audit says how to go on."
    return [Step(text, (_command("audit", run.path, "--out", audit), _command("review", audit)))]


def _check_more(sounds: ClipSet) -> list[Step]:
    training = sounds.labelled & ~sounds.test
    verified = sounds.positive[training & sounds.verified].sum(axis=0)
    every = sounds.positive[training].sum(axis=0)
    if not verified.any():
        text = "No label is verified, so that the figures hold scores against labels that may be wrong. Check ten clips of each class first."
        return [Step(text)] if every.any() else []
    few = [k for k in np.argsort(verified, kind="stable") if verified[k] < FEW_VERIFIED and every[k] > verified[k]]
    if not few:
        return []
    shown = ", ".join(f"{short(sounds.labels.names[k])} ({verified[k]})" for k in few[:NAMED])
    more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
    return [
        Step(
            f"Check more clips of {shown}{more}: a class with fewer than {FEW_VERIFIED} verified clips is badly judged and badly taught."
        )
    ]


def _pre_trained(run: Run, store: Store | None, sounds: ClipSet, metrics: RunMetrics) -> list[Step]:
    frontends = [run.recipe.members[name].frontend for name in run.finished()]
    built_in = any(part.name == "embedding" and part.arguments.get("model", BUILT_IN) == BUILT_IN for part in frontends)
    from_scratch = all(part.name != "embedding" for part in frontends)
    if not built_in and not (from_scratch and len(sounds) < SMALL_DATA):
        return []
    stands = "stands on built-in statistics of the sounds" if built_in else f"has learned from {len(sounds):,} clips alone"
    text = f"This run {stands}. A pre-trained model would probably do better; docs/embeddings.md says which there are:"
    if (
        "floor" in metrics
        and (floor := metrics["floor"]["accuracy"])
        and (mine := metrics["accuracy"])
        and mine["value"] <= floor["value"]
    ):
        text = f"The floor is as good as this run ({floor['value']:.3f} against {mine['value']:.3f}). {text}"
    out = _beside(run.path, "embedding")
    return [Step(text, (_command("train", "quick", "--store", _path_of(store), "--out", out, "--embedding", "MODEL.onnx"),))]


def _mixed_up(pairs: Sequence[MixUp]) -> list[Step]:
    often = [pair for pair in pairs if pair.clips >= OFTEN]
    if not often:
        return []
    shown = "; ".join(f"{pair.label} for {pair.guess} ({pair.clips} of {pair.of})" for pair in often[:3])
    return [Step(f"Most often taken for another: {shown}. More clips of these classes would help most, or one class for both.")]


def _test_split(run: Run, sounds: ClipSet) -> list[Step]:
    if not (sounds.test & sounds.judgeable).any():
        return []
    text = "The store has a test split, which no net has learned from. Score it once the rest is settled:"
    return [Step(text, (_command("evaluate", run.path, "--split", "test"),))]


def _plant(run: Run, store: Store | None, sounds: ClipSet) -> list[Step]:
    training = sounds.judgeable & ~sounds.test
    if (training & sounds.verified).sum() < FEW_VERIFIED * len(sounds.labels) or not (training & ~sounds.verified).any():
        return []
    text = "How much do wrong labels cost on sounds like yours? Plant some among the verified clips, and see what each method gets back:"
    return [Step(text, (_command("noise", _path_of(store), "--recipe", run.path / "recipe.yaml"),))]
