"""Which clips come next: filters, and the order in which the chosen clips are heard."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from earmark.web.columns import Lists, Mask, Numbers, order_of
from earmark.web.folder import Suspects

ORDERS_KEPT = 32  # combinations of filters whose order stays in memory


@dataclass(frozen=True)
class Filters:
    """Which clips of the list are wanted.

    Attributes:
        label: number of a label that is given or suggested; None for any.
        reason: number of a reason; None for any.
        verified: only clips whose labels a person had checked (True), or had not (False); None for both.
        again: also those that others have decided on.
    """

    label: int | None = None
    reason: int | None = None
    verified: bool | None = False
    again: bool = False


@dataclass(frozen=True)
class Count:
    """How many clips of a kind are still to be heard, and how many have been."""

    left: int
    heard: int


class Queues:
    """Answers for a list of suspects; 200,000 of them take milliseconds. Not for several threads at once.

    Args:
        suspects: the list.
        labels: number of classes.
    """

    def __init__(self, suspects: Suspects, labels: int) -> None:
        self._suspects = suspects
        self._labels = labels
        self._orders: OrderedDict[tuple[int | None, int | None, bool | None], Numbers] = OrderedDict()

    def order(self, filters: Filters) -> Numbers:
        """The places of the wanted clips in the order in which they are heard, whether they have been heard or not."""
        key = filters.label, filters.reason, filters.verified
        if key not in self._orders:
            chosen = np.flatnonzero(self._chosen(*key))
            self._orders[key] = order_of(chosen, self._suspects.recording)
            if len(self._orders) > ORDERS_KEPT:
                self._orders.popitem(last=False)
        self._orders.move_to_end(key)
        return self._orders[key]

    def by_class(self, filters: Filters, heard: Mask) -> list[Count]:
        """The clips of each class, under the other filters; ``heard`` says which clips have been heard, bool ``[N]``."""
        chosen = self._chosen(None, filters.reason, filters.verified)
        return _counts(self._suspects.named, self._labels, chosen, heard)

    def by_reason(self, filters: Filters, heard: Mask) -> list[Count]:
        """The clips of each reason, under the other filters; else like `by_class`."""
        chosen = self._chosen(filters.label, None, filters.verified)
        return _counts(self._suspects.reasons, len(self._suspects.reason_names), chosen, heard)

    def next_share(self, left: Numbers, count: int) -> float | None:
        """The mean probability that the labels of the next clips are wrong; None if no probability is known.

        Args:
            left: places of the clips that are left, in their order.
            count: how many of them.
        """
        probability = self._suspects.probability[left[:count]]
        known = probability[~np.isnan(probability)]
        return float(known.mean()) if len(known) else None

    def _chosen(self, label: int | None, reason: int | None, verified: bool | None) -> Mask:
        mask = np.ones(len(self._suspects), np.bool_)
        if verified is not None:
            mask &= self._suspects.verified == verified
        if label is not None:
            mask &= self._suspects.named.have(label)
        if reason is not None:
            mask &= self._suspects.reasons.have(reason)
        return mask


def _counts(lists: Lists, kinds: int, chosen: Mask, heard: Mask) -> list[Count]:
    left, done = lists.counts(chosen & ~heard, kinds), lists.counts(chosen & heard, kinds)
    return [Count(*pair) for pair in zip(left, done, strict=True)]
