"""The table of what listening brings: its figures, its lines and what it says."""

import re
from dataclasses import replace

import numpy as np

from earmark.assess.audit_result import Promise
from earmark.assess.heard import Heard, HeardTable, Learned
from earmark.assess.metrics import EstimateFigures
from earmark.assess.page import environment
from earmark.assess.paired import difference


def learned(name: str, *right: int) -> Learned:
    """A method that has so many of 400 clips right before, by the list and at random: the same ones and further ones."""
    place = np.arange(400)
    before, listed, random = ((place < count).astype(float) for count in right)
    pairs = ((before, listed), (before, random), (random, listed))
    gains = [difference(*pair, np.ones(400), place.astype(str)) for pair in pairs]
    figures: list[EstimateFigures] = [
        {"value": count / 400, "low": count / 400 - 0.02, "high": count / 400 + 0.02, "clips": 400} for count in right
    ]
    return Learned(name, (figures[0], figures[1], figures[2]), (gains[0], gains[1], gains[2]))


TABLE = HeardTable(
    "What it brings",
    "Somebody heard some.",
    (Heard("before", 0, 0, 120), Heard("by the list", 50, 48, 72), Heard("in random order", 50, 20, 100)),
    (learned("plain", 320, 360, 340), learned("clever", 380, 381, 380)),
    Promise(50, 47.6, 44, 50),
)


def test_lines_have_all_figures_of_each_row() -> None:
    title, *rows = TABLE.lines()
    assert title.startswith("What it brings: ")
    cells = [re.split(r" {2,}|(?<=[\d–]) (?=[\d ])", row.strip()) for row in rows]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in cells]
    assert [row[0] for row in cells] == [
        f"{method}, {order}" for method in ("plain", "clever") for order in ("before", "by the list", "in random order")
    ]
    assert cells[0][1:] == ["0", "0", "–", "120", "0.8000 (0.7800–0.8200)"]
    assert cells[1][1:5] == ["50", "48", "0.96", "72"]
    assert cells[1][-2] == "0.9000 (0.8800–0.9200)"
    assert re.fullmatch(r"\+0\.100 \(\+0\.0[67]\d to \+0\.1[23]\d\)", cells[1][-1])
    assert cells[5][-2:] == ["0.9500 (0.9300–0.9700)", "0.000 (0.000 to 0.000)"]


def test_words_say_what_chance_does_not_explain() -> None:
    found, plain, clever = TABLE.in_words
    assert found == (
        "Of the first 50 clips of the list, 48 had a wrong label (the audit had said about 48 (44–50)); of 50 in random order, 20."
    )
    assert plain.startswith(
        "Plain: accuracy 0.800 before, 0.900 after the list, 0.850 after random order; the list brings more (list less random: +0.050 ("
    )
    assert clever.endswith("; list and random order cannot be told apart.")
    assert "the audit had" not in replace(TABLE, promise=None).in_words[0]
    assert "the audit had" not in replace(TABLE, promise=Promise(100, 80, 70, 90)).in_words[0]
    assert "; random order brings more (list less random: −0.050 (" in learned("plain", 320, 340, 360).in_words


def test_the_page_shows_the_same() -> None:
    page = environment().from_string('{% from "heard.html.jinja" import heard_rows %}{{ heard_rows(table) }}').render(table=TABLE)
    assert TABLE.note in page and all(text in page for text in TABLE.in_words)
    rows = [re.sub(r"<[^>]+>", " ", row) for row in re.findall(r"<tr><td class=\"nowrap\">(.*?)</tr>", page, re.S)]
    assert [row.split()[:3] for row in rows] == [["before", "0", "0"], ["by", "the", "list"], ["in", "random", "order"]]
    plain, clever = TABLE.methods
    assert plain.changes[1] in rows[1] and clever.changes[1] in rows[1] and "0.900" in rows[1] and "0.96" in rows[1]
    assert plain.changes[2] in rows[2] and "0.850" in rows[2]
