"""What the tests of the review page share: tones to hear, a server to end and start again, and a browser's page with its keys."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import soundfile

from earmark.data.manifest import read_manifest
from earmark.data.prepare import prepare
from earmark.data.store import Store
from earmark.web.decisions import read_decisions
from tests.audits import make_audit

RATE = 8000
TRUSTED = 4  # clips of each label that are verified
PATIENCE = 30_000  # milliseconds
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

# Notes how many milliseconds after a key the next clip is shown, with its picture.
WATCH = """() => {
  window.times = [];
  let begun = 0;
  addEventListener("keydown", () => (begun = performance.now()), true);
  new MutationObserver(() => requestAnimationFrame(() => {
    const image = document.querySelector("#image img");
    image.decode().then(() => window.times.push(performance.now() - begun));
  })).observe(document.getElementById("clip"), { attributeFilter: ["data-rank"] });
}"""


def chromium() -> str | None:
    """A Chromium that is installed: `$EARMARK_CHROMIUM`, or what is on the path."""
    asked = os.environ.get("EARMARK_CHROMIUM")
    return asked or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def tones(
    room: Path, labels: Sequence[str], doubtful: int, *, parts: int = 1, seconds: float = 0.25, names: Sequence[str] = ()
) -> Store:
    """A store of tones, 8 kHz; `TRUSTED` of each label are verified.

    Args:
        room: an empty folder; the sounds lie in ``sounds/``.
        labels: the classes.
        doubtful: how many clips are not verified.
        parts: of them are cut from a file.
        seconds: length of a clip.
        names: of the first files that are not verified.
    """
    sounds = room / "sounds"
    sounds.mkdir(parents=True)
    rows = []
    for number in range(len(labels) * TRUSTED + -(-doubtful // parts)):
        place = number - len(labels) * TRUSTED
        cut = parts if place >= 0 else 1
        name = names[place] if 0 <= place < len(names) else f"{number:05}.wav"
        time_ = np.arange(int(cut * seconds * RATE)) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (200 + 37 * number % 3000) * time_)
        soundfile.write(sounds / name, tone, RATE, "PCM_16", format="WAV")
        for part in range(cut):
            ends = (part * seconds, (part + 1) * seconds) if cut > 1 else ("", "")
            rows.append((name, labels[number % len(labels)], int(place < 0), *ends))
    manifest = sounds / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "labels", "verified", "start", "end"), *rows])
    return prepare(read_manifest(manifest, label_separator="|"), str(manifest), room / "store", [RATE]).store


class Review:
    """An audit and the server that has it reviewed, which can be killed and started again."""

    def __init__(self, room: Path, store: Store, *, several: bool = False) -> None:
        self.room = room
        self.folder = make_audit(store, room / "audit", several=several)
        with (self.folder / "suspects.csv").open(encoding="utf-8", newline="") as file:
            self.suspects = {row["clip_id"]: row for row in csv.DictReader(file)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> "Review":
        command = [sys.executable, "-m", "earmark", "review", str(self.folder), "--no-browser", "--port", str(self.port)]
        with (self.room / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError((self.room / "log").read_text())
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the server does not begin to listen")

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def decided(self) -> list[tuple[str, str, str, tuple[str, ...]]]:
        """Who decided what about which clip, in order, as it is on the disk; what is undone is not among it."""
        rows = read_decisions(self.folder / "review.sqlite")
        undone = {row.undoes for row in rows}
        return [(row.by, row.clip_id, row.action, row.labels) for row in rows if row.undoes is None and row.id not in undone]


class Screen:
    """A page of the review in a browser context of its own, which notes whom it talks to and what goes wrong."""

    def __init__(self, browser: Any, review: Review, *, name: str = "Ann", size: dict[str, int] = DESKTOP, **context: Any) -> None:
        self.review = review
        self.context = browser.new_context(viewport=size, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        self.page.goto(review.address)
        self.page.wait_for_selector("#name[open]")
        self.page.fill("#name-input", name)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#clip:not([hidden])")

    @property
    def clip(self) -> str:
        return str(self.page.locator("#clip-id").text_content())

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def press(self, key: str) -> None:
        """Presses a key after which another clip, or the end, is shown."""
        before = self.page.get_attribute("#clip", "data-rank")
        self.page.keyboard.press(key)
        self.page.wait_for_selector(f"#clip:not([data-rank='{before}']), #finished:not([hidden])")

    def watch(self) -> None:
        """Begins to note, as ``times`` of the page's window, how long after a key the next clip is shown."""
        self.page.evaluate(WATCH)

    def choices(self) -> dict[str, str]:
        """The label that every digit stands for."""
        rows = [row.inner_text().split("\n") for row in self.page.locator(".choice:has(kbd)").all()]
        names = [
            str(row.locator(".name").evaluate("name => name.firstChild.textContent"))
            for row in self.page.locator(".choice:has(kbd)").all()
        ]
        return {row[0]: name for row, name in zip(rows, names, strict=True) if row[0].isdigit()}

    def close(self) -> None:
        """Closes it; nothing went wrong in the page, and it talked to its own server alone."""
        self.context.close()
        assert self.faults == []
        assert {urlsplit(url).netloc for url in self.asked} == {f"127.0.0.1:{self.review.port}"}
