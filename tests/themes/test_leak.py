"""No clip that a fold is judged by has taught its nets, on whatever way: a trace of what is read, not a reading of the recipe.

While a run trains, every cut of a training example is taken down as the clips whose samples it reads, and every file of weights
or scores with the stage that writes it and the stages that read it. What has influenced a stage is then what it cut itself, and
what has influenced the stages whose files it read.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import safetensors
from torch import Tensor

import earmark.training.make
import earmark.training.train
from earmark import files
from earmark.data import augment
from earmark.data.batching import Windows
from earmark.data.clips import Array, ClipSet, load_clips
from earmark.data.store import Store
from earmark.recipe import Recipe
from earmark.runs.run import Run
from earmark.training.piece import Piece
from earmark.training.train import TrainRequest, train
from tests.small import small_akiyama

pytestmark = pytest.mark.slow

FOLDS = (0, 1)


class Trace:
    """Who heard which clips, who wrote which files, who read them.

    Args:
        clips: all clips of the store at the rate that is trained at.
    """

    def __init__(self, clips: ClipSet) -> None:
        order = np.argsort(clips.offset)
        self.names, self.first = clips.clip_id[order], clips.offset[order]
        self.end = self.first + clips.length[order]
        self.stage: str | None = None
        self.heard: defaultdict[str, set[str]] = defaultdict(set)
        self.read: defaultdict[str, set[Path]] = defaultdict(set)
        self.writer: dict[Path, str] = {}

    def hear(self, first: int, length: int) -> None:
        """Samples of the store were taken: all clips that have any of them were heard."""
        assert self.stage is not None
        there = (self.first < first + length) & (first < self.end)
        self.heard[self.stage] |= set(self.names[there].tolist())

    def file_read(self, path: Any) -> None:
        if self.stage is not None:
            self.read[self.stage].add(Path(path).resolve())

    def file_written(self, path: Path) -> None:
        if self.stage is not None:
            self.writer[path.resolve()] = self.stage

    def sources(self, stage: str) -> set[str]:
        """The other stages whose files it read."""
        return {self.writer[path] for path in self.read[stage]} - {stage}

    def influence(self, stage: str) -> set[str]:
        """The clips that have had a part in what a stage made."""
        found = set(self.heard[stage])
        for source in self.sources(stage):
            found |= self.influence(source)
        return found


@contextmanager
def traced(clips: ClipSet) -> Iterator[Trace]:
    trace = Trace(clips)
    with pytest.MonkeyPatch.context() as patch:
        make, cut_scaled, cut = earmark.training.train.make, augment.cut_scaled, Windows.cut
        samples, safe_open = ClipSet.samples, safetensors.safe_open
        parquet_file, replacing = pyarrow.parquet.ParquetFile, files.replacing

        def traced_make(run: Run, info: Any, stage: Any, *rest: Any) -> None:
            trace.stage = stage.title
            make(run, info, stage, *rest)
            trace.stage = None

        def traced_cut_scaled(pcm: Tensor, offset: Tensor, length: Tensor, *rest: Any) -> Tensor:
            assert len(pcm) == len(clips.pcm)
            for one in zip(offset.tolist(), length.tolist(), strict=True):
                trace.hear(*one)
            return cut_scaled(pcm, offset, length, *rest)

        def traced_cut(self: Windows, clip: Array, *rest: Any, **named: Any) -> Tensor:
            for one in zip(self.offset[clip].tolist(), self.length[clip].tolist(), strict=True):
                trace.hear(*one)
            return cut(self, clip, *rest, **named)

        def traced_samples(of: ClipSet, index: int) -> Any:
            if trace.stage is not None and trace.stage.startswith("pseudo"):  # a net's own scoring teaches nothing
                trace.hear(int(of.offset[index]), int(of.length[index]))
            return samples(of, index)

        def traced_safe_open(path: Any, *rest: Any, **named: Any) -> Any:
            trace.file_read(path)
            return safe_open(path, *rest, **named)

        def traced_parquet_file(path: Any, *rest: Any, **named: Any) -> Any:
            trace.file_read(path)
            return parquet_file(path, *rest, **named)

        def traced_replacing(path: Path) -> AbstractContextManager[Path]:
            trace.file_written(path)
            return replacing(path)

        patch.setattr(earmark.training.train, "make", traced_make)
        patch.setattr(earmark.training.train, "_finish", lambda *_: {})  # nothing is trained after it
        patch.setattr(augment, "cut_scaled", traced_cut_scaled)
        patch.setattr(Windows, "cut", traced_cut)
        patch.setattr(ClipSet, "samples", traced_samples)
        patch.setattr(safetensors, "safe_open", traced_safe_open)
        patch.setattr(pyarrow.parquet, "ParquetFile", traced_parquet_file)
        patch.setattr(files, "replacing", traced_replacing)
        yield trace


def judged(clips: ClipSet, fold: int) -> set[str]:
    """The clips that a fold is judged by."""
    return set(clips.clip_id[clips.verified & (clips.fold == fold) & ~clips.test].tolist())


def leaked(trace: Trace, clips: ClipSet, stage: str, fold: int) -> set[str]:
    """What had a part in a stage for a fold, and is what the fold or the test split is judged by."""
    return trace.influence(stage) & (judged(clips, fold) | set(clips.clip_id[clips.test].tolist()))


@pytest.fixture(scope="module")
def clips(store: Store) -> ClipSet:
    return load_clips(store, 8000)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Two cycles of model A, long enough to hear every clip; one of the others."""
    cycles = [f"members.{name}.schedule.0.cycles={count}" for name, count in (("A", 2), ("B", 1), ("row6", 1))]
    few = ["members.A.schedule.0.batches=8", "members.*.views=[whole]", "members.*.validation.every=100"]
    return small_akiyama("ensembles={all: {rule: arithmetic_mean}}", *cycles, *few, cycle=3)


