import re
from pathlib import Path

import numpy as np
import pytest

from earmark.assess import pictures
from earmark.assess.joined import Joined
from earmark.assess.page import environment
from earmark.assess.pictures import AXIS_NAME, CONFUSED, PLOT, Confusion, MixUp, confusion, learning_curves, share_band
from earmark.data.table import ClipTable
from earmark.labels import LabelSet
from earmark.recipe import load_recipe
from earmark.runs.run import Run
from earmark.training.log import COLUMNS
from tests.assess.test_report import clip_set


def drawn(picture: Confusion) -> str:
    template = '{% from "pictures.html.jinja" import confusion_matrix %}{{ confusion_matrix(picture) }}'
    return environment().from_string(template).render(picture=picture)


def test_many_classes_make_no_endless_page() -> None:
    clips, classes = 800, 700
    rng = np.random.default_rng(0)
    positive = np.zeros((clips, classes), bool)
    positive[np.arange(clips), np.arange(clips) % classes] = True
    scores = rng.random((clips, classes), np.float32)
    scores[400:] += positive[400:]  # the second half is right: classes 400 to 699 and 0 to 99 have fewer mistakes
    yes, names = np.ones(clips, bool), np.array([f"c{i}" for i in range(clips)])
    labels = LabelSet(tuple(f"class {k}" for k in range(classes)))
    table = ClipTable(labels, names, positive, yes, np.zeros(clips, np.int64), ~yes, yes, names, np.full(clips, ""))
    picture = confusion(Joined(table, scores), 5)
    figure = drawn(picture)
    assert len(re.findall(r">class \d+</text>", figure)) == 2 * CONFUSED  # on both axes
    assert len(figure) < 2_000_000


def test_the_confusion_counts_a_clip_once_or_for_each_of_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    positive = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], bool)
    guess = [0, 1, 2, 2, 3]  # right, right, a mistake for two labels, a mistake, right
    joined = Joined(clip_set(positive, ("A", "B", "C", "D")), np.eye(4, dtype=np.float32)[guess])

    def counts(picture: Confusion) -> list[tuple[str, str, int]]:
        return [(picture.names[cell.row], picture.names[cell.column], cell.clips) for cell in picture.cells]

    picture = confusion(joined, 2)
    assert counts(picture) == [("A", "A", 1), ("A", "C", 1), ("B", "B", 1), ("B", "C", 2), ("D", "D", 1)]
    assert [cell.share for cell in picture.cells] == pytest.approx([1 / 2, 1 / 2, 1 / 3, 2 / 3, 1])
    assert picture.pairs == [MixUp("B", "C", 2, 3), MixUp("A", "C", 1, 2)]
    monkeypatch.setattr(pictures, "CONFUSED", 2)  # C has three mistakes, B two
    picture = confusion(joined, 2)
    assert picture.names == ["B", "C"]
    assert counts(picture) == [("B", "B", 1), ("B", "C", 2)]
    assert sorted(re.findall(r">(\d+)</text>", drawn(picture))) == ["1", "2"]


def test_names_beside_the_matrix_have_room() -> None:
    names = ("x" * 200, "short", "\u65e5" * 10)
    picture = confusion(Joined(clip_set(np.eye(3, dtype=bool), names), np.eye(3, dtype=np.float32)), 5)
    assert [len(name) for name in picture.names] == [AXIS_NAME, 5, 10]
    assert picture.margin > 12 * 0.6 * AXIS_NAME
    assert picture.pairs == []


def test_a_matrix_escapes_names() -> None:
    picture = confusion(Joined(clip_set(np.eye(2, dtype=bool), ("</text><b>", "&")), np.eye(2, dtype=np.float32)), 5)
    assert "<b>" not in drawn(picture)
    assert "&lt;/text&gt;&lt;b&gt;</text>" in drawn(picture)


