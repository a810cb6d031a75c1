"""Tagged sounds as text: for people, for programs, and for programs that show labels beside a sound."""

import io
import json
from collections.abc import Callable
from pathlib import Path

from earmark import files
from earmark.errors import one_line
from earmark.labels import CONTROL
from earmark.tagging.parts import TaggedSound

FORMATS = ("table", "csv", "jsonl", "parquet", "audacity", "raven")
#: The formats with a table of its own for every sound, and what the table's name has behind the sound's file name.
TABLE_A_SOUND = {"audacity": ".txt", "raven": ".selections.txt"}
COLUMNS = ("file", "start", "end", "label", "score")
RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin Path",
    "File Offset (s)",
    "Annotation",
    "Score",
)


def header(form: str) -> str:
    """The text above the first sound's lines; for the formats of `TABLE_A_SOUND`, above every sound's."""
    if form == "csv":
        return ",".join(COLUMNS) + "\n"
    return "\t".join(RAVEN_COLUMNS) + "\n" if form == "raven" else ""


def render(sound: TaggedSound, form: str) -> str:
    """The lines of a sound.

    Args:
        sound: the sound.
        form: ``table``, ``csv``, ``jsonl``, ``audacity`` or ``raven``; `rows` is for ``parquet``.
    """
    return RENDERERS[form](sound)


def rows(sound: TaggedSound) -> list[tuple[str, float, float, str, float]]:
    """File, start, end, label and score of every tag, in the order of the parts."""
    return [(sound.file, part.start, part.end, tag.label, tag.score) for part in sound.parts for tag in part.tags]


def _csv(sound: TaggedSound) -> str:
    text = io.StringIO()
    files.write_rows(
        text, [(file, f"{start:.3f}", f"{end:.3f}", label, f"{score:.6f}") for file, start, end, label, score in rows(sound)]
    )
    return text.getvalue()


def _jsonl(sound: TaggedSound) -> str:
    lines = []
    for part in sound.parts:
        tags = [{"label": tag.label, "score": round(tag.score, 6)} for tag in part.tags]
        line = {"file": sound.file, "start": round(part.start, 3), "end": round(part.end, 3), "tags": tags}
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


def _table(sound: TaggedSound) -> str:
    """A line a part; its times, where it is not the whole sound. Control characters in names are escaped."""
    lines = []
    for part in sound.parts:
        whole = part.start == 0 and part.end == sound.seconds
        span = "" if whole else f"  {clock(part.start)}–{clock(part.end)}"
        tags = "  ".join(f"{tag.label} {tag.score:.3f}" for tag in part.tags) or "-"
        lines.append(one_line(f"{sound.file}{span}  {tags}") + "\n")
    return "".join(lines)


def clock(seconds: float) -> str:
    """A time as people read it, with as many digits of a second as it needs, three at most.

    >>> clock(5), clock(62.5), clock(36000)
    ('0:05', '1:02.5', '10:00:00')
    """
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    whole = f"{rest // 1000:02}"
    fraction = f".{rest % 1000:03}".rstrip("0").rstrip(".")
    return f"{minutes // 60}:{minutes % 60:02}:{whole}{fraction}" if minutes >= 60 else f"{minutes}:{whole}{fraction}"


def _audacity(sound: TaggedSound) -> str:
    """Start, end and label with tabs between them, as Audacity's File › Import › Labels takes them.

    The score is not in the label, so that equal labels are equal, and can be searched for.
    """
    return "".join(f"{start:.6f}\t{end:.6f}\t{_one_cell(label)}\n" for _, start, end, label, _ in rows(sound))


def _raven(sound: TaggedSound) -> str:
    """A selection table of Raven, which opens the sound by its whole path."""
    path = _one_cell(str(Path(sound.file).absolute()))
    lines = []
    for number, (_, start, end, label, score) in enumerate(rows(sound), start=1):
        name = _one_cell(label).replace('"', "'")  # to some readers a quote begins a quoted cell
        times = f"{start:.6f}\t{end:.6f}\t0.0\t{sound.high:.1f}\t{path}\t{start:.6f}"
        lines.append(f"{number}\tSpectrogram 1\t1\t{times}\t{name}\t{score:.6f}\n")
    return "".join(lines)


def _one_cell(text: str) -> str:
    """A text without tabs and line ends, which would end its cell."""
    return CONTROL.sub(" ", text)


RENDERERS: dict[str, Callable[[TaggedSound], str]] = {
    "table": _table,
    "csv": _csv,
    "jsonl": _jsonl,
    "audacity": _audacity,
    "raven": _raven,
}
