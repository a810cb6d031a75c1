"""A member's schedule in batches: the learning rate of each batch, and when snapshots are taken."""

import math
from dataclasses import dataclass

from earmark.recipe import MemberSettings, ValidationSettings


@dataclass(frozen=True)
class Stretch:
    """A part of the schedule in which the learning rate follows one cosine.

    Attributes:
        batches: number of batches.
        rate: learning rate of the first batch.
        final_rate: learning rate of the last batch.
        snapshot: whether a snapshot of the weights is taken at the end.
    """

    batches: int
    rate: float
    final_rate: float
    snapshot: bool = False


@dataclass(frozen=True)
class Schedule:
    """The schedule of one net's training.

    Attributes:
        stretches: the parts of the schedule, in order.
        validate_every: number of batches from one validation to the next.
    """

    stretches: tuple[Stretch, ...]
    validate_every: int

    @property
    def batches(self) -> int:
        """Number of batches of the whole schedule."""
        return sum(stretch.batches for stretch in self.stretches)

    def rate_at(self, batch: int) -> float:
        """The learning rate of a batch, given by its number (from 0).

        Raises:
            ValueError: the schedule has fewer batches.

        >>> Schedule((Stretch(3, 1.0, 0.5), Stretch(3, 1.0, 0.5)), 1).rate_at(5)
        0.5
        """
        for stretch in self.stretches:
            if batch < stretch.batches:
                progress = batch / max(stretch.batches - 1, 1)
                return stretch.final_rate + (stretch.rate - stretch.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
            batch -= stretch.batches
        raise ValueError(f"the schedule ends {batch + 1} batches before")

    def snapshot_after(self, batches: int) -> int | None:
        """The number (from 1) of the snapshot that is taken after this many batches; None if none is taken then."""
        number = 0
        for stretch in self.stretches:
            batches -= stretch.batches
            number += stretch.snapshot
            if batches <= 0:
                return number if batches == 0 and stretch.snapshot else None
        return None


def plan_schedule(settings: MemberSettings, clips: int, classes: int) -> Schedule:
    """The schedule of a member's training.

    Args:
        settings: settings of the member.
        clips: number of clips that the first task learns from; an epoch is a pass over them, rounded up to whole batches.
        classes: number of classes K, which the size of a class-balanced batch depends on.
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
    """Number of examples in a batch of the first task."""
    batch = settings.batch
    return batch.size if batch.sampling == "shuffled" else batch.clips_per_class * classes


def _validate_every(settings: ValidationSettings, epoch: int) -> int:
    return settings.every or (settings.epochs or 0) * epoch
