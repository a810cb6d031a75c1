import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from earmark.assess.evaluate import run_metrics
from earmark.assess.joined import Joined, RunScores, out_of_fold
from earmark.assess.methods import Method, MethodTable
from earmark.assess.metrics import Figures
from earmark.assess.page import MARKS, environment
from earmark.assess.report import write_report
from earmark.data.clips import ClipSet, load_clips
from earmark.data.store import Store
from earmark.labels import LabelSet
from earmark.recipe import load_recipe
from earmark.runs.run import Run
from earmark.runs.votes import Vote


def clip_set(
    positive: np.ndarray, names: tuple[str, ...], clip_id: list[str] | None = None, verified: bool = True, folds: int = 2
) -> ClipSet:
    """Clips with these labels, and all with the same second of noise."""
    clips = len(positive)
    yes, zero = np.ones(clips, bool), np.zeros(clips, np.int64)
    ids = np.array(clip_id or [f"clip {i}" for i in range(clips)])
    return ClipSet(
        labels=LabelSet(names),
        row=np.arange(clips),
        clip_id=ids,
        positive=positive,
        verified=yes & verified,
        fold=np.arange(clips) % folds,
        test=~yes,
        scored=yes,
        group=ids,
        usage=np.full(clips, ""),
        pcm=np.random.default_rng(0).integers(-900, 900, 16000).astype(np.int16),
        sample_rate=16000,
        offset=zero,
        length=zero + 16000,
        scale=yes.astype(float),
        peak=yes.astype(float),
        lead=zero,
        tail=zero,
    )


def page_of(clips: ClipSet, scores: np.ndarray, folder: Path, methods: MethodTable | None = None) -> str:
    """The report of a run of two folds with these out-of-fold scores."""
    for fold in range(2):
        (folder / f"members/logmel/fold{fold}").mkdir(parents=True)
        (folder / f"members/logmel/fold{fold}/oof.parquet").touch()
    run = Run(folder, load_recipe("tiny"))
    joined = Joined(clips, scores.astype(np.float32))
    votes = [Vote("logmel", fold, "last", "whole", 1.0) for fold in range(2)]
    name = next(iter(run.recipe.ensembles))
    run_scores = RunScores({"logmel": joined}, {name: joined}, {name: votes})
    return write_report(run, clips, run_scores, run_metrics(run, run_scores), methods).read_text(encoding="utf-8")


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href") and tag not in ("use", "a")]


def test_the_report_is_one_file_with_everything_in_it(finished_run: Path) -> None:
    page = (finished_run / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert all(link.startswith(("data:", "#")) for link in links.found)
    assert "<script" not in page
    assert not re.search(r"@import|url\(http", page)
    for heading in (
        "Learning curves",
        "Confusion",
        "Classes, the weakest first",
        "Worst mistakes",
        "The most doubtful unverified labels",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert page.index("<h2>Run</h2>") < page.index("<h2>What to do next</h2>")  # the end
    assert "prefers-color-scheme: dark" in page
    assert page.count("<svg") > 2
    assert "font-face" not in page


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


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "--><iframe>",
    "</text></svg><b>",
    "\x1b[31mred\x1b[0m\x00",
    "abc\u202efdp.exe",
    "x" * 10_000,
    "z" + "\u0301" * 3000,
    "$\\frac{1}{0}$",
    "\u65e5\u672c\U0001f436",
    "\ud800lone",
    "a\r\nb\tc",
    "",
)


@pytest.mark.filterwarnings("error")  # a user would see them
def test_hostile_names_are_escaped_and_bounded_everywhere(tmp_path: Path) -> None:
    clips, classes = 60, len(HOSTILE)
    rng = np.random.default_rng(0)
    positive = rng.random((clips, classes)) < 0.4
    positive[np.arange(clips), np.arange(clips) % classes] = True
    plain = tuple(f"class {k}" for k in range(classes))
    scores = rng.random((clips, classes))
    harmless = page_of(clip_set(positive, plain), scores, tmp_path / "plain")
    page = page_of(clip_set(positive, HOSTILE, [f"{HOSTILE[i % classes]}{i}" for i in range(clips)]), scores, tmp_path / "hostile")
    tags = []
    for text in (page, harmless):
        reader = Links()
        reader.feed(text)
        tags.append(reader.tags)
    assert tags[0] == tags[1]
    assert all(char.isprintable() or char == "\n" for char in page)
    assert "\u0301" * (MARKS + 1) not in page
    assert len(page) < len(harmless) + 100_000
    assert "$\\frac{1}{0}$</text>" in page
    assert "\u65e5\u672c\U0001f436</text>" in page


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("clips", "classes", "verified", "labels", "said"),
    [
        (6, 1, True, True, "None: every best guess is a given label."),
        (6, 3, False, True, "no verified clip is held out"),
        (6, 3, True, False, "on 0 verified clips."),
        (2, 2, True, True, "on 2 verified clips."),  # one in each fold
        (1, 3, True, True, "on 1 verified clips."),
    ],
    ids=["one class", "none verified", "nothing to judge", "one clip a fold", "one clip"],
)
def test_the_smallest_runs_have_a_report(clips: int, classes: int, verified: bool, labels: bool, said: str, tmp_path: Path) -> None:
    positive = np.zeros((clips, classes), bool)
    positive[np.arange(clips), np.arange(clips) % classes] = labels
    scores = np.random.default_rng(0).random((clips, classes))
    data = clip_set(positive, tuple("abc"[:classes]), verified=verified)
    page = page_of(data, scores, tmp_path)
    assert said in page
    assert page.rstrip().endswith("</html>")


