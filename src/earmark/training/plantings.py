"""The clips of a store whose labels are right, and the same clips with wrong labels planted among them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from earmark.data.manifest import NO_FOLD
from earmark.data.plant import Protocol, plant
from earmark.data.store import Store
from earmark.data.table import Array, ClipTable
from earmark.errors import EarmarkError, StoreError
from earmark.runs.data import load_unchanged_table
from earmark.training.compare import judgeable
from earmark.training.splits import folds_of, verified_suffice

RATE = 0.3  # share of wrong labels, if nobody says another
MOST_VERIFIED = 0.4  # share of verified clips, likewise, if that suffices …
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # … else the next of these
WORDS = {
    "symmetric": "any other class",
    "class": "the one class that its class is always mistaken for",
    "related": "another class of the same kin",
}


@dataclass(frozen=True)
class Plantings:
    """Clips for plantings; make them with `plantings_of`.

    Attributes:
        clips: all N clips of the store; those that are left out belong to the test split.
        judged: whether a clip's labels are taken for right, bool ``[N]``: wrong labels are planted among these.
        left_out: whether a clip is left out because it really is unverified, bool ``[N]``.
        kin: the kin of each class, int ``[K]``; None if nobody said it.
    """

    clips: ClipTable
    judged: Array
    left_out: Array
    kin: Array | None

    @property
    def truth(self) -> ClipTable:
        """The clips whose labels are taken for right."""
        return self.clips[self.judged]

    def planted(self, protocol: Protocol, seed: int) -> ClipTable:
        """All clips, with wrong labels. The same seed plants the same.

        Raises:
            EarmarkError: the protocol needs the kin of the classes, or a class has no other class of its kin.
        """
        if protocol.kind == "related" and self.kin is None:
            raise EarmarkError(f"--protocol {protocol.text}: it needs to know which classes are kin; --kin FILE says it")
        positive, verified = self.clips.positive.copy(), self.clips.verified.copy()
        drawn = plant(self.truth, protocol.kind, protocol.rate, protocol.verified, seed, self.kin)
        positive[self.judged], verified[self.judged] = drawn
        return replace(self.clips, positive=positive, verified=verified)

    def default_protocols(self, seeds: Sequence[int]) -> tuple[Protocol, ...]:
        """Wrong labels by chance, and wrong labels that follow a rule.

        As many clips stay verified as there really are, or 40 % where there are more; more than that, if then each class has in every
        fold a verified clip to learn from.
        """
        training = self.clips.labelled & (~self.clips.test | self.left_out)
        own = min(round(float(self.judged.sum() / training.sum()), 2), MOST_VERIFIED)
        choices = [
            (Protocol("symmetric", RATE, share), Protocol("class", RATE, share)) for share in (own, *(s for s in SHARES if s > own))
        ]
        for protocols in choices:
            if all(verified_suffice(self.planted(protocol, seed)) for protocol in protocols for seed in seeds):
                return protocols
        return choices[0]

    def note(self, protocol: Protocol, seeds: Sequence[int]) -> str:
        """What a protocol plants, in sentences."""
        clips, truth = self.planted(protocol, seeds[0]), len(self.truth)
        unverified = int((~clips.verified & self.judged).sum())
        wrong = int((clips.positive != self.clips.positive).any(axis=1).sum())
        others = int((~self.clips.verified & ~self.clips.test).sum())
        return (
            f"{truth:,} clips whose labels are taken for right: {truth - unverified:,} stay verified, and {wrong:,} of the other "
            f"{unverified:,} get a wrong label, {WORDS[protocol.kind]}."
            + (f" {others:,} more clips are unverified, and stay as they are." if others else "")
            + f" Each clip is scored by nets that never heard its recording; {len(seeds)} planting{'s' if len(seeds) > 1 else ''}."
        )


def plantings_of(store: Store, unverified: Literal["leave-out", "keep"], kin: Array | None = None) -> Plantings:
    """A store's clips for plantings.

    Args:
        store: the store.
        unverified: what happens to the clips that really are unverified.
        kin: the kin of each class, int ``[K]``.

    Raises:
        StoreError: no label is known to be right, or all that could be scored is in one fold.
    """
    clips = load_unchanged_table(store)
    judged = judgeable(clips)
    if not judged.any():
        raise StoreError(
            f"{store.path} has no verified training clip with a label: wrong labels are planted among labels that are known to be right"
        )
    left_out = ~clips.verified & ~clips.test & (unverified == "leave-out")
    clips = replace(clips, test=clips.test | left_out, fold=np.where(left_out, NO_FOLD, clips.fold))
    if len(folds_of(clips)) < 2:
        raise StoreError(
            f"{store.path} has all its verified clips in one fold; clips are scored by nets of other folds, so two are needed"
        )
    return Plantings(clips, judged, left_out, kin)
