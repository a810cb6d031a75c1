"""A small data set with wrong labels to review: 26 clips of three formats, twelve recordings, an unlabelled clip, a test clip."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from earmark.data.manifest import Clip, read_manifest, write_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.web.desk import Desk
from earmark.web.folder import Audit
from earmark.web.review import review_app
from earmark.web.security import Access, Guarded
from tests.audits import make_audit

RATE = 8000
LABELS = ("bark", "cello", "<script>alert(1)</script>")
ENDINGS = ("wav", "flac", "ogg")
ADDRESS = "http://127.0.0.1:8765"
POST = {"X-Earmark": "review"}
KEY = "vectors-of-a-test"


@dataclass(frozen=True)
class Place:
    """Where the parts of a small review lie."""

    sounds: Path
    store: Path
    audit: Path


def small_clips(folder: Path) -> list[Clip]:
    """Renders the clips."""
    rng = np.random.default_rng(5)
    clips = []
    for number in range(26):
        name = f"sounds/{number:02d}.{ENDINGS[number % 3]}"
        samples = rng.uniform(-0.5, 0.5, (RATE // 4 + number, 1 + number % 2))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, samples, RATE)
        labels = () if number == 24 else (LABELS[number % 3],)
        split = "test" if number == 25 else "train"
        fold = None if number == 25 else number // 2 % 2
        clips.append(Clip(name, labels, verified=number % 3 == 1, fold=fold, group=f"recording {number // 2}", split=split))
    return clips


def write_vectors(store: Store, vectors: np.ndarray) -> str:
    """Gives a store vectors ``[clips, D]`` as a pre-trained model would have made them, and returns their key."""
    folder = store.path / "embeddings" / KEY
    folder.mkdir(parents=True)
    vectors.astype("<f4").tofile(folder / "vectors.f32")
    rate = max(store.sample_rates)
    info = {"version": 2, "key": KEY, "sample_rate": rate, "size": vectors.shape[1], "variations": 0}
    info |= {"store": store.fingerprint, "clips": len(vectors), "title": "", "licence": "", "window": 0}
    (folder / "embedding.json").write_text(json.dumps(info), encoding="utf-8")
    return KEY


def until(true: Callable[[], bool], seconds: float = 5.0) -> float:
    """Waits until something is so, and says how long it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, "it did not come"
        time.sleep(0.01)
    return time.monotonic() - begun


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The data set, its store with vectors, and its audit."""
    sounds = tmp_path / "data"
    write_manifest(sounds / "manifest.csv", small_clips(sounds))
    store = prepare(read_manifest(sounds / "manifest.csv"), str(sounds / "manifest.csv"), tmp_path / "store", [RATE]).store
    key = write_vectors(store, np.random.default_rng(7).normal(1, 1, (26, 12)))
    return Place(sounds, store.path, make_audit(store, tmp_path / "audit", vectors=key))


@pytest.fixture
def audit(place: Place) -> Audit:
    """The audit, opened."""
    return Audit.open(place.audit)


@pytest.fixture
def desk(audit: Audit) -> Iterator[Desk]:
    """The desk of the audit."""
    opened = Desk(audit)
    yield opened
    opened.close()


class Browser:
    """Talks to an application as a browser does: it keeps cookies, and follows nothing by itself."""

    def __init__(self, app: Guarded, base_url: str = ADDRESS) -> None:
        self._app, self._base_url = app, base_url
        self.cookies = httpx.Cookies()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Sends a request."""

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self._base_url, cookies=self.cookies) as client:
                answer = await client.request(method, path, **more)
                self.cookies = client.cookies
                return answer

        return asyncio.run(asked())

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Asks for something."""
        return self.ask("GET", path, **more)

    def post(self, path: str, json: object, by: str | None = None, **headers: str) -> httpx.Response:
        """Sends JSON as the page does."""
        name = {} if by is None else {"X-Reviewer": by}
        return self.ask("POST", path, json=json, headers=POST | name | headers)


@pytest.fixture
def browser(desk: Desk, tmp_path: Path) -> Browser:
    """A browser that talks to the server from its own page; the page itself is a stand-in of two files."""
    static = tmp_path / "static"
    static.mkdir()
    (static / "review.html").write_text("<!doctype html><title>page</title>", encoding="utf-8")
    (static / "review.js").write_text("'script'", encoding="utf-8")
    (static / "notes.txt").write_text("not for browsers", encoding="utf-8")
    return Browser(review_app(desk, "ann", Access.to("127.0.0.1", 8765), static))
