"""The review page in a browser, with the real server."""

import json
import signal
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest

from earmark.web.decisions import NAME
from tests.web.screens import DESKTOP, PHONE, Review, Screen, chromium, tones

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium: set $EARMARK_CHROMIUM, or install chromium"),
]
LABELS = ("dog", "crow", "frog", "rain", "wind")
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
Open = Callable[..., Screen]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Review]]:
    reviews: list[Review] = []

    def start(*labels: str, doubtful: int = 40, several: bool = False, **tone: Any) -> Review:
        store = tones(tmp_path / str(len(reviews)), labels or LABELS, doubtful, **tone)
        reviews.append(Review(tmp_path / str(len(reviews)), store, several=several))
        return reviews[-1].start()

    yield start
    for review in reviews:
        review.kill()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    screens: list[Screen] = []

    def start(review: Review, **how: Any) -> Screen:
        screens.append(Screen(browser, review, **how))
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


def expected(review: Review, clip: str, key: str, digits: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    """What a key must decide about a clip."""
    row = review.suspects[clip]
    if key in digits:
        label = digits[key]
        return ("accept" if label == row["suggested"] else "relabel"), (label,)
    return {
        "ArrowUp": ("keep", (row["given"],)),
        "ArrowDown": ("accept", (row["suggested"],)),
        "n": ("none", ()),
        "x": ("unusable", ()),
    }[key]


def test_thirty_decisions_undo_and_reload(serve: Any, open_page: Open) -> None:
    review = serve()
    screen = open_page(review)
    wanted = []
    for key in ["ArrowUp", "ArrowDown", "2", "n", "x", "1"] * 5:
        clip = screen.clip
        wanted.append(("Ann", clip, *expected(review, clip, key, screen.choices())))
        screen.press(key)
        assert review.decided() == wanted  # on the disk by the time that the next clip shows
    assert len({clip for _, clip, _, _ in wanted}) == 30
    kept = sum(action == "keep" for _, _, action, _ in wanted)
    assert screen.text("#counts") == f"30 heard · 10 left · {kept} kept · {30 - kept} changed"

    for _ in range(2):
        screen.press("ArrowLeft")
        *wanted, undone = wanted
        assert screen.clip == undone[1]
        assert review.decided() == wanted
    shown = screen.clip
    screen.page.reload()
    screen.page.wait_for_selector("#clip:not([hidden])")
    assert screen.clip == shown
    assert screen.text("#counts").startswith("28 heard")
    screen.press("ArrowLeft")  # also what was decided before the page was loaded
    assert screen.clip == wanted[-1][1]
    assert review.decided() == wanted[:-1]
    review.kill(signal.SIGINT)
    assert len((review.folder / "corrections.csv").read_text().splitlines()) == 1 + 27


def test_a_server_that_is_killed_loses_nothing(serve: Any, open_page: Open) -> None:
    review = serve()
    screen = open_page(review)
    wanted = []
    for turn in range(10):
        wanted.append((screen.clip, "keep"))
        if turn % 2:  # the person goes on before anybody has noticed
            review.kill()
            before = screen.page.get_attribute("#clip", "data-rank")
            screen.page.keyboard.press("ArrowUp")
            screen.page.wait_for_selector("#banner:not([hidden])")
            assert "does not answer" in screen.text("#banner-text")
            assert screen.page.get_attribute("#clip", "data-rank") == before  # not shown as if it were saved
            review.start()
            screen.page.wait_for_selector("#banner", state="hidden")
            screen.page.wait_for_selector(f"#clip:not([data-rank='{before}'])")
        else:
            screen.press("ArrowUp")
            review.kill()
            review.start()
        assert [(clip, action) for _, clip, action, _ in review.decided()] == wanted
    assert screen.text("#counts").startswith("10 heard")


def test_two_reviewers_at_once(serve: Any, open_page: Open) -> None:
    review = serve(doubtful=12)
    ann, ben = open_page(review), open_page(review, name="Bén & <b>Co</b>")
    first = ann.clip
    assert ben.clip == first
    ann.press("ArrowUp")
    ben.press("ArrowDown")
    for _ in range(4):
        for screen in (ann, ben):
            screen.press("ArrowUp")
    decided = review.decided()
    assert len(decided) == 10
    assert [sum(by == name for by, *_ in decided) for name in ("Ann", "Bén & <b>Co</b>")] == [5, 5]
    ann.page.wait_for_selector("#disagreements:not([hidden])")
    assert ann.text("#disagreements summary") == "Reviewers disagree on 1 clip"
    ann.page.click("#disagreements summary")
    line = ann.text("#disagreements li")
    assert first in line and "Bén & <b>Co</b>" in line
    ann.page.click("#disagreements li button")  # hears it again, and agrees
    ann.page.wait_for_selector(f"#clip[data-rank='{review.suspects[first]['rank']}']")
    assert ann.clip == first
    ann.press("ArrowDown")
    ann.page.wait_for_selector("#disagreements", state="hidden")


def test_moved_and_broken_files_and_odd_names(serve: Any, open_page: Open) -> None:
    evil = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>"
    names = ["moved.wav", "broken.wav", "<img src=x onerror=window.hacked=1>.wav", "“quoted” & 100 %.wav"]
    review = serve("dog", evil, doubtful=len(names), names=names)
    sounds = review.room / "sounds"
    (sounds / "elsewhere").mkdir()
    (sounds / "moved.wav").rename(sounds / "elsewhere" / "renamed.wav")
    (sounds / "broken.wav").write_bytes(b"no sound at all")
    screen = open_page(review)
    notes = {}
    for _ in names:
        clip = screen.clip
        page = screen.page
        page.wait_for_selector("#marks span")
        notes[clip] = screen.text("#clip-notes")
        assert evil in screen.text("#choices")
        if page.evaluate("audio.paused && !audio.ended && audio.currentTime === 0"):
            page.keyboard.press("Space")
        page.wait_for_selector("#slider:not([aria-valuenow='0.0'])")  # it plays
        assert page.evaluate("document.querySelector('#image img').naturalWidth") > 100
        screen.press("ArrowUp")
    assert set(notes) == set(names)
    assert "found again by its content" in notes["moved.wav"]
    assert "store's copy" in notes["broken.wav"]
    assert notes[names[2]] == notes[names[3]] == ""
    assert screen.page.evaluate("window.hacked") is None
    assert {(clip, action) for _, clip, action, _ in review.decided()} == {(name, "keep") for name in names}


def test_several_labels_a_clip(serve: Any, open_page: Open) -> None:
    review = serve(several=True, doubtful=3)
    screen = open_page(review)
    clip, digits = screen.clip, screen.choices()
    pressed = [row.get_attribute("aria-pressed") for row in screen.page.locator(".choice").all()]
    assert pressed == ["true"] + ["false"] * (len(pressed) - 1)  # what is given is switched on
    screen.page.keyboard.press("3")
    screen.page.keyboard.press("2")
    screen.page.keyboard.press("2")
    assert review.decided() == []
    screen.press("Enter")
    assert review.decided() == [("Ann", clip, "relabel", (digits["1"], digits["3"]))]
    clip, digits = screen.clip, screen.choices()
    screen.press("Enter")  # nothing was changed
    screen.page.keyboard.press("1")
    screen.press("Enter")  # no label is on
    assert [(action, labels) for _, _, action, labels in review.decided()[1:]] == [("keep", (digits["1"],)), ("none", ())]
    assert screen.text("#finished-title") == "Every clip of the list is heard"


def test_search_skip_and_filters(serve: Any, open_page: Open) -> None:
    review = serve(*[f"label {number}" for number in range(30)], "Ünübertroffen-er Käuz", doubtful=4)
    screen = open_page(review)
    page = screen.page
    first = screen.clip
    page.keyboard.press("/")
    page.keyboard.type("kauz")
    assert [option.inner_text() for option in page.locator("#matches [role=option]").all()] == ["Ünübertroffen-er Käuz"]
    screen.press("Enter")
    assert review.decided()[0][1:] == (first, *expected(review, first, "9", {"9": "Ünübertroffen-er Käuz"}))
    skipped = screen.clip
    screen.press("ArrowRight")
    screen.press("ArrowLeft")  # a skip is undone like a decision
    assert screen.clip == skipped
    for key in ("ArrowRight", "ArrowUp", "ArrowUp"):
        screen.press(key)
    assert screen.text("#finished-title") == "Only skipped clips are left"
    page.click("#again-skipped")
    page.wait_for_selector("#clip:not([hidden])")
    assert screen.clip == skipped
    page.select_option("#filter-verified", "1")
    page.wait_for_selector("#clip-why .reason:text-is('verified')")
    assert screen.text("#counts").startswith("0 heard · 124 left")
    page.reload()
    page.wait_for_selector("#clip-why .reason:text-is('verified')")  # filters outlast the page


def test_slider_speed_and_held_keys(serve: Any, open_page: Open) -> None:
    review = serve(doubtful=5, seconds=3.0)
    screen = open_page(review)
    page, first = screen.page, screen.clip
    page.wait_for_selector("#slider:not([aria-valuenow='0.0'])")  # plays by itself: the name was a gesture
    page.keyboard.press("Space")
    page.focus("#slider")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#slider", "aria-valuetext") == "1.0 of 3.0 seconds"
    page.keyboard.press("Escape")
    box = page.locator("#slider").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 2 / 3, box["y"] + 40)
    assert float(page.get_attribute("#slider", "aria-valuenow")) == pytest.approx(2, abs=0.3)
    page.keyboard.press("s")
    assert page.evaluate("[audio.playbackRate, audio.preservesPitch]") == [0.5, False]
    assert review.decided() == [] and screen.clip == first  # in the slider, arrows decide nothing
    page.keyboard.down("ArrowUp")
    page.wait_for_selector(f"#clip:not([data-rank='{review.suspects[first]['rank']}'])")
    for _ in range(5):  # the key repeats, held down too long
        page.keyboard.down("ArrowUp")
    page.keyboard.up("ArrowUp")
    page.wait_for_timeout(300)
    assert len(review.decided()) == 1
    assert page.evaluate("audio.playbackRate") == 0.5  # of the next clip too


