"""The demo's loop: an audit says what to hear, a listener who always knows corrects it, and the net learns again."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from earmark.assess.audit_result import Audit
from earmark.assess.heard import Heard, HeardTable, Learned
from earmark.assess.metrics import EstimateFigures, estimates, hits
from earmark.assess.paired import difference
from earmark.data.plant import planted_store
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable
from earmark.runs.data import load_unchanged_table
from earmark.runs.run import Run
from earmark.training.audit import audit_run
from earmark.training.compare import compare_request, learn
from earmark.training.methods import METHODS, Methods

HEARD = 100  # clips: a sitting. Chosen, of 50, 100 and 200, on sounds and labels of other seeds than the demo's (101 and 103)
ORDER_SEED = 2  # of the random order
THREADS = 1  # of a net: a linear one is no faster with more
MOST_JOBS = 4  # nets that are trained at once, at most
LEARN = ("given", "agreement")  # methods that learn again


def jobs() -> int:
    """How many nets are trained at once."""
    return min(os.cpu_count() or 1, MOST_JOBS)


@dataclass(frozen=True)
class Loop:
    """What the loop works on.

    Attributes:
        run: a run whose nets of `LEARN` are finished.
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

    def learned(self, store: Store, out: Path) -> dict[str, NDArray[np.float32]]:
        """Out-of-fold scores of all methods of `LEARN` that learn from a store, ``[N, K]``; nets are trained if they are not there yet."""
        request = compare_request(self.derived, store, out, THREADS, jobs())
        return learn(self.derived, LEARN, request)[0]

    def corrected(self, heard: Array, path: Path) -> Store:
        """The store after some clips, given as indices, were heard; that of an earlier demo, if it is there."""
        if path.is_dir():
            return Store.open(path)
        positive, verified = self.given.positive.copy(), self.given.verified.copy()
        positive[heard], verified[heard] = self.truth.positive[heard], True
        return planted_store(self.store, path, positive, verified)

    def heard(self, name: str, store: Store) -> Heard:
        """What was heard before a store was made."""
        now, right = load_unchanged_table(store), self.truth.positive
        heard = now.verified & ~self.given.verified
        met = int(_wrong(self.given.positive, right)[heard].sum())
        return Heard(name, int(heard.sum()), met, int(_wrong(now.positive, right).sum()))

    def compared(self, name: str, scores: Sequence[Array]) -> Learned:
        """A method of this name with its scores before, by the list and at random, each ``[N, K]``."""
        right, group = self.truth.positive, self.truth.group
        before, listed, random = (hits(part, right) for part in scores)
        figures = [cast(EstimateFigures, asdict(estimates(part, right, group)["accuracy"])) for part in scores]
        pairs = ((before, listed), (before, random), (random, listed))
        gains = [difference(*pair, np.ones(len(right)), group) for pair in pairs]
        return Learned(name, (figures[0], figures[1], figures[2]), (gains[0], gains[1], gains[2]))


def close_loop(run: Run, derived: Methods, store: Store, truth: ClipTable, folder: Path, say: Callable[[str], None]) -> HeardTable:
    """Audits a run, corrects the first clips of the list or as many at random, and learns from either. A loop that was stopped goes on.

    Args:
        run: a run of the derived methods' recipe; its nets of `LEARN` are finished, and all clips are held out once.
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
        "their labels; what learned from all labels as given, and agreement, learn again"
    )
    orders = {"list": _listed(audit, loop.given), "random": np.random.default_rng(ORDER_SEED).permutation(unverified)}
    stores = {name: loop.corrected(order[:HEARD], folder / f"{name}-store") for name, order in orders.items()}
    learned = [loop.learned(store, run.path), *(loop.learned(corrected, folder / name) for name, corrected in stores.items())]
    return HeardTable(
        title=f"What it brings to hear {HEARD} sounds",
        note=f"Somebody who always knows hears {HEARD} of the {len(unverified)} unverified sounds, the first ones of the audit's list or some "
        "at random, and corrects their labels, which count as verified from then on; nets learn again. All "
        f"{len(truth)} sounds are tagged by nets that never heard them, and held against their right labels.",
        orders=(
            loop.heard("before", store),
            loop.heard("by the audit's list", stores["list"]),
            loop.heard("in random order", stores["random"]),
        ),
        methods=[loop.compared(METHODS[method], [scores[method] for scores in learned]) for method in LEARN],
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
