"""A recipe's schedule in batches: which rate each has, and where snapshots are taken."""

import math
from dataclasses import dataclass

from earmark.recipe import MemberSettings, ValidationSettings


@dataclass(frozen=True)
class Stretch:
    """Batches under one curve of the rate.

    Attributes:
        batches: how many.
        rate: of the first.
        final_rate: of the last; a cosine lies between them.
        snapshot: whether the weights at its end are kept.
    """

    batches: int
    rate: float
    final_rate: float
    snapshot: bool = False


@dataclass(frozen=True)
class Schedule:
    """What a member's settings mean for so many clips."""

    stretches: tuple[Stretch, ...]
    validate_every: int  # batches

    @property
    def batches(self) -> int:
        """Length of the whole."""
        return sum(stretch.batches for stretch in self.stretches)

    def rate_at(self, batch: int) -> float:
        """The learning rate of batch ``batch`` (from 0).

        >>> Schedule((Stretch(3, 1.0, 0.5), Stretch(3, 1.0, 0.5)), 1).rate_at(5)
        0.5
        """
        for stretch in self.stretches:
            if batch < stretch.batches:
                way = batch / max(stretch.batches - 1, 1)
                return stretch.final_rate + (stretch.rate - stretch.final_rate) * 0.5 * (1 + math.cos(math.pi * way))
            batch -= stretch.batches
        raise ValueError(f"the schedule ends {batch + 1} batches before")

    def snapshot_after(self, batches: int) -> int | None:
        """The number (from 1) of the snapshot that is taken once so many batches are done; None where there is none."""
        number = 0
        for stretch in self.stretches:
            batches -= stretch.batches
            number += stretch.snapshot
            if batches <= 0:
                return number if batches == 0 and stretch.snapshot else None
        return None


def plan_schedule(settings: MemberSettings, clips: int, classes: int) -> Schedule:
    """A member's schedule for so many clips.

    Args:
        settings: of the member.
        clips: that the first task is taught by; an epoch is one pass over them, rounded up to whole batches.
        classes: K, where a batch has so many clips of each.
    """
    epoch = -(-clips // batch_size(settings, classes))
    stretches = [
        Stretch(
            phase.batches or (phase.epochs or 0) * epoch,
            phase.rate,
            phase.rate if phase.final_rate is None else phase.final_rate,
            phase.cycles is not None,
        )
        for phase in settings.schedule
        for _ in range(phase.cycles or 1)
    ]
    return Schedule(tuple(stretches), _validate_every(settings.validation, epoch))


def batch_size(settings: MemberSettings, classes: int) -> int:
    """Examples in a batch of the first task."""
    batch = settings.batch
    return batch.size if batch.sampling == "shuffled" else batch.clips_per_class * classes


def _validate_every(settings: ValidationSettings, epoch: int) -> int:
    return settings.every or (settings.epochs or 0) * epoch
