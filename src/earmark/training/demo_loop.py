"""The demo's loop: an audit says what to hear, a listener who always knows corrects it, and the net learns again."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from earmark.assess.audit_result import Audit
from earmark.assess.heard import Heard, HeardTable
from earmark.assess.metrics import EstimateFigures, estimates, hits
from earmark.assess.paired import difference
from earmark.data.plant import planted_store
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable
from earmark.runs.data import load_unchanged_table
from earmark.runs.run import Run
from earmark.training.audit import audit_run
from earmark.training.compare import learn
from earmark.training.methods import METHODS, Methods
from earmark.training.train import TrainRequest

HEARD = 50  # clips: a sitting
ORDER_SEED = 2  # of the random order
METHOD = "agreement"  # learns again


@dataclass(frozen=True)
class Loop:
    """What the loop works on.

    Attributes:
        run: a run whose nets of `METHOD` are finished.
        derived: the methods of its recipe.
        store: its store, with wrong labels.
        given: the N clips of the store with these labels.
        truth: the same clips with their right labels.
    """

    run: Run
    derived: Methods
    store: Store
    given: ClipTable
    truth: ClipTable

    def learned(self, store: Store, out: Path) -> NDArray[np.float32]:
        """Out-of-fold scores of nets that learn from a store, ``[N, K]``; they are trained if they are not there yet."""
        info = self.run.started()
        request = TrainRequest(self.derived.recipe, store, out, device=info.device, threads=info.threads)
        return learn(self.derived, [METHOD], request)[0][METHOD]

    def corrected(self, heard: Array, path: Path) -> Store:
        """The store after some clips, given as indices, were heard; that of an earlier demo, if it is there."""
        if path.is_dir():
            return Store.open(path)
        positive, verified = self.given.positive.copy(), self.given.verified.copy()
        positive[heard], verified[heard] = self.truth.positive[heard], True
        return planted_store(self.store, path, positive, verified)

    def row(self, name: str, store: Store, scores: Array, before: Array | None) -> Heard:
        """A row of the table.

        Args:
            name: which clips were heard.
            store: what was learned from then.
            scores: of the nets that did, ``[N, K]``.
            before: of those that learned before; None for these themselves.
        """
        now, right = load_unchanged_table(store), self.truth.positive
        heard = now.verified & ~self.given.verified
        return Heard(
            name,
            int(heard.sum()),
            int(_wrong(self.given.positive, right)[heard].sum()),
            int(_wrong(now.positive, right).sum()),
            cast(EstimateFigures, asdict(estimates(scores, right, self.truth.group)["accuracy"])),
            None if before is None else difference(hits(before, right), hits(scores, right), np.ones(len(right)), self.truth.group),
        )


def close_loop(run: Run, derived: Methods, store: Store, truth: ClipTable, folder: Path, say: Callable[[str], None]) -> HeardTable:
    """Audits a run, corrects the first clips of the list or as many at random, and learns from either. A loop that was stopped goes on.

    Args:
        run: a run of the derived methods' recipe; its nets of agreement are finished, and all clips are held out once.
        derived: the methods.
        store: the run's store, with wrong labels.
        truth: the clips of the store with their right labels.
        folder: takes the audit, and a store and a run for each order.
        say: called with each line to show.
    """
    loop = Loop(run, derived, store, load_unchanged_table(store), truth)
    audit = audit_run(run, store, folder / "audit")
    for line in audit.lines():
        say(line)
    unverified = np.flatnonzero(~loop.given.verified)
    say(
        f"listening: somebody who always knows hears {HEARD} of the {len(unverified)} unverified sounds, by the list or at random, and corrects "
        f"them; {METHODS[METHOD]} learns again"
    )
    before = loop.learned(store, run.path)
    rows = [loop.row("before", store, before, None)]
    orders = {"list": _listed(audit, loop.given), "random": np.random.default_rng(ORDER_SEED).permutation(unverified)}
    for name, order in orders.items():
        corrected = loop.corrected(order[:HEARD], folder / f"{name}-store")
        title = "by the audit's list" if name == "list" else "in random order"
        rows.append(loop.row(title, corrected, loop.learned(corrected, folder / name), before))
    return HeardTable(
        title=f"What it brings to hear {HEARD} of them",
        note=f"Somebody who always knows hears {HEARD} of the {len(unverified)} unverified sounds, the first ones of the audit's list or some "
        f"at random, and corrects their labels, which count as verified from then on. {METHODS[METHOD].capitalize()} learns again. All "
        f"{len(truth)} sounds are then tagged by nets that never heard them, and held against their right labels; the difference is that of the same "
        "sounds before and after.",
        before=rows[0],
        by_list=rows[1],
        at_random=rows[2],
        promise=next((promise for promise in audit.promise if promise.first == HEARD), None),
    )


def _wrong(positive: Array, right: Array) -> Array:
    """Which clips have wrong labels, bool ``[N]``."""
    mask: Array = (positive != right).any(axis=1)
    return mask


def _listed(audit: Audit, clips: ClipTable) -> NDArray[np.int64]:
    """The unverified clips as the audit lists them, the most doubtful first, as indices."""
    row_of = {clip: row for row, clip in enumerate(clips.clip_id.tolist())}
    listed = audit.suspects.clip_id[audit.suspects.unverified]
    return np.array([row_of[clip] for clip in listed.tolist()], np.int64)
