"""A small stand-in for the Hugging Face Hub: the three requests that fetching a model takes."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Files = dict[str, bytes]


def blob(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


class HubServer:
    """Models by name, each with its commits by hash and its revisions by name.

    Attributes:
        url: its address, for ``HF_ENDPOINT``.
        commits: the files of each model's commits.
        revisions: the commit of each model's branches and tags.
        refused: status and error code of the models that it keeps to itself.
        asked: method and path of every request for a file so far.
        stalled: names of files of which it sends one half, and then nothing until it is closed.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, Files]] = {}
        self.revisions: dict[str, dict[str, str]] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []
        self.stalled: set[str] = set()
        self.closed = threading.Event()
        self.half_sent = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def publish(self, model: str, files: Files, *revisions: str) -> str:
        """Adds a commit to a model; returns its hash."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits.setdefault(model, {})[commit] = files
        self.revisions.setdefault(model, {}).update(dict.fromkeys(revisions, commit))
        return commit

    def close(self) -> None:
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: Any) -> None:
        user, name, kind, revision, file = (request.path.split("?")[0].removeprefix("/api/models").strip("/") + "////").split(
            "/", 4
        )
        if kind not in ("revision", "tree", "resolve"):  # the library asks for things of its own
            return self.refuse(request, 404, "")
        self.asked.append(f"{request.command} {request.path.split('?')[0]}")
        model, file = f"{user}/{name}", file.strip("/")
        commits = self.commits.get(model, {})
        commit = self.revisions.get(model, {}).get(revision, revision)
        if model in self.refused:
            return self.refuse(request, *self.refused[model])
        if model not in self.commits:
            return self.refuse(request, 401, "RepoNotFound")
        if commit not in commits:
            return self.refuse(request, 404, "RevisionNotFound")
        if kind == "revision":
            siblings = [{"rfilename": name} for name in commits[commit]]
            return self.reply_json(request, {"id": model, "sha": commit, "siblings": siblings})
        if kind == "tree":
            entries = [(name, len(content), blob(content)) for name, content in commits[commit].items()]
            return self.reply_json(request, [{"type": "file", "path": n, "size": size, "oid": oid} for n, size, oid in entries])
        if file not in commits[commit]:
            return self.refuse(request, 404, "EntryNotFound")
        content = commits[commit][file]
        return self.reply(request, 200, {"X-Repo-Commit": commit, "ETag": f'"{blob(content)}"'}, content)

    def reply_json(self, request: Any, data: Any) -> None:
        self.reply(request, 200, {"Content-Type": "application/json"}, json.dumps(data).encode())

    def refuse(self, request: Any, status: int, code: str) -> None:
        self.reply(request, status, {"X-Error-Code": code, "X-Error-Message": "words of the Hub"}, b"")

    def reply(self, request: Any, status: int, headers: dict[str, str], content: bytes) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "HEAD":
            return
        if any(request.path.endswith(name) for name in self.stalled):
            request.wfile.write(content[: len(content) // 2])
            self.half_sent.set()
            self.closed.wait()
            return
        request.wfile.write(content)


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A server that answers while the block runs."""
    hub = HubServer()
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.close()
        thread.join()
