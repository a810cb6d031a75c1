"""Tags of files as text: table, csv, jsonl."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from earmark import files
from earmark.errors import one_line
from earmark.tagging.tagger import Tag


@dataclass(frozen=True)
class TaggedFile:
    """The tags of a file, or of a part of it.

    Attributes:
        file: name of the file, as the user gave it.
        start: where the part begins, in seconds.
        end: where the part ends, in seconds.
        tags: the tags, the best first.
    """

    file: str
    start: float
    end: float
    tags: Sequence[Tag]


def header(form: str) -> str:
    """The text above the first file's lines."""
    return "file,start,end,label,score\n" if form == "csv" else ""


def render(tagged: TaggedFile, form: str) -> str:
    """The lines of one file.

    ``csv`` has a line for each tag. ``jsonl`` has one object for the file. ``table`` has one line for the file, for people: control
    characters in names are escaped.

    >>> render(TaggedFile("a.wav", 0, 1.5, [Tag("Bark", 0.875)]), "csv")
    'a.wav,0.000,1.500,Bark,0.875000\\n'
    """
    if form == "csv":
        text = io.StringIO()
        span = f"{tagged.start:.3f}", f"{tagged.end:.3f}"
        files.write_rows(text, [(tagged.file, *span, tag.label, f"{tag.score:.6f}") for tag in tagged.tags])
        return text.getvalue()
    if form == "jsonl":
        tags = [{"label": tag.label, "score": round(tag.score, 6)} for tag in tagged.tags]
        line = {"file": tagged.file, "start": round(tagged.start, 3), "end": round(tagged.end, 3), "tags": tags}
        return json.dumps(line, ensure_ascii=False) + "\n"
    listed = "  ".join(f"{tag.label} {tag.score:.3f}" for tag in tagged.tags) or "-"
    return one_line(f"{tagged.file}  {listed}") + "\n"
