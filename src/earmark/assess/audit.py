"""Which given labels are probably wrong, what would be better, and how much to believe of it.

Everything stands on guesses of judges that never heard a clip and never learned from its labels. How labels go wrong is estimated from
guesses and given labels together; where verified clips are there, they say how sure the guesses may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earmark.assess.audit_result import DOUBTED, Audit, ClassNoise, NoiseMixUp, Promise, Suspects
from earmark.assess.blend import blended
from earmark.assess.doubt import NoiseModel, doubt, estimate_noise
from earmark.assess.duplicates import Duplicate
from earmark.assess.label_noise import FLOOR, calibrated, sharpened
from earmark.assess.promise import WrongDraws, calibrate, draw_wrong, sure_share
from earmark.data.table import Array, ClipTable

PROMISED = (50, 100, 200, 500, 1000, 2000, 5000)  # clips that a person hears in a sitting, or in some
CURVE = (1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100)  # then a tenth more of the number before, and so on
FEW_VERIFIED = 10  # clips of a class: with fewer, its figure is a guess
NONE_SHARE = 0.02  # of verified clips are taken for none of the classes, by mistake
SHOWN_MIX_UPS = 30
CALIBRATION = 10.0  # strength of `earmark.assess.label_noise.calibrated`
AT_ONCE = 2_000_000  # guesses that are worked on together: this bounds the memory
CHECKED_WRONG = 0.01  # share of verified *none of these* that may be wrong, at most


@dataclass(frozen=True)
class Judged:
    """What is known of N training clips before it is put into a list.

    Attributes:
        clips: the clips.
        guesses: of all judges together, by the sound alone, float32 ``[N, K]``.
        probable: how probable each label is by sound and given labels together, float32 ``[N, K]``.
        odds: log odds that a clip's labels are wrong, ``[N]``; NaN for unlabelled clips.
        exclusive: whether a clip has one label at most.
        draws: which of the unverified clips, the most doubtful first, may be wrong.
        order: those clips as indices.
    """

    clips: ClipTable
    guesses: NDArray[np.float32]
    probable: NDArray[np.float32]
    odds: NDArray[np.float64]
    exclusive: bool
    draws: WrongDraws
    order: NDArray[np.int64]


def judge(clips: ClipTable, guesses: Sequence[Array]) -> Judged:
    """Holds the labels of clips against guesses.

    Args:
        clips: N training clips.
        guesses: of each judge ``[N, K]``: judges that no clip they guess has taught anything.
    """
    exclusive = not clips.several
    given = clips.positive.any(axis=1)
    unverified, checked = given & ~clips.verified, clips.verified & (given if exclusive else np.ones(len(clips), bool))
    together = blended(guesses, clips.positive, checked, exclusive)
    if not checked.any() and unverified.any():  # how sure the guesses may be, only the given labels can say
        clipped = np.clip(together[unverified], FLOOR, 1 - FLOOR).astype(np.float64)
        as_sure_as_they_say = sharpened if exclusive else calibrated
        together[unverified] = as_sure_as_they_say(clipped, clips.positive[unverified], CALIBRATION)
    probable, odds = together.copy(), np.full(len(clips), np.nan)
    noise: NoiseModel | None = None
    for kind in (checked, unverified):
        if not kind.any():
            continue
        noise = estimate_noise(together[kind], clips.positive[kind], exclusive)
        for rows in _pieces(np.flatnonzero(kind), len(clips.labels)):
            probable[rows] = noise.probable(together[rows], clips.positive[rows])
            odds[rows] = doubt(probable[rows], clips.positive[rows], exclusive)
    none = clips.none_of_these & exclusive
    odds[none] = _odds(CHECKED_WRONG * _share_below(together[checked], clips.positive[checked], together[none].max(axis=1)))
    doubts = odds[unverified]
    if noise is None or not unverified.any():
        return Judged(
            clips, together, probable, odds, exclusive, WrongDraws(np.zeros((1, 0), bool), np.zeros(0)), np.zeros(0, np.int64)
        )
    probability = 1 / (1 + np.exp(-doubts))
    calibration = calibrate(together[checked], clips.positive[checked], clips.group[checked], noise, exclusive, probability)
    odds[unverified] = calibration.odds(doubts)
    rows = np.flatnonzero(unverified)
    by_doubt = np.argsort(-doubts, kind="stable")
    return Judged(clips, together, probable, odds, exclusive, draw_wrong(doubts[by_doubt], calibration), rows[by_doubt])


def _pieces(rows: Array, classes: int) -> list[Array]:
    """Indices of clips in pieces of about `AT_ONCE` guesses."""
    return np.array_split(rows, len(rows) * classes // AT_ONCE + 1)


def _odds(share: Array) -> Array:
    share = np.clip(share, 1e-6, 1 - 1e-6)
    odds: Array = np.log(share / (1 - share))
    return odds


def _share_below(guesses: Array, positive: Array, values: Array) -> Array:
    """The share of verified clips whose own labels are guessed at most as surely as each value, ``[values]``."""
    own = np.sort(np.where(positive, guesses, 0).max(axis=1, initial=0))
    share: Array = np.searchsorted(own, values, side="right") / max(len(own), 1)
    return share


def make_audit(
    judged: Judged, duplicates: Sequence[Duplicate], leaning: Array, *, run: Path, store: Path, strategy: str, notes: Sequence[str]
) -> Audit:
    """Puts what is known into an audit.

    Args:
        judged: the result of `judge`.
        duplicates: clips that belong together.
        leaning: classes whose judges had to learn from labels that nobody has checked, bool ``[K]``.
        run: folder of the run.
        store: folder of its store.
        strategy: a sentence: what the guesses stand on, and why.
        notes: further sentences for the reader.
    """
    count = len(judged.order)
    whole = judged.draws.promises([count])[0] if count else None
    return Audit(
        run=run,
        store=store,
        strategy=strategy,
        several=not judged.exclusive,
        suspects=_suspects(judged, duplicates),
        promise=_promises(judged, PROMISED),
        curve=_promises(judged, (*CURVE, *(int(100 * 1.1**step) for step in range(150)), count)),
        whole=whole,
        classes=_classes(judged, leaning),
        mix_ups=_mix_ups(judged),
        duplicates=list(duplicates),
        cut=int((judged.draws.probability >= DOUBTED).sum()),
        notes=list(notes),
    )


def _promises(judged: Judged, firsts: Sequence[int]) -> list[Promise]:
    count = len(judged.order)
    fitting = sorted({first for first in firsts if 0 < first <= count})
    return judged.draws.promises(fitting or ([count] if count else []))


def suggestions(judged: Judged) -> list[Array]:
    """The labels that would be better than those that are given, or the same, as indices of classes, for each clip."""
    if not judged.exclusive:
        return _classes_of(judged.probable >= DOUBTED)
    best = judged.probable.argmax(axis=1)
    doubted = np.nan_to_num(judged.odds, nan=-np.inf) >= 0
    others = np.where(judged.clips.positive, -1.0, judged.probable).argmax(axis=1)
    best = np.where(doubted & judged.clips.positive.any(axis=1), others, best)
    none = like_nothing(judged) & doubted
    none |= judged.clips.none_of_these & ~doubted
    return [np.zeros(0, np.int64) if empty else np.array([k]) for k, empty in zip(best.tolist(), none.tolist(), strict=True)]


def like_nothing(judged: Judged) -> Array:
    """The clips that sound like none of the classes, bool ``[N]``: their best guess is less sure than nearly all best guesses at verified
    clips; none if no clip is verified."""
    known = judged.clips.verified & judged.clips.positive.any(axis=1)
    if not known.any():
        return np.zeros(len(judged.clips), bool)
    least = np.quantile(judged.guesses[known].max(axis=1), NONE_SHARE)
    unlike: Array = judged.guesses.max(axis=1) < least
    return unlike


def _suspects(judged: Judged, duplicates: Sequence[Duplicate]) -> Suspects:
    clips, names = judged.clips, judged.clips.labels.names
    unlabelled = np.isnan(judged.odds)
    # Unlabelled clips last; of them first those that the judges know least what to make of: they teach most.
    last = np.zeros(len(clips), np.float32)
    last[unlabelled] = _sureness(judged.guesses[unlabelled], judged.exclusive)
    order = np.lexsort((np.where(unlabelled, last, -np.nan_to_num(judged.odds)), unlabelled))
    further: dict[str, list[str]] = {}
    for duplicate in duplicates:
        for clip in duplicate.clips:
            words = further.setdefault(clip, [])
            words += ["duplicate"] if duplicate.kind != "one recording" else []
            words += (["two folds"] if duplicate.two_folds else []) + (["two labels"] if duplicate.two_labels else [])
    better = suggestions(judged)
    suggested = [tuple(names[k] for k in better[row].tolist()) for row in order.tolist()]
    given = [tuple(names[k] for k in labels.tolist()) for labels in _classes_of(clips.positive[order])]
    ids = clips.clip_id[order]
    reasons: list[tuple[str, ...]] = [
        tuple(dict.fromkeys([*_reasons(judged, row, better[row]), *further.get(clip, ())]))
        for row, clip in zip(order.tolist(), ids.tolist(), strict=True)
    ]
    odds = judged.odds[order]
    return Suspects(ids, given, suggested, odds, 1 / (1 + np.exp(-odds)), clips.verified[order], reasons)


def _sureness(guesses: Array, exclusive: bool) -> Array:
    """How sure judges are of what clips are, ``[N]``: how far the best two guesses lie apart, or the unsurest one from one half."""
    if not exclusive:
        apart: Array = np.abs(guesses - 0.5).min(axis=1)
    else:
        best_two = np.partition(guesses, guesses.shape[1] - 2, axis=1)[:, -2:]
        apart = best_two[:, 1] - best_two[:, 0]
    return apart


def _classes_of(mask: Array) -> list[Array]:
    """Of each row of a mask, bool ``[N, K]``, the indices that are set."""
    return np.split(np.nonzero(mask)[1], np.cumsum(mask.sum(axis=1))[:-1]) if len(mask) else []


def _reasons(judged: Judged, row: int, better: Array) -> list[str]:
    """Why the labels of a clip are doubted, in words."""
    if np.isnan(judged.odds[row]):
        return ["unlabelled"]
    if judged.odds[row] < 0:
        return []
    given = judged.clips.positive[row]
    if not len(better):
        return ["none of these"]
    if judged.exclusive:
        return ["wrong label"]  # verified none of these are never doubted so far
    dropped, added = given.copy(), np.zeros_like(given)
    dropped[better] = False
    added[better] = True
    wrong, missing = bool(dropped.any()), bool((added & ~given).any())
    if not wrong and not missing:  # the doubt is in a single label, just above one half after the calibration
        return (
            ["wrong label"]
            if (1 - judged.probable[row, given]).max(initial=0) >= judged.probable[row, ~given].max(initial=0)
            else ["missing label"]
        )
    return (["wrong label"] if wrong else []) + (["missing label"] if missing else [])


def _classes(judged: Judged, leaning: Array) -> list[ClassNoise]:
    clips = judged.clips
    rows = []
    verified = clips.positive[clips.verified].sum(axis=0)
    of_order = clips.positive[judged.order]
    for k, label in enumerate(clips.labels.names):
        chosen = np.flatnonzero(of_order[:, k])
        if judged.exclusive:
            share, low, high = judged.draws.share(chosen)
        else:  # the doubt in a clip may be about another of its labels
            share, low, high = sure_share(1 - judged.probable[judged.order[chosen], k])
        note = ""
        if not verified[k]:
            note = "no clip of it is verified: judged by labels that may be wrong"
        elif leaning[k]:
            note = "too few recordings of it are verified: judged by labels that may be wrong"
        elif verified[k] < FEW_VERIFIED:
            note = f"only {verified[k]} verified clips: a rough figure"
        rows.append(ClassNoise(label, len(chosen), int(verified[k]), share, low, high, note))
    return sorted(rows, key=lambda row: (-(row.wrong if row.known else -1.0), row.label))


def _mix_ups(judged: Judged) -> list[NoiseMixUp]:
    """What is labelled as what among the unverified clips, as expected."""
    given, probable = judged.clips.positive[judged.order], judged.probable[judged.order]
    names, rows = judged.clips.labels.names, []
    for k, label in enumerate(names):
        own = np.flatnonzero(given[:, k])
        if not len(own):
            continue
        wrong = np.where(given[own], 0, probable[own])
        if not judged.exclusive:
            wrong = wrong * (1 - probable[own, k])[:, None]
        for other in np.argsort(-wrong.sum(axis=0))[:3]:
            clips = float(wrong[:, other].sum())
            if clips >= 1:
                rows.append(NoiseMixUp(names[other], label, clips / len(own), clips))
    return sorted(rows, key=lambda row: -row.clips)[:SHOWN_MIX_UPS]
