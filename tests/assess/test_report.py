import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from earmark.assess import report
from earmark.assess.evaluate import run_metrics
from earmark.assess.joined import Joined, out_of_fold
from earmark.assess.report import Comparison, write_report
from earmark.data.clips import load_clips
from earmark.data.store import Store
from earmark.data.table import ClipTable
from earmark.labels import LabelSet
from earmark.runs.run import Run


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href") and tag not in ("use", "a")]


def test_the_report_is_one_file_with_everything_in_it(finished_run: Path) -> None:
    page = (finished_run / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert all(link.startswith(("data:", "#")) for link in links.found)
    assert "<script" not in page
    assert not re.search(r"@import|url\(http", page)
    for heading in ("Learning curves", "Confusion", "Classes, the weakest first", "Worst mistakes"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<svg") == 2


def test_names_from_the_data_cannot_break_the_page(finished_run: Path, store: Store, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    run = Run.open(copy)
    clips = load_clips(store, 16000)
    scores = out_of_fold(run, clips)
    evil = replace(
        scores.main.clips,
        labels=LabelSet(tuple(f"<b>{name}&$_^$" for name in clips.labels.names)),
        clip_id=np.array([f"<script>alert(1)</script>{name}" for name in scores.main.clips.clip_id]),
    )
    spoilt = replace(scores, ensembles={"all": replace(scores.main, clips=evil)})
    path = write_report(run, evil, spoilt, run_metrics(run, scores))
    page = path.read_text()
    assert "<script>alert" not in page
    assert "&lt;b&gt;" in page


def test_another_run_can_stand_beside_it(finished_run: Path, store: Store, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    run = Run.open(copy)
    clips = load_clips(store, 16000)
    scores = out_of_fold(run, clips)
    metrics = run_metrics(run, scores)
    other = {**metrics, "map@3": {"value": 0.123, "low": 0.1, "high": 0.2, "clips": 3}}
    page = write_report(run, clips, scores, metrics, Comparison("ours", "theirs", other, "what differs")).read_text()
    assert "ours against theirs" in page
    assert "0.123" in page


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
    figure = report._confusion(Joined(table, scores))
    assert len(re.findall(r"<!-- class \d+ -->", figure)) == 2 * report.CONFUSED  # matplotlib names each text so, on both axes
    assert len(figure) < 2_000_000


def test_long_and_odd_names_stay_on_a_line() -> None:
    assert report.short("Bark") == "Bark"
    assert report.short("a" * 1000) == "a" * (report.LONGEST_NAME - 1) + "…"
    assert report.short("\x1b[31mred\u202e\n") == r"\x1b[31mred\u202e\n"


def test_published_name_and_figure_stand_beside_ours(finished_run: Path, store: Store, tmp_path: Path) -> None:
    shutil.copytree(finished_run, copy := tmp_path / "run")
    run, clips = Run.open(copy), load_clips(store, 16000)
    scores = out_of_fold(run, clips)
    metrics = run_metrics(run, scores)
    (name,) = metrics["ensembles"]
    entitled = {**metrics["ensembles"][name], "title": "Table 1: our <ensemble>", "quoted": 0.9321}
    page = write_report(
        run, clips, scores, {**metrics, "ensembles": {name: entitled, "other": metrics["ensembles"][name]}}
    ).read_text()
    assert f"<td>{name}: Table 1: our &lt;ensemble&gt;" in page
    assert '<th class="n">published</th>' in page
    assert re.findall(r'<td class="n">(0\.9321|–)</td></tr>', page) == ["0.9321", "–"]
