import csv
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from PIL import Image

from earmark.web.desk import Desk
from earmark.web.folder import Audit
from earmark.web.review import review_app
from earmark.web.security import HEADERS, Access
from tests.web.conftest import LABELS, POST, Browser, Place, until

pytestmark = pytest.mark.slow  # together they take seconds


@pytest.fixture
def second(audit: Audit) -> Iterator[Browser]:
    """Another server on the same folder."""
    desk = Desk(audit)
    yield Browser(review_app(desk, "bo", Access.to("127.0.0.1", 8765)))
    desk.close()


def suspects_of(place: Place) -> list[dict[str, str]]:
    with (place.audit / "suspects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def next_of(browser: Browser, by: str = "ann", **filters: object) -> dict:
    items = browser.get("/api/queue", params=filters, headers={"X-Reviewer": by}).json()["items"]
    return items[0] if items else {}


def decide(browser: Browser, rank: int, action: str = "keep", by: str = "ann", **more: object) -> dict:
    answer = browser.post("/api/decisions", {"rank": rank, "action": action, **more}, by)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_page_and_its_files(browser: Browser) -> None:
    page = browser.get("/")
    assert page.text == "<!doctype html><title>page</title>"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    script = browser.get("/static/review.js")
    assert (script.text, script.headers["content-type"]) == ("'script'", "text/javascript; charset=utf-8")
    for answer in (page, script):
        assert all(answer.headers[name] == value for name, value in HEADERS.items())


@pytest.mark.parametrize(
    "path",
    [
        "/static/notes.txt",
        "/static/review.html",
        "/static/",
        "/static/../review.js",
        "/static/..%2f..%2faudit%2fsuspects.csv",
        "/static/%2e%2e/static/review.js/..",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/review.js%00",
        "/api/sound/..%2f0.wav",
        "/api/sound/0.flac",
        "/api/sound/-1.wav",
        "/api/sound/sounds%2f00.wav",
        "/api/sound/25.wav",  # of the test split
        "/api/sound/26.wav",
        "/api/sound/99999999999999999999.wav",
        "/api/item/0",
        "/api/item/99999999999999999999",
        "/docs",
        "/openapi.json",
        "/review.sqlite",
    ],
)
def test_nothing_else_can_be_asked_for(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]


def test_state_at_the_beginning(browser: Browser, place: Place) -> None:
    rows = suspects_of(place)
    unverified = [row for row in rows if row["verified"] == "0"]
    state = browser.get("/api/state").json()
    assert state["labels"] == sorted(LABELS)
    assert (state["title"], state["strategy"], state["several"]) == ("audit", "Scores were drawn at random.", False)
    assert (state["reviewer"], state["suspects"], state["unverified"], state["cut"]) == ("ann", 25, len(unverified), 2)
    assert (state["heard"], state["left"], state["kept"], state["changed"], state["mine"]) == (0, len(unverified), 0, 0, 0)
    assert (state["reviewers"], state["disagreements"], state["disagreeing"], state["notes"]) == ([], [], 0, [])
    known = [float(row["probability"]) for row in unverified if row["probability"]]
    assert state["next50"] == pytest.approx(np.mean(known))
    for count in state["classes"]:
        assert count["left"] == sum(count["label"] in (row["given"], row["suggested"]) for row in unverified)
    reasons = {count["reason"]: count["left"] for count in state["reasons"]}
    assert reasons == {name: sum(row["reason"] == name for row in unverified) for name in reasons}
    assert set(reasons) == {row["reason"] for row in rows} - {""}


def test_an_item_says_what_the_files_say(browser: Browser, place: Place, audit: Audit) -> None:
    for row in suspects_of(place):
        item = browser.get(f"/api/item/{row['rank']}").json()["item"]
        assert (item["rank"], item["clip_id"], item["reason"]) == (int(row["rank"]), row["clip_id"], row["reason"])
        assert audit.cell("clip_id", item["row"]) == row["clip_id"]
        assert item["given"] == [row["given"]] * bool(row["given"])
        assert item["suggested"] == [row["suggested"]] * bool(row["suggested"])
        assert item["verified"] == (row["verified"] == "1")
        assert (item["score"], item["probability"]) == (
            (float(row["score"]), float(row["probability"])) if row["score"] else (None, None)
        )
        assert sorted(item["scores"].values(), reverse=True) == list(item["scores"].values())
        assert item["best"] == list(item["scores"])[:3]
        assert set(item["examples"]) == {*item["given"], *item["suggested"]}
        assert item["seconds"] == pytest.approx((2000 + int(row["clip_id"][7:9])) / 8000)
        for example in [example for some in item["examples"].values() for example in some]:
            assert audit.cell("verified", example["row"])
            assert audit.cell("group", example["row"]) != item["recording"]


def test_decisions_take_clips_off_the_queue_until_they_are_undone(browser: Browser) -> None:
    left = browser.get("/api/state").json()["left"]
    heard = []
    for action in ("keep", "accept", "none", "unusable"):
        item = next_of(browser)
        answer = decide(browser, item["rank"], action)
        heard.append((item, action))
        assert answer["saved"] == len(heard)
        assert answer["state"]["heard"] == len(heard) and answer["state"]["left"] == left - len(heard)
        shown = browser.get(f"/api/item/{item['rank']}").json()["item"]["heard"]
        labels = {"keep": item["given"], "accept": item["suggested"]}.get(action, [])
        assert [(made["by"], made["action"], made["labels"]) for made in shown] == [("ann", action, labels)]
    assert (answer["state"]["kept"], answer["state"]["changed"], answer["state"]["mine"]) == (1, 3, 4)
    for number, (item, _) in enumerate(reversed(heard), start=1):
        undone = browser.post("/api/undo", {}).json()
        assert (undone["rank"], undone["item"]["rank"], undone["item"]["heard"]) == (item["rank"], item["rank"], [])
        assert undone["state"]["left"] == left - len(heard) + number
        assert next_of(browser)["rank"] == item["rank"]
    assert browser.post("/api/undo", {}).json()["rank"] is None


def test_relabel_and_skip(browser: Browser) -> None:
    first, second, third = browser.get("/api/queue", params={"count": 3}).json()["items"]
    skipped = browser.get("/api/queue", params={"count": 2, "skip": f"{first['rank']},{third['rank']},,x,-3,99999"}).json()["items"]
    assert skipped[0]["rank"] == second["rank"]
    assert first["rank"] != skipped[1]["rank"] != third["rank"]
    for endless in ("9" * 19, "9" * 5000):
        answer = browser.get("/api/queue", params={"skip": endless})
        assert answer.status_code == 200 and answer.json()["items"][0]["rank"] == first["rank"]
    answer = decide(browser, first["rank"], "relabel", labels=[LABELS[2]])
    assert answer["state"]["heard"] == 1
    item = browser.get(f"/api/item/{first['rank']}").json()["item"]
    assert item["heard"][0]["labels"] == [LABELS[2]]


def test_every_clip_comes_once(browser: Browser, place: Place) -> None:
    ranks = []
    while item := next_of(browser, verified="both"):
        ranks.append(item["rank"])
        decide(browser, item["rank"], "none")
    assert sorted(ranks) == [int(row["rank"]) for row in suspects_of(place)]
    state = browser.get("/api/state", params={"verified": "both"}).json()
    assert (state["left"], state["heard"], state["next50"]) == (0, 25, None)


def test_filters(browser: Browser, place: Place) -> None:
    label = LABELS[2]
    state = browser.get("/api/state", params={"class": label, "reason": "wrong label", "verified": "both"}).json()
    fitting = [row for row in suspects_of(place) if label in (row["given"], row["suggested"]) and row["reason"] == "wrong label"]
    assert state["left"] == len(fitting) > 0
    items = browser.get("/api/queue", params={"class": label, "reason": "wrong label", "verified": "both", "count": 20}).json()[
        "items"
    ]
    assert {item["rank"] for item in items} == {int(row["rank"]) for row in fitting}
    assert state["classes"][0]["left"] != 0  # classes are counted under the other filters alone
    for wrong in ({"class": "mew"}, {"reason": "boredom"}, {"verified": "2"}, {"again": "perhaps"}, {"count": "0"}, {"count": "x"}):
        answer = browser.get("/api/queue", params=wrong)
        assert answer.status_code == 400, wrong
        assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        ({"rank": 999, "action": "keep"}, 404),
        ({"rank": -1, "action": "keep"}, 404),
        ({"rank": 10**30, "action": "keep"}, 404),
        ({"rank": 1, "action": "maybe"}, 400),
        ({"rank": 1, "action": "undo"}, 400),
        ({"rank": 1, "action": "keep", "labels": ["bark"]}, 400),
        ({"rank": 1, "action": "relabel"}, 400),
        ({"rank": 1, "action": "relabel", "labels": []}, 400),
        ({"rank": 1, "action": "relabel", "labels": ["mew"]}, 400),
        ({"rank": 1, "action": "relabel", "labels": ["bark", "bark"]}, 400),
        ({"rank": 1, "action": "relabel", "labels": ["bark", "cello"]}, 400),  # clips have one label here
        ({"rank": 25, "action": "keep"}, 400),  # it has no label
        ({"rank": "1", "action": "keep"}, 400),
        ({"rank": 1.5, "action": "keep"}, 400),
        ({"rank": 1, "action": "keep", "path": "/etc/passwd"}, 400),
        ({"rank": 1, "action": "keep", "key": "k" * 65}, 400),
        ({"action": "keep"}, 400),
        ([], 400),
        ("keep", 400),
    ],
)
def test_decisions_that_make_no_sense_change_nothing(browser: Browser, decision: object, status: int) -> None:
    answer = browser.post("/api/decisions", decision)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert browser.get("/api/state").json()["heard"] == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"rank": NaN}', b"[" * 20000])