def test_another_audit_under_the_same_address(serve: Any, open_page: Open) -> None:
    review, other = serve(doubtful=2), serve("owl", "gull", doubtful=0)
    screen = open_page(review)
    other.kill()
    review.kill()
    other.port = review.port
    other.start()
    screen.page.keyboard.press("ArrowUp")
    screen.page.wait_for_selector("#banner-button:text-is('Load the page again')")
    assert other.decided() == review.decided() == []
    screen.page.click("#banner-button")
    screen.page.wait_for_selector("#clip-why .reason:text-is('verified')")  # there are no others, so these are heard
    screen.press("ArrowUp")
    assert [action for _, _, action, _ in other.decided()] == ["keep"]


def test_a_browser_that_may_not_play_yet_says_so(serve: Any, browser: Any) -> None:
    review = serve(doubtful=3, seconds=2.0)
    context = browser.new_context()
    context.add_init_script("localStorage.setItem('earmark.reviewer', JSON.stringify('Ann'))")
    page = context.new_page()
    with page.expect_response("**/api/sound/*.wav"):
        page.goto(review.address + "#class=gone&reason=never")  # filters of another list
    page.wait_for_timeout(1500)  # to look at a page counts as a gesture here, so that nobody looks yet
    page.wait_for_selector("#hint:not([hidden])")
    assert page.inner_text("#hint").startswith("Press Space")
    page.keyboard.press("Space")
    page.wait_for_selector("#hint", state="hidden")
    page.wait_for_selector("#slider:not([aria-valuenow='0.0'])")
    assert page.url == review.address
    context.close()


