import csv
import io
import json

import pytest

from earmark.tagging.formats import TaggedFile, header, render
from earmark.tagging.tagger import Tag


@pytest.mark.parametrize("name", ["plain.wav", "two words.wav", 'quote".wav', "new\nline.wav", "comma,.wav", "Жук-é.wav"])
def test_every_name_survives_csv_and_jsonl(name: str) -> None:
    tagged = TaggedFile(name, 0.0, 1.25, [Tag("Bark, loud", 0.5), Tag("Meow", 0.25)])
    rows = list(csv.DictReader(io.StringIO(header("csv") + render(tagged, "csv"))))
    assert [(row["file"], row["label"], row["end"]) for row in rows] == [(name, "Bark, loud", "1.250"), (name, "Meow", "1.250")]
    line = render(tagged, "jsonl")
    assert line.count("\n") == 1
    assert json.loads(line)["file"] == name
    assert render(tagged, "table").count("\n") == 1


FOUND = TaggedFile("a.wav", 0.5, 2, [Tag("Bark", 0.87654321), Tag("Meow", 1e-9)])


def test_each_form_has_its_own_digits() -> None:
    assert header("csv") == "file,start,end,label,score\n"
    assert header("jsonl") == header("table") == ""
    assert render(FOUND, "csv") == "a.wav,0.500,2.000,Bark,0.876543\na.wav,0.500,2.000,Meow,0.000000\n"
    assert json.loads(render(FOUND, "jsonl")) == {
        "file": "a.wav",
        "start": 0.5,
        "end": 2,
        "tags": [{"label": "Bark", "score": 0.876543}, {"label": "Meow", "score": 0.0}],
    }
    assert render(FOUND, "table") == "a.wav  Bark 0.877  Meow 0.000\n"


def test_a_file_without_tags_is_a_line_for_people_and_for_programs_but_no_row() -> None:
    nothing = TaggedFile("Жук.wav", 0, 1, [])
    assert render(nothing, "table") == "Жук.wav  -\n"
    assert render(nothing, "jsonl") == '{"file": "Жук.wav", "start": 0, "end": 1, "tags": []}\n'
    assert render(nothing, "csv") == ""


def test_no_name_can_move_the_cursor_of_a_terminal() -> None:
    line = render(TaggedFile("\x1b[2J.wav", 0, 1, [Tag("\x1b]0;x\x07Bark\u202e", 0.5)]), "table")
    assert line == r"\x1b[2J.wav  \x1b]0;x\x07Bark\u202e 0.500" + "\n"
