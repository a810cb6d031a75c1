from collections.abc import Callable

import httpx
import pytest
from starlette.responses import PlainTextResponse

from earmark.web.security import HEADERS, Access, Guarded, is_loopback
from tests.web.conftest import POST, Browser

TOKEN = "right-token"
JSON = POST | {"Content-Type": "application/json"}


def local(port: int = 8765) -> Browser:
    return Browser(Guarded(PlainTextResponse("inside"), Access.to("127.0.0.1", port)), f"http://127.0.0.1:{port}")


def abroad(**more: object) -> Browser:
    access = Access(frozenset({"localhost", "box.example"}), 8765, TOKEN, **more)  # type: ignore[arg-type]
    return Browser(Guarded(PlainTextResponse("inside"), access), "http://box.example:8765")


def refused(answer: httpx.Response, status: int = 403) -> bool:
    """Whether an answer refuses, and says why in one line of JSON, with all headers that it should have."""
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert answer.headers["cache-control"] == "no-store"
    if answer.text == "inside":
        return False
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and "\n" not in answer.json()["error"]
    return True


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_names_of_this_server(host: str) -> None:
    assert not refused(local().get("/api/state", headers={"Host": host}))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8765",
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:80",
        "localhost:8766",
        "localhost.:8765",
        "localhost:8765.evil.example",
        "127.0.0.1.evil.example:8765",
        "user@127.0.0.1:8765",
        "[::1]",
        "[::1]8765",
        "::1:8765",
        "192.168.1.5:8765",
        "0.0.0.0:8765",
        "",
    ],
)
def test_names_of_others(host: str) -> None:
    assert refused(local().get("/", headers={"Host": host}))


def test_port_80_need_not_be_said() -> None:
    assert not refused(local(80).get("/", headers={"Host": "localhost"}))


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_pages_that_ask(headers: dict[str, str], passes: bool) -> None:
    assert refused(local().get("/api/sound/1.wav", headers=headers)) != passes
    assert not refused(local().get("/", headers=headers))  # a link to the page may stand anywhere


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:8765"}, True),
        ({"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://localhost:8765"}, False),  # the page and the request have different names
        ({"Origin": "http://127.0.0.1:8766"}, False),
        ({"Origin": "https://127.0.0.1:8765"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8765"}, False),
    ],
)
def test_pages_that_send(headers: dict[str, str], passes: bool) -> None:
    assert refused(local().ask("POST", "/api/undo", content="{}", headers=JSON | headers)) != passes


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 403),
        ({"X-Earmark": "other", "Content-Type": "application/json"}, 403),
        (POST, 415),
        (POST | {"Content-Type": "text/plain"}, 415),
        (POST | {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (JSON | {"Content-Length": "70000"}, 413),
        (JSON | {"Content-Length": "2", "Transfer-Encoding": "chunked"}, 411),
        (JSON | {"Content-Length": "-1"}, 411),
    ],
)
def test_what_a_form_of_another_page_could_send(headers: dict[str, str], status: int) -> None:
    assert refused(local().ask("POST", "/api/undo", content="{}", headers=headers), status)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods(method: str) -> None:
    assert refused(local().ask(method, "/api/state"), 405)


def test_addresses_without_end() -> None:
    assert refused(local().get(f"/api/item/{'9' * 5000}"), 414)
    assert not refused(local().get("/static/review.css"))


def test_a_token_is_needed_where_other_machines_can_come() -> None:
    browser = abroad()
    for path in ("/", "/api/state", "/static/review.js", "/api/state?token=right-token"):
        assert refused(browser.get(path), 401)
    for wrong in ("", "wrong", "right-toke", "ü"):
        assert refused(browser.get("/", params={"token": wrong}), 401)
    assert refused(browser.ask("POST", "/api/undo", content="{}", headers=JSON), 401)
    assert refused(browser.get("/", headers={"Cookie": "earmark_review_8765=wrong"}), 401)
    assert refused(browser.get("/", headers={"Cookie": 'earmark_review_8765="; \0=;;'}), 401)
    answer = browser.get(f"/?token={TOKEN}&class=a%26b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?class=a%26b")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"earmark_review_8765={TOKEN};")
    assert {part.strip() for part in cookie.split(";")[1:]} == {"HttpOnly", "Path=/", "SameSite=strict"}
    assert browser.get("/api/state").text == "inside"
    assert browser.ask("POST", "/api/undo", content="{}", headers=JSON).text == "inside"
    assert browser.get("/?token=right-token").headers["location"] == "/"


def test_the_token_does_not_help_under_another_name() -> None:
    assert refused(abroad().get(f"/?token={TOKEN}", headers={"Host": "evil.example:8765"}))
    assert refused(abroad().get("/", headers={"Host": "10.0.0.1:8765", "Cookie": f"earmark_review_8765={TOKEN}"}))
    everywhere = abroad(any_address=True)
    cookie = {"Cookie": f"earmark_review_8765={TOKEN}"}
    assert not refused(everywhere.get("/", headers={"Host": "10.0.0.1:8765", **cookie}))
    assert not refused(everywhere.get("/", headers={"Host": "[fe80::1]:8765", **cookie}))
    assert refused(everywhere.get("/", headers={"Host": "evil.example:8765", **cookie}))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_only_servers_of_this_machine_alone_need_no_token(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
    access = Access.to(host, 8765)
    assert (access.token is None) == loopback
    assert access.any_address == (host in ("0.0.0.0", "::", ""))


def test_tokens_are_long_and_each_server_has_its_own() -> None:
    make: Callable[[], str | None] = lambda: Access.to("0.0.0.0", 1).token  # noqa: E731
    tokens = {make() for _ in range(20)}
    assert len(tokens) == 20
    assert all(len(str(token)) >= 32 for token in tokens)
