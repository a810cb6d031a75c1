"""What has been decided so far, kept in memory beside the file of decisions, so that every question is answered at once."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow

from earmark.web.columns import Mask
from earmark.web.decisions import UNDO, Decision


class Ledger:
    """The decisions that are not undone. Not for several threads at once.

    Args:
        clip_id: names of the N clips of the list. Decisions about other clips are passed over.

    Attributes:
        last: number of the last row of the file that has been taken in.
        heard: whether anybody has decided on a clip, bool ``[N]``.
        changed: whether the latest decision on a clip makes it something else than was given, bool ``[N]``.
    """

    def __init__(self, clip_id: pyarrow.Array) -> None:
        self.last = 0
        self.heard: Mask = np.zeros(len(clip_id), np.bool_)
        self.changed: Mask = np.zeros(len(clip_id), np.bool_)
        self._names = clip_id
        self._places: dict[str, int] = {}
        self._made: dict[int, tuple[int, Decision]] = {}  # by number: the clip, and the decision
        self._of_clip: dict[int, list[Decision]] = {}
        self._of_reviewer: dict[str, Mask] = {}
        self._disagreeing: set[int] = set()

    def take(self, rows: Iterable[Decision]) -> None:
        """Takes in rows that were added to the file."""
        for row in rows:
            self.last = row.id
            clip = self.place(row.clip_id)
            if clip is None:
                continue
            if row.action == UNDO:
                self._of_clip[clip].remove(self._made.pop(row.undoes or 0)[1])
            else:
                self._made[row.id] = clip, row
                self._of_clip.setdefault(clip, []).append(row)
            self._renew(clip, row.by)

    def place(self, clip_id: str) -> int | None:
        """The place of a clip in the list; None if it is not in it."""
        if not self._places:  # only now: most servers begin without a decision
            self._places = {name: place for place, name in enumerate(self._names.to_pylist())}
        return self._places.get(clip_id)

    def of(self, clip: int) -> list[Decision]:
        """The latest decision of everybody who has decided on a clip; the latest of all comes last."""
        latest: dict[str, Decision] = {}
        for decision in self._of_clip.get(clip, ()):
            latest.pop(decision.by, None)
            latest[decision.by] = decision
        return list(latest.values())

    def heard_by(self, reviewer: str) -> Mask:
        """Whether a reviewer has decided on a clip, bool ``[N]``."""
        mask = self._of_reviewer.get(reviewer)
        return np.zeros_like(self.heard) if mask is None else mask

    def reviewers(self) -> dict[str, int]:
        """Everybody who has decided on clips, and on how many."""
        counts = {name: int(mask.sum()) for name, mask in sorted(self._of_reviewer.items())}
        return {name: count for name, count in counts.items() if count}

    def disagreeing(self) -> list[int]:
        """The clips on which two reviewers have decided differently, ascending."""
        return sorted(self._disagreeing)

    def _renew(self, clip: int, reviewer: str) -> None:
        """Looks anew at a clip about which a reviewer has just said something."""
        latest = self.of(clip)
        mask = self._of_reviewer.setdefault(reviewer, np.zeros_like(self.heard))
        mask[clip] = any(decision.by == reviewer for decision in latest)
        self.heard[clip] = bool(latest)
        self.changed[clip] = bool(latest) and latest[-1].changed
        if len({decision.outcome for decision in latest}) > 1:
            self._disagreeing.add(clip)
        else:
            self._disagreeing.discard(clip)


def settled(rows: Iterable[Decision]) -> Iterator[tuple[Decision, list[str]]]:
    """What stands of all decisions in the end, a clip at a time, in the order in which they were made.

    Args:
        rows: all rows of the file, undos among them.

    Yields:
        The latest decision on a clip that is not undone, and the other reviewers whose latest decision on it differs.
    """
    live: dict[int, Decision] = {}
    for row in rows:
        if row.action == UNDO:
            live.pop(row.undoes or 0, None)
        else:
            live[row.id] = row
    of_clip: dict[str, dict[str, Decision]] = {}
    for decision in live.values():
        of_clip.setdefault(decision.clip_id, {})[decision.by] = decision
    latest = [(max(by_name.values(), key=lambda made: made.id), by_name) for by_name in of_clip.values()]
    for decision, by_name in sorted(latest, key=lambda pair: pair[0].id):
        yield decision, sorted(name for name, other in by_name.items() if other.outcome != decision.outcome)
