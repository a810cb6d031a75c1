"""What a comparison says: its sentences, lines, data and page."""

import json
import re
from pathlib import Path

import pytest

from earmark.assess.comparison import ClassDifference, Comparison, LeftOut, Side, drawing, write_comparison_page
from earmark.assess.paired import Difference

FIRST, SECOND = Side(Path("a"), "quick", Path("s"), False, False), Side(Path("b"), "quick", Path("s2"), False, False)


def of(value: float, low: float, high: float, p: float = 0.01, differing: int = 40) -> Difference:
    return Difference(0.8, 0.8 + value, value, low, high, p, 1200, 900, differing)


BETTER, WORSE, UNCLEAR = of(0.05, 0.02, 0.08), of(-0.05, -0.08, -0.02), of(0.01, -0.02, 0.04, 0.3)
ALL_COMPARED = LeftOut(0, 0, 0, 0)
NOTHING = Difference(0.9, 0.9, 0, 0, 0, 1, 20, 20, 0)


def comparison(
    decisive: Difference = BETTER,
    classes: tuple[ClassDifference, ...] = (),
    left_out: LeftOut = ALL_COMPARED,
    first: Side = FIRST,
    second: Side = SECOND,
    unseen: int = 0,
) -> Comparison:
    differences = {"map@3": UNCLEAR, "accuracy": decisive, "lwlrap": WORSE}
    return Comparison(first, second, "accuracy", differences, classes, unseen, left_out)


def test_the_verdict_in_words() -> None:
    assert comparison().in_words == (
        "b is better than a: accuracy 0.8500 instead of 0.8000, +0.0500 (95 % interval +0.0200 to +0.0800)."
    )
    assert comparison(WORSE).in_words == (
        "b is worse than a: accuracy 0.7500 instead of 0.8000, −0.0500 (95 % interval −0.0800 to −0.0200)."
    )
    assert comparison(UNCLEAR).in_words == (
        "b and a cannot be told apart: accuracy 0.8100 and 0.8000, +0.0100 (95 % interval −0.0200 to +0.0400)."
    )
    few = comparison(of(0.05, 0.02, 0.08, 0.25, differing=3))
    assert few.verdict == "cannot be told apart"
    assert few.in_words.endswith(" The interval leaves out 0, but only 3 recordings differ: too few to tell.")


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.0, 0.1, "cannot be told apart"),
        (1e-9, 0.1, "better"),
        (-0.1, 0.0, "cannot be told apart"),
        (-0.1, -1e-9, "worse"),
    ],
)
def test_an_interval_that_touches_0_tells_nothing(low: float, high: float, verdict: str) -> None:
    assert comparison(of((low + high) / 2, low, high)).verdict == verdict


def test_a_class_needs_more_than_its_own_interval() -> None:
    sure, unsure = ClassDifference("dog", BETTER, 0.05), ClassDifference("cat", BETTER, 0.0501)
    assert (sure.verdict, unsure.verdict) == ("better", "cannot be told apart")
    assert ClassDifference("hen", WORSE, 0.001).verdict == "worse"
    assert ClassDifference("cow", UNCLEAR, 0.001).verdict == "cannot be told apart"