def test_touch_on_a_phone(serve: Any, open_page: Open) -> None:
    label = "a_very_long_name_of_a_label_without_any_space_that_goes_on_and_on_and_on, and then with spaces"
    review = serve(label, "dog", doubtful=4, names=["x" * 150 + ".wav"])
    screen = open_page(review, size=PHONE, has_touch=True, is_mobile=True)
    for button, action in (("#keep", "keep"), ("#accept", "accept"), ("#none", "none"), ("#unusable", "unusable")):
        assert screen.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        box = screen.page.locator(button).bounding_box()
        assert min(box["width"], box["height"]) >= 44
        before = screen.page.get_attribute("#clip", "data-rank")
        screen.page.tap(button)
        screen.page.wait_for_selector(f"#clip:not([data-rank='{before}']), #finished:not([hidden])")
        assert review.decided()[-1][2] == action


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everybody_can_use_it(serve: Any, open_page: Open, scheme: str, size: dict[str, int]) -> None:
    screen = open_page(serve(several=scheme == "dark", doubtful=2), size=size, color_scheme=scheme)
    page = screen.page
    page.evaluate(AXE.read_text(encoding="utf-8"))
    faults = {}
    for state, act in {
        "a clip": lambda: None,
        "an example": lambda: page.keyboard.press("q"),
        "the search box": lambda: page.locator("#search").type("r"),
        "the keys": lambda: (page.keyboard.press("Escape"), page.keyboard.press("?")),
        "the end": lambda: (page.keyboard.press("Escape"), screen.press("n"), screen.press("x")),
    }.items():
        act()
        found = page.evaluate("() => axe.run(document).then((told) => told.violations)")
        faults |= {
            f"{state}: {fault['id']}": [node["html"] for node in fault["nodes"]]
            for fault in found
            if fault["impact"] in ("serious", "critical")
        }
    assert faults == {}, json.dumps(faults, indent=1)


def test_twenty_thousand_suspects_stay_fluid(serve: Any, open_page: Open, record_property: Callable[[str, float], None]) -> None:
    review = serve(doubtful=20_000, parts=500)
    screen = open_page(review)
    screen.watch()
    for number in range(40):
        screen.press("ArrowUp" if number % 2 else "ArrowDown")
        screen.page.wait_for_timeout(120)
    times = screen.page.evaluate("times")
    assert len(times) == 40
    middle, worst = statistics.median(times), max(times)
    record_property("median_ms", round(middle))
    record_property("worst_ms", round(worst))
    assert middle < 1000 and worst < 5000  # a slow machine with other work; tens of milliseconds are usual
    assert len(review.decided()) == 40
    assert (review.folder / NAME).exists()