def test_learning_curves_of_many_nets_stay_small(tmp_path: Path) -> None:
    rows = "".join(f"{batch},0.1,{batch % 7},0.2,,,9,{batch},0.5,0.5,0.{batch % 10}\n" for batch in range(1, 1001))
    for fold in range(30):
        folder = tmp_path / f"members/logmel/fold{fold}"
        folder.mkdir(parents=True)
        (folder / "oof.parquet").touch()
        (folder / "metrics.csv").write_text(",".join(COLUMNS) + "\n" + rows)
    charts, names = learning_curves(Run(tmp_path, load_recipe("tiny")))
    assert names == ["logmel"]  # the colours are those of members: there are too many nets
    assert {colour for chart in charts for colour, _ in chart.curves} == {0}
    points = sum(len(curve) for chart in charts for _, curve in chart.curves)
    assert points < 1.2 * pictures.CURVE_POINTS * len(charts)
    assert all(x == PLOT[2] for chart in charts for _, curve in chart.curves for x, _ in curve[-1:])  # the last batch is in


def chart_of(tmp_path: Path, losses: list[float]) -> pictures.Chart:
    folder = tmp_path / "members/logmel/fold0"
    folder.mkdir(parents=True)
    (folder / "oof.parquet").touch()
    rows = "".join(f"{10 * (k + 1)},0.1,{loss},,,,9,1,,,\n" for k, loss in enumerate(losses))
    (folder / "metrics.csv").write_text(",".join(COLUMNS) + "\n" + rows)
    charts, names = learning_curves(Run(tmp_path, load_recipe("tiny")))
    assert names == ["logmel fold 0"]
    assert [chart.title for chart in charts] == ["Training loss"]  # nothing else was logged
    return charts[0]


def test_places_and_ticks_of_a_curve(tmp_path: Path) -> None:
    left, top, right, bottom = PLOT
    chart = chart_of(tmp_path, [2.0, 0.0, 1.0, 1.0])
    assert chart.curves == [(0, [(left + (right - left) / 4, top), (172.0, bottom), (236.0, 85.0), (right, 85.0)])]
    assert chart.up == [(bottom, "0.0"), (122.5, "0.5"), (85.0, "1.0"), (47.5, "1.5"), (top, "2.0")]
    assert chart.across == [(left, "0"), (108.0, "10"), (172.0, "20"), (236.0, "30"), (right, "40")]


@pytest.mark.parametrize("losses", [[0.0, 0.0], [0.7, 0.7], [1e-9, 2e-9], [-3.0, 12345.0], [1e30, 1e30]])
def test_curves_of_any_height_have_an_axis(losses: list[float], tmp_path: Path) -> None:
    chart = chart_of(tmp_path, losses)
    assert 2 <= len(chart.up) <= 8
    assert all(PLOT[1] <= y <= PLOT[3] for _, curve in chart.curves for _, y in curve)
    assert all(PLOT[1] <= y <= PLOT[3] for y, _ in chart.up)


def test_a_point_is_no_curve(tmp_path: Path) -> None:
    folder = tmp_path / "members/logmel/fold0"
    folder.mkdir(parents=True)
    (folder / "oof.parquet").touch()
    (folder / "metrics.csv").write_text(",".join(COLUMNS) + "\n10,0.1,0.5,,,,9,1,,,\n")
    assert learning_curves(Run(tmp_path, load_recipe("tiny"))) == ([], ["logmel fold 0"])


def test_a_run_without_a_log_has_no_curves(tmp_path: Path) -> None:
    assert learning_curves(Run(tmp_path, load_recipe("tiny"))) == ([], [])


def test_a_band_of_shares_has_its_places() -> None:
    left, top, right, bottom = PLOT
    band = share_band([(50, 1.0, 0.8, 1.0), (100, 0.5, 0.25, 0.75)], 50)
    assert band.curve == [((left + right) / 2, top), (right, (top + bottom) / 2)]
    assert band.around[1] == (right, top + 0.25 * (bottom - top))
    assert band.around[2] == (right, top + 0.75 * (bottom - top))
    assert [text for _, text in band.up] == ["0 %", "25 %", "50 %", "75 %", "100 %"]
    assert band.mark == (left + right) / 2
    assert share_band([(10, 0.5, 0.5, 0.5)], 20).mark is None
    many = share_band([(n, 0.5, 0.4, 0.6) for n in range(1, 5001)], 1)
    assert len(many.curve) <= 400
    assert many.curve[-1][0] == right
