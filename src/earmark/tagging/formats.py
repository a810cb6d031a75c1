"""Tags of many files as text: table, csv, jsonl."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from earmark import files
from earmark.errors import one_line
from earmark.tagging.tagger import Tag


@dataclass(frozen=True)
class TaggedFile:
    """What was found in a stretch of one file.

    Attributes:
        file: as it was named.
        start: seconds.
        end: seconds.
        tags: best first.
    """

    file: str
    start: float
    end: float
    tags: Sequence[Tag]


def header(form: str) -> str:
    """What stands above the first file."""
    return "file,start,end,label,score\n" if form == "csv" else ""


def render(found: TaggedFile, form: str) -> str:
    """One file's lines.

    ``csv`` has a line a tag; ``jsonl`` an object a file; ``table`` a line a file, for reading: line breaks in names are escaped.

    >>> render(TaggedFile("a.wav", 0, 1.5, [Tag("Bark", 0.875)]), "csv")
    'a.wav,0.000,1.500,Bark,0.875000\\n'
    """
    if form == "csv":
        text = io.StringIO()
        span = f"{found.start:.3f}", f"{found.end:.3f}"
        files.write_rows(text, [(found.file, *span, tag.label, f"{tag.score:.6f}") for tag in found.tags])
        return text.getvalue()
    if form == "jsonl":
        tags = [{"label": tag.label, "score": round(tag.score, 6)} for tag in found.tags]
        line = {"file": found.file, "start": round(found.start, 3), "end": round(found.end, 3), "tags": tags}
        return json.dumps(line, ensure_ascii=False) + "\n"
    listed = "  ".join(f"{tag.label} {tag.score:.3f}" for tag in found.tags) or "-"
    return f"{one_line(found.file)}  {listed}\n"