def test_bodies_that_are_no_json(browser: Browser, content: bytes) -> None:
    headers = {"X-Earmark": "review", "Content-Type": "application/json"}
    answer = browser.ask("POST", "/api/decisions", content=content, headers=headers)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


def test_several_labels_where_clips_may_have_them(place: Place) -> None:
    path = place.audit / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"several": True}), encoding="utf-8")
    desk = Desk(Audit.open(place.audit))
    browser = Browser(review_app(desk, "ann", Access.to("127.0.0.1", 8765)))
    decide(browser, 1, "relabel", labels=["cello", "bark"])
    desk.close()
    with desk.corrections.open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["labels"] == "cello,bark"


def test_half_a_character_is_no_key(browser: Browser) -> None:
    content = b'{"rank": 1, "action": "none", "key": "\\ud800"}'
    answer = browser.ask("POST", "/api/decisions", content=content, headers=POST | {"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"].startswith("key: ")


def test_the_same_key_again_saves_nothing_twice(browser: Browser) -> None:
    saved = [decide(browser, 1, "none", key="lost answer")["saved"] for _ in range(2)]
    assert saved == [1, 1]
    assert browser.post("/api/undo", {}).json()["rank"] == 1
    assert browser.post("/api/undo", {}).json()["rank"] is None


def test_a_page_with_another_list_decides_nothing(browser: Browser, place: Place) -> None:
    first, second = suspects_of(place)[:2]
    answer = browser.post("/api/decisions", {"rank": 1, "action": "none", "clip_id": second["clip_id"]})
    assert (answer.status_code, list(answer.json())) == (409, ["error"])
    assert browser.get("/api/state").json()["reviewers"] == []
    assert decide(browser, 1, "none", clip_id=first["clip_id"])["saved"] == 1


def test_two_reviewers_on_two_servers(browser: Browser, second: Browser) -> None:
    name = "Łukasz & co"
    taken = []
    for number in range(8):  # each sees at once what the other has decided
        who, server = (("ann", browser), (quote(name), second))[number % 2]
        item = next_of(server, who)
        decide(server, item["rank"], "none", who)
        taken.append(item["rank"])
    assert len(set(taken)) == 8
    again = next_of(browser, quote(name), again="1")
    assert again["rank"] == taken[0]
    decide(browser, taken[0], "unusable", quote(name))
    decide(browser, taken[2], "none", quote(name))  # the same as ann
    state = second.get("/api/state", headers={"X-Reviewer": quote(name)}).json()
    assert (state["reviewer"], state["mine"], state["disagreeing"]) == (name, 6, 1)
    assert state["reviewers"] == [{"by": "ann", "heard": 4}, {"by": name, "heard": 6}]
    (disagreement,) = state["disagreements"]
    assert disagreement["rank"] == taken[0]
    assert [(made["by"], made["action"]) for made in disagreement["decisions"]] == [("ann", "none"), (name, "unusable")]
    assert second.post("/api/undo", {}, "ann").json()["rank"] == taken[6]  # ann's own last one, not the other's
    assert next_of(browser)["rank"] == taken[6]


@pytest.mark.parametrize("name", ["", " ", "a;b", "a\nb", "x" * 81])
def test_names_that_cannot_be(browser: Browser, name: str) -> None:
    answer = browser.post("/api/decisions", {"rank": 1, "action": "none"}, quote(name))
    assert answer.status_code == 400
    assert browser.get("/api/state").json()["heard"] == 0


def test_a_label_with_script_in_it_is_only_ever_json(browser: Browser) -> None:
    for path in ("/api/state", "/api/queue?count=20&verified=both"):
        answer = browser.get(path)
        assert LABELS[2] in json.dumps(answer.json())
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    error = browser.get("/api/state", params={"class": "<script>alert(2)</script>"})
    assert (error.status_code, error.headers["content-type"]) == (400, "application/json")


@pytest.mark.parametrize("row", [0, 1, 2, 3])
def test_sound(browser: Browser, place: Place, audit: Audit, row: int) -> None:
    expected, rate = soundfile.read(place.sounds / audit.cell("file_name", row), dtype="int16", always_2d=True)
    whole = browser.get(f"/api/sound/{row}.wav")
    assert (whole.status_code, whole.headers["accept-ranges"], whole.headers["x-sound"]) == (200, "bytes", "file")
    assert int(whole.headers["content-length"]) == len(whole.content)
    assert whole.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(whole.content)) as file:
        assert (file.getframerate(), file.getnchannels()) == (rate, expected.shape[1])
        played = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(expected.shape)
    assert np.abs(played.astype(int) - expected).max() <= 1
    about = browser.get(f"/api/sound/{row}.json").json()
    assert about == {"from": "file", "why": "", "seconds": len(expected) / rate, "rate": rate, "channels": expected.shape[1]}


