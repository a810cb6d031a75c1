import dataclasses

import numpy as np
import pytest

from earmark.web.columns import order_of
from earmark.web.folder import Audit
from earmark.web.queues import Count, Filters, Queues

pytestmark = pytest.mark.slow  # together they take seconds


@pytest.mark.parametrize("verified", [None, False, True])
@pytest.mark.parametrize("label", [None, 0, 2])
@pytest.mark.parametrize("reason", [None, 0])
def test_filters_and_counts(audit: Audit, label: int | None, reason: int | None, verified: bool | None) -> None:
    suspects = audit.suspects
    queues = Queues(suspects, 3)
    filters = Filters(label, reason, verified)

    def fits(clip: int, by_label: bool = True, by_reason: bool = True) -> bool:
        named = {*suspects.given.of(clip), *suspects.suggested.of(clip)}
        return (
            (verified is None or bool(suspects.verified[clip]) == verified)
            and (not by_label or label is None or label in named)
            and (not by_reason or reason is None or reason in suspects.reasons.of(clip))
        )

    clips = range(len(suspects))
    chosen = np.array([clip for clip in clips if fits(clip)], np.int64)
    assert queues.order(filters).tolist() == order_of(chosen, suspects.recording).tolist()
    heard = np.arange(len(suspects)) % 3 == 0
    for kind, count in enumerate(queues.by_class(filters, heard)):
        of_kind = [c for c in clips if fits(c, by_label=False) and kind in {*suspects.given.of(c), *suspects.suggested.of(c)}]
        assert count == Count(sum(not heard[clip] for clip in of_kind), sum(bool(heard[clip]) for clip in of_kind))
    for kind, count in enumerate(queues.by_reason(filters, heard)):
        of_kind = [c for c in clips if fits(c, by_reason=False) and kind in suspects.reasons.of(c)]
        assert count == Count(sum(not heard[clip] for clip in of_kind), sum(bool(heard[clip]) for clip in of_kind))


def test_the_share_of_the_next_clips(audit: Audit) -> None:
    queues = Queues(audit.suspects, 3)
    probability = audit.suspects.probability
    assert np.isnan(probability[-1])  # unlabelled
    assert queues.next_share(np.array([3, 1, 2]), 2) == pytest.approx((probability[3] + probability[1]) / 2)
    assert queues.next_share(np.array([len(probability) - 1, 1]), 2) == pytest.approx(probability[1])
    assert queues.next_share(np.array([len(probability) - 1]), 2) is None
    assert queues.next_share(np.zeros(0, np.int64), 2) is None


def test_recordings_take_turns(audit: Audit) -> None:
    suspects = dataclasses.replace(audit.suspects, recording=np.array([0] * 5 + list(range(1, 21))))
    order = Queues(suspects, 3).order(Filters(verified=None))
    assert order[:21].tolist() == [0, *range(5, 25)]
    assert order[21:].tolist() == [1, 2, 3, 4]
