"""Joining what neighbouring parts of a timeline have in common."""

from collections.abc import Sequence

from earmark.labels import Tag
from earmark.tagging.parts import Part

ROUNDING = 1e-6  # seconds: parts that are no farther from each other than that touch


def merged(parts: Sequence[Part]) -> list[Part]:
    """A part for every stretch of sound in which a label is among the tags of all parts, with the highest of their scores.

    Parts go on with each other where they touch or overlap. A sound without any tag is a single part without tags.

    Args:
        parts: the parts of a sound, in the order of their beginnings.

    Returns:
        Parts with one tag, by their beginnings, and those that begin together by their scores, the highest first.

    >>> merged([Part(0, 5, [Tag("Bark", 0.5)]), Part(5, 10, [Tag("Bark", 0.75), Tag("Meow", 0.25)])])
    [Part(start=0, end=10, tags=(Tag(label='Bark', score=0.75),)), Part(start=5, end=10, tags=(Tag(label='Meow', score=0.25),))]
    """
    done: list[Part] = []
    open_runs: dict[str, Part] = {}  # by label: those that the last part belongs to
    end = 0.0
    for part in parts:
        touching = part.start <= end + ROUNDING
        runs = {}
        for tag in part.tags:
            before = open_runs.pop(tag.label, None) if touching else None
            start, score = (part.start, tag.score) if before is None else (before.start, max(before.tags[0].score, tag.score))
            runs[tag.label] = Part(start, part.end, (Tag(tag.label, score),))
        done += open_runs.values()
        open_runs, end = runs, part.end
    done += open_runs.values()
    if not done and parts:
        return [Part(parts[0].start, parts[-1].end, ())]
    return sorted(done, key=lambda run: (run.start, -run.tags[0].score))
