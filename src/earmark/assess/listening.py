"""Clips to listen to: where nets and given labels disagree most, either may be wrong."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from earmark import audio
from earmark.assess.joined import Joined
from earmark.assess.page import short
from earmark.data.clips import ClipSet

GIVEN = 5  # labels of a clip, at most
PLAYED_SECONDS = 6.0  # length of the sound, at most
VORBIS_RATE = 48000  # Hz; the encoder crashes above 200,000


@dataclass(frozen=True)
class Disagreement:
    """A clip whose scores contradict a given label.

    Attributes:
        clip_id: the clip's name.
        given: its labels, the contradicted one first; some, if there are many.
        further: the number of its other labels.
        given_score: score of the first of them.
        guess: the class that is no label of the clip and has the highest score.
        guess_score: that score.
        audio: the beginning of the clip, as a base64 Ogg Vorbis file.
    """

    clip_id: str
    given: list[str]
    further: int
    given_score: float
    guess: str
    guess_score: float
    audio: str


def mistakes(judged: Joined) -> NDArray[np.int64]:
    """The clips whose best guess is none of their labels, as indices; the guess furthest above the labels first."""
    rows = np.arange(len(judged.clips))
    wrong = ~judged.clips.positive[rows, judged.scores.argmax(axis=1)]
    return _ordered(judged, -_label_scores(judged, weakest=False), wrong)


def doubtful(judged: Joined) -> NDArray[np.int64]:
    """The clips with a label below a class that is no label of theirs, as indices; the label furthest below first."""
    weakest = _label_scores(judged, weakest=True)
    return _ordered(judged, -weakest, _guess_scores(judged).max(axis=1, initial=-np.inf) > weakest)


def _ordered(judged: Joined, score: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    score = score + _guess_scores(judged).max(axis=1, initial=-np.inf)
    clips = np.flatnonzero(chosen)
    return clips[np.argsort(-score[clips], kind="stable")]


def _guess_scores(judged: Joined) -> NDArray[np.float64]:
    """The scores of the classes that are no labels of a clip, ``[N, K]``; −inf elsewhere."""
    return np.where(judged.clips.positive, -np.inf, judged.scores)


def _label_scores(judged: Joined, *, weakest: bool) -> NDArray[np.float64]:
    """The lowest or the highest score of a clip's labels, ``[N]``."""
    positive, scores = judged.clips.positive, judged.scores
    return np.where(positive, scores, np.inf).min(axis=1) if weakest else np.where(positive, scores, -np.inf).max(axis=1)


def disagreements(judged: Joined, clips: NDArray[np.int64], sounds: ClipSet, *, weakest: bool) -> list[Disagreement]:
    """What a page shows of clips to listen to.

    Args:
        judged: clips with their scores; all have labels.
        clips: indices of those to show.
        sounds: all clips of the store, with their samples.
        weakest: whether the label with the lowest score is the one in doubt, not that with the highest.
    """
    names, index_of = judged.clips.labels.names, {clip_id: i for i, clip_id in enumerate(sounds.clip_id.tolist())}
    guesses = _guess_scores(judged)
    shown = []
    for i in clips:
        labels = np.flatnonzero(judged.clips.positive[i])
        scores = judged.scores[i, labels]
        labels = labels[np.argsort(scores if weakest else -scores, kind="stable")]
        guess = int(guesses[i].argmax())
        clip_id = str(judged.clips.clip_id[i])
        shown.append(
            Disagreement(
                clip_id,
                [short(names[k]) for k in labels[:GIVEN]],
                max(len(labels) - GIVEN, 0),
                float(judged.scores[i, labels[0]]),
                short(names[guess]),
                float(judged.scores[i, guess]),
                ogg(sounds, index_of[clip_id]),
            )
        )
    return shown


def ogg(clips: ClipSet, index: int) -> str:
    """The beginning of a clip, as a base64 Ogg Vorbis file."""
    samples = clips.samples(index)[: int(PLAYED_SECONDS * clips.sample_rate)]
    samples = samples / max(1.0, float(np.abs(samples).max()))
    rate = min(clips.sample_rate, VORBIS_RATE)
    samples = audio.resample(samples, clips.sample_rate, rate)
    with io.BytesIO() as file:
        with soundfile.SoundFile(file, "w", rate, 1, format="OGG", subtype="VORBIS") as written:
            for start in range(0, len(samples), 4096):  # libsndfile's encoder overflows its stack on one long write
                written.write(samples[start : start + 4096])
        return base64.b64encode(file.getvalue()).decode()