def test_other_methods_stand_beside_the_run(tmp_path: Path) -> None:
    nothing: Figures = {"map@3": None, "accuracy": None, "lwlrap": None}
    data = clip_set(np.eye(3, dtype=bool), ("a", "b", "c"))
    page = page_of(data, np.eye(3), tmp_path, MethodTable("Some methods", "what differs", (Method("theirs", nothing),)))
    assert "<h2>Some methods</h2>" in page
    assert "what differs" in page
    assert '<span class="name">theirs' in page


def test_a_mistake_with_many_labels_names_a_few(tmp_path: Path) -> None:
    positive = np.zeros((2, 40), bool)
    positive[:, 1:] = True
    scores = np.zeros((2, 40))
    scores[:, 0] = 1
    page = page_of(clip_set(positive, tuple(f"class {k}" for k in range(40))), scores, tmp_path)
    assert page.count("also given: class 2, class 3, class 4, class 5 and 34 more</span>") == 2


def test_the_figure_of_a_publication_is_shown_for_a_single_ensemble_too(tmp_path: Path) -> None:
    run_name = next(iter(load_recipe("tiny").ensembles))
    page = page_of(clip_set(np.eye(3, dtype=bool), ("a", "b", "c")), np.eye(3), tmp_path / "plain")
    assert "<h2>Ensembles</h2>" not in page
    folder = tmp_path / "quoted"
    clips = clip_set(np.eye(3, dtype=bool), ("a", "b", "c"))
    joined = Joined(clips, np.eye(3, dtype=np.float32))
    run = Run(folder, load_recipe("tiny", [f"ensembles.{run_name}.quoted=0.75"]))
    folder.mkdir()
    scores = RunScores({"logmel": joined}, {run_name: joined}, {run_name: [Vote("logmel", 0, "last", "whole", 1.0)]})
    page = write_report(run, clips, scores, {**run_metrics(run, scores), "folds": {"logmel": [0]}}).read_text()
    assert "<h2>Ensembles</h2>" in page
    assert '<td class="n">0.75</td></tr>' in page


def test_unverified_labels_in_doubt_are_heard_apart_from_mistakes(tmp_path: Path) -> None:
    positive = np.eye(3, dtype=bool)[[0, 1, 2, 0, 1, 2]]
    scores = np.eye(3)[[0, 2, 2, 0, 1, 0]] * 0.8 + 0.1  # clips 1 and 5 contradict their labels
    clips = clip_set(positive, ("a", "b", "c"))
    clips = replace(clips, verified=np.array([True, True, True, False, False, False]))
    page = page_of(clips, scores, tmp_path)
    doubts, rest = page.split('<section id="doubts">')[1].split('<section id="mistakes">')
    listed = rest.split('<section id="confusion">')[0]
    assert re.findall(r'class="id soft small">(.*?)</span>', doubts) == ["clip 5"]
    assert re.findall(r'class="id soft small">(.*?)</span>', listed) == ["clip 1"]
    assert "1 unverified clips have" in doubts
    assert "scores are not calibrated" in doubts
    assert "scores are not calibrated" in listed


