"""The desk at which clips are decided on: what a reviewer is shown, and what is done with the answers."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute

from earmark.data.audit_info import GUESSES
from earmark.data.corrections import ACTIONS
from earmark.data.corrections import NAME as CORRECTIONS
from earmark.errors import EarmarkError
from earmark.web.columns import Mask, whole_column
from earmark.web.corrections import Exporter, refuse_orphan, write_decided
from earmark.web.decisions import NAME, Decision, Decisions
from earmark.web.examples import Examples
from earmark.web.folder import Audit
from earmark.web.guesses import Guesses
from earmark.web.ledger import Ledger
from earmark.web.queues import Filters, Queues
from earmark.web.sounds import Sounds

BEST = 5  # labels that the nets think most of
NEXT = 50  # clips that the promise is about
MOST_DISAGREEMENTS = 200  # that are listed


class RequestError(EarmarkError):
    """A request of the page that makes no sense."""


class OtherListError(RequestError):
    """The page has a list that is no longer the server's: another audit is at its address now."""


class Desk:
    """An audit that is being reviewed. Its methods may be called from several threads.

    Args:
        audit: the audit.

    Attributes:
        sounds: the sounds of all clips.

    Raises:
        EarmarkError: the file of decisions is damaged, or the folder cannot be written to.
    """

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self._place = audit.path / NAME
        refuse_orphan(audit.path, self._place)
        self._decisions = Decisions(self._place, audit.info.store_fingerprint)
        self._lock = threading.Lock()
        self._ledger = Ledger(audit.suspects.clip_id)
        self._queues = Queues(audit.suspects, len(audit.info.labels))
        self._by_rank = np.argsort(audit.suspects.rank, kind="stable")
        self._label_number = {name: number for number, name in enumerate(audit.info.labels.names)}
        self.sounds = Sounds(audit.store, audit.rows)
        self._guesses = Guesses(audit.path / GUESSES, audit.info.labels, audit.suspects.clip_id)
        self._examples = Examples(audit, self._guesses)
        self._exporter = Exporter(self._export)
        self._exporter.wake()

    @property
    def corrections(self) -> Path:
        """The table of corrections."""
        return self.audit.path / CORRECTIONS

    def close(self) -> int:
        """Writes the corrections for the last time, and closes the file of decisions.

        Returns:
            The number of clips that have been heard.

        Raises:
            EarmarkError: the corrections could not be written.
        """
        try:
            self._exporter.close()
            with self._lock:
                self._catch_up()
                return int(self._ledger.heard.sum())
        finally:
            self._decisions.close()

    def filters(self, label: str | None, reason: str | None, verified: str, again: bool) -> Filters:
        """The filters that a request names.

        Raises:
            RequestError: there is no such label or reason.
        """
        names = self.audit.suspects.reason_names
        if label is not None and label not in self._label_number:
            raise RequestError(f"there is no class {label!r}")
        if reason is not None and reason not in names:
            raise RequestError(f"there is no reason {reason!r} in this list")
        if verified not in ("0", "1", "both"):
            raise RequestError(f"verified is {verified!r}, not 0, 1 or both")
        number = None if label is None else self._label_number[label]
        only = None if verified == "both" else verified == "1"
        return Filters(number, None if reason is None else names.index(reason), only, again)

    def state(self, reviewer: str, filters: Filters) -> dict[str, Any]:
        """How far the review is, as ``/api/state`` answers."""
        audit, suspects = self.audit, self.audit.suspects
        with self._lock:
            self._catch_up()
            ledger, queues = self._ledger, self._queues
            hidden = self._hidden(reviewer, filters)
            order = queues.order(filters)
            left = order[~hidden[order]]
            heard = ledger.heard[order]
            changed = int(ledger.changed[order].sum())
            by_class, by_reason = queues.by_class(filters, hidden), queues.by_reason(filters, hidden)
            disagreeing = ledger.disagreeing()
            return {
                "title": audit.path.resolve().name,
                "strategy": audit.info.strategy,
                "labels": audit.info.labels.names,
                "several": audit.info.several,
                "reviewer": reviewer,
                "suspects": len(suspects),
                "unverified": int((~suspects.verified).sum()),
                "cut": audit.info.cut,
                "classes": [
                    {"label": name, "left": count.left, "heard": count.heard}
                    for name, count in zip(audit.info.labels.names, by_class, strict=True)
                ],
                "reasons": [
                    {"reason": name, "left": count.left, "heard": count.heard}
                    for name, count in zip(suspects.reason_names, by_reason, strict=True)
                ],
                "heard": int(heard.sum()),
                "left": len(left),
                "kept": int(heard.sum()) - changed,
                "changed": changed,
                "mine": int(ledger.heard_by(reviewer).sum()),
                "next50": queues.next_share(left, NEXT),
                "reviewers": [{"by": name, "heard": count} for name, count in ledger.reviewers().items()],
                "notes": [note for note in (self._guesses.fault(), self._examples.fault, self._exporter.fault) if note],
                "disagreements": [
                    {
                        "rank": int(suspects.rank[clip]),
                        "clip_id": suspects.clip_id[clip].as_py(),
                        "decisions": [_shown(decision) for decision in ledger.of(clip)],
                    }
                    for clip in disagreeing[:MOST_DISAGREEMENTS]
                ],
                "disagreeing": len(disagreeing),
            }

    def queue(self, reviewer: str, filters: Filters, count: int, skipped: Sequence[int]) -> list[dict[str, Any]]:
        """The next clips for a reviewer, as ``/api/queue`` answers.

        Args:
            reviewer: who asks.
            filters: which clips are wanted.
            count: how many, at most.
            skipped: ranks of clips that are not wanted now.
        """
        with self._lock:
            self._catch_up()
            hidden = self._hidden(reviewer, filters)
            if skipped:
                hidden = hidden | np.isin(self.audit.suspects.rank, np.array(skipped, np.int64))
            order = self._queues.order(filters)
            chosen = order[~hidden[order]][:count].tolist()
        return [self._item(clip) for clip in chosen]

    def item(self, rank: int) -> dict[str, Any]:
        """The clip with a rank, as ``/api/item`` answers.

        Raises:
            KeyError: there is no such rank.
        """
        clip = self._at(rank)
        with self._lock:
            self._catch_up()
        return self._item(clip)

    def decide(
        self, reviewer: str, rank: int, action: str, labels: Sequence[str] = (), key: str | None = None, clip_id: str | None = None
    ) -> int:
        """Keeps a decision; it is on the disk when this returns.

        Args:
            reviewer: who decides.
            rank: of the clip.
            action: one of `earmark.data.corrections.ACTIONS`.
            labels: the new labels, for ``relabel`` alone.
            key: a text that names this decision: the same key once more keeps nothing.
            clip_id: the clip that the reviewer has heard, if that is to be made sure.

        Returns:
            The number of the decision.

        Raises:
            KeyError: there is no such rank.
            OtherListError: another clip has this rank.
            RequestError: the decision makes no sense for this clip.
            MachineError: it could not be written.
        """
        clip = self._at(rank)
        name = self.audit.suspects.clip_id[clip].as_py()
        if clip_id not in (None, name):
            raise OtherListError("the list is another one now than the page has: load the page again")
        given, suggested = (self._names(lists.of(clip)) for lists in (self.audit.suspects.given, self.audit.suspects.suggested))
        if action not in ACTIONS:
            raise RequestError(f"the action is {action!r}, not one of {', '.join(ACTIONS)}")
        if labels and action != "relabel":
            raise RequestError(f"{action} has no labels of its own")
        if action == "relabel":
            self._refuse_labels(labels)
        if action == "keep" and not given and not self.audit.suspects.verified[clip]:
            raise RequestError("the clip has no labels that could be kept; say that it is none of these, or give it labels")
        after = {"keep": given, "accept": suggested, "relabel": tuple(labels)}.get(action, ())
        number = self._decisions.add(name, reviewer, action, given, after, key)
        self._exporter.wake()
        return number

    def undo(self, reviewer: str) -> dict[str, Any] | None:
        """Undoes a reviewer's last decision.

        Returns:
            The clip that it was about; None if there is no decision to undo.

        Raises:
            MachineError: it could not be written.
        """
        name = self._decisions.undo(reviewer)
        self._exporter.wake()
        if name is None:
            return None
        with self._lock:
            self._catch_up()
            clip = self._ledger.place(name)
        return None if clip is None else self._item(clip)

    def _refuse_labels(self, labels: Sequence[str]) -> None:
        if not labels:
            raise RequestError("no labels are named; for none of these there is an action of its own")
        if unknown := [label for label in labels if label not in self._label_number]:
            raise RequestError(f"there is no class {unknown[0]!r}")
        if len(set(labels)) < len(labels):
            raise RequestError("a label stands twice")
        if len(labels) > 1 and not self.audit.info.several:
            raise RequestError("clips have one label here")

    def _catch_up(self) -> None:
        """Takes in what has been decided since, here or by another server."""
        self._ledger.take(self._decisions.since(self._ledger.last))

    def _hidden(self, reviewer: str, filters: Filters) -> Mask:
        """The clips that a reviewer need not hear any more, bool ``[N]``."""
        return self._ledger.heard_by(reviewer) if filters.again else self._ledger.heard

    def _at(self, rank: int) -> int:
        """The place of the clip with a rank."""
        ranks, order = self.audit.suspects.rank, self._by_rank
        place = int(np.searchsorted(ranks, rank, sorter=order)) if 0 <= rank < 2**62 else len(order)
        if place == len(order) or ranks[order[place]] != rank:
            raise KeyError(f"rank {rank}")
        return int(order[place])

    def _names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.audit.info.labels.names[number] for number in numbers)

    def _item(self, clip: int) -> dict[str, Any]:
        audit, suspects = self.audit, self.audit.suspects
        row, verified = int(suspects.row[clip]), bool(suspects.verified[clip])
        given, suggested = suspects.given.of(clip), suspects.suggested.of(clip)
        named = dict.fromkeys([*given, *suggested])
        scores = self._guesses.of(clip)
        best = [] if scores is None else np.argsort(-scores, kind="stable")[:BEST].tolist()
        shown = [] if scores is None else sorted(dict.fromkeys([*named, *best]), key=lambda number: -float(scores[number]))
        with self._lock:
            heard = [_shown(decision) for decision in self._ledger.of(clip)]
        return {
            "rank": int(suspects.rank[clip]),
            "row": row,
            "clip_id": suspects.clip_id[clip].as_py(),
            "recording": audit.cell("group", row),
            "seconds": audit.cell("length", row) / max(audit.store.sample_rates),
            "given": self._names(given),
            "suggested": self._names(suggested),
            "scores": {} if scores is None else {audit.info.labels.names[n]: round(float(scores[n]), 4) for n in shown},
            "best": self._names(best),
            "score": _number(suspects.score[clip]),
            "probability": _number(suspects.probability[clip]),
            "reason": "; ".join(suspects.reason_names[number] for number in suspects.reasons.of(clip)),
            "verified": verified,
            "heard": heard,
            "examples": {label: self._examples_of(row, label) for label in self._names(list(named))},
        }

    def _examples_of(self, row: int, label: str) -> list[dict[str, Any]]:
        return [
            {"row": example.row, "clip_id": self.audit.cell("clip_id", example.row), "likeness": round(example.likeness, 3)}
            for example in self._examples.nearest(row, label)
        ]

    def _export(self) -> int:
        return write_decided(self.corrections, self._place, self._hashes_of, self.audit.info.label_separator)

    def _hashes_of(self, clip_ids: Sequence[str]) -> list[str]:
        names, hashes = (whole_column(self.audit.rows, name) for name in ("clip_id", "content_hash"))
        places = pyarrow.compute.index_in(pyarrow.array(clip_ids, pyarrow.string()), value_set=names)
        known: list[str] = hashes.take(places).fill_null("").to_pylist()
        return known


def _shown(decision: Decision) -> dict[str, Any]:
    return {"by": decision.by, "action": decision.action, "labels": decision.labels, "when": decision.when}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
