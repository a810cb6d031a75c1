"""What tagging gives: sounds and their parts, with tags."""

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.labels import Tag


@dataclass(frozen=True)
class Part:
    """A part of a sound, or all of it.

    Attributes:
        start: where it begins, in seconds.
        end: where it ends, in seconds.
        tags: its tags, the best first.
    """

    start: float
    end: float
    tags: Sequence[Tag]


@dataclass(frozen=True)
class TaggedSound:
    """A sound with its tags.

    Attributes:
        file: name of the file, as the user gave it.
        seconds: length of the sound.
        high: the highest frequency that the file has and the model hears, in Hz.
        parts: its parts in the order of their beginnings; without a window, a single part that is all of the sound.
    """

    file: str
    seconds: float
    high: float
    parts: Sequence[Part]