def test_why_unverified_labels_are_not_judged(tmp_path: Path) -> None:
    positive = np.eye(3, dtype=bool)[[0, 1, 2, 0, 1, 2]]
    clips = replace(clip_set(positive, ("a", "b", "c")), verified=np.arange(6) < 3)
    joined = Joined(clips[:3], np.eye(3, dtype=np.float32))  # the unverified clips have no scores
    for unverified, reason in (("all", "<code>unverified: all</code>"), ("other_folds", "not trained yet")):
        folder = tmp_path / unverified
        folder.mkdir()
        run = Run(folder, load_recipe("tiny", [f"unverified={unverified}"]))
        name = next(iter(run.recipe.ensembles))
        scores = RunScores({"logmel": joined}, {name: joined}, {name: [Vote("logmel", 0, "last", "whole", 1.0)]})
        page = write_report(run, clips, scores, {**run_metrics(run, scores), "folds": {"logmel": [0]}}).read_text()
        assert "3 of 3 unverified labelled clips are not judged here" in page
        assert reason in page


def test_where_every_label_is_verified_none_is_in_doubt(tmp_path: Path) -> None:
    page = page_of(clip_set(np.eye(3, dtype=bool), ("a", "b", "c")), np.eye(3)[::-1], tmp_path)
    assert "doubtful" not in page.lower()


def test_the_floor_stands_beside_the_figures(tmp_path: Path) -> None:
    clips = clip_set(np.eye(3, dtype=bool), ("a", "b", "c"))
    joined = Joined(clips, np.eye(3, dtype=np.float32))
    (folder := tmp_path / "run").mkdir()
    run = Run(folder, load_recipe("tiny"))
    name = next(iter(run.recipe.ensembles))
    scores = RunScores({"logmel": joined}, {name: joined}, {name: [Vote("logmel", 0, "last", "whole", 1.0)]})
    metrics = {**run_metrics(run, scores), "folds": {"logmel": [0]}}
    assert 'class="floor"' not in write_report(run, clips, scores, metrics).read_text()
    low = {"value": 0.4321, "low": 0.3, "high": 0.5678, "clips": 3}
    floor = {"title": "a <simple> method", "map@3": None, "accuracy": low, "lwlrap": None}
    page = write_report(run, clips, scores, {**metrics, "floor": floor}).read_text()
    assert page.count('<span class="floor">') == 1
    assert "0.432" in page
    assert "0.300–0.568" in page
    assert "a &lt;simple&gt; method" in page
    page = write_report(run, clips, scores, {**metrics, "no_floor": "too <little>"}).read_text()
    assert "too &lt;little&gt;." in page
    assert 'class="floor"' not in page


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("tiny", {"masked share": True, "agreement": False, "pseudo labels": False, "noisy task": False}),
        ("quick", {"masked share": False, "agreement": True, "pseudo labels": False, "noisy task": False}),
        ("akiyama2019", {"masked share": False, "agreement": False, "pseudo labels": True, "noisy task": True}),
    ],
)
def test_the_words_of_a_recipe_are_explained(recipe: str, words: dict[str, bool]) -> None:
    template = '{% from "words.html.jinja" import words %}{{ words(recipe, {}) }}'
    text = environment().from_string(template).render(recipe=load_recipe(recipe))
    assert {word: f"<dt>{word}</dt>" in text for word in words} == words
    for word in ("verified", "fold", "out-of-fold", "95 % interval", "MAP@3", "accuracy", "lwlrap", "vote"):
        assert f"<dt>{word}</dt>" in text


def test_the_page_has_nothing_wider_than_a_phone_outside_of_a_box(finished_run: Path) -> None:
    """Tables and the matrix, which may be wide, lie in boxes that scroll; all else has no width of its own."""
    page = (finished_run / "report.html").read_text()
    body = page.split("<body>")[1]
    loose = re.sub(r'<div class="scroll">.*?</div>', "", body, flags=re.S)
    assert re.findall(r'<table(?: class="(\w+)")?>', loose) == ["facts"]
    assert not re.search(r"<svg[^>]* width=", loose)
