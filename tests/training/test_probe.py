from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.recipe import Recipe
from earmark.training import probe
from earmark.training.probe import faster_threads, noise_clips, seconds_per_clip
from earmark.training.trainer import FoldTrainer, make_fabric
from tests.small import small_akiyama


@pytest.mark.parametrize(("of_one", "chosen"), [(0.5, 1), (1.0, 1), (1.2, 1), (1.3, 4), (3.0, 4)])
def test_several_threads_must_be_clearly_faster_than_one(
    of_one: float, chosen: int, store: Store, small_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = load_clips(store, 16000)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    seconds = [1.0]

    @contextmanager
    def noted(threads: int) -> Iterator[None]:
        seconds.append(of_one if threads == 1 else 1.0)
        yield

    monkeypatch.setattr(probe, "arithmetic_threads", noted)
    monkeypatch.setattr(probe, "_seconds_per_step", lambda *_, **__: seconds[-1])
    settings = small_recipe.members["logmel"]
    assert faster_threads(settings, clips, "cpu", "float32") == chosen
    assert faster_threads(settings, clips, "cuda", "float32") == 4
    assert faster_threads(settings, clips, "cpu", "float32", jobs=4) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert faster_threads(settings, clips, "cpu", "float32") == 4  # the user's own choice holds


@pytest.mark.parametrize(("member", "second"), [("A", 1.0), ("A", 0.01), ("row8", 0.01)])
def test_seconds_are_divided_by_the_clips_of_the_batch(member: str, second: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net whose small batch is slow is measured with small batches, another one with whole ones."""
    settings = small_akiyama(f"members.{member}.batch.size=20").members[member]
    sizes: list[int] = []

    def measured(_settings: Any, _clips: Any, _fabric: Any, size: int, **_: Any) -> float:
        sizes.append(size)
        return second

    monkeypatch.setattr(probe, "_seconds_per_step", measured)
    seconds = seconds_per_clip(settings, noise_clips(8000, 4000), make_fabric("cpu", "float32"))
    size = 8 if second > probe.QUICK else 20
    assert sizes == [8, size]
    assert seconds == pytest.approx(second / size)


def test_trials_leave_no_trace(small_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in torch's generator nor in the settings, and the first step, which warms up, is not measured."""
    monkeypatch.setattr(probe, "SECONDS", 0.0)
    steps: list[int] = []
    step = FoldTrainer.step

    def noted(self: FoldTrainer) -> None:
        steps.append(len(self.streams))
        step(self)

    monkeypatch.setattr(FoldTrainer, "step", noted)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert seconds_per_clip(small_recipe.members["logmel"], noise_clips(16000, 16000), make_fabric("cpu", "float32")) > 0
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(steps) == 1 + probe.STEPS
