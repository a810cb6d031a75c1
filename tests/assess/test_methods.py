import re
from pathlib import Path

import pytest

from earmark.assess.methods import Method, MethodTable, write_method_page
from earmark.assess.metrics import EstimateFigures, Figures

NOTHING: Figures = {"map@3": None, "accuracy": None, "lwlrap": None}


def figures(accuracy: float, width: float = 0.01, lwlrap: float | None = None) -> Figures:
    def estimate(value: float) -> EstimateFigures:
        return {"value": value, "low": value - width, "high": min(value + width, 1.0), "clips": 100}

    return {"map@3": None, "accuracy": estimate(accuracy), "lwlrap": None if lwlrap is None else estimate(lwlrap)}


def table(*rows: Method, metric: str = "accuracy") -> MethodTable:
    return MethodTable("Methods", "A note.", rows, metric)  # type: ignore[arg-type]


START, GOAL = Method("as given", figures(0.5), "start"), Method("no wrong labels", figures(0.9), "goal")


def test_the_share_of_the_gap() -> None:
    methods = table(START, Method("half way", figures(0.7)), Method("worse", figures(0.4)), Method("better", figures(0.94)), GOAL)
    shares = [methods.recovered(row) for row in methods.rows]
    assert shares[0] is None
    assert shares[-1] is None
    assert shares[1:-1] == pytest.approx([0.5, -0.25, 1.1])


@pytest.mark.parametrize(
    "rows",
    [(Method("m", figures(0.7)),), (START, Method("m", figures(0.7))), (Method("m", figures(0.7)), GOAL)],
    ids=["no ends", "no goal", "no start"],
)
def test_without_both_ends_there_is_no_gap(rows: tuple[Method, ...]) -> None:
    methods = table(*rows)
    assert [methods.recovered(row) for row in rows] == [None] * len(rows)


def test_a_gap_of_chance_is_not_shared() -> None:
    near = Method("no wrong labels", figures(0.505), "goal")
    methods = table(START, Method("m", figures(0.504)), near)
    assert methods.recovered(methods.rows[1]) is None
    assert methods.in_words.startswith("Wrong labels cost next to nothing here: 0.500 with them, 0.505 without.")


def test_the_table_in_words() -> None:
    agreement, masking, lost = Method("agreement", figures(0.87)), Method("masking", figures(0.51)), Method("lost", NOTHING)
    assert table(START, masking, agreement, lost, GOAL).in_words == (
        "Wrong labels cost 40.0 of 100 clips: 0.500 instead of 0.900. "
        "The best method here, agreement, gets 92 % of that back (0.870); masking: little or nothing."
    )
    harm = Method("harm", figures(0.4))
    assert table(START, masking, harm, agreement, GOAL).in_words.endswith(
        "masking: little or nothing; harm: worse than to do nothing."
    )
    assert table(START, masking, GOAL).in_words.endswith("No method here gets any of that back worth speaking of.")
    assert table(GOAL, agreement).in_words == ""
    assert table(START, GOAL).in_words == ""


def test_other_metrics_are_no_share_of_clips() -> None:
    methods = table(
        Method("as given", figures(0.1, lwlrap=0.6), "start"),
        Method("m", figures(0.1, lwlrap=0.7)),
        Method("no wrong labels", figures(0.1, lwlrap=0.8), "goal"),
        metric="lwlrap",
    )
    assert (
        methods.in_words
        == "Wrong labels cost 0.200 of lwlrap: 0.600 instead of 0.800. The best method here, m, gets 50 % of that back (0.700)."
    )
    assert methods.further == ["accuracy"]


def test_two_methods_whose_intervals_overlap_may_differ_by_chance() -> None:
    near, far = Method("near", figures(0.515)), Method("far", figures(0.6))
    assert table(START, near).in_words.endswith("Their intervals overlap: the difference may be chance.")
    assert table(START, far).in_words == "Accuracy far: 0.600; as given: 0.500."


def test_places_on_the_axis() -> None:
    methods = table(START, Method("m", figures(0.7)), Method("worse", figures(0.46)), Method("lost", NOTHING), GOAL)
    assert methods.axis == (0.45, 0.95)
    start, m, worse, lost, goal = methods.bars
    assert (start.value, start.low, start.high, start.length) == pytest.approx((10, 8, 12, 0))
    assert (m.first, m.length, m.worse) == pytest.approx((10, 40, False))
    assert (worse.first, worse.length, worse.worse) == pytest.approx((2, 8, True))
    assert lost.figure is None
    assert (goal.first, goal.length) == pytest.approx((10, 80))
    assert methods.marks == [("start", 10.0), ("goal", 90.0)]


@pytest.mark.parametrize(
    ("rows", "axis"),
    [
        ((), (0.0, 1.0)),
        ((Method("m", NOTHING),), (0.0, 1.0)),
        ((Method("m", figures(0.0, 0.0)),), (0.0, 0.1)),
        ((Method("m", figures(1.0, 0.0)),), (0.9, 1.0)),
        ((Method("m", figures(0.72, 0.01)),), (0.7, 0.8)),
    ],
)
def test_the_axis_has_a_length(rows: tuple[Method, ...], axis: tuple[float, float]) -> None:
    assert table(*rows).axis == pytest.approx(axis)


def test_a_page_of_its_own(tmp_path: Path) -> None:
    methods = table(START, Method("<b>bold</b>", figures(0.7, lwlrap=0.6), this=True), Method("lost", NOTHING), GOAL)
    page = write_method_page(tmp_path / "noise.html", "A <title>", "A note & more.", [methods, methods]).read_text()
    assert "<b>bold" not in page
    assert page.count("&lt;b&gt;bold") == 6  # in each table: in the sentence, at its bar, beside its further figure
    assert "<title>A &lt;title&gt;" in page
    assert page.count('class="method ') == 8
    assert page.count("50 %") >= 2
    assert "(this run)" in page
    assert not re.search(r"<script|@import|url\(", page)
    assert page.rstrip().endswith("</html>")
