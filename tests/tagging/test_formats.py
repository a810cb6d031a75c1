import csv
import io
import json

import pytest

from earmark.tagging.formats import TaggedFile, header, render
from earmark.tagging.tagger import Tag


@pytest.mark.parametrize("name", ["plain.wav", "two words.wav", 'quote".wav', "new\nline.wav", "comma,.wav", "Жук-é.wav"])
def test_every_name_survives_csv_and_jsonl(name: str) -> None:
    found = TaggedFile(name, 0.0, 1.25, [Tag("Bark, loud", 0.5), Tag("Meow", 0.25)])
    rows = list(csv.DictReader(io.StringIO(header("csv") + render(found, "csv"))))
    assert [(row["file"], row["label"], row["end"]) for row in rows] == [(name, "Bark, loud", "1.250"), (name, "Meow", "1.250")]
    line = render(found, "jsonl")
    assert line.count("\n") == 1
    assert json.loads(line)["file"] == name
    assert render(found, "table").count("\n") == 1
