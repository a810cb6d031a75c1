"""Spectrograms of the clips, kept for as long as somebody may look at them again."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from earmark.audio.spectrogram import spectrogram_png
from earmark.web.sounds import Sounds
from earmark.web.wav import Sound

KEPT = 200  # pictures
AT_ONCE = max((os.cpu_count() or 1) - 1, 1)  # that are made; a core is left for answers that somebody waits for
LOWEST_TOP = 100.0  # Hz


@dataclass(frozen=True)
class Look:
    """What a spectrogram looks like.

    Attributes:
        width: in pixels.
        height: in pixels.
        scale: of the frequencies.
        range_db: how far below the loudest spot a sound still shows, in dB.
        top_hz: the upper edge; 0 for half the sample rate.
    """

    width: int
    height: int
    scale: Literal["mel", "log"]
    range_db: float
    top_hz: float


class Pictures:
    """Makes spectrograms. Its methods may be called from several threads.

    Args:
        sounds: the sounds of the clips.
    """

    def __init__(self, sounds: Sounds) -> None:
        self._sounds = sounds
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(AT_ONCE)
        self._kept: OrderedDict[tuple[int, str, Look], bytes] = OrderedDict()

    def get(self, row: int, look: Look) -> tuple[bytes, str]:
        """A PNG file, and where the sound comes from, as in `earmark.web.wav.Sound`.

        Args:
            row: place of the clip in the store's table.
            look: what it looks like.

        Raises:
            KeyError: there is no such clip.
            AudioError: it has no sound.
        """
        sound = self._sounds.get(row)
        key = row, sound.origin, look
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key], sound.origin
        with self._turns:
            picture = _drawn(sound, look)
        with self._lock:
            self._kept[key] = picture
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return picture, sound.origin


def _drawn(sound: Sound, look: Look) -> bytes:
    top = min(max(look.top_hz, LOWEST_TOP), sound.sample_rate / 2) if look.top_hz else None
    size = {"width": look.width, "height": look.height}
    return spectrogram_png(sound.mono(), sound.sample_rate, **size, scale=look.scale, range_db=look.range_db, top_hz=top)
