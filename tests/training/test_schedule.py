import math

import numpy as np
import pytest

from earmark.recipe import MemberSettings, load_recipe
from earmark.training.schedule import Schedule, plan_schedule

CURATED = 3976  # clips of a training fold: four fifths of 4,970


def published(member: str) -> Schedule:
    return plan_schedule(load_recipe("akiyama2019").members[member], CURATED, 80)


def scheduled(*phases: str, every: str = "every: 1") -> MemberSettings:
    """A member with batches of 16 and these phases."""
    overrides = [f"members.row1.schedule=[{', '.join(phases)}]", "members.row1.batch.size=16"]
    return load_recipe("akiyama2019", [*overrides, f"members.row1.validation={{{every}, keep: last}}"]).members["row1"]


# By hand: 3,976 clips are 62.125 batches of 64, 124.25 of 32 and 248.5 of 16, rounded up to 63, 125 and 249 an epoch.
@pytest.mark.parametrize(
    ("member", "cycle", "cycles", "highest"),
    [
        ("A", 64 * 63, 8, 1e-3),
        ("B", 64 * 125, 7, 1e-3),
        ("row6", 64 * 125, 7, 1e-3),
        ("C", 64 * 63, 6, 1e-3),
        ("D", 80 * 63, 3, 1e-1),
        ("E", 80 * 249, 5, 1e-1),
        ("F", 80 * 249, 10, 1e-1),
    ],
)
def test_every_cycle_of_the_2019_system_begins_and_ends_at_its_rates(member: str, cycle: int, cycles: int, highest: float) -> None:
    schedule = published(member)
    assert schedule.batches == cycle * cycles
    assert {schedule.rate_at(n * cycle) for n in range(cycles)} == {highest}
    assert {schedule.rate_at((n + 1) * cycle - 1) for n in range(cycles)} == {1e-6}
    with pytest.raises(ValueError, match="ends 1 batches before"):
        schedule.rate_at(cycle * cycles)


@pytest.mark.parametrize(("member", "cycle"), [("A", 64 * 63), ("D", 80 * 63)])
def test_the_rate_moves_with_every_batch_along_a_cosine(member: str, cycle: int) -> None:
    schedule, highest = published(member), 1e-1 if member == "D" else 1e-3
    found = [schedule.rate_at(n) for n in range(cycle, 2 * cycle)]
    way = np.linspace(0, 1, cycle)
    assert np.allclose(found, 1e-6 + (highest - 1e-6) * (np.cos(np.pi * way) + 1) / 2, rtol=1e-9)
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize(("member", "cycle", "cycles"), [("A", 64 * 63, 8), ("D", 80 * 63, 3)])
def test_a_snapshot_is_taken_at_the_end_of_every_cycle_and_nowhere_else(member: str, cycle: int, cycles: int) -> None:
    schedule = published(member)
    taken = {n: number for n in range(schedule.batches + 1) if (number := schedule.snapshot_after(n)) is not None}
    assert taken == {(n + 1) * cycle: n + 1 for n in range(cycles)}
    settings = load_recipe("akiyama2019").members[member]
    assert settings.kept_weights == [str(number) for number in taken.values()]


def test_validation_comes_after_every_epoch() -> None:
    assert published("A").validate_every == 63
    assert published("B").validate_every == 125
    assert plan_schedule(scheduled("{batches: 9, rate: 1.0}", every="epochs: 3"), 100, 80).validate_every == 3 * 7
    assert plan_schedule(scheduled("{batches: 9, rate: 1.0}", every="every: 4"), 100, 80).validate_every == 4


@pytest.mark.parametrize(("clips", "epoch"), [(1, 1), (16, 1), (17, 2), (32, 2), (33, 3), (160, 10)])
def test_epochs_round_up_to_whole_batches(clips: int, epoch: int) -> None:
    assert plan_schedule(scheduled("{epochs: 1, rate: 1.0}"), clips, 80).batches == epoch
    assert plan_schedule(scheduled("{cycles: 3, epochs: 5, rate: 1.0}"), clips, 80).batches == 3 * 5 * epoch


def test_an_epoch_of_balanced_batches_counts_clips_of_every_class() -> None:
    recipe = load_recipe("tiny", ["members.logmel.schedule=[{epochs: 2, rate: 1.0}]"])  # 4 clips of each class a batch
    assert plan_schedule(recipe.members["logmel"], 100, 10).batches == 2 * 3


def test_phases_with_cycles_and_without_follow_one_another() -> None:
    settings = scheduled(
        "{batches: 5, rate: 8.0}",
        "{cycles: 2, batches: 3, rate: 4.0, final_rate: 2.0}",
        "{epochs: 1, rate: 1.0, final_rate: 0.5}",
        "{cycles: 1, epochs: 1, rate: 0.25}",
    )
    schedule = plan_schedule(settings, 20, 80)  # 2 batches an epoch
    assert [schedule.rate_at(n) for n in range(schedule.batches)] == pytest.approx(
        [8, 8, 8, 8, 8, 4, 3, 2, 4, 3, 2, 1, 0.5, 0.25, 0.25]
    )
    assert [schedule.snapshot_after(n) for n in range(schedule.batches + 1)] == [
        *[None] * 8, 1, None, None, 2, None, None, None, 3,
    ]  # fmt: skip
    assert settings.snapshots == 3


def test_the_2018_schedule_has_its_rates_at_the_right_batches() -> None:
    schedule = plan_schedule(load_recipe("cochlear2018").members["logmel-16k"], 9473, 41)
    at = {n: schedule.rate_at(n) for n in (0, 149_999, 150_000, 249_999, 250_000, 299_999)}
    assert list(at.values()) == [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5]
    assert schedule.batches == 300_000
    assert schedule.validate_every == 1000
    assert [n for n in (150_000, 250_000, 300_000) if schedule.snapshot_after(n) is not None] == []


def test_a_cosine_is_half_way_in_the_middle_and_one_batch_has_the_first_rate() -> None:
    schedule = plan_schedule(scheduled("{batches: 101, rate: 1.0e-3, final_rate: 1.0e-6}"), 20, 80)
    assert schedule.rate_at(50) == pytest.approx((1e-3 + 1e-6) / 2)
    assert schedule.rate_at(25) == pytest.approx(1e-6 + (1e-3 - 1e-6) * (1 + math.sqrt(0.5)) / 2)
    assert plan_schedule(scheduled("{batches: 1, rate: 1.0e-3, final_rate: 1.0e-6}"), 20, 80).rate_at(0) == 1e-3
