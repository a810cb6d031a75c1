"""``audit.html``: what an audit says, on one page with sounds to listen to; the file needs no other files."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.assess.advice import steps_after_audit
from earmark.assess.audit_result import Audit, ClassNoise, Promise, Suspect
from earmark.assess.duplicates import Duplicate
from earmark.assess.listening import PLAYED_SECONDS, ogg
from earmark.assess.page import percent, write_page
from earmark.assess.pictures import PLOT, share_band
from earmark.audio.spectrogram import spectrogram_png
from earmark.data.clips import ClipSet
from earmark.data.store import Store

NAME = "audit.html"
HEARD = 24  # suspects on the page, at most
IN_SIGHT = 9  # of them, without unfolding the rest; of other lists, all that there are
CLASSES_IN_SIGHT = 15
CLASS_ROWS = 500  # in the table, at most
MIX_UPS = 12  # listed, at most
DUPLICATES_IN_SIGHT = 12
DUPLICATE_ROWS = 200  # in the table, at most
NAMED = 4  # clips of a duplicate, or labels of a clip, at most
PICTURE = (320, 96)  # pixels of a spectrogram


@dataclass(frozen=True)
class PlayedSuspect:
    """A suspect with its sound.

    Attributes:
        suspect: the clip.
        seconds: its length.
        played: the length of the sound on the page.
        top: upper edge of the spectrogram, in Hz.
        audio: the beginning of the clip, as a base64 Ogg Vorbis file.
        picture: its spectrogram, as a base64 PNG file.
    """

    suspect: Suspect
    seconds: float
    played: float
    top: float
    audio: str
    picture: str

    @property
    def agreed(self) -> bool:
        """Whether the nets would give the same labels."""
        return set(self.suspect.given) == set(self.suspect.suggested)


@dataclass(frozen=True)
class NoiseBar:
    """A class with its noise as a bar.

    Attributes:
        noise: the class.
        bar: length of the bar, in % of the room.
        low: lower end of the interval, likewise.
        high: upper end of the interval, likewise.
    """

    noise: ClassNoise
    bar: float
    low: float
    high: float


def write_audit_page(folder: Path, audit: Audit, sounds: ClipSet, store: Store) -> Path:
    """Writes the page of an audit.

    Args:
        folder: the audit's folder.
        audit: what it says.
        sounds: clips of its store, with their samples, all those of ``audit.suspects`` among them.
        store: the store.

    Returns:
        The path of the page.
    """
    suspects = audit.suspects
    unverified, verified = suspects.unverified, suspects.doubtful_verified
    index_of = {clip_id: i for i, clip_id in enumerate(sounds.clip_id.tolist())}

    def played(rows: Sequence[Suspect]) -> list[PlayedSuspect]:
        return [_played(row, sounds, index_of[row.clip_id]) for row in rows]

    bars, most = noise_bars(audit.classes)
    return write_page(
        folder / NAME,
        "audit.html.jinja",
        audit=audit,
        run_name=audit.run.name,
        clip_count=len(suspects),
        unverified_count=int(unverified.sum()),
        verified_count=int(suspects.verified.sum()),
        unlabelled_count=int(suspects.unlabelled.sum()),
        curve=share_band([_shares(point) for point in audit.curve], audit.cut) if audit.curve else None,
        plot=PLOT,
        promises=[promise_words(promise) for promise in audit.promise],
        suspects=played(suspects.shown(HEARD, unverified)),
        in_sight=IN_SIGHT,
        verified=played(suspects.shown(IN_SIGHT, verified)),
        doubtful_verified_count=int(verified.sum()),
        unlabelled=played(suspects.shown(IN_SIGHT, suspects.unlabelled)),
        bars=bars,
        most=percent(most),
        classes_in_sight=CLASSES_IN_SIGHT,
        class_rows=CLASS_ROWS,
        mix_ups=audit.mix_ups[:MIX_UPS],
        copies=sum(row.kind != "one recording" for row in audit.duplicates),
        two_folds=sum(row.two_folds for row in audit.duplicates),
        two_labels=sum(row.two_labels for row in audit.duplicates),
        duplicates_in_sight=DUPLICATES_IN_SIGHT,
        duplicate_rows=DUPLICATE_ROWS,
        duplicate_fold=_folds,
        likely=likely,
        named=NAMED,
        steps=steps_after_audit(folder, audit.run, store),
    )


def promise_words(promise: Promise) -> str:
    """A promise for people.

    >>> promise_words(Promise(first=50, wrong=31.2, low=24.9, high=36.0))
    'Of the first 50 about 31 (25–36) are wrong.'
    """
    return f"Of the first {promise.first:,} {promise.in_words()} are wrong."


def likely(probability: float) -> str:
    """A probability for people, who should not take it for certainty.

    >>> likely(0.934), likely(0.9999), likely(0.001)
    ('93 %', 'over 99 %', 'under 1 %')
    """
    if probability > 0.99:
        return "over 99 %"
    return "under 1 %" if probability < 0.01 else percent(probability)


def noise_bars(classes: Sequence[ClassNoise]) -> tuple[list[NoiseBar], float]:
    """The classes with bars, the noisiest first and those of which nothing can be said last; and the share at the bars' far end."""
    known = sorted((row for row in classes if row.known), key=lambda row: (-row.wrong, row.label))
    unknown = sorted((row for row in classes if not row.known), key=lambda row: row.label)
    most = next((share for share in (0.1, 0.2, 0.5) if max((row.high for row in known), default=0.0) <= share), 1.0)

    def length(share: float) -> float:
        return round(100 * min(max(share, 0.0), most) / most, 1)

    bars = [NoiseBar(row, length(row.wrong), length(row.low), length(row.high)) for row in known]
    return bars + [NoiseBar(row, 0.0, 0.0, 0.0) for row in unknown], most


def _shares(promise: Promise) -> tuple[float, float, float, float]:
    share, low, high = (min(number / promise.first, 1.0) for number in (promise.wrong, promise.low, promise.high))
    return promise.first, share, low, high


def _folds(duplicate: Duplicate) -> str:
    return ", ".join("test" if fold < 0 else str(fold) for fold in duplicate.folds)


def _played(suspect: Suspect, sounds: ClipSet, index: int) -> PlayedSuspect:
    samples, rate = sounds.samples(index), sounds.sample_rate
    played = samples[: int(PLAYED_SECONDS * rate)]
    width, height = PICTURE
    picture = spectrogram_png(played, rate, width=width, height=height)
    return PlayedSuspect(
        suspect, len(samples) / rate, len(played) / rate, rate / 2, ogg(sounds, index), base64.b64encode(picture).decode()
    )
