import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from earmark.labels import Tag
from earmark.tagging.formats import FORMATS, TABLE_A_SOUND, clock, header, render, rows
from earmark.tagging.parts import Part, TaggedSound


def whole(file: str, seconds: float, tags: Sequence[Tag]) -> TaggedSound:
    return TaggedSound(file, seconds, 8000.0, [Part(0.0, seconds, tags)])


@pytest.mark.parametrize("name", ["plain.wav", "two words.wav", 'quote".wav', "new\nline.wav", "comma,.wav", "Жук-é.wav"])
def test_every_name_survives_csv_and_jsonl(name: str) -> None:
    tagged = whole(name, 1.25, [Tag("Bark, loud", 0.5), Tag("Meow", 0.25)])
    lines = list(csv.DictReader(io.StringIO(header("csv") + render(tagged, "csv"))))
    assert [(row["file"], row["label"], row["end"]) for row in lines] == [(name, "Bark, loud", "1.250"), (name, "Meow", "1.250")]
    line = render(tagged, "jsonl")
    assert line.count("\n") == 1
    assert json.loads(line)["file"] == name
    assert render(tagged, "table").count("\n") == 1


TIMELINE = TaggedSound(
    "a.wav",
    3661.5,
    4000.0,
    [
        Part(0.0, 5.0, [Tag("Bark", 0.87654321), Tag("Meow", 1e-9)]),
        Part(2.5, 7.5, []),
        Part(3656.0001234, 3661.0001234, [Tag("Meow", 0.25)]),
    ],
)


def test_each_form_has_its_own_digits() -> None:
    assert header("csv") == "file,start,end,label,score\n"
    assert header("jsonl") == header("table") == header("audacity") == ""
    assert render(TIMELINE, "csv") == (
        "a.wav,0.000,5.000,Bark,0.876543\na.wav,0.000,5.000,Meow,0.000000\na.wav,3656.000,3661.000,Meow,0.250000\n"
    )
    assert [json.loads(line) for line in render(TIMELINE, "jsonl").splitlines()] == [
        {
            "file": "a.wav",
            "start": 0.0,
            "end": 5.0,
            "tags": [{"label": "Bark", "score": 0.876543}, {"label": "Meow", "score": 0.0}],
        },
        {"file": "a.wav", "start": 2.5, "end": 7.5, "tags": []},
        {"file": "a.wav", "start": 3656.0, "end": 3661.0, "tags": [{"label": "Meow", "score": 0.25}]},
    ]
    assert rows(TIMELINE) == [
        ("a.wav", 0.0, 5.0, "Bark", 0.87654321),
        ("a.wav", 0.0, 5.0, "Meow", 1e-9),
        ("a.wav", 3656.0001234, 3661.0001234, "Meow", 0.25),
    ]


def test_people_see_the_times_of_parts_and_none_of_a_whole_sound() -> None:
    assert render(TIMELINE, "table").splitlines() == [
        "a.wav  0:00–0:05  Bark 0.877  Meow 0.000",
        "a.wav  0:02.5–0:07.5  -",
        "a.wav  1:00:56–1:01:01  Meow 0.250",
    ]
    assert render(whole("a.wav", 2, [Tag("Bark", 0.87654321), Tag("Meow", 1e-9)]), "table") == "a.wav  Bark 0.877  Meow 0.000\n"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.9996, "1:00"), (61.25, "1:01.25"), (3599.999, "59:59.999"), (54000, "15:00:00")]
)
def test_times_are_rounded_before_they_are_cut_into_minutes(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_file_without_tags_is_a_line_for_people_and_for_programs_but_no_row() -> None:
    nothing = whole("Жук.wav", 1, [])
    assert render(nothing, "table") == "Жук.wav  -\n"
    assert render(nothing, "jsonl") == '{"file": "Жук.wav", "start": 0.0, "end": 1, "tags": []}\n'
    assert render(nothing, "csv") == render(nothing, "audacity") == render(nothing, "raven") == ""
    assert rows(nothing) == []


def test_no_name_can_move_the_cursor_of_a_terminal() -> None:
    line = render(whole("\x1b[2J.wav", 1, [Tag("\x1b]0;x\x07Bark\u202e", 0.5)]), "table")
    assert line == r"\x1b[2J.wav  \x1b]0;x\x07Bark\u202e 0.500" + "\n"


def audacity_labels(text: str) -> list[tuple[float, float, str]]:
    """Reads labels as Audacity's manual says: start, end and text, with tabs between them; lines that begin with a backslash are
    frequencies of the label above."""
    labels = []
    for line in text.split("\n"):
        if line and not line.startswith("\\"):
            start, end, *label = line.split("\t")
            labels.append((float(start), float(end), label[0] if label else ""))
    return labels


ODD = TaggedSound("a\tb.wav", 2.0, 4000.0, [Part(0.0, 1.0, [Tag('"Bark"', 0.5)]), Part(1.0, 2.0, [Tag("Me\tow\n\u2028", 0.25)])])


def test_audacity_reads_the_labels() -> None:
    assert audacity_labels(render(TIMELINE, "audacity")) == [
        (0.0, 5.0, "Bark"),
        (0.0, 5.0, "Meow"),
        (3656.000123, 3661.000123, "Meow"),
    ]
    assert audacity_labels(render(ODD, "audacity")) == [(0.0, 1.0, '"Bark"'), (1.0, 2.0, "Me ow  ")]


def test_raven_selection_tables_say_where_what_is_heard() -> None:
    assert header("raven").rstrip("\n").split("\t") == [
        *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
        *("Begin Path", "File Offset (s)", "Annotation", "Score"),
    ]
    here = str(Path.cwd())
    assert [line.split("\t") for line in render(TIMELINE, "raven").splitlines()] == [
        ["1", "Spectrogram 1", "1", "0.000000", "5.000000", "0.0", "4000.0", f"{here}/a.wav", "0.000000", "Bark", "0.876543"],
        ["2", "Spectrogram 1", "1", "0.000000", "5.000000", "0.0", "4000.0", f"{here}/a.wav", "0.000000", "Meow", "0.000000"],
        [
            *("3", "Spectrogram 1", "1", "3656.000123", "3661.000123", "0.0", "4000.0"),
            *(f"{here}/a.wav", "3656.000123", "Meow", "0.250000"),
        ],
    ]


@pytest.mark.slow  # crowsetta brings pandas, and takes seconds to import
def test_crowsetta_reads_raven_selection_tables(tmp_path: Path) -> None:
    crowsetta = pytest.importorskip("crowsetta")
    for sound, labels in ((TIMELINE, ["Bark", "Meow", "Meow"]), (ODD, ["'Bark'", "Me ow  "])):
        table = tmp_path / f"a.wav{TABLE_A_SOUND['raven']}"
        table.write_text(header("raven") + render(sound, "raven"), encoding="utf-8")
        boxes = crowsetta.formats.bbox.Raven.from_file(table).to_bbox()
        spans = [(start, end, 0.0, 4000.0) for _, start, end, _, _ in rows(sound)]
        assert [box.label for box in boxes] == labels
        for box, span in zip(boxes, spans, strict=True):
            assert (box.onset, box.offset, box.low_freq, box.high_freq) == pytest.approx(span, abs=1e-6)


def test_every_form_but_parquet_is_text() -> None:
    for form in FORMATS:
        if form != "parquet":
            assert isinstance(render(TIMELINE, form) + header(form), str)
    assert set(TABLE_A_SOUND) <= set(FORMATS)
