"""The table of what listening brings: its figures, its lines and what it says."""

import re
from dataclasses import replace

import numpy as np

from earmark.assess.audit_result import Promise
from earmark.assess.heard import Heard, HeardTable
from earmark.assess.metrics import EstimateFigures
from earmark.assess.page import environment
from earmark.assess.paired import difference


def figures(value: float) -> EstimateFigures:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "clips": 400}


def after(name: str, wrong: int, right_before: int, right_after: int) -> Heard:
    """After 50 of 400 clips were heard: so many clips are right before and after, the same ones and further ones."""
    place = np.arange(400)
    before, now = (place < right_before).astype(float), (place < right_after).astype(float)
    gain = difference(before, now, np.ones(400), place.astype(str))
    return Heard(name, 50, wrong, 120 - wrong, figures(right_after / 400), gain)


TABLE = HeardTable(
    "What it brings",
    "Somebody heard some.",
    Heard("before", 0, 0, 120, figures(0.9)),
    after("by the list", 48, 360, 380),
    after("in random order", 20, 360, 361),
    Promise(50, 47.6, 44, 50),
)


def test_lines_have_all_figures_of_each_row() -> None:
    title, *rows = TABLE.lines()
    assert title.startswith("What it brings: ")
    cells = [re.split(r" {2,}|(?<=\d) (?=\d)|(?<=\)) ", row.strip()) for row in rows]
    assert cells[0] == ["before", "0", "0", "–", "120", "0.9000 (0.8800–0.9200)"]
    assert cells[1][:6] == ["by the list", "50", "48", "0.96", "72", "0.9500 (0.9300–0.9700)"]
    assert re.fullmatch(r"\+0\.050 \(\+0\.0[23]\d to \+0\.0[67]\d\)", cells[1][6])
    assert cells[2][:6] == ["in random order", "50", "20", "0.40", "100", "0.9025 (0.8825–0.9225)"]


def test_words_say_what_chance_does_not_explain() -> None:
    assert TABLE.in_words.startswith(
        "Of the first 50 clips of the list, 48 had a wrong label (the audit had said about 48 (44–50)); of 50 in random order, 20. "
        "Trained again, the list makes it better: accuracy 0.950 instead of 0.900, +0.050 ("
    )
    assert "; what random order brings cannot be told from chance (+0.00" in TABLE.in_words
    assert "the audit" not in replace(TABLE, promise=None).in_words
    assert "the audit" not in replace(TABLE, promise=Promise(100, 80, 70, 90)).in_words
    worse = replace(TABLE, by_list=after("by the list", 48, 380, 360), at_random=after("in random order", 20, 360, 360))
    assert "the list makes it worse: accuracy 0.900 instead of 0.950, −0.050" in worse.in_words
    assert worse.in_words.endswith("; random order changes nothing.")


def test_the_page_shows_the_same() -> None:
    page = environment().from_string('{% from "heard.html.jinja" import heard_rows %}{{ heard_rows(table) }}').render(table=TABLE)
    assert TABLE.note in page and TABLE.in_words.replace("'", "&#39;") in page
    rows = re.findall(r"<tr><td>(.*?)</tr>", page, re.S)
    assert len(rows) == 3
    assert TABLE.by_list.gain_in_words in rows[1] and '<td class="n">0.96</td>' in rows[1]