def test_parts_of_a_sound(browser: Browser) -> None:
    whole = browser.get("/api/sound/3.wav")
    size, etag = len(whole.content), whole.headers["etag"]
    for header, first, last in (("bytes=0-", 0, size), ("bytes=10-99", 10, 100), ("bytes=-7", size - 7, size)):
        part = browser.get("/api/sound/3.wav", headers={"Range": header})
        assert (part.status_code, part.content) == (206, whole.content[first:last])
        assert part.headers["content-range"] == f"bytes {first}-{last - 1}/{size}"
        assert int(part.headers["content-length"]) == last - first
    outside = browser.get("/api/sound/3.wav", headers={"Range": f"bytes={size}-"})
    assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{size}")
    assert browser.get("/api/sound/3.wav", headers={"Range": "bytes=0-9,20-29"}).status_code == 200
    assert browser.get("/api/sound/3.wav", headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert browser.get("/api/sound/3.wav", headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200
    unchanged = browser.get("/api/sound/3.wav", headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_a_moved_and_a_broken_file(browser: Browser, place: Place, audit: Audit) -> None:
    moved, broken = (place.sounds / audit.cell("file_name", row) for row in (3, 6))
    moved.rename(place.sounds / "elsewhere.wav")
    broken.write_bytes(broken.read_bytes()[:100])
    assert browser.get("/api/sound/3.wav").headers["x-sound"] == "moved"
    assert browser.get("/api/sound/6.wav").headers["x-sound"] == "store"
    assert browser.get("/api/sound/6.json").json()["why"] == "the file has changed since the store was made"
    assert browser.get("/api/spectrogram/6.png").headers["x-sound"] == "store"


def test_nothing_to_play(browser: Browser, place: Place, audit: Audit) -> None:
    (place.sounds / audit.cell("file_name", 3)).unlink()
    (place.store / "pcm-8000.i16").unlink()
    for path in ("/api/sound/3.wav", "/api/sound/3.json", "/api/spectrogram/3.png"):
        answer = browser.get(path)
        assert answer.status_code == 410
        assert "the file is not there" in answer.json()["error"]


def test_spectrogram(browser: Browser) -> None:
    picture = browser.get("/api/spectrogram/0.png", params={"width": 300, "height": 120, "scale": "log", "range": 100, "top": 3000})
    assert picture.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).size == (300, 120)
    assert browser.get("/api/spectrogram/0.png", params={"width": 300, "height": 120}).content != picture.content
    for top in (0, 1, 10**6):  # whatever the rate of the sound
        assert browser.get("/api/spectrogram/0.png", params={"top": top}).status_code == 200
    for wrong in (
        {"scale": "linear"},
        {"range": 20},
        {"range": "nan"},
        {"width": 10**6},
        {"height": 0},
        {"top": -1},
        {"top": "inf"},
    ):
        assert browser.get("/api/spectrogram/0.png", params=wrong).status_code == 400, wrong


def test_corrections_are_written_at_the_end(desk: Desk, audit: Audit) -> None:
    clip = audit.suspects.clip_id[2].as_py()
    desk.decide("ann", int(audit.suspects.rank[2]), "relabel", [LABELS[2]])
    other = Desk(audit)  # at its start the table is written, too
    assert other.close() == 1
    with desk.corrections.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["clip_id"], row["labels"], row["action"], row["by"]) == (clip, LABELS[2], "relabel", "ann")
    assert row["sha256"] == audit.cell("content_hash", int(audit.suspects.row[2]))


def test_corrections_follow_a_decision_and_an_undo_within_a_second(browser: Browser, desk: Desk) -> None:
    def corrected() -> int:
        with desk.corrections.open(encoding="utf-8", newline="") as file:
            return len(list(csv.DictReader(file)))

    decide(browser, 1, "none")
    until(lambda: desk.corrections.exists() and corrected() == 1, 1.0)
    browser.post("/api/undo", {})
    until(lambda: corrected() == 0, 1.0)


def test_notes_say_what_is_missing(place: Place) -> None:
    (Path(place.audit) / "guesses.parquet").write_bytes(b"nothing")
    desk = Desk(Audit.open(place.audit))
    browser = Browser(review_app(desk, "ann", Access.to("127.0.0.1", 8765)))
    item = next_of(browser)
    assert (item["scores"], item["best"]) == ({}, [])
    assert ["guesses.parquet cannot be used" in note for note in browser.get("/api/state").json()["notes"]] == [True]
    desk.close()


def test_a_decision_that_cannot_be_saved_is_not_answered_as_saved(browser: Browser, desk: Desk) -> None:
    connection = desk._decisions._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then says what it says of a full disk
    statuses = [browser.post("/api/decisions", {"rank": 1, "action": "none"}).status_code for _ in range(80)]
    assert set(statuses) == {200, 503}
    answer = browser.post("/api/decisions", {"rank": 1, "action": "none"})
    assert "cannot be written" in answer.json()["error"]
    connection.execute("PRAGMA max_page_count = 1000000")
    assert len(desk._decisions.since(0)) == statuses.count(200)