def test_lines_for_a_terminal() -> None:
    classes = (
        ClassDifference("dog", BETTER, 0.01),
        ClassDifference("rooster", BETTER, 0.2),
        ClassDifference("cat", UNCLEAR, 1.0),
        ClassDifference("cow", WORSE, 0.001),
    )
    leaky = Side(Path("b"), "quick", Path("s2"), True, True)
    lines = comparison(classes=classes, left_out=LeftOut(1200, 0, 0, 7), second=leaky, unseen=2).lines()
    assert lines == [
        comparison().in_words,
        "b leaks validation labels: its figures are too high, and this comparison is not fair.",
        "b: its weights were chosen on these clips, so that its figures are a little too high.",
        "Compared on 1,200 verified clips of 900 recordings, all held out by both runs and with the same labels in both stores.",
        "  metric    first   second  difference (95 % interval)",
        "  map@3     0.8000  0.8100  +0.0100 (−0.0200 to +0.0400)  cannot be told apart",
        "  accuracy  0.8000  0.8500  +0.0500 (+0.0200 to +0.0800)  better",
        "  lwlrap    0.8000  0.7500  −0.0500 (−0.0800 to −0.0200)  worse",
        "By recall, 1 of 4 classes are better, 1 worse; 2 cannot be told apart. 3 of their intervals leave out 0, and up to 0.2 of 4 "
        "would by chance alone (5 %). So a class is called better or worse only if its difference stands up to Holm's correction for "
        "all classes. 2 more classes have no clip to compare.",
        "  dog      0.8000  0.8500  +0.0500 (+0.0200 to +0.0800)  better (1,200 clips)",
        "  rooster  0.8000  0.8500  +0.0500 (+0.0200 to +0.0800)  cannot be told apart (1,200 clips)",
        "  cow      0.8000  0.7500  −0.0500 (−0.0800 to −0.0200)  worse (1,200 clips)",
        "left out: 1,200 clips whose labels differ between the stores: a corrected label is in the second store only",
        "left out: 7 verified clips of the second run alone: in the other's store they are missing or not verified, or it did not hold them out",
    ]
    assert comparison(first=leaky, second=leaky).remarks == leaky.remarks  # a run that is compared with itself is told once


def test_data_for_programs() -> None:
    data = comparison(classes=(ClassDifference("dog", BETTER, 0.03),), left_out=LeftOut(1, 2, 3, 4)).as_data()
    assert json.loads(json.dumps(data)) == data
    assert (data["verdict"], data["metric"], data["clips"], data["groups"]) == ("better", "accuracy", 1200, 900)
    assert data["first"] == {"path": "a", "recipe": "quick", "store": "s", "leaks": False, "best_weights": False}
    assert data["differences"]["lwlrap"]["verdict"] == "worse"
    assert (data["classes"][0]["label"], data["classes"][0]["p_corrected"], data["classes"][0]["verdict"]) == (
        "dog",
        0.03,
        "better",
    )
    assert data["left_out"] == {"relabelled": 1, "other_sound": 2, "only_first": 3, "only_second": 4}


def test_places_around_zero() -> None:
    drawn = drawing([("a", of(0.05, 0.02, 0.08), "better"), ("b", of(-0.01, -0.02, 0.0), "cannot be told apart")])
    assert (drawn.low, drawn.high) == (-0.02, 0.08)
    assert drawn.zero == 20
    assert [(row.low, row.value, row.high) for row in drawn.rows] == [(40, 70, 100), (0, 10, 20)]
    one_sided = drawing([("a", of(0.05, 0.02, 0.08), "better")])
    assert (one_sided.low, one_sided.high) == (-0.02, 0.08)  # the other side is there too
    assert (drawing([]).low, drawing([]).high, drawing([]).zero) == (-0.01, 0.01, 50)


def test_a_page_that_needs_no_other_file(tmp_path: Path) -> None:
    classes = (
        ClassDifference("<script>alert(1)</script>", BETTER, 0.01),
        ClassDifference("accuracy", UNCLEAR, 1.0),
        ClassDifference("hen", NOTHING, 1.0),
        ClassDifference("cow & calf", WORSE, 0.001),
    )
    leaky = Side(Path("<b>"), "quick", Path("s2"), True, False)
    made = write_comparison_page(tmp_path / "c.html", comparison(classes=classes, left_out=LeftOut(3, 0, 0, 0), second=leaky))
    page = made.read_text()
    assert not re.search(r"<script|@import|url\(|https?:", page)
    assert page.count("<b>") == 1  # the verdict's own
    assert "&lt;script&gt;alert(1)" in page and "cow &amp; calf" in page
    assert "&lt;b&gt; is better than a: accuracy" in page
    assert page.count('role="row"') == 2 + 3 + 3  # heads, metrics, classes that differ
    assert page.count('class="method better"') == 2 and page.count('class="method worse"') == 2
    assert "The same in both runs: hen." in page
    assert '<p class="warn">&lt;b&gt; leaks validation labels' in page
    assert "3 clips whose labels differ between the stores" in page
    assert re.search(r'class="name" role="cell">accuracy <', page)  # a class of that name, not the metric Accuracy