@pytest.fixture(scope="module")
def trace(store: Store, clips: ClipSet, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Of row 6 and of model B on both folds, and of all that they need."""
    with traced(clips) as found:
        train(TrainRequest(recipe, store, tmp_path_factory.mktemp("leak") / "run", ["row6", "B"], device="cpu"))
    return found


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("stage", ["row1", "A", "pseudo labels of-A", "row6"])
def test_no_clip_that_a_fold_is_judged_by_has_had_a_part_in_it(stage: str, fold: int, trace: Trace, clips: ClipSet) -> None:
    title = f"{stage} fold {fold}"
    assert len(trace.influence(title)) > 10
    assert leaked(trace, clips, title, fold) == set()


@pytest.mark.parametrize("fold", FOLDS)
def test_the_trace_finds_the_leak_of_model_b(fold: int, trace: Trace, clips: ClipSet, recipe: Recipe) -> None:
    """Its pseudo labels come from the nets of all folds, which the other folds' labels have taught."""
    assert leaked(trace, clips, f"B fold {fold}", fold) == judged(clips, fold)
    assert trace.heard[f"B fold {fold}"] & judged(clips, fold) == set()  # not by itself
    assert recipe.leaks("B")
    assert not any(recipe.leaks(name) for name in ("row1", "A", "row6"))


@pytest.mark.parametrize("fold", FOLDS)
def test_the_trace_is_not_blind(fold: int, trace: Trace, clips: ClipSet) -> None:
    """It knows every way by which row 6 and B learn, and every clip."""
    assert trace.sources(f"row6 fold {fold}") == {f"row1 fold {fold}", f"pseudo labels of-A fold {fold}"}
    assert trace.sources(f"pseudo labels of-A fold {fold}") == {f"A fold {fold}"}
    assert trace.sources(f"B fold {fold}") == {f"row1 fold {fold}", "pseudo labels of-A-all-folds"}
    assert trace.sources("pseudo labels of-A-all-folds") == {"A fold 0", "A fold 1"}
    assert trace.sources(f"A fold {fold}") == trace.sources(f"row1 fold {fold}") == set()
    unverified = set(clips.clip_id[~clips.verified & ~clips.test].tolist())
    assert trace.influence(f"row6 fold {fold}") == judged(clips, 1 - fold) | unverified
    assert trace.heard[f"row1 fold {fold}"] <= judged(clips, 1 - fold)
    assert trace.heard[f"A fold {fold}"] & unverified
    snapshots = [path.name for path in trace.read[f"pseudo labels of-A fold {fold}"]]
    assert sorted(snapshots) == [f"snapshot{n}.safetensors" for n in (1, 2)]


def test_the_trace_finds_clips_and_weights_that_are_taken_from_the_wrong_fold(
    store: Store, clips: ClipSet, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_piece = earmark.training.make.make_piece

    def wrong(run: Run, name: str, fold: int, of: ClipSet, part: int | None) -> Piece:
        piece = make_piece(run, name, fold, of, part)
        if (name, fold) == ("row1", 0):
            return replace(piece, training=of[~of.test])
        return replace(piece, start=run.weights("row2", 1 - fold, "best")) if (name, fold) == ("row2", 1) else piece

    monkeypatch.setattr(earmark.training.make, "make_piece", wrong)
    with traced(clips) as found:
        train(TrainRequest(recipe, store, tmp_path / "run", ["row1", "row2"], device="cpu"))
    assert leaked(found, clips, "row1 fold 0", 0)  # it cut them itself
    assert not leaked(found, clips, "row1 fold 1", 1)
    assert not leaked(found, clips, "row2 fold 0", 0)
    assert not found.heard["row2 fold 1"] & judged(clips, 1)
    assert leaked(found, clips, "row2 fold 1", 1)  # through the weights that it started from
