"""Who may talk to the review server: its own page in a browser, and nobody else.

A page of another site that is open in the same browser could send requests to a server on the same machine, or have its own name lead
there (DNS rebinding). So requests must name a host that is this server, come from its own page, and, where other machines can reach
the server, show a token that only the person who started it knows.
"""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
MOST_BODY = 1 << 16  # bytes of a request
LONGEST_PATH = 200  # characters of an address without its query; Python makes no number of thousands of digits
MARK = ("x-earmark", "review")  # a header that no form of another page can send
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Access:
    """What requests must have.

    Attributes:
        hosts: the names of this server without the port; IPv6 addresses in brackets.
        port: its port.
        token: what those must know who come from other machines; None if no other machine can reach the server.
        any_address: whether every IP address is a name of this server, since it listens on all of the machine's.
    """

    hosts: frozenset[str]
    port: int
    token: str | None = None
    any_address: bool = False

    @classmethod
    def to(cls, host: str, port: int) -> "Access":
        """What requests must have to a server that listens on a host and a port."""
        bare = host.strip("[]").lower()
        shown = f"[{bare}]" if ":" in bare else bare
        if is_loopback(host):
            return cls(frozenset({*LOOPBACK, shown}), port)
        everywhere = bare in ("0.0.0.0", "::", "")
        name = socket.gethostname().lower()
        own = {name, f"{name}.local"} if everywhere else {shown}
        return cls(frozenset({*LOOPBACK, *own}), port, secrets.token_urlsafe(24), everywhere)

    @property
    def cookie(self) -> str:
        """The name of the cookie with the token; cookies of one host are the same for all its ports."""
        return f"earmark_review_{self.port}"

    def is_own(self, host: str) -> bool:
        """Whether the header ``Host`` names this server."""
        name, port = _split(host.lower())
        if port != str(self.port) and not (port == "" and self.port == 80):
            return False
        if name in self.hosts:
            return True
        return self.any_address and _address(name.strip("[]")) is not None

    def knows(self, token: str) -> bool:
        """Whether a token is the right one; how long this takes says nothing about it."""
        return self.token is None or hmac.compare_digest(token.encode(), self.token.encode())


def is_loopback(host: str) -> bool:
    """Whether a server on this host can be reached from its own machine alone."""
    address = _address(host.strip("[]"))
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _split(host: str) -> tuple[str, str]:
    """A name and a port; the name of an IPv6 address with its brackets."""
    if host.startswith("["):
        name, bracket, rest = host.partition("]")
        return (name + bracket, rest.removeprefix(":")) if rest[:1] in ("", ":") else (host, "")
    name, _, port = host.partition(":")
    return name, port


class Guarded:
    """An application behind the checks of `Access`. Every answer, refusals too, has the headers of `HEADERS`.

    Args:
        app: the application.
        access: what requests must have.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, as ASGI has it."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope)
        await (self._app if answer is None else answer)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that goes no further; None if it may pass."""
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.is_own(hosts[0]):
            return _refused(403, f"this server is called by another name, under its own port, {self._access.port}")
        if method not in ("GET", "HEAD", "POST"):
            return _refused(405, f"{method} is not asked here")
        if len(path) > LONGEST_PATH:
            return _refused(414, "nothing here has so long an address")
        site = headers.get("sec-fetch-site", "none" if method != "POST" else "same-origin")
        allowed = ("same-origin",) if method == "POST" else ("same-origin", "none")
        if site not in allowed and path != "/":
            return _refused(403, "only the review page itself may ask this")
        if method == "POST" and (refusal := self._refusal_of_post(headers, hosts[0])):
            return refusal
        return self._without_token(scope, headers, path)

    def _refusal_of_post(self, headers: Headers, host: str) -> Response | None:
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            return _refused(403, "only the review page itself may ask this")
        if headers.get(MARK[0]) != MARK[1]:
            return _refused(403, f"the header {MARK[0]}: {MARK[1]} is missing")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _refused(415, "application/json is needed")
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):  # what comes in chunks has no length
            return _refused(411, "the length of the content is missing")
        if int(length) > MOST_BODY:
            return _refused(413, f"more than {MOST_BODY:,} bytes")
        return None

    def _without_token(self, scope: Scope, headers: Headers, path: str) -> Response | None:
        if self._access.token is None:
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if path == "/" and "token" in query:
            if not self._access.knows(query["token"][-1]):
                return _refused(401, "this token is not the right one: open the address that earmark review printed")
            others = [(name, value) for name, values in query.items() if name != "token" for value in values]
            answer = RedirectResponse(f"/?{urlencode(others)}" if others else "/", 303)
            answer.set_cookie(self._access.cookie, self._access.token, httponly=True, samesite="strict", path="/")
            return answer
        if any(self._access.knows(token) for token in _cookies(headers.getlist("cookie"), self._access.cookie)):
            return None
        return _refused(401, "open the address that earmark review printed, with its token")


def _cookies(headers: Iterable[str], name: str) -> list[str]:
    values = []
    for header in headers:
        try:
            cookies = SimpleCookie(header)
        except CookieError:
            continue
        if name in cookies:
            values.append(cookies[name].value)
    return values


def _refused(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)
